"""From a recipe to the plain values that training takes."""

from __future__ import annotations

from headstart.errors import HandshakeError, sentence
from headstart.recipe import AUTO_BATCH, Recipe
from headstart.tasks.catalogue import TASKS
from headstart.tasks.task import TaskOptions
from headstart.training.finetune import Feeding
from headstart.training.transfer import Settings


def settings_of(recipe: Recipe) -> Settings:
    """The recipe's training fields, sorted by who reads them."""
    return Settings(
        feeding=Feeding(
            batch_size=AUTO_BATCH if recipe.batch_size == "auto" else recipe.batch_size,
            fit_memory=recipe.batch_size == "auto",
            augment=recipe.augment,
            mixup=recipe.mixup,
            cutmix=recipe.cutmix,
            balanced=recipe.imbalance == "sampler",
            workers=recipe.workers,
            dropout=recipe.dropout,
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
        },
        label_smoothing=recipe.label_smoothing,
        imbalance=recipe.imbalance,
        precision=recipe.precision,
        task=TaskOptions(
            embedding_loss=recipe.embedding_loss, embedding_size=recipe.embedding_size, margin=recipe.margin
        ),
    )


OF_TASKS = {
    "label_smoothing": "label_smoothing", "mixup": "mixing", "cutmix": "mixing", "embedding_loss": "embedding_loss",
    "embedding_size": "embedding_size", "margin": "margin",
}  # fmt: skip
"""Options that only some tasks obey, and the word for them in :attr:`headstart.tasks.task.Task.obeys`."""


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
