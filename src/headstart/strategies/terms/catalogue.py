"""The terms that users can name after a ``+``."""

from __future__ import annotations

from headstart.errors import RecipeError
from headstart.strategies.part import Part
from headstart.strategies.terms.l2sp import L2SP
from headstart.strategies.terms.term import Term
from headstart.tables import Table

TERMS: Table[Part[Term]] = Table(
    "term of a strategy",
    {
        "l2sp": Part(
            L2SP, {"weight": 0.05, "head_weight": 0.005}, "held near the source by the squared distance to it (Li et al. 2018)"
        ),
    },
    RecipeError,
)  # fmt: skip
