"""How each task is scored."""

from __future__ import annotations

from headstart.errors import RecipeError
from headstart.evaluation.scoring.classification import ClassScoring
from headstart.evaluation.scoring.embedding import EmbeddingScoring
from headstart.evaluation.scoring.generation import SummarizationScoring, TranslationScoring
from headstart.evaluation.scoring.hierarchical import HierarchicalScoring
from headstart.evaluation.scoring.multilabel import MultilabelScoring
from headstart.evaluation.scoring.ordinal import OrdinalScoring
from headstart.evaluation.scoring.question_answering import QuestionAnsweringScoring
from headstart.evaluation.scoring.regression import RegressionScoring
from headstart.evaluation.scoring.scoring import Scoring
from headstart.evaluation.scoring.token_classification import TokenScoring
from headstart.tables import Table

SCORING: Table[Scoring] = Table(
    "task",
    {
        s.name: s
        for s in (
            ClassScoring(), MultilabelScoring(), RegressionScoring(), OrdinalScoring(), EmbeddingScoring(), HierarchicalScoring(),
            TokenScoring(), QuestionAnsweringScoring(), TranslationScoring(), SummarizationScoring(),
        )
    },
    RecipeError,
)  # fmt: skip
