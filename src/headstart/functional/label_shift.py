"""How often each class occurs in the target, from a classifier's word alone: three estimators, each on small arrays.

``joint`` is the (C, C) matrix of held-out source predictions, joint[i, j] = P_s(said i, true j); ``said`` the (C,) shares
of the target's predictions. w = p_t(y) / p_s(y).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq


def bbse(joint: np.ndarray, said: np.ndarray) -> np.ndarray:
    """w (C,) with joint w = said, negative values set to 0 (Lipton, Wang, Smola 2018, *Black Box Shift Estimation*, eq. 5).

    A joint matrix without full rank is solved in least squares.
    """
    return np.maximum(np.linalg.lstsq(joint, said, rcond=None)[0], 0)


def rlls(joint: np.ndarray, said: np.ndarray, delta: float, trust: float = 1.0) -> np.ndarray:
    """w = 1 + trust * theta with theta = argmin ||joint theta - (said - joint 1)|| + delta ||theta||, set to 0 where negative.

    Azizzadenesheli, Liu, Yang, Anandkumar 2019, *Regularized Learning for Domain Adaptation under Label Shifts*, eq. 6-7.
    Neither norm is squared. Where theta is not 0 it solves (A^T A + l I) theta = A^T b with l = delta ||A theta - b|| / ||theta||,
    one equation in l.
    """
    residual = said - joint.sum(1)
    U, s, Vt = np.linalg.svd(joint)
    turned = U.T @ residual
    size = float(np.linalg.norm(residual))
    # 0 is the solution when the slope of the first norm there cannot beat delta
    if size <= 1e-15 or np.linalg.norm(s * turned) / size <= delta:
        return np.ones(len(said))

    def theta(l: float) -> np.ndarray:  # noqa: E741
        return s * turned / (s**2 + l)

    def excess(log_l: float) -> float:
        l = np.exp(log_l)  # noqa: E741
        t = theta(l)
        return float(l * np.linalg.norm(t) - delta * np.linalg.norm(s * t - turned))

    low, high = np.log(max(1e-14 * s[0] ** 2, 1e-300)), np.log(s[0] ** 2 * 1e8)
    solution = (
        theta(0.0 if s[-1] > 1e-12 else np.exp(low))
        if delta <= 0 or excess(low) > 0
        else theta(np.exp(brentq(excess, low, high)))
    )
    return np.maximum(1 + trust * (Vt.T @ solution), 0)


def rlls_delta(n_s: int, k: int, confidence: float = 0.05) -> float:
    """The paper's regularisation strength up to its constant: the deviation bound of joint (k classes) at this many rows."""
    log = np.log(2 * k / confidence)
    return float(np.sqrt(log / n_s) * 0.5 + log / (3 * n_s))


def em_prior(
    posterior: np.ndarray,
    source_prior: np.ndarray,
    tol: float = 1e-10,
    max_iter: int = 10_000,
    counts: np.ndarray | None = None,
) -> np.ndarray:
    """p_t(y) (C,) of greatest likelihood under p_t(x | y) = p_s(x | y), by expectation maximisation.

    Saerens, Latinne, Decaestecker 2002, *Adjusting the Outputs of a Classifier to New a Priori Probabilities*, eq. 9. The
    steps are sped up by squared extrapolation (Varadhan and Roland 2008), kept only where the likelihood rises.

    Args:
        posterior: (n, C) of the source's classifier on target rows, calibrated.
        source_prior: (C,).
        counts: (n,) how often each row counts (for a bootstrap). Default once.
    """
    ratio = posterior / np.maximum(source_prior, 1e-300)
    share = np.full(len(posterior), 1 / len(posterior)) if counts is None else counts / counts.sum()

    def step(p: np.ndarray) -> np.ndarray:
        mixed = ratio @ p
        return p * (ratio.T @ (share / np.maximum(mixed, 1e-300)))

    def likelihood(p: np.ndarray) -> float:
        return float(share @ np.log(np.maximum(ratio @ p, 1e-300)))

    p = source_prior / source_prior.sum()
    for _ in range(max_iter // 3):
        a = step(p)
        b = step(a)
        r, v = a - p, (b - a) - (a - p)
        size = float(np.linalg.norm(v))
        new = b
        if size > 1e-14:
            jump = max(1.0, float(np.linalg.norm(r)) / size)
            far = p + 2 * jump * r + jump**2 * v
            if (far > 0).all():
                far = step(far / far.sum())
                if likelihood(far) >= likelihood(b):
                    new = far
        moved, p = float(np.abs(new - p).max()), new / new.sum()
        if moved < tol:
            break
    return p


def adjust(posterior: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Posteriors (n, C) for a prior changed by w (C,): proportional to w_y p(y | x), rows of sum 1."""
    out = posterior * weight
    total = out.sum(1, keepdims=True)
    return np.where(total > 0, out / np.where(total > 0, total, 1), posterior)
