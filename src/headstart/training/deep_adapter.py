"""Deep domain adaptation as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from headstart.data.rows import ArrayRows, Rows
from headstart.errors import ArrayError, sentence
from headstart.progress import SILENT, Progress
from headstart.sources.bottleneck import Network, on_backbone, on_rows
from headstart.strategies.grammar import parse_strategy
from headstart.tasks.classification import Classification
from headstart.tasks.regression import Regression
from headstart.tasks.task import Task
from headstart.training.adapt import adapt, outputs_of
from headstart.training.domains import Labelled
from headstart.training.optim import Optimisation, default_lr

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
        device: default ``"cpu"``.
        random_state: >= 0, default 0.

    Attributes:
        classes_: labels, sorted (classification).
        history_: one row an epoch, each part of the loss by name.
        said_: what the terms tell, by name (weights of classes, of sources).
        model_, task_: what was trained.
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
        self.device = device
        self.random_state = random_state

    @property
    def _estimator_type(self) -> str:
        return "regressor" if self.task == "regression" else "classifier"

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
        steps = max(1, len(rows) // max(1, min(self.batch_size, len(rows))))
        epochs = min(100, max(10, round(UPDATES / steps))) if self.epochs is None else self.epochs
        lr = self.lr or (default_lr("adamw", pretrained=True) if network.pretrained else 1e-3)
        options = Optimisation(
            epochs, lr, weight_decay=self.weight_decay, head_lr_scale=10.0 if network.pretrained else 1.0
        )
        fitted = adapt(
            network, parse_strategy(self.strategy), self.task_, labelled, target, options, batch_size=self.batch_size,
            device=torch.device(self.device), seed=self.random_state, progress=progress, name=self.strategy,
        )  # fmt: skip
        self.model_ = fitted.model.cpu()
        self.history_, self.said_ = fitted.history, fitted.extra.get("terms", {})
        return self

    def _targets(self, y: np.ndarray) -> np.ndarray:
        """What the task learns; sets the task, and the classes where there are such."""
        if self.task == "regression":
            values = y.astype(np.float64)
            self.task_: Task = Regression(("value",), center=float(values.mean()), scale=float(values.std()) or 1.0)
            return values
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.task_ = Classification(tuple(map(str, self.classes_)))
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
