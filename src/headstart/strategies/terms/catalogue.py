"""The terms that users can name after a ``+``."""

from __future__ import annotations

from headstart.errors import RecipeError
from headstart.strategies.part import Part
from headstart.strategies.terms.early_learning import EarlyLearning
from headstart.strategies.terms.l2sp import L2SP
from headstart.strategies.terms.small_loss import SmallLoss
from headstart.strategies.terms.term import Term
from headstart.strategies.terms.unlabelled import FixMatch, PseudoLabel
from headstart.tables import Table

TERMS: Table[Part[Term]] = Table(
    "term of a strategy",
    {
        "l2sp": Part(
            L2SP, {"weight": 0.05, "head_weight": 0.005}, "held near the source by the squared distance to it (Li et al. 2018)"
        ),
        "elr": Part(
            EarlyLearning, {"weight": 3.0, "beta": 0.7},
            "against wrong labels: held to what the model said of each image before it learned the labels by heart (Liu et al. 2020)",
        ),
        "smallloss": Part(
            SmallLoss, {"rate": 0.2, "warmup": 0.3},
            "against wrong labels: the rate of images with the largest losses is left out of each batch (Han et al. 2018)",
        ),
        "fixmatch": Part(
            FixMatch, {"weight": 1.0, "threshold": 0.95, "ratio": 1.0},
            "unlabelled images: a confident label from a weak view is asked of a strong one (Sohn et al. 2020)",
        ),
        "pseudo": Part(
            PseudoLabel, {"weight": 1.0, "threshold": 0.95, "ratio": 1.0, "warmup": 0.5},
            "unlabelled images: a confident prediction is taken for the label (Lee 2013)",
        ),
    },
    RecipeError,
)  # fmt: skip
