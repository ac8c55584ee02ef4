"""Optimal transport of the source rows: N. Courty, R. Flamary, D. Tuia, A. Rakotomamonjy, *Optimal Transport for Domain
Adaptation*, IEEE TPAMI 39(9), 2017. The exact and the class-regularised solvers are those of POT."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import Tags

from headstart.adapters.base import TwoSided
from headstart.errors import RecipeError, sentence
from headstart.functional.transport import normalised_cost, sinkhorn

PLANS = ("emd", "sinkhorn", "class_lp", "class_l1l2")


class OptimalTransport(OneToOneFeatureMixin, TwoSided):
    """Move each source row to the mean of the target rows that an optimal plan sends it to (its barycentre).

    Rows that were not fitted move as their nearest fitted source row does (Ferradans et al. 2013). The target stays.

    Args:
        method: ``"emd"`` (exact, default), ``"sinkhorn"`` (entropic), ``"class_lp"`` or ``"class_l1l2"`` (entropic, with a
            group penalty so that a target row receives mass of one class only; needs y).
        reg: > 0, weight of the entropy, in units of the (normalised) cost. Default 0.005; much
            larger ones draw all rows together.
        reg_class: >= 0, weight of the group penalty. Default 0.1.
        cost_norm: divide squared distances by their ``"max"`` (default) or ``"median"``, or ``None``.
        max_iter, tol: of the solver. Defaults 1,000 (100 times as many for emd) and 1e-9 (class methods: POT's own).

    Attributes:
        cost_: <P, C> of the plan, in units of the normalised cost; ``None`` for Sinkhorn, which does not keep the plan.
        n_iter_: of Sinkhorn's scaling; 1 for the other solvers.
        plan_: (n_s, n_t), kept where ``keep_plan``; else the plan is not stored.
    """

    def __init__(
        self,
        method: str = "emd",
        reg: float = 0.005,
        reg_class: float = 0.1,
        cost_norm: str | None = "max",
        max_iter: int = 1000,
        tol: float = 1e-9,
        keep_plan: bool = False,
    ) -> None:
        self.method = method
        self.reg = reg
        self.reg_class = reg_class
        self.cost_norm = cost_norm
        self.max_iter = max_iter
        self.tol = tol
        self.keep_plan = keep_plan

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.method in ("class_lp", "class_l1l2")
        return tags

    def _learn(self, Xs: np.ndarray, y: np.ndarray | None, Xt: np.ndarray) -> None:
        if self.method not in PLANS:
            raise RecipeError(sentence("unknown method of OptimalTransport", got=self.method, allowed=PLANS))
        if self.cost_norm not in (None, "max", "median") or not self.reg > 0:
            got = f"cost_norm={self.cost_norm!r}, reg={self.reg}"
            raise RecipeError(
                sentence("OptimalTransport cannot use this", got=got, allowed="max, median, None; reg above 0")
            )
        a, b = np.full(len(Xs), 1 / len(Xs)), np.full(len(Xt), 1 / len(Xt))
        cost = normalised_cost(Xs, Xt, self.cost_norm)
        if self.method == "sinkhorn":
            entropic = sinkhorn(cost, self.reg, a, b, self.max_iter, max(self.tol, tolerance(cost.dtype)))
            moved = entropic.barycentres(Xt)
            plan: Any = entropic.dense() if self.keep_plan else None
            self.cost_, self.n_iter_ = None, entropic.iterations
        else:
            plan, self.n_iter_ = self._pot(cost, a, b, y), 1
            moved = (plan @ Xt) / plan.sum(1, keepdims=True)
            self.cost_ = float((plan * cost).sum())
        if self.keep_plan:
            self.plan_ = plan
        self._fit_rows, self._moved = Xs, moved.astype(Xs.dtype, copy=False)
        self._near = NearestNeighbors(n_neighbors=1).fit(Xs)

    def _pot(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, y: np.ndarray | None) -> np.ndarray:
        import ot

        if self.method == "emd":
            return ot.emd(a, b, cost.astype(np.float64, copy=False), numItermax=100 * self.max_iter)
        if y is None:
            raise ValueError(
                f"requires y to be passed, but the target y is None: method={self.method!r} uses source labels"
            )
        labels = np.unique(y, return_inverse=True)[1].astype(np.float64)
        solve = ot.da.sinkhorn_lpl1_mm if self.method == "class_lp" else ot.da.sinkhorn_l1l2_gl
        return solve(a, labels, b, cost.astype(np.float64, copy=False), self.reg, eta=self.reg_class)

    def _source_side(self, X: np.ndarray) -> np.ndarray:
        nearest = self._near.kneighbors(X, return_distance=False)[:, 0]
        return X + (self._moved[nearest] - self._fit_rows[nearest])

    def _fitted_source_side(self, X: np.ndarray) -> np.ndarray:
        return self._moved

    def _target_side(self, X: np.ndarray) -> np.ndarray:
        return X


def tolerance(dtype: np.dtype) -> float:
    """The smallest marginal error that a float type can show."""
    return 1e-9 if dtype == np.float64 else 1e-6
