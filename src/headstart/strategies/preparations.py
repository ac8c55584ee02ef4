"""The phases that users can name before a strategy: ``mlm(epochs=2)>finetune``; alone, ``setfit`` stands for ``setfit>probe``."""

from __future__ import annotations

from headstart.errors import RecipeError
from headstart.strategies.part import Part
from headstart.strategies.preparation.language_model import CausalLM, MaskedLM
from headstart.strategies.preparation.preparation import Preparation
from headstart.strategies.preparation.setfit import SetFit
from headstart.tables import Table

PREPARATIONS: Table[Part[Preparation]] = Table(
    "phase of a strategy",
    {
        "setfit": Part(
            SetFit, {"epochs": 10, "steps": 50, "lr": 1e-4, "batch_size": 32},
            "pairs of one label drawn together, of two apart, then the head is solved; few labels (Tunstall et al. 2022)",
        ),
        "mlm": Part(
            MaskedLM, {"epochs": 1, "lr": 5e-5, "batch_size": 32, "share": 0.15},
            "pretraining goes on first, on the target's texts with tokens hidden (Devlin et al. 2019; Gururangan et al. 2020)",
        ),
        "clm": Part(
            CausalLM, {"epochs": 1, "lr": 5e-5, "batch_size": 32},
            "the same for models that read from left to right: each token guessed from those before it",
        ),
    },
    RecipeError,
)  # fmt: skip
