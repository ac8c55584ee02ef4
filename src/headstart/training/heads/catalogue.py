"""How the head of each task is solved on features."""

from __future__ import annotations

from headstart.errors import RecipeError
from headstart.tables import Table
from headstart.training.heads.classes import solve_classes
from headstart.training.heads.embedding import solve_embedding
from headstart.training.heads.multilabel import solve_multilabel
from headstart.training.heads.ordinal import solve_ordinal
from headstart.training.heads.regression import solve_regression
from headstart.training.heads.solved import Solver

SOLVERS: Table[Solver] = Table(
    "task",
    {
        "classification": solve_classes, "multilabel": solve_multilabel, "regression": solve_regression,
        "ordinal": solve_ordinal, "embedding": solve_embedding, "hierarchical": solve_classes,
    },
    RecipeError,
)  # fmt: skip
