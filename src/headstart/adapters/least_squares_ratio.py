"""uLSIF: T. Kanamori, S. Hido, M. Sugiyama, *A Least-squares Approach to Direct Importance Estimation*, JMLR 10, 2009.
RuLSIF: M. Yamada, T. Suzuki, T. Kanamori, H. Hachiya, M. Sugiyama, *Relative Density-Ratio Estimation for Robust
Distribution Comparison*, NIPS 2011."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from headstart.adapters.kliep import FACTORS
from headstart.adapters.weights import ImportanceWeights, pick_centres
from headstart.errors import RecipeError, sentence
from headstart.functional.kernels import kernel_matrix, median_gamma

STRENGTHS = tuple(10.0**e for e in np.arange(-3, 2.1, 0.5))


class ULSIF(ImportanceWeights):
    """w(x) = sum_l alpha_l k(x, c_l) of least squared error from the ratio of the densities, in closed form.

    alpha = (H + lam I)^-1 h with H = mean_i k(x_i) k(x_i)^T over the source and h = mean_j k(z_j) over the target, eq. (12);
    negative values are rounded up to 0. Width and strength are chosen by the least-squares criterion in cross-validation.

    Args:
        gamma, lam: of the RBF kernel and the ridge, or ``"cv"`` (default).
        n_centers: target rows taken as centres. Default 100.
        cv: folds. Default 5.
        clip: cut weights above it. Default not.
        random_state: of centres and folds. Default 0.

    Attributes:
        gamma_, lam_, centers_ (b, d), alpha_ (b,).
    """

    relative = 0.0

    def __init__(
        self,
        gamma: float | str = "cv",
        lam: float | str = "cv",
        n_centers: int = 100,
        cv: int = 5,
        clip: float | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.gamma = gamma
        self.lam = lam
        self.n_centers = n_centers
        self.cv = cv
        self.clip = clip
        self.random_state = random_state

    def _share(self) -> float:
        return 0.0

    def _ratio(self, Xs: np.ndarray, Xt: np.ndarray) -> np.ndarray:
        self.centers_ = pick_centres(Xt, self.n_centers, self.random_state)
        base = median_gamma(Xs, Xt)
        gammas = [base * f for f in FACTORS] if self.gamma == "cv" else [float(self.gamma)]
        lams = list(STRENGTHS) if self.lam == "cv" else [float(self.lam)]
        folds = max(2, min(self.cv, len(Xs), len(Xt)))
        rng = np.random.default_rng(self.random_state)
        fs, ft = (rng.permutation(np.arange(m) % folds) for m in (len(Xs), len(Xt)))
        best = (np.inf, gammas[0], lams[0])
        if (len(gammas) > 1 or len(lams) > 1) and min(len(Xs), len(Xt)) > 1:
            for gamma in gammas:
                ks, kt = (kernel_matrix("rbf", X, self.centers_, gamma).astype(np.float64) for X in (Xs, Xt))
                losses = np.zeros(len(lams))
                for f in range(folds):
                    alphas = solve_ratio(ks[fs != f], kt[ft != f], lams, self._share())
                    H, h = criterion(ks[fs == f], kt[ft == f], self._share())
                    losses += [0.5 * a @ H @ a - h @ a for a in alphas]
                best = min(best, *((float(loss), gamma, lam) for loss, lam in zip(losses, lams, strict=True)))
        _, self.gamma_, self.lam_ = best
        ks, kt = (kernel_matrix("rbf", X, self.centers_, self.gamma_).astype(np.float64) for X in (Xs, Xt))
        self.alpha_ = solve_ratio(ks, kt, [self.lam_], self._share())[0]
        return ks @ self.alpha_

    def _ratio_at(self, X: np.ndarray) -> np.ndarray:
        return kernel_matrix("rbf", X, self.centers_.astype(X.dtype, copy=False), self.gamma_) @ self.alpha_


class RULSIF(ULSIF):
    """The ratio of the target's density to a mixture, p_t / (alpha p_t + (1 - alpha) p_s): bounded by 1 / alpha.

    Args:
        alpha: in [0, 1). Default 0.1. With 0 it is :class:`ULSIF`.
        Others: as for :class:`ULSIF`.
    """

    def __init__(
        self,
        alpha: float = 0.1,
        gamma: float | str = "cv",
        lam: float | str = "cv",
        n_centers: int = 100,
        cv: int = 5,
        clip: float | None = None,
        random_state: int | None = 0,
    ) -> None:
        super().__init__(gamma, lam, n_centers, cv, clip, random_state)
        self.alpha = alpha

    def _share(self) -> float:
        if not 0 <= self.alpha < 1:
            raise RecipeError(
                sentence("alpha of RULSIF is out of range", got=self.alpha, allowed="0 to below 1", fix="alpha=0.1")
            )
        return self.alpha


def criterion(ks: np.ndarray, kt: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """H (b, b) and h (b,) of the squared error 1/2 a^T H a - h^T a, from kernels of source (n, b) and target (m, b) rows."""
    H = (1 - share) * (ks.T @ ks) / max(1, len(ks))
    if share:
        H += share * (kt.T @ kt) / max(1, len(kt))
    return H, kt.mean(0)


def solve_ratio(ks: np.ndarray, kt: np.ndarray, lams: list[float], share: float) -> list[np.ndarray]:
    """alpha (b,) >= 0 for each strength, with one decomposition of H for all of them."""
    H, h = criterion(ks, kt, share)
    values, vectors = eigh(H, driver="evd", check_finite=False)
    turned = vectors.T @ h
    return [np.maximum(vectors @ (turned / np.maximum(values + lam, 1e-300)), 0) for lam in lams]
