"""`headstart plan`: what `fit` would do, why, and what it would need to decide better."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headstart.data.wording import Worded, said, worded
from headstart.errors import RecipeError, SourceError, sentence
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.folder import write_text
from headstart.progress import SILENT, Progress
from headstart.ranking.choose import Choice
from headstart.ranking.layers import LayerRanking
from headstart.ranking.rank import Ranking
from headstart.recipe import AUTO_BATCH, Recipe, make_recipe, read_recipe
from headstart.sources import load_source
from headstart.sources.modality import check_modality
from headstart.sources.source import Source
from headstart.sources.text_backbone import read_tokens
from headstart.strategies.grammar import help_of, parse_strategy
from headstart.strategies.handshake import handshake
from headstart.strategies.tuning.tuning import refuse_unopened
from headstart.tasks.catalogue import TASKS
from headstart.training.device import pick_device
from headstart.training.finetune import facts
from headstart.training.optim import Optimisation, reads_texts
from headstart.training.stage_table import stage_table
from headstart.training.transfer import TARGET, TARGET_TEXTS, resolve, task_of
from headstart.verbs.after import check_words
from headstart.verbs.decide import CLOSING, Decided, decide, read_budget
from headstart.verbs.prepare import Prepared, prepare_recipe
from headstart.verbs.settings import augmented, check_inputs, check_obeyed, check_recipe, settings_of


@dataclass(frozen=True)
class Step:
    """One decision: what, its value in words, and why."""

    name: str
    value: str
    why: str


@dataclass(frozen=True)
class Plan:
    """Attributes:
    steps: the decisions, in the order in which they are made.
    better: what would let them be made better.
    recipe: what differs from `fit`'s defaults, as keys of a recipe.
    seconds: expected for `fit` with this recipe (the features that planning made are in the cache).
    planning_seconds: what planning took.
    memory_mb: expected peak of the process, a lower bound.
    stages: one row a layer of the backbone (:func:`headstart.training.stage_table.stage_table`), as `fit` would train it.
    """

    steps: list[Step]
    better: list[str]
    recipe: dict[str, Any]
    seconds: float
    planning_seconds: float
    memory_mb: float
    stages: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def plan(
    data: Any,
    *,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
    **options: Any,
) -> Plan:
    """Decide what `fit` would do with the same arguments, without training the final model or looking at a test image.

    Sources are ranked, then the layers of the first; probe, probe-then-fine-tune and fine-tuning are compared on folds of
    the training images within ``budget`` (:func:`headstart.ranking.choose.choose_strategy`).

    Args:
        data, recipe, options: as for :func:`headstart.fit`; what is given is kept.
        out: YAML file to write the plan to, for ``headstart fit PLAN.yaml``.
        force: replace that file.

    Raises:
        QuestionError: the question was wrong, in one sentence.
    """
    began = time.perf_counter()
    values = (read_recipe(recipe) if recipe is not None else {}) | {k: v for k, v in options.items() if v is not None}
    if data is not None:
        values["data"] = data if not isinstance(data, Path) else str(data)
    asked = make_recipe(values)
    if out is not None and Path(out).exists() and not force:
        raise RecipeError(sentence("there is a file already", where=str(out), fix="--force to replace it"))
    if out is not None and not isinstance(asked.data, str):
        raise RecipeError(sentence("arrays in memory cannot be named in a file", fix="plan(...) without out"))
    check_words(asked)
    budget = read_budget(asked.budget)
    check_recipe(asked)
    device = pick_device(asked.device)
    target = prepare_recipe(asked, progress)
    SCORING[target.dataset.task].check_metric(asked.metric, target.classes)
    check_obeyed(asked, target.dataset.task)
    modality = target.dataset.modality
    check_inputs(asked, modality)
    progress = Worded(progress, modality)
    source, ranking, layers = find_source(asked, target, device=str(device), progress=progress)
    found = decide(
        asked, target, source, layers.chosen if layers else _layer(asked), until=began + budget if budget else None,
        device=device, progress=progress,
    )  # fmt: skip
    steps = _steps(asked, target, source, ranking, layers, found)
    stages = _stages(asked, target, source, found)
    decided = recipe_of(asked, source, found)
    if out is not None:
        full = {**{k: v for k, v in values.items() if k != "budget"}, **decided, "data": os.path.abspath(asked.data)}
        write_text(Path(out), make_recipe(full).to_yaml())
    spent = time.perf_counter() - began
    seconds = found.training_seconds + CLOSING
    peak = _memory(found, source)
    steps = [Step(step.name, said(step.value, modality), said(step.why, modality)) for step in steps]
    return Plan(steps, worded(_better(ranking, found, target), modality), decided, seconds, spent, peak, stages)


def find_source(
    recipe: Recipe, target: Prepared, *, device: str, progress: Progress
) -> tuple[Source, Ranking | None, LayerRanking | None]:
    """The source named or ranked first, and its layers where the choice among them is open."""
    from headstart.verbs.rank import candidates, rank_layers_prepared, rank_prepared

    budget = read_budget(recipe.budget)
    most = 500 if budget is not None and budget < 180 else 2000
    ranking = layers = None
    name = recipe.source
    if name == "auto" and TASKS[target.dataset.task].by_token:
        name = _the_one(recipe.sources)
        progress.say(f"source {name}: sources are ranked by one vector a text, so none were ranked")
    if name == "auto":
        if target.learning.stand_in:
            progress.say(f"sources are ranked on {target.learning.stand_in}, in place of --task {target.dataset.task}")
        ranking = rank_prepared(
            target,
            candidates(recipe.sources, target.dataset.modality),
            device=device,
            seed=recipe.seed,
            max_images=most,
            progress=progress,
        )
        name = ranking.chosen
        progress.say(ranking.why)
    source = source_for(name, recipe, target)
    check_modality(source, target.dataset.modality)
    if recipe.strategy != "auto":  # what cannot act is refused before the layers are scored
        handshake(
            parse_strategy(recipe.strategy), source.layers, task_of(target.split("train"), settings_of(recipe)),
            pretrained=source.pretrained, has=facts(source, settings_of(recipe, target.unlabelled).feeding),
            stepwise_options=recipe.stepwise_set, layer=recipe.layer,
        )  # fmt: skip
    open_ = recipe.layer == "auto" or (recipe.strategy == "auto" and recipe.layer == "last" and not recipe.stepwise_set)
    if open_ and source.pretrained and len(source.layers) > 1 and not TASKS[target.dataset.task].by_token:
        layers = rank_layers_prepared(
            target, source, device=device, seed=recipe.seed, max_images=most, progress=progress
        )
        progress.say(layers.why)
    return source, ranking, layers


def _the_one(named: list[str]) -> str:
    """The source of a task by token, where none is named: the only candidate, or the bundled one of texts.

    Raises:
        SourceError: several candidates.
    """
    if len(named) > 1:
        raise SourceError(
            sentence("sources are ranked by one vector a text, but this task reads each token", got=", ".join(named), fix=f"--source {named[0]}")
        )  # fmt: skip
    return named[0] if named else "bundled/minilm"


def source_for(name: str, recipe: Recipe, target: Prepared) -> Source:
    """The source as the target's task reads it: by token, or one vector an input."""
    if TASKS[target.dataset.task].by_token and recipe.long is not None:
        raise SourceError(
            sentence("a task that reads tokens reads long texts in windows by itself, so --long would do nothing", got=f"--long {recipe.long}", fix="leave it out")
        )  # fmt: skip
    source = load_source(name, **recipe.reading)
    return read_tokens(source) if TASKS[target.dataset.task].by_token else source


def recipe_of(recipe: Recipe, source: Source, found: Decided) -> dict[str, Any]:
    """The decisions as keys of a recipe."""
    values: dict[str, Any] = {"source": source.name, "strategy": found.strategy, "layer": found.layer}
    if parse_strategy(found.strategy).procedure.by_steps:
        values |= {key: found.optimisation[key] for key in ("epochs", "lr") if key in found.optimisation}
    if found.baselines != recipe.baselines:
        values["baselines"] = found.baselines
    return values


def _layer(recipe: Recipe) -> str:
    return "last" if recipe.layer == "auto" else recipe.layer


def _steps(
    recipe: Recipe,
    target: Prepared,
    source: Source,
    ranking: Ranking | None,
    layers: LayerRanking | None,
    found: Decided,
) -> list[Step]:
    strategy = parse_strategy(found.strategy)
    moving = strategy.procedure.by_steps
    options = _options(recipe, target, source, found)
    note = strategy.tuning.note(source.backbone, source.layers, source.preprocessing.size)
    solved = "the head is solved, without gradient steps"
    given = "as given"
    steps = [
        Step("source", source.name, ranking.why if ranking else given),
        Step(
            "layer",
            found.layer,
            layers.why if layers and not moving else "training moves them all" if moving else given,
        ),
        Step("strategy", found.strategy, found.choice.why if found.choice else given if recipe.strategy != "auto" else "the one that this source and this task allow"),
        *(Step(f"first {phase.name}", phase.describe(), given) for phase in strategy.before),
        Step("tuning", strategy.tuning.describe(), "; ".join(filter(None, (help_of(found.strategy), note)))),
        Step(
            "terms", " + ".join(t.describe() for t in strategy.terms) or "none", "none of the compared strategies has one"
            if not strategy.terms else given,
        ),
    ]  # fmt: skip
    if not moving:
        steps += [Step(name, "none", solved) for name in ("augmentation", "learning rate", "epochs")]
        steps.append(Step("batch size", "64", "images at once through the frozen source"))
        return steps
    tested = found.lr_range
    if tested is None:
        why = given if recipe.lr is not None else "the default of the optimiser; no range test was made"
    elif options.lr == tested.default and not tested.fell_back:
        why = f"the default; a range test suggests {tested.lr:.2g}, which did not do better on the folds"
    else:
        why = tested.why
    wanted = (
        "as given"
        if recipe.epochs
        else f"about {TARGET_TEXTS[0] if reads_texts(source) and source.pretrained else TARGET[0]} steps of {AUTO_BATCH}"
    )
    memory = found.memory
    batch = recipe.batch_size if isinstance(recipe.batch_size, int) else AUTO_BATCH
    steps += [
        Step(
            "augmentation",
            str(augmented(recipe, target.dataset.modality)),
            given if "augment" in recipe.model_fields_set else "the default",
        ),
        Step("learning rate", f"{options.lr:.2g}", why),
        Step("batch size", f"{batch} in {memory.pieces if memory else 1}", memory.why if memory else "not probed"),
        Step("epochs", str(options.epochs), "; ".join(note for note in found.notes if "epochs" in note) or wanted),
    ]
    return steps


def _options(recipe: Recipe, target: Prepared, source: Source, found: Decided) -> Optimisation:
    settings = settings_of(recipe)
    return resolve(
        {**settings.optimisation, **found.optimisation}, recipe.repeats * len(target.split("train")), settings.feeding.batch_size,
        pretrained=source.pretrained, source=source,
    )  # fmt: skip


def _stages(recipe: Recipe, target: Prepared, source: Source, found: Decided) -> list[dict[str, Any]]:
    """What moves, how fast and from when on, layer by layer."""
    strategy = parse_strategy(found.strategy)
    stages = strategy.stages(source.layers)
    options = _options(recipe, target, source, found) if strategy.procedure.by_steps else None
    if options:
        refuse_unopened(stages, options.epochs)
    return stage_table(source, strategy, stages, options)


def _memory(found: Decided, source: Source) -> float:
    """MB: what this process holds now, and what training takes beyond it (measured on its worst step)."""
    import torch

    from headstart.training.memory_use import used_bytes

    beyond = max(
        (m for m in (found.memory and found.memory.peak_bytes, found.times and found.times.peak_bytes) if m), default=0
    )
    return (used_bytes(torch.device("cpu")) + beyond) / 2**20


def _better(ranking: Ranking | None, found: Decided, target: Prepared) -> list[str]:
    """What would let the plan be better, with numbers."""
    said = list(found.notes)
    labels = len(target.split("train")) + len(target.split("valid"))
    a_class = labels / len(target.classes)
    if found.choice:
        said += _closer(found.choice, labels, len(target.classes))
        for trial in found.choice.trials:
            if "folds that it takes" in trial.out:
                said.append(f"{trial.name} was tested on {trial.out}; a longer --budget would settle it")
            elif trial.folds == 0 and trial.out:
                said.append(f"{trial.name} was not compared: {trial.out}; a longer --budget would")
    if ranking is not None and len(ranking.rows) > 1 and ranking.rows[1].place == ranking.rows[0].place:
        said.append(
            f"{ranking.rows[0].source} and {ranking.rows[1].source} cannot be told apart on {ranking.n} images: more labels would"
        )
    if not len(target.split("valid")):
        said.append(f"{a_class:.0f} labels a class: from 20 on, validation images choose the best epoch")
    return said


def _closer(choice: Choice, labels: int, classes: int) -> Sequence[str]:
    """How many labels would tell the two best apart, as errors fall with the root of the number of images."""
    compared = [t for t in choice.trials if t.accuracy is not None]
    if len(compared) < 2:
        return []
    first, second = compared[0], compared[1]
    gap = abs((first.accuracy or 0) - (second.accuracy or 0))
    error = math.hypot(first.se or 0, second.se or 0)
    if gap >= 2 * error:
        return []
    if gap < 1e-6:
        return [f"{first.name} and {second.name} do equally well: either will do"]
    need = labels * (2 * error / gap) ** 2
    if need > 100 * labels:
        return [
            f"{first.name} and {second.name} differ by {gap:.1%}: no realistic number of labels would tell them apart"
        ]
    return [
        f"about {math.ceil(need / classes)} labels a class would tell {first.name} from {second.name} (now {labels / classes:.0f})"
    ]
