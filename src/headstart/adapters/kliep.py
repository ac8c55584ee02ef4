"""KLIEP: M. Sugiyama, S. Nakajima, H. Kashima, P. von Bünau, M. Kawanabe, *Direct Importance Estimation with Model Selection
and Its Application to Covariate Shift Adaptation*, NIPS 2007."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from headstart.adapters.weights import ImportanceWeights, pick_centres
from headstart.functional.kernels import kernel_matrix, kernel_mean, median_gamma

FACTORS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)  # of the median heuristic's gamma, tried by cross-validation


class KLIEP(ImportanceWeights):
    """w(x) = sum_l alpha_l k(x, c_l) of least Kullback-Leibler divergence from the target: eq. (7).

    max sum_j log w(z_j) over alpha >= 0 with mean_i w(x_i) = 1. The kernel's width is chosen by the target's log-likelihood
    in cross-validation, as in the paper.

    Args:
        gamma: of the RBF kernel, or ``"cv"`` (default): among six multiples of the median heuristic.
        n_centers: target rows taken as centres c_l. Default 100.
        cv: folds. Default 5.
        clip: cut weights above it. Default not.
        random_state: of centres and folds. Default 0.

    Attributes:
        gamma_, centers_ (b, d), alpha_ (b,), objective_ (mean log w over the target).
    """

    def __init__(
        self,
        gamma: float | str = "cv",
        n_centers: int = 100,
        cv: int = 5,
        clip: float | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.gamma = gamma
        self.n_centers = n_centers
        self.cv = cv
        self.clip = clip
        self.random_state = random_state

    def _ratio(self, Xs: np.ndarray, Xt: np.ndarray) -> np.ndarray:
        self.centers_ = pick_centres(Xt, self.n_centers, self.random_state)
        self.gamma_ = self._choose(Xs, Xt) if self.gamma == "cv" else float(self.gamma)
        target = kernel_matrix("rbf", Xt, self.centers_, self.gamma_).astype(np.float64)
        mean = kernel_mean("rbf", self.centers_, Xs, self.gamma_)
        self.alpha_, self.objective_ = likelihood(target, mean)
        return self._ratio_at(Xs)

    def _choose(self, Xs: np.ndarray, Xt: np.ndarray) -> float:
        base = median_gamma(Xs, Xt)
        folds = np.random.default_rng(self.random_state).permutation(np.arange(len(Xt)) % max(2, min(self.cv, len(Xt))))
        best = (-np.inf, base)
        for factor in FACTORS if len(Xt) > 3 else (1.0,):
            target = kernel_matrix("rbf", Xt, self.centers_, base * factor).astype(np.float64)
            mean = kernel_mean("rbf", self.centers_, Xs, base * factor)
            score = 0.0
            for f in np.unique(folds) if len(Xt) > 3 else ():
                alpha, _ = likelihood(target[folds != f], mean)
                score += float(np.log(np.maximum(target[folds == f] @ alpha, 1e-300)).mean())
            best = max(best, (score, base * factor))
        return best[1]

    def _ratio_at(self, X: np.ndarray) -> np.ndarray:
        return kernel_matrix("rbf", X, self.centers_.astype(X.dtype, copy=False), self.gamma_) @ self.alpha_


def likelihood(target: np.ndarray, mean: np.ndarray, tol: float = 1e-10) -> tuple[np.ndarray, float]:
    """max mean_j log (target alpha)_j over alpha >= 0, mean . alpha = 1, by a primal-dual interior point method.

    With z = mean * alpha it is min -mean log(P z) + sum z over z >= 0, whose solution has sum 1 by itself.

    Args:
        target: (n_t, b), k(z_j, c_l).
        mean: (b,), mean_i k(x_i, c_l).

    Returns:
        alpha (b,), mean log w.
    """
    use = mean > 1e-300
    P = target[:, use] / mean[use]
    P = P[P.max(1) > 0]
    n, b = P.shape
    if n == 0 or b == 0:
        return np.full(len(mean), 1 / max(float(mean.sum()), 1e-300)), -np.inf
    z, dual = np.full(b, 1 / b), np.full(b, 1.0)
    for _ in range(100):
        fit = P @ z
        inverse = 1 / fit
        gradient = 1 - P.T @ inverse / n
        gap = float(z @ dual)
        if gap <= tol and np.abs(gradient - dual).max() <= 1e-8 * max(1.0, np.abs(gradient).max()):
            break
        scaled = P * inverse[:, None]
        hessian = scaled.T @ scaled / n
        hessian[np.diag_indices(b)] += dual / z + 1e-14 * np.trace(hessian)
        factor = cho_factor(hessian, overwrite_a=True, check_finite=False)
        centre = 0.1 * gap / b
        dz = cho_solve(factor, -(gradient - centre / z))
        dd = (centre - dual * dz) / z - dual
        down, drop = dz < 0, dd < 0
        step = min(1.0, 0.99 * float((-z[down] / dz[down]).min(initial=np.inf)))
        while (
            -np.log(np.maximum(P @ (z + step * dz), 1e-300)).mean()
            + (z + step * dz).sum()
            - centre * np.log(z + step * dz).sum()
            > -np.log(fit).mean() + z.sum() - centre * np.log(z).sum() + 1e-12
        ):
            step /= 2
            if step < 1e-10:
                break
        z = z + step * dz
        dual = dual + min(1.0, 0.99 * float((-dual[drop] / dd[drop]).min(initial=np.inf))) * dd
    z /= z.sum()
    alpha = np.zeros(len(mean))
    alpha[use] = z / mean[use]
    return alpha, float(np.log(P @ z).mean())
