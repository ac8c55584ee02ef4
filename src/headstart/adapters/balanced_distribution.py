"""Balanced distribution adaptation: J. Wang, Y. Chen, S. Hao, W. Feng, Z. Shen, *Balanced Distribution Adaptation for
Transfer Learning*, ICDM 2017."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.adapters.joint_distribution import JointDistributionAdaptation, frobenius_one
from headstart.errors import RecipeError, sentence
from headstart.functional.components import class_mmd_vectors, mmd_vector
from headstart.functional.domain_error import proxy_a_distance
from headstart.functional.kernels import Kernel


class BalancedDistributionAdaptation(JointDistributionAdaptation):
    """BDA: JDA with a weight between the marginal and the conditional discrepancy, M = (1 - balance) M_0 + balance sum_c M_c.

    W-BDA (``weighted=True``) also scales each class by its prior in either domain, for classes that are out of balance.

    Args:
        balance: the paper's mu in [0, 1], or ``"auto"`` (default): d_c / (d_0 + d_c) from the proxy A-distances of the whole
            domains (d_0) and the mean over classes (d_c), estimated anew each iteration.
        weighted: W-BDA. Default False.
        Others: as for :class:`JointDistributionAdaptation`.

    Attributes:
        balance_: used in the last iteration.
    """

    def __init__(
        self,
        n_components: int | None = None,
        kernel: Kernel = "primal",
        gamma: float | None = None,
        lam: float = 1.0,
        n_iter: int = 10,
        estimator: Any = None,
        normalize: bool = True,
        balance: float | str = "auto",
        weighted: bool = False,
    ) -> None:
        super().__init__(n_components, kernel, gamma, lam, n_iter, estimator, normalize)
        self.balance = balance
        self.weighted = weighted

    def _mmd_vectors(self, ys: np.ndarray, pseudo: np.ndarray | None, Xs: np.ndarray, Xt: np.ndarray) -> np.ndarray:
        check_balance(self.balance)
        marginal = mmd_vector(len(ys), len(Xt))[:, None]
        if pseudo is None:
            self.balance_ = 0.0
            return frobenius_one(marginal)
        if self.balance == "auto":
            self.balance_ = estimated_balance(Xs, ys, Xt, pseudo)
        else:
            self.balance_ = float(self.balance)
        conditional = class_mmd_vectors(ys, pseudo, self.classes_, self.weighted)
        both = [np.sqrt(1 - self.balance_) * marginal, np.sqrt(self.balance_) * conditional]
        return frobenius_one(np.column_stack(both))


def check_balance(balance: Any) -> None:
    """Refuse what is neither ``"auto"`` nor a number in [0, 1]."""
    if balance != "auto" and not (isinstance(balance, (int, float)) and 0 <= balance <= 1):
        raise RecipeError(
            sentence("balance is out of range", got=balance, allowed="0 to 1, or 'auto'", fix="balance=0.5")
        )


def estimated_balance(Xs: np.ndarray, ys: np.ndarray, Xt: np.ndarray, pseudo: np.ndarray) -> float:
    """d_c / (d_0 + d_c) by proxy A-distances; 0.5 where neither can be told from 0."""
    whole = max(0.0, proxy_a_distance(Xs, Xt))
    shared = [c for c in np.unique(ys) if (ys == c).sum() > 4 and (pseudo == c).sum() > 4]
    by_class = [max(0.0, proxy_a_distance(Xs[ys == c], Xt[pseudo == c])) for c in shared]
    mean = float(np.mean(by_class)) if by_class else 0.0
    return mean / (whole + mean) if whole + mean > 1e-12 else 0.5
