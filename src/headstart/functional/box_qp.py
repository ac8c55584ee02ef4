"""min 1/2 b^T K b - kappa^T b over 0 <= b <= B, low <= sum(b) <= high, for a dense positive semi-definite K."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve


@dataclass(frozen=True)
class Solution:
    """``gap`` bounds how far ``objective`` is above the least one (Frank and Wolfe's gap)."""

    b: np.ndarray
    objective: float
    gap: float
    products: int


def project(b: np.ndarray, top: float, low: float, high: float) -> np.ndarray:
    """The nearest point of the feasible set: clip(b - t, 0, top) with t = 0 where the sum allows it, else by bisection."""
    out = np.clip(b, 0, top)
    total = out.sum()
    if low <= total <= high:
        return out
    goal = low if total < low else high
    below, above = float(b.min()) - top, float(b.max())
    for _ in range(100):
        t = (below + above) / 2
        if np.clip(b - t, 0, top).sum() > goal:
            below = t
        else:
            above = t
    return np.clip(b - (below + above) / 2, 0, top)


def lowest_vertex(g: np.ndarray, top: float, low: float, high: float) -> float:
    """The least g^T z over the feasible set."""
    order = np.sort(g)
    filled = np.minimum(top, np.maximum(0.0, high - top * np.arange(len(g))))
    room = np.minimum(top, np.maximum(0.0, low - top * np.arange(len(g))))  # must be filled whatever it costs
    return float(np.where(order < 0, filled, room) @ order)


def solve_box_qp(K: np.ndarray, kappa: np.ndarray, top: float, low: float, high: float, tol: float = 1e-6) -> Solution:
    """By an interior point method up to 1,500 rows, where a factorisation is cheap. Beyond, the same method solves the problem of a
    Nyström approximation (400 columns, diagonal exact), and an accelerated projected gradient goes on from there with K itself.

    Args:
        K: (n, n), float32 or float64.
        kappa: float64 (n,).
        top, low, high: as above; low <= high, low <= n top.
        tol: relative to the size of the objective: on the gap (interior point), or on what ten steps
            still gains (gradient).
    """
    if len(kappa) <= 1500:
        return interior_point(Dense(K.astype(np.float64, copy=False)), kappa, top, low, high, tol)
    near = interior_point(nystroem(K), kappa, top, low, high, 1e-4)
    return accelerated(K, kappa, top, low, high, tol, near.b)


class Dense:
    """K as it is."""

    def __init__(self, K: np.ndarray) -> None:
        self.K, self.size = K, float(np.abs(K).max())

    def times(self, b: np.ndarray) -> np.ndarray:
        return self.K @ b

    def inverse(self, diagonal: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Solves with K + diag(diagonal)."""
        factor = cho_factor(self.K + np.diag(diagonal), overwrite_a=True, check_finite=False)
        return lambda right: cho_solve(factor, right, check_finite=False)


class LowRank:
    """Z Z^T + diag(rest), Z (n, r): a step costs n r^2."""

    def __init__(self, Z: np.ndarray, rest: np.ndarray) -> None:
        self.Z, self.rest, self.size = Z, rest, float(rest.max() + (Z**2).sum(1).max())

    def times(self, b: np.ndarray) -> np.ndarray:
        return self.Z @ (self.Z.T @ b) + self.rest * b

    def inverse(self, diagonal: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Solves with Z Z^T + diag(rest + diagonal), by Woodbury's identity."""
        d = (self.rest + diagonal)[:, None]
        scaled = self.Z / d
        inner = self.Z.T @ scaled
        inner[np.diag_indices_from(inner)] += 1
        back = np.linalg.inv(inner)
        return lambda right: right / d - scaled @ (back @ (scaled.T @ right))


def nystroem(K: np.ndarray, columns: int = 400) -> LowRank:
    """K by some of its columns (C. Williams, M. Seeger 2001), with its own diagonal."""
    use = np.sort(np.random.default_rng(0).choice(len(K), min(columns, len(K)), replace=False))
    C = K[:, use].astype(np.float64)
    W = C[use] + 1e-8 * np.trace(C[use]) / len(use) * np.eye(len(use))
    values, vectors = np.linalg.eigh(W)
    Z = C @ (vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1])))
    return LowRank(Z, np.maximum(np.diag(K).astype(np.float64) - (Z**2).sum(1), 1e-10))


def interior_point(K: Dense | LowRank, kappa: np.ndarray, top: float, low: float, high: float, tol: float) -> Solution:
    """Mehrotra's primal-dual method (1992); the sum's bounds are two more inequalities."""
    n = len(kappa)
    slack = 1e-9 * max(n, high)
    low, high = low - slack, high + slack
    middle = min(top * (1 - 1e-3), max((max(low, 0.0) + min(high, n * top)) / 2 / n, top * 1e-6))
    b = np.full(n, middle)
    total = b.sum()
    room = [b.copy(), top - b, np.array([total - low]), np.array([high - total])]
    scale = max(1.0, float(np.abs(K.times(b) - kappa).max()))
    dual = [np.full(len(r), scale) for r in room]
    for steps in range(1, 101):  # noqa: B007
        Kb = K.times(b)
        gradient = Kb - kappa - dual[0] + dual[1] - dual[2] + dual[3]
        count = 2 * n + 2
        mu = sum(float(r @ z) for r, z in zip(room, dual, strict=True)) / count
        objective = float(b @ (Kb / 2 - kappa))
        if mu * count <= tol * 1e-2 * max(abs(objective), 1e-300) and np.abs(gradient).max() <= 1e-9 * scale:
            break
        ratio = [z / r for r, z in zip(room, dual, strict=True)]
        factor = K.inverse(ratio[0] + ratio[1] + 1e-13 * K.size), float(ratio[2][0] + ratio[3][0])
        db, moved, dz = newton(factor, gradient, room, dual, [np.zeros_like(r) for r in room])
        a = reach(room, moved, 1.0), reach(dual, dz, 1.0)
        ahead = (
            sum(float((r + a[0] * m) @ (z + a[1] * d)) for r, m, z, d in zip(room, moved, dual, dz, strict=True))
            / count
        )
        centre = (ahead / mu) ** 3 * mu
        db, moved, dz = newton(factor, gradient, room, dual, [centre - m * d for m, d in zip(moved, dz, strict=True)])
        a = reach(room, moved, 0.995), reach(dual, dz, 0.995)
        b = b + a[0] * db
        room = [r + a[0] * m for r, m in zip(room, moved, strict=True)]
        dual = [z + a[1] * d for z, d in zip(dual, dz, strict=True)]
    b = project(np.where(room[0] < dual[0] * 1e-6, 0.0, b), top, low + slack, high - slack)
    Kb = K.times(b)
    g = Kb - kappa
    return Solution(b, float(b @ (Kb / 2 - kappa)), float(g @ b) - lowest_vertex(g, top, low, high), steps)


def newton(
    factor: Any, gradient: np.ndarray, room: list[np.ndarray], dual: list[np.ndarray], target: list[np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """The step of b, and those of the slacks and duals with it, towards slack * dual = ``target``."""
    pull = [(t - r * z) / r for t, r, z in zip(target, room, dual, strict=True)]
    inner, ones = factor
    right = np.column_stack([-gradient + pull[0] - pull[1] + pull[2] - pull[3], np.ones_like(gradient)])
    # the sum's bounds add ones * 1 1^T: by Sherman and Morrison, since near a bound it swamps the rest of the matrix
    db, across = inner(right).T
    db = db - across * (ones * db.sum() / (1 + ones * across.sum()))
    moved = [db, -db, np.array([db.sum()]), np.array([-db.sum()])]
    return db, moved, [p - z / r * m for p, z, r, m in zip(pull, dual, room, moved, strict=True)]


def reach(values: list[np.ndarray], moved: list[np.ndarray], share: float) -> float:
    """The longest step up to 1 that keeps all values positive, times ``share`` where one is met."""
    most = min(float((v[m < 0] / -m[m < 0]).min(initial=np.inf)) for v, m in zip(values, moved, strict=True))
    return min(1.0, share * most)


def accelerated(
    K: np.ndarray,
    kappa: np.ndarray,
    top: float,
    low: float,
    high: float,
    tol: float,
    start: np.ndarray | None = None,
    max_products: int = 2000,
) -> Solution:
    """Nesterov's projected gradient with restarts (O'Donoghue and Candes 2015), at a fixed sum; the sum by exact line search.

    A kernel matrix of positive entries has one large eigenvalue, near the constant direction, and would force tiny steps.
    With the sum held, steps can be as long as the second one allows; every tenth time b is scaled to its best length.
    """
    n, count = len(kappa), 0

    def times(v: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        return (K @ v.astype(K.dtype, copy=False)).astype(np.float64, copy=False)

    v = np.random.default_rng(0).standard_normal(n)
    bound = 1.0
    for _ in range(12):  # the largest eigenvalue of H K H
        v -= v.mean()
        v /= np.linalg.norm(v)
        v = times(v)
        bound = float(np.linalg.norm(v - v.mean()))
    bound *= 1.05
    b = project(np.ones(n) if start is None else start, top, low, high)
    Kb = times(b)
    value = checked = float(b @ (Kb / 2 - kappa))
    y, Ky, t, since = b, Kb, 1.0, 0
    while count < max_products:
        total = b.sum()
        new = project(y - (Ky - kappa) / bound, top, total, total)
        Knew = times(new)
        reached = float(new @ (Knew / 2 - kappa))
        if reached > value + 1e-12 * abs(value):
            if y is b:  # a plain step that does not descend: the bound was too low, or this is the floor of the floats
                bound *= 2
                since += 1
                if since > 8:
                    break
            y, Ky, t = b, Kb, 1.0
            continue
        faster = (1 + np.sqrt(1 + 4 * t * t)) / 2
        y, Ky = new + (t - 1) / faster * (new - b), Knew + (t - 1) / faster * (Knew - Kb)
        b, Kb, value, t, since = new, Knew, reached, faster, since if y is b else 0
        if count % 10 == 0:
            curve = float(b @ Kb)
            scale = min(
                float(kappa @ b) / max(curve, 1e-300),
                top / max(float(b.max()), 1e-300),
                high / max(float(b.sum()), 1e-300),
            )
            scale = max(scale, low / max(float(b.sum()), 1e-300))
            if b.max() * scale <= top:
                b, Kb = b * scale, Kb * scale
            value = float(b @ (Kb / 2 - kappa))
            if abs(scale - 1) > 1e-9:
                y, Ky, t = b, Kb, 1.0
            if checked - value <= tol * 0.1 * abs(value) and count > 40:
                break
            checked = value
    g = Kb - kappa
    return Solution(b, value, float(g @ b) - lowest_vertex(g, top, low, high), count)
