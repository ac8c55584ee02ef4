"""Kernel mean matching: J. Huang, A. Gretton, K. Borgwardt, B. Schölkopf, A. Smola, *Correcting Sample Selection Bias by
Unlabeled Data*, NIPS 2006."""

from __future__ import annotations

import numpy as np

from headstart.adapters.weights import ImportanceWeights
from headstart.errors import RecipeError, sentence
from headstart.functional.box_qp import solve_box_qp
from headstart.functional.kernels import Kernel, kernel_matrix, kernel_mean

SINGLE_ROWS = 5000  # source rows beyond which the kernel matrix is held in single precision


class KMM(ImportanceWeights):
    """Weights under which the source's mean in a kernel space is nearest to the target's.

    min over b of 1/2 b^T K b - kappa^T b, kappa_i = n_s / n_t sum_j k(x_i, z_j), 0 <= b_i <= B,
    |sum b - n_s| <= n_s eps: eq. (12) of the paper.

    Args:
        kernel, gamma: default RBF with gamma = 1 / d.
        B: upper bound of a weight. Default 1000.
        eps: in [0, 1]; default (sqrt(n_s) - 1) / sqrt(n_s).
        tol: relative, on the objective. Default 1e-6.
        clip: cut weights above it. Default not.

    Attributes:
        objective_: reached; ``gap_`` bounds what is above the least.
    """

    def __init__(
        self,
        kernel: Kernel = "rbf",
        gamma: float | None = None,
        B: float = 1000.0,
        eps: float | None = None,
        tol: float = 1e-6,
        clip: float | None = None,
    ) -> None:
        self.kernel = kernel
        self.gamma = gamma
        self.B = B
        self.eps = eps
        self.tol = tol
        self.clip = clip

    def _ratio(self, Xs: np.ndarray, Xt: np.ndarray) -> np.ndarray:
        n = len(Xs)
        eps = (np.sqrt(n) - 1) / np.sqrt(n) if self.eps is None else self.eps
        if not 0 <= eps <= 1 or not self.B > 0 or n * self.B < n * (1 - eps):
            allowed = "0 <= eps <= 1, B above 0 and at least 1 - eps"
            raise RecipeError(sentence("KMM has no feasible weights", got=f"eps={eps}, B={self.B}", allowed=allowed))
        exact = n <= SINGLE_ROWS and Xs.dtype == np.float64
        a, b = (Xs, Xt) if exact else (Xs.astype(np.float32, copy=False), Xt.astype(np.float32, copy=False))
        kappa = n * kernel_mean(self.kernel, a, b, self.gamma)
        K = kernel_matrix(self.kernel, a, gamma=self.gamma)
        found = solve_box_qp(K, kappa, float(self.B), n * (1 - eps), n * (1 + eps), self.tol)
        self.objective_, self.gap_ = found.objective, found.gap
        self._keep_rows(Xs, found.b)
        return found.b
