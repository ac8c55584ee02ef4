"""From a recipe to the plain values that training takes."""

from __future__ import annotations

from headstart.recipe import AUTO_BATCH, Recipe
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
            "average": recipe.average,
        },
        label_smoothing=recipe.label_smoothing,
        imbalance=recipe.imbalance,
        precision=recipe.precision,
    )
