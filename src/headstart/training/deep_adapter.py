"""Deep domain adaptation as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from headstart.data.rows import ArrayRows, Rows
from headstart.errors import ArrayError, sentence
from headstart.functional.rejection import unknown_label
from headstart.progress import SILENT, Progress
from headstart.sources.bottleneck import Network, on_backbone, on_rows
from headstart.strategies.grammar import parse_strategy
from headstart.tasks.classification import Classification
from headstart.tasks.open_set import OpenSet
from headstart.tasks.regression import Regression
from headstart.tasks.task import Task
from headstart.training.adapt import adapt, outputs_of
from headstart.training.domains import Labelled
from headstart.training.optim import Optimisation, default_lr
from headstart.training.selecting import ORDER, EpochJudge, held_out

UPDATES = 800
"""What an adaptation takes where the number of epochs is left open, in 10 to 100 epochs."""


class DeepAdapter(BaseEstimator):
    """A network trained on a labelled source and an unlabelled target by a strategy with terms of adaptation.

    On arrays (n, d) it is a bottleneck (Linear, batch norm, ReLU) with a linear head, on images (:class:`ImageRows`) the
    whole network of ``source`` with such a bottleneck behind it.

    Args:
        strategy: as for ``--strategy``: ``"finetune+dann"`` (default), ``"finetune+cdan+mcc"``, ``"finetune"`` (the source alone).
        source: a :class:`headstart.sources.source.Source`, for images; ``None`` for arrays.
        hidden: widths of the bottleneck's layers. Default (256,).
        dropout: after each of them, in [0, 1). Default 0.
        task: ``"classification"`` (default) or ``"regression"``.
        epochs: passes over the labelled inputs; default: as many as make about 800 updates, 10 to 100.
        lr: default 1e-3 for arrays; 5e-4 for a source's backbone, and ten times that for what is new.
        batch_size: labelled inputs an update, and as many of the target. Default 32.
        weight_decay: default 1e-3.
        select: criterion that chooses the epoch without target labels, a name of :data:`headstart.adapters.scorers.SCORERS`;
            a fifth of the source's rows is then held out. Default ``None``: the last epoch.
        device: default ``"cpu"``.
        random_state: >= 0, default 0.

    Attributes:
        classes_: labels, sorted (classification); after them, with a term for open sets, the label of the unknown:
            ``"unknown"``, or -1 beside numbers.
        history_: one row an epoch, each part of the loss by name.
        said_: what the terms tell, by name (weights of classes, of sources).
        model_, task_: what was trained.
        best_epoch_: from 1.
        held_out_: int, rows of X that were not trained on; none without ``select``.
        compared_, epochs_said_: with ``select``, places of the target rows that epochs were judged by, and what the model said of
            them after each epoch (m, M).
    """

    __metadata_request__fit = {"X_target": True}

    def __init__(
        self,
        strategy: str = "finetune+dann",
        source: Any = None,
        hidden: tuple[int, ...] = (256,),
        dropout: float = 0.0,
        task: str = "classification",
        epochs: int | None = None,
        lr: float | None = None,
        batch_size: int = 32,
        weight_decay: float = 1e-3,
        select: str | None = None,
        device: str = "cpu",
        random_state: int = 0,
    ) -> None:
        self.strategy = strategy
        self.source = source
        self.hidden = hidden
        self.dropout = dropout
        self.task = task
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.select = select
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor" if self.task == "regression" else "classifier"
        return tags

    @property
    def answers_unknown(self) -> bool:
        """Whether a term gives the head an output for rows of no known class."""
        return any("unknown_output" in term.needs for term in parse_strategy(self.strategy).terms)

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        X_target: Any = None,
        y_target: Any = None,
        domain: Any = None,
        sample_weight: Any = None,
        progress: Progress = SILENT,
    ) -> Self:
        """Train.

        Args:
            X: (n, d) array or frame, or :class:`headstart.data.rows.Rows`.
            y: (n,) labels, or values for regression.
            X_target: (m, d), or ``None`` for a strategy that learns from labelled domains alone.
            y_target: (m,) labels of the few target rows that may be learned from, ``None`` or NaN for all others.
            domain: int (n,), which source each row is of, 0 to S - 1.
            sample_weight: (n,), what each row counts.

        Raises:
            ArrayError: unequal lengths. HandshakeError: a strategy that cannot act. DataError: domains that do not go together.
        """
        rows, target = as_rows(X), None if X_target is None else as_rows(X_target)
        y = np.asarray(y)
        for what, column in (("y", y), ("domain", domain), ("sample_weight", sample_weight)):
            if column is not None and len(column) != len(rows):
                raise ArrayError(sentence(f"{what} and X are of unequal length", got=f"{len(column)} and {len(rows)}"))
        domain = None if domain is None else np.unique(np.asarray(domain), return_inverse=True)[1]
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        self.held_out_, aside = np.zeros(0, dtype=np.int64), None
        if self.select is not None:
            if target is None and self.select != "source":
                raise ArrayError(
                    sentence("the epoch is chosen by looking at the target", got="no X_target", fix="select=None")
                )
            self.held_out_ = held_out(y, self.random_state, classes=self.task != "regression")
            if len(self.held_out_) < 2:
                raise ArrayError(
                    sentence(
                        "no source rows can be held out to choose the epoch", got=f"{len(y)} rows", fix="select=None"
                    )
                )
            keep = np.setdiff1d(np.arange(len(y)), self.held_out_)
            aside = rows[self.held_out_], y[self.held_out_]
            rows, y = rows[keep], y[keep]
            domain, weights = (None if part is None else part[keep] for part in (domain, weights))
        known = np.zeros(0, dtype=np.int64)
        if y_target is not None:
            assert target is not None
            given = pd.Series(y_target, dtype=object)
            if len(given) != len(target):
                raise ArrayError(
                    sentence("y_target and X_target are of unequal length", got=f"{len(given)} and {len(target)}")
                )
            known = np.flatnonzero(~given.isna().to_numpy())
        if len(known):
            assert target is not None
            n, s = len(rows), 1 if domain is None else int(domain.max()) + 1
            domain = np.concatenate([np.zeros(n, dtype=np.int64) if domain is None else domain, np.full(len(known), s)])
            weights = None if weights is None else np.concatenate([weights / weights.mean(), np.ones(len(known))])
            rows = rows.join([target[known]])
            y = np.concatenate([y, given.iloc[known].to_numpy().astype(y.dtype)])
        targets = self._targets(y)
        labelled = Labelled(rows, targets, domain, weights, few=bool(len(known)))
        network = self._network(rows)
        epochs = usual_epochs(len(rows), self.batch_size) if self.epochs is None else self.epochs
        lr = self.lr or (default_lr("adamw", pretrained=True, source=self.source) if network.pretrained else 1e-3)
        options = Optimisation(
            epochs, lr, weight_decay=self.weight_decay, head_lr_scale=10.0 if network.pretrained else 1.0
        )
        judge = None
        if aside is not None:
            assert self.select is not None
            labels = (
                aside[1].astype(np.float64) if self.task == "regression" else np.searchsorted(self._known, aside[1])
            )
            judge = EpochJudge(
                self.select, self.task_, aside[0], labels, target, torch.device(self.device), self.random_state
            )
        fitted = adapt(
            network, parse_strategy(self.strategy), self.task_, labelled, target, options, batch_size=self.batch_size,
            device=torch.device(self.device), seed=self.random_state, validate=judge, metric=ORDER,
            progress=progress, name=self.strategy,
        )  # fmt: skip
        self.model_ = fitted.model.cpu()
        self.history_, self.said_ = fitted.history, fitted.extra.get("terms", {})
        self.best_epoch_ = fitted.best_epoch
        if judge is not None:
            self.compared_, self.epochs_said_ = judge.compared, judge.said
        return self

    def _targets(self, y: np.ndarray) -> np.ndarray:
        """What the task learns; sets the task, and the classes where there are such."""
        if self.task == "regression":
            values = y.astype(np.float64)
            self.task_: Task = Regression(("value",), center=float(values.mean()), scale=float(values.std()) or 1.0)
            return values
        self.classes_, codes = np.unique(y, return_inverse=True)
        names = tuple(map(str, self.classes_))
        self.task_ = OpenSet(names) if self.answers_unknown else Classification(names)
        self._known = self.classes_
        if self.answers_unknown:
            self.classes_ = np.append(self.classes_, unknown_label(self.classes_))
        return codes.astype(np.int64)

    def _network(self, rows: Rows) -> Network:
        torch.manual_seed(self.random_state)
        if self.source is None:
            return on_rows(rows.shape[0], self.hidden, self.dropout)
        backbone = self.source.build()
        backbone.load_state_dict(self.source.backbone.state_dict())
        return on_backbone(backbone, self.source.layers, self.source.width, self.hidden, self.dropout)

    def _said(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self, "model_")
        return outputs_of(self.model_, self.task_, as_rows(X), torch.device("cpu"))

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C) probabilities of ``classes_``."""
        return self._said(X)[1].astype(np.float64)

    def predict(self, X: Any) -> np.ndarray:
        """(n,) labels, or values."""
        found = self._said(X)[1]
        return found[:, 0].astype(np.float64) if self.task == "regression" else self.classes_[found.argmax(1)]

    def transform(self, X: Any) -> np.ndarray:
        """(n, width) deep features that the head reads."""
        return self._said(X)[0]

    transform_source = transform


def usual_epochs(n: int, batch_size: int) -> int:
    """As many passes over n >= 1 inputs as make about 800 updates, 10 to 100."""
    steps = max(1, n // max(1, min(batch_size, n)))
    return min(100, max(10, round(UPDATES / steps)))


def as_rows(X: Any) -> Rows:
    """Rows as they are; an array (n, d) or a frame as :class:`ArrayRows`.

    Raises:
        ArrayError: not two-dimensional, or not finite.
    """
    if isinstance(X, Rows):
        return X
    found = np.asarray(X, dtype=np.float32)
    if found.ndim != 2 or not np.isfinite(found).all():
        got = f"shape {found.shape}" if found.ndim != 2 else "NaN or infinite numbers"
        raise ArrayError(sentence("rows of features cannot be used", got=got, allowed="a finite array (rows, columns)"))
    return ArrayRows(found)
