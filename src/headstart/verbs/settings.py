"""From a recipe to the plain values that training takes."""

from __future__ import annotations

from typing import Any

from headstart.data.augment import varies
from headstart.data.checks import WORDS
from headstart.data.dataset import SEQUENCES, Dataset
from headstart.data.text_augment import with_files
from headstart.errors import HandshakeError, RecipeError, sentence
from headstart.recipe import AUTO_BATCH, Recipe
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import unlabelled_used
from headstart.tasks.catalogue import TASKS
from headstart.tasks.classification import effective_beta
from headstart.tasks.losses import parse_loss
from headstart.tasks.task import TaskOptions
from headstart.training.finetune import Feeding
from headstart.training.transfer import Settings


def check_recipe(recipe: Recipe) -> None:
    """Refuse, before any work, what no data could make right.

    Raises:
        RecipeError: a strategy or an option that cannot be read.
        HandshakeError: unlabelled images that nothing would learn from.
    """
    refuse_sequences(recipe.task)
    strategy = None if recipe.strategy == "auto" else parse_strategy(recipe.strategy)
    settings_of(recipe)
    if recipe.unlabelled is not None:
        unlabelled_used(strategy)


def refuse_sequences(task: str) -> None:
    """Raises:
    RecipeError: a task whose label is a text, where the work is about heads on features.
    """
    if task in SEQUENCES:
        raise RecipeError(
            sentence("this verb compares heads on features, and a model that writes texts has none", where=f"--task {task}",
                     fix=f"headstart fit DATA --task {task}")
        )  # fmt: skip


def settings_of(recipe: Recipe, unlabelled: Dataset | None = None, held_out: frozenset[str] = frozenset()) -> Settings:
    """The recipe's training fields, sorted by who reads them; ``unlabelled`` are the images that the recipe names, ``held_out`` what texts
    say that judge the model.

    Raises:
        RecipeError: a loss, an imbalance or a number of repeats that cannot be read or would do nothing.
    """
    effective_beta(recipe.imbalance)
    size = AUTO_BATCH if recipe.batch_size == "auto" else recipe.batch_size
    if recipe.repeats > size:
        raise RecipeError(
            sentence("a batch cannot hold one image so often", where="repeats", got=recipe.repeats,
                     allowed=f"1 to the batch size, {size}")
        )  # fmt: skip
    if size == 1 and (recipe.mixup or recipe.cutmix):
        raise RecipeError(
            sentence("mixup and CutMix mix the images of a batch, and a batch holds one", where="batch_size", got=size,
                     fix="--batch-size 2 or more")
        )  # fmt: skip
    augment = with_files(recipe.augment, recipe.synonyms, recipe.back_translate)
    if not varies(augment) and recipe.repeats > 1:
        raise RecipeError(
            sentence("repeats shows each image in several augmented forms, but nothing is augmented", where="repeats",
                     got=recipe.repeats, fix="--augment light, or leave out --repeats")
        )  # fmt: skip
    return Settings(
        feeding=Feeding(
            batch_size=size,
            fit_memory=recipe.batch_size == "auto",
            augment=augment,
            mixup=recipe.mixup,
            cutmix=recipe.cutmix,
            balanced=recipe.imbalance == "sampler",
            workers=recipe.workers,
            dropout=recipe.dropout,
            repeats=recipe.repeats,
            unlabelled=unlabelled,
            held_out=held_out,
        ),
        optimisation={
            "epochs": recipe.epochs,
            "lr": recipe.lr,
            "optimizer": recipe.optimizer,
            "momentum": recipe.momentum,
            "weight_decay": recipe.weight_decay,
            "schedule": recipe.schedule,
            "warmup": recipe.warmup,
            "grad_clip": recipe.grad_clip or None,
            "accumulate": recipe.accumulate,
            "patience": recipe.patience,
            "average": recipe.average,
        },
        label_smoothing=recipe.label_smoothing,
        imbalance=recipe.imbalance,
        loss=parse_loss(recipe.loss),
        precision=recipe.precision,
        task=TaskOptions(
            embedding_loss=recipe.embedding_loss, embedding_size=recipe.embedding_size, margin=recipe.margin
        ),
    )


def refuse_by_token(name: str, verb: str) -> None:
    """Refuse a task whose head reads tokens where one vector an input is needed.

    Raises:
        HandshakeError: see above.
    """
    if TASKS[name].by_token:
        raise HandshakeError(
            sentence(f"{verb} works with heads that read one vector a text, but this task reads each token", where=f"--task {name}",
                     fix="headstart fit DATA --strategy finetune")
        )  # fmt: skip


def augmented(recipe: Recipe, modality: str) -> Any:
    """The augmentation in words, ``auto`` resolved."""
    spec = with_files(recipe.augment, recipe.synonyms, recipe.back_translate)
    return {"image": "light", "text": "none"}[modality] if spec == "auto" else spec


OF_TASKS = {
    "label_smoothing": "label_smoothing", "mixup": "mixing", "cutmix": "mixing", "embedding_loss": "embedding_loss",
    "embedding_size": "embedding_size", "margin": "margin", "loss": "loss", "calibrate": "calibration", "wise": "wise",
    "source_data": "forgetting", "beams": "decoding", "length_penalty": "decoding", "max_new_tokens": "decoding", "prefix": "decoding",
}  # fmt: skip
"""Options that only some tasks obey, and the word for them in :attr:`headstart.tasks.task.Task.obeys`."""


OF_MODALITY = {
    "image": ("image_size", "path_col", "cutmix"),
    "text": ("max_length", "text_col", "synonyms", "back_translate"),
}
"""Options that mean something for one kind of inputs only."""
ITS_BASELINE = {"image": "raw_pixels", "text": "classical"}


def check_inputs(recipe: Recipe, modality: str) -> None:
    """Refuse options, and the one baseline, that are for inputs of another kind.

    Raises:
        HandshakeError: the first of them.
    """
    fields = Recipe.model_fields
    for other in (name for name in OF_MODALITY if name != modality):
        idle = [f"--{k.replace('_', '-')}" for k in OF_MODALITY[other] if getattr(recipe, k) != fields[k].default]
        if ITS_BASELINE[other] in recipe.baselines and ITS_BASELINE[modality] not in recipe.baselines:
            idle.append(f"--baselines {ITS_BASELINE[other]}")
        if modality == "image" and "zeroshot" in recipe.baselines and "raw_pixels" not in recipe.baselines:
            idle.append("--baselines zeroshot")
        if idle:
            fix = "leave them out" if len(idle) > 1 else "leave it out"
            if idle == [f"--baselines {ITS_BASELINE[other]}"]:
                fix = f"--baselines {ITS_BASELINE[modality]}"
            raise HandshakeError(
                sentence(
                    f"the data are {WORDS[modality]}, and this is for {WORDS[other]}", got=", ".join(idle), fix=fix
                )
            )


def check_obeyed(recipe: Recipe, name: str) -> None:
    """Refuse options that would do nothing for a task.

    Raises:
        HandshakeError: the first of them.
    """
    obeys, fields = TASKS[name].obeys, Recipe.model_fields
    idle = [k for k, word in OF_TASKS.items() if getattr(recipe, k) != fields[k].default and word not in obeys]
    if (
        recipe.imbalance not in ("auto", "none")
        and ("sampler" if recipe.imbalance == "sampler" else "imbalance") not in obeys
    ):
        idle.append("imbalance")
    for key, only in (("order", "ordinal"), ("label_delimiter", "multilabel")):
        if getattr(recipe, key) is not None and name != only:
            idle.append(key)
    if idle:
        raise HandshakeError(
            sentence(
                "this task has no use for these options, so they would do nothing", where=f"--task {name}",
                got=", ".join(idle), fix="leave them out",
            )
        )  # fmt: skip
