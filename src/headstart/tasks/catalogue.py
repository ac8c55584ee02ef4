"""The tasks by name. A task is a file here, one in `training/heads/`, one in `evaluation/scoring/`, and a line in the table of each."""

from __future__ import annotations

from headstart.data.dataset import SEQUENCES
from headstart.errors import RecipeError
from headstart.tables import Table
from headstart.tasks.classification import Classification
from headstart.tasks.embedding import Embedding
from headstart.tasks.generation import Summarization, Translation
from headstart.tasks.hierarchical import Hierarchical
from headstart.tasks.multilabel import Multilabel
from headstart.tasks.ordinal import Ordinal
from headstart.tasks.question_answering import QuestionAnswering
from headstart.tasks.regression import Regression
from headstart.tasks.task import Task
from headstart.tasks.token_classification import TokenClassification

TASKS: Table[type[Task]] = Table(
    "task",
    {
        task.name: task
        for task in (
            Classification, Multilabel, Regression, Ordinal, Embedding, Hierarchical, TokenClassification, QuestionAnswering, Translation,
            Summarization,
        )
    },
    RecipeError,
)  # fmt: skip


def by_vector(name: str) -> bool:
    """Whether a task reads one vector an input, so that `headstart rank` compares sources for it."""
    return not TASKS[name].by_token and name not in SEQUENCES
