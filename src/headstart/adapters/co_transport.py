"""Co-optimal transport: I. Redko, T. Vayer, R. Flamary, N. Courty, *CO-Optimal Transport*, NeurIPS 2020; solver by POT."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from headstart.adapters.other_columns import OtherColumns
from headstart.errors import RecipeError, sentence


class CoOptimalTransport(OtherColumns):
    """Couples rows with rows and columns with columns at once: no pair and no common column is needed.

    min over P (n_s, n_t) and Q (d_s, d_t) of sum (x_ik - z_jl)^2 P_ij Q_kl. Columns are standardised in each domain first. A
    source row becomes the barycentre of the target rows it is coupled with, so that a classifier of target columns can learn
    from it; where labels of target rows are given, rows of other classes are kept apart.

    Args:
        reg: entropies of both plans; 0 (default) is exact.
        label_cost: > 0, added to the cost of coupling a source row with a target row of another label, in units of the mean
            cost. Default 10.
        max_iter: alternations. Default 100.
        standardize: default True.

    Attributes:
        row_plan_ (n_s, n_t), column_plan_ (d_s, d_t), cost_.

    ``fit(X, y, X_target=..., y_target=...)``; y_target (n_t,), if given, are labels of all rows of X_target.
    """

    __metadata_request__fit = {"X_target": True, "y_target": True}

    def __init__(
        self, reg: float = 0.0, label_cost: float = 10.0, max_iter: int = 100, standardize: bool = True
    ) -> None:
        self.reg = reg
        self.label_cost = label_cost
        self.max_iter = max_iter
        self.standardize = standardize

    def fit(self, X: Any, y: Any = None, *, X_target: Any = None, y_target: Any = None) -> Self:
        """Couple source rows X (n_s, d_s), labels y, with target rows X_target (n_t, d_t), labels y_target if known."""
        Xs, ys, Xt = self._domains(X, y, X_target)
        self._couple(Xs, ys, Xt, y_target)
        return self

    def fit_transform(self, X: Any, y: Any = None, *, X_target: Any = None, y_target: Any = None) -> np.ndarray:
        """Fit, and return the source rows in the target's columns (n_s, d_t)."""
        Xs, ys, Xt = self._domains(X, y, X_target)
        self._couple(Xs, ys, Xt, y_target)
        return self._moved.astype(Xs.dtype, copy=False)

    def _couple(self, Xs: np.ndarray, ys: np.ndarray | None, Xt: np.ndarray, y_target: Any) -> None:
        from ot.coot import co_optimal_transport

        if not self.reg >= 0 or not self.label_cost >= 0 or self.max_iter < 1:
            got = f"reg={self.reg}, label_cost={self.label_cost}, max_iter={self.max_iter}"
            raise RecipeError(
                sentence("CoOptimalTransport cannot use this", got=got, allowed="0 or more; max_iter 1 or more")
            )
        self._source_scale, self._target_scale = moments(Xs, self.standardize), moments(Xt, self.standardize)
        self._n_features_out = Xt.shape[1]
        if Xt is Xs:
            self._moved, self.cost_, self.n_iter_ = Xs, 0.0, 1
            self.column_plan_ = np.eye(Xs.shape[1]) / Xs.shape[1]
            return
        A = np.ascontiguousarray((Xs - self._source_scale[0]) / self._source_scale[1], dtype=np.float64)
        B = np.ascontiguousarray((Xt - self._target_scale[0]) / self._target_scale[1], dtype=np.float64)
        linear = None
        if y_target is not None and ys is not None:
            if len(y_target) != len(Xt):
                raise RecipeError(
                    sentence("y_target has another length than X_target", got=len(y_target), allowed=len(Xt))
                )
            mean_cost = float((A**2).mean() + (B**2).mean())
            linear = self.label_cost * mean_cost * (ys[:, None] != np.asarray(y_target)[None, :]).astype(np.float64)
        # entropies are asked for in units in which both plans live: the cost of a cell of standardised columns is about 2
        plans = co_optimal_transport(
            A,
            B,
            M_samp=linear,
            alpha=1.0 if linear is not None else 0.0,
            epsilon=self.reg,
            nits_bcd=self.max_iter,
            log=True,
        )
        self.row_plan_, self.column_plan_, log = plans
        self.cost_, self.n_iter_ = float(log["distances"][-1]), len(log["distances"])
        weight = self.row_plan_.sum(1, keepdims=True)
        self._moved = (self.row_plan_ @ Xt) / np.where(weight > 0, weight, 1)

    def _source_side(self, X: np.ndarray) -> np.ndarray:
        """New source rows go through the coupled columns: each target column is the mean of the source columns it is coupled with."""
        standard = (X - self._source_scale[0]) / self._source_scale[1]
        through = standard @ (self.column_plan_ / self.column_plan_.sum(0))
        return through * self._target_scale[1] + self._target_scale[0]

    def _fitted_source_side(self, X: np.ndarray) -> np.ndarray:
        return self._moved

    def _target_side(self, X: np.ndarray) -> np.ndarray:
        return X


def moments(X: np.ndarray, standardize: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (1 where 0) of the columns, or 0 and 1."""
    if not standardize:
        return np.zeros(X.shape[1]), np.ones(X.shape[1])
    deviation = X.std(0, dtype=np.float64)
    return X.mean(0, dtype=np.float64), np.where(deviation > 1e-12, deviation, 1.0)
