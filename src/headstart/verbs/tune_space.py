"""The space of a search: what is searched where the user declares nothing, and the check of what is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headstart.data.augment import varies
from headstart.data.dataset import Dataset
from headstart.errors import HandshakeError, RecipeError, near, sentence
from headstart.recipe import STEPWISE, Recipe, make_recipe
from headstart.sources.source import Source
from headstart.sources.taps import at_layer, taps_of
from headstart.strategies.arguments import arguments_of, with_arguments
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import handshake, reads_unlabelled, unlabelled_used
from headstart.strategies.terms.catalogue import TERMS
from headstart.strategies.tunings import TUNINGS
from headstart.tasks.classification import class_weights
from headstart.training.finetune import facts
from headstart.training.search.space import STRATEGY, Choice, Domain, Range, Space
from headstart.training.transfer import resolve, task_of
from headstart.verbs.settings import augmented, check_obeyed, settings_of

AFTER = ("soup", "wise")
"""What is done once, with the training that is kept: no trial does it."""
FIELDS = (
    *(name for name in STEPWISE if name not in ("patience", *AFTER)),
    "layer",
    "image_size",
    "imbalance",
    "source",
    STRATEGY,
)
"""Fields of the recipe that can be searched: they change how a model is made, not what it is asked."""
OPEN = ("probe", "lpft", "finetune")
"""The strategies that are searched where none is named, as `fit` compares them."""


@dataclass(frozen=True)
class Searched:
    """Attributes:
    space: what is searched.
    starts: the defaults as parameters of trials, where the space holds them.
    rungs: points of a training at which trials are compared: the fewest epochs that a trial can have.
    by_cross_validation: every strategy solves its head, and the metric is accuracy, so that the solver's own cross-validation
        judges.
    """

    space: Space
    starts: list[dict[str, Any]]
    rungs: int
    by_cross_validation: bool


def apply(values: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of a trial: ``values`` with its parameters in their places, without what a solved head would not read."""
    text = str(params.get(STRATEGY, values.get(STRATEGY)))
    inner = {name: value for name, value in params.items() if "." in name}
    fields = {name: value for name, value in params.items() if "." not in name}
    if not parse_strategy(text).procedure.by_steps:
        values = {name: value for name, value in values.items() if name not in STEPWISE}
    if not reads_unlabelled(parse_strategy(text)):
        values = {name: value for name, value in values.items() if name != "unlabelled"}
    return {**values, **fields, STRATEGY: with_arguments(text, inner) if inner else text}


def make_space(recipe: Recipe, source: Source, train_set: Dataset, declared: dict[str, Domain] | None) -> Searched:
    """The space for a recipe, checked.

    Args:
        source: where the trials start (the first of them, where the source is searched).
        train_set: training images, labelled.
        declared: domains by name; ``None``: the built-in space of the strategy, without what the recipe sets.

    Raises:
        RecipeError: a name that cannot be searched (the nearest is offered), a value that the recipe refuses.
        HandshakeError: a parameter that would do nothing with the strategy.
    """
    declared = dict(declared) if declared is not None else None
    texts = _strategies(recipe, source, declared)
    if recipe.unlabelled is not None and not any(reads_unlabelled(parse_strategy(text)) for text in texts):
        unlabelled_used(parse_strategy(texts[-1]))
    if declared is not None:
        _known(declared, texts)
    alone = len(texts) == 1
    branches: dict[str, dict[str, Domain]] = {}
    for text in texts:
        _agree(recipe, source, text, train_set, alone=alone)
        if declared is None:
            found = built_in(recipe, source, text, train_set)
            branches[text] = {name: d for name, d in found.items() if _takes(recipe, source, text, name, d, train_set)}
        else:
            branches[text] = {name: d for name, d in declared.items() if len(texts) == 1 or _acts(name, text)}
    for name in declared or ():
        if not any(name in branch for branch in branches.values()):
            raise HandshakeError(
                sentence(
                    "no strategy of the space reads this parameter, so it would do nothing", got=name, allowed=texts
                )
            )
    if not any(branches.values()) and len(branches) == 1:
        raise RecipeError(
            sentence("nothing is left to search", where=f"strategy {texts[0]!r}", fix="--space 'NAME=VALUE|VALUE', or headstart fit")
        )  # fmt: skip
    if recipe.layer == "auto" and not any("layer" in branch for branch in branches.values()):
        raise RecipeError(
            sentence(
                "the layer is left open, but the space does not search it",
                fix="--space 'layer=NAME|NAME,...', or --layer last",
            )
        )
    space = Space(branches)
    for text, branch in space.branches.items():
        for name, d in branch.items():
            for value in d.ends:
                _agree(recipe, source, text, train_set, {name: value}, alone=alone)
    epochs = [_epochs(recipe, source, text, train_set, branch) for text, branch in branches.items()]
    solved = [not parse_strategy(text).procedure.by_steps for text in texts]
    return Searched(
        space, space.starts({text: _defaults(recipe, source, text, train_set) for text in texts}),
        min((least for least, s in zip(epochs, solved, strict=True) if not s), default=1),
        all(solved) and not any(parse_strategy(text).before for text in texts) and train_set.task == "classification" and recipe.metric in ("auto", "accuracy"),
    )  # fmt: skip


def built_in(recipe: Recipe, source: Source, text: str, train_set: Dataset) -> dict[str, Domain]:
    """What is worth searching for a strategy: the recipe's own values are kept, what it leaves open is searched.

    By gradient steps: the learning rate from a tenth to ten times its default, weight decay, label smoothing, mixup,
    augmentation, the weights of the terms from a thirtieth to thirty times theirs, how many layers ``last`` trains, the rank of LoRA. Solved: the
    layer that the head reads, class weights where the classes differ in size; with ``head2toe`` the
    share of features and the grid.
    """
    strategy = parse_strategy(text)
    given = recipe.model_fields_set
    found: dict[str, Domain] = {}
    arguments = arguments_of(text)
    if strategy.procedure.by_steps:
        lr = _defaults(recipe, source, text, train_set)["lr"]
        found = {
            "lr": Range(_nice(lr / 10), _nice(lr * 10), log=True),
            "weight_decay": Range(1e-4, 0.3, log=True),
            "label_smoothing": Choice((0.0, 0.1)),
            "mixup": Choice((0.0, 0.2)),
            "augment": Choice(("none", "light", "standard")),
        }
    else:
        if _uneven(train_set):
            found["imbalance"] = Choice(("none", "weights"))
        layers = (
            [tap.layer for tap in taps_of(source)] if source.pretrained and strategy.procedure.reads == "one" else []
        )
        if len(layers) > 1:
            found["layer"] = Choice(
                tuple(reversed(layers))
            )  # of equals the first is taken: an earlier layer must earn its place
    found = {
        name: d for name, d in found.items() if name not in given or (name, getattr(recipe, name)) == ("layer", "auto")
    }
    for name, value in arguments.items():
        part, _, key = name.partition(".")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if part in TERMS and key.endswith("weight") and number and float(value) > 0:
            found[name] = Range(_nice(float(value) / 30), _nice(float(value) * 30), log=True)
    for name in ("lora.rank", "dora.rank"):
        if name in arguments:
            found[name] = Choice((4, 8, 16))
    if "last.n" in arguments and len(source.layers) > 2:
        found["last.n"] = Choice(tuple(range(1, min(4, len(source.layers)))))
    if "head2toe.fraction" in arguments:
        found |= {"head2toe.fraction": Choice((0, 0.005, 0.02, 0.1)), "head2toe.grid": Choice((1, 2))}
    return found


def _nice(value: float) -> float:
    return float(f"{value:.2g}")


def _strategies(recipe: Recipe, source: Source, declared: dict[str, Domain] | None) -> list[str]:
    """The strategies of the search; a choice of them is taken out of ``declared``."""
    if declared and STRATEGY in declared:
        if recipe.strategy != "auto":
            raise RecipeError(
                sentence("the strategy is both given and searched", got=recipe.strategy, fix="leave one of them out")
            )
        texts = [str(value) for value in declared.pop(STRATEGY).points or ()]
    elif recipe.strategy != "auto":
        texts = [recipe.strategy]
    elif not source.pretrained:
        texts = ["finetune"]
    else:
        stepwise = recipe.stepwise_set or [name for name in declared or () if name in STEPWISE]
        texts = [text for text in OPEN if parse_strategy(text).procedure.by_steps or not stepwise]
    for text in texts:
        parse_strategy(text)
    return texts


def _known(declared: Mapping[str, Domain], texts: list[str]) -> None:
    """Every name is one that can be searched."""
    inner = {name for text in texts for name in arguments_of(text)}
    for name in declared:
        if name in FIELDS or name in inner:
            continue
        if name in AFTER:
            raise RecipeError(
                sentence(
                    "this is done once, with the training that is kept, and no trial reads it, so it is not searched", got=name,
                    fix=f"--{name} VALUE",
                )
            )  # fmt: skip
        if name in Recipe.model_fields:
            raise RecipeError(
                sentence(
                    "this decides what is asked, or on which machine, not how the model is made, so it is not searched", got=name,
                    allowed=sorted(set(FIELDS)), fix=f"--{name.replace('_', '-')} VALUE",
                )
            )  # fmt: skip
        part = name.partition(".")[0]
        if (part in TUNINGS or part in TERMS) and not any(other.startswith(f"{part}.") for other in inner):
            raise RecipeError(
                sentence(
                    f"no strategy of the space has the part {part!r}", got=name, allowed=texts,
                    fix=f"--strategy '{texts[-1]}+{part}'" if part in TERMS else f"--strategy {part}",
                )
            )  # fmt: skip
        close = near(name, [*FIELDS, *inner], 1)
        raise RecipeError(
            sentence(
                "unknown parameter of the space", got=name, allowed=[*sorted(set(FIELDS) - {STRATEGY}), *sorted(inner)],
                fix=f"--space '{close[0]}=...'" if close else None,
            )
        )  # fmt: skip


def _acts(name: str, text: str) -> bool:
    """Whether a strategy reads a parameter."""
    strategy = parse_strategy(text)
    if "." in name:
        return name in arguments_of(text)
    if name in STEPWISE:
        return strategy.procedure.by_steps
    return name != "layer" or strategy.procedure.reads == "one"


def _takes(recipe: Recipe, source: Source, text: str, name: str, d: Domain, train_set: Dataset) -> bool:
    """Whether a parameter of the built-in space can act in this strategy, for this task."""
    try:
        for value in d.ends:
            _agree(recipe, source, text, train_set, {name: value}, alone=False)
    except (HandshakeError, RecipeError):
        return False
    return True


def _agree(
    recipe: Recipe,
    source: Source,
    text: str,
    train_set: Dataset,
    params: Mapping[str, Any] | None = None,
    *,
    alone: bool,
) -> None:
    """Recipe, parts and source take these values.

    Args:
        alone: no other strategy is searched, so that what the recipe sets must act in this one.

    Raises:
        QuestionError: they do not.
    """
    params = params or {}
    given = {name: getattr(recipe, name) for name in recipe.model_fields_set if name not in ("data", "layer")}
    trial = make_recipe({**apply({**given, STRATEGY: text}, params), "data": "-"})
    if "layer" in params:
        at_layer(source, str(params["layer"]))
    if "augment" in params:
        varies(params["augment"])
    stepwise = [name for name in params if name in STEPWISE] + (recipe.stepwise_set if alone else [])
    check_obeyed(trial, train_set.task)
    has = facts(source, settings_of(trial).feeding)
    if trial.unlabelled is not None:
        has |= {"unlabelled_target"}
    handshake(
        parse_strategy(trial.strategy), source.layers, task_of(train_set, settings_of(trial), by_steps=parse_strategy(trial.strategy).procedure.by_steps), pretrained=source.pretrained,
        has=has, stepwise_options=stepwise,
        layer=str(params.get("layer", "last" if recipe.layer == "auto" else recipe.layer)),
    )  # fmt: skip


def _epochs(recipe: Recipe, source: Source, text: str, train_set: Dataset, branch: Mapping[str, Domain]) -> int:
    """The fewest epochs that a trial can have."""
    if "epochs" in branch:
        return int(min(branch["epochs"].ends))
    return int(_defaults(recipe, source, text, train_set)["epochs"])


def _defaults(recipe: Recipe, source: Source, text: str, train_set: Dataset) -> dict[str, Any]:
    """What `fit` would take for each parameter."""
    settings = settings_of(recipe)
    options = resolve(
        settings.optimisation,
        len(train_set),
        settings.feeding.batch_size,
        pretrained=source.pretrained,
        source=source,
    )
    fields = {name: getattr(recipe, name) for name in FIELDS if name in Recipe.model_fields}
    fields |= {"epochs": options.epochs, "lr": options.lr}
    fields["layer"] = source.layers[-1].name if recipe.layer in ("last", "auto") else recipe.layer
    fields["imbalance"] = (
        ("weights" if _uneven(train_set) else "none") if recipe.imbalance == "auto" else recipe.imbalance
    )
    fields["image_size"] = recipe.image_size or source.preprocessing.size
    fields["augment"] = augmented(recipe, train_set.modality)
    fields["source"] = source.name
    return fields | arguments_of(text)


def _uneven(train_set: Dataset) -> bool:
    """Whether ``imbalance: auto`` would weigh the classes."""
    return train_set.task == "classification" and class_weights("auto", train_set.counts, train_set.classes) is not None


def declared_space(given: Any) -> dict[str, Domain] | None:
    """What ``--space`` or ``space:`` says, read; ``None`` where nothing is said.

    Raises:
        RecipeError: it cannot be read.
    """
    from headstart.training.search.space import read_space

    if given is None:
        return None
    if not isinstance(given, (str, Mapping)):
        raise RecipeError(sentence("the space is a table of names", got=given, fix="space: {lr: 1e-5..1e-2:log}"))
    return read_space(given)
