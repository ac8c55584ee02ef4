"""Which epoch of an adaptation to keep, by a criterion that reads no label of the target."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags
from torch import nn

from headstart.adapters.scorers import scorer_by_name
from headstart.adapters.search import paired_error
from headstart.data.rows import ImageRows, Rows
from headstart.tasks.task import Model, Task
from headstart.training.adapt import outputs_of

HELD = 0.2
"""Share of the source's rows that choose the epoch and are not trained on."""
ORDER = "order"
"""Name of the score that the loop goes by: the number of the epoch where it may be kept, else 0."""
MOST_ROWS, MOST_IMAGES = 1000, 300
"""Inputs of a domain that an epoch is judged by."""


class DeepHead(BaseEstimator):
    """The head of a network as an estimator on its deep features (n, width), for the scorers of :mod:`headstart.adapters.scorers`.

    ``fit``, which reverse validation asks of a clone, solves a ridge classifier (or ridge regression) on them in its place.
    """

    def __init__(self, head: nn.Module | None = None, task: Task | None = None) -> None:
        self.head = head
        self.task = task

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor" if self.values else "classifier"
        return tags

    @property
    def values(self) -> bool:
        """Whether values are predicted, not classes."""
        return self.task is not None and self.task.name == "regression"

    def fit(self, X: Any, y: Any, X_target: Any = None) -> Self:
        """Learn a linear head of X (n, width) anew; ``X_target`` is not needed."""
        strength = 0.01 * len(X)
        self.linear_ = make_pipeline(StandardScaler(), Ridge(strength) if self.values else RidgeClassifier(strength))
        self.linear_.fit(X, y)
        return self

    def decoded(self, X: np.ndarray) -> np.ndarray:
        """(n, M), what the task makes of the head's outputs."""
        assert self.head is not None and self.task is not None
        device = next(self.head.parameters()).device
        with torch.inference_mode():
            return self.task.decode(self.head(torch.as_tensor(X).to(device))).cpu().numpy().astype(np.float64)

    def predict(self, X: Any) -> np.ndarray:
        """Places of classes (n,), or values."""
        if hasattr(self, "linear_"):
            return self.linear_.predict(X)
        found = self.decoded(X)
        return found[:, 0] if self.values else found.argmax(1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C)."""
        return self.decoded(X)


class EpochJudge:
    """Scores a model after each epoch; to be ``validate`` of :func:`headstart.training.loop.train`.

    Deep features of held-out source rows and of target rows (at most 1,000 each, 300 images) are computed once an epoch, and
    the criterion judges the head on them. Kept is the latest epoch that is not worse than the best before it by more than a
    standard error of their difference, row by row: what a term does grows along the training, and many scores are at their
    largest early, when nothing has been adapted yet. :data:`ORDER` is the score that says so to the loop.

    Args:
        criterion: a name of :data:`headstart.adapters.scorers.SCORERS`.
        source, targets: held-out rows of the source, and what the task learns of them (n,).
        target: rows of the target; ``None`` for the criterion ``"source"``, which does not look at them.

    Attributes:
        compared: int, which target rows.
        said: one entry an epoch: what the model says of these, float32 (m, M).
    """

    def __init__(
        self,
        criterion: str,
        task: Task,
        source: Rows,
        targets: np.ndarray,
        target: Rows | None,
        device: torch.device,
        seed: int,
    ) -> None:
        most = MOST_IMAGES if isinstance(source, ImageRows) else MOST_ROWS
        rng = np.random.default_rng([seed, 11])
        mine, self.compared = (np.sort(rng.permutation(n)[:most]) for n in (len(source), len(target or ())))
        self.scorer, self.criterion, self.task, self.device = scorer_by_name(criterion), criterion, task, device
        self.source, self.targets = source[mine], targets[mine]
        self.target = None if target is None else target[self.compared]
        self.said: list[np.ndarray] = []
        self.best: np.ndarray | None = None
        self.epoch = 0

    def __call__(self, model: Model) -> dict[str, float]:
        ours, _ = outputs_of(model, self.task, self.source, self.device)
        theirs = ours
        if self.target is not None:
            theirs, decoded = outputs_of(model, self.task, self.target, self.device)
            self.said.append(decoded)
        each = self.scorer.each(DeepHead(model.head, self.task), ours, self.targets, X_target=theirs)
        self.epoch += 1
        good = self.best is None or each.mean() >= self.best.mean() - paired_error(each, self.best)
        if self.best is None or each.mean() > self.best.mean():
            self.best = each
        return {self.criterion: float(each.mean()), ORDER: float(self.epoch) if good else 0.0, "loss": 0.0}


def held_out(y: np.ndarray, seed: int, *, classes: bool = True) -> np.ndarray:
    """int, places of the rows that are not trained on: a fifth of each class (of all, for values), and never the last of one."""
    rng = np.random.default_rng([seed, 12])
    groups = [np.flatnonzero(y == c) for c in np.unique(y)] if classes else [np.arange(len(y))]
    taken = [rng.permutation(group)[: min(round(HELD * len(group)), len(group) - 1)] for group in groups]
    return np.sort(np.concatenate(taken)).astype(np.int64)
