"""Two domains that differ in one named way, drawn anew by seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm


@dataclass(frozen=True)
class Shift:
    """A labelled source, and the target's rows.

    Attributes:
        X, y: float (n, d) and int (n,) of the source.
        Xt, yt: of the target; the labels are only for the score, and for what may see a few. A class that the source has not
            is -1.
        domain: int (n,), which source each row is of, or ``None``.
    """

    X: np.ndarray
    y: np.ndarray
    Xt: np.ndarray
    yt: np.ndarray
    domain: np.ndarray | None = None


def circle(k: int, d: int, radius: float = 4.0) -> np.ndarray:
    """k means on a circle in the first two of d columns."""
    a = 2 * np.pi * np.arange(k) / k
    return np.pad(radius * np.column_stack([np.cos(a), np.sin(a)]), ((0, 0), (0, d - 2)))


def turned(X: np.ndarray, angle: float) -> np.ndarray:
    """The first two columns turned."""
    R = np.eye(X.shape[1])
    R[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return X @ R.T


GEOMETRY = 4
"""One draw of the classes' means and of the shift; seeds draw rows."""


def subspace(seed: int, n: int = 240, d: int = 10) -> Shift:
    """All classes are turned in all planes and set off in one direction: alike marginals are alike classes."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(GEOMETRY)
    means = fixed.normal(0, 1, (3, d))
    means *= 2.2 / np.linalg.norm(means, axis=1, keepdims=True)
    axis = fixed.normal(0, 1, (d, d))
    turn = expm(1.5 * (axis - axis.T) / np.linalg.norm(axis - axis.T, 2))
    offset = fixed.normal(0, 1, d)
    y = np.arange(n) % 3
    X, Xt = (means[y] + 0.4 * rng.normal(0, 1, (n, d)) for _ in range(2))
    return Shift(X, y, Xt @ turn + 3.0 * offset / np.linalg.norm(offset), y)


def drift(seed: int, n: int = 256, d: int = 12) -> Shift:
    """Every column has another scale in the target and all rows have moved one way, as sensors and cameras do."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(GEOMETRY)
    means, way, scales = fixed.normal(0, 1, (4, d)), fixed.normal(0, 1, d), np.exp(fixed.normal(0, 0.3, d))
    y = np.arange(n) % 4
    X, Xt = (means[y] + 0.7 * rng.normal(0, 1, (n, d)) for _ in range(2))
    return Shift(X, y, Xt * scales + 8 * way / np.linalg.norm(way), y)


def covariate(seed: int) -> Shift:
    """p(y | x) is the same everywhere, a bent border; the inputs lie elsewhere. A narrow network cannot follow all of the border."""
    rng = np.random.default_rng(seed)

    def drawn(n: int, centre: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
        x = np.column_stack([centre + spread * rng.standard_normal(n), rng.standard_normal(n)])
        return x, (x[:, 1] > 1.5 * np.sin(1.5 * x[:, 0])).astype(int)

    return Shift(*drawn(800, 0.0, 1.0), *drawn(400, 2.0, 0.4))


def concept(seed: int) -> Shift:
    """The inputs are alike; what they are called is not: most rows of a class bear the next one's name."""
    rng = np.random.default_rng(seed)
    means, y = circle(3, 4, 3.0), np.arange(300) % 3
    X, Xt = (means[y] + rng.normal(0, 0.8, (300, 4)) for _ in range(2))
    return Shift(X, y, Xt, np.where(rng.random(300) < 0.6, (y + 1) % 3, y))


def label(seed: int) -> Shift:
    """p(x | y) is the same, three overlapping classes; even in the source, and most of the target is of one."""
    rng, means = np.random.default_rng(seed), 1.5 * np.eye(3, 4)
    y, yt = np.arange(300) % 3, rng.choice(3, 400, p=[0.8, 0.1, 0.1])
    return Shift(means[y] + rng.normal(0, 1, (300, 4)), y, means[yt] + rng.normal(0, 1, (400, 4)), yt)


def several(seed: int) -> Shift:
    """Two sources near the target, and one that misleads: it lies elsewhere and its classes have other names."""
    rng, means = np.random.default_rng(seed), circle(4, 6, 2.5)
    y = np.arange(160) % 4
    near, also, far = (means[y] + rng.normal(0, 0.8, (160, 6)) for _ in range(3))
    far += np.array([0, 0, 1.5, 1.5, 0, 0])
    Xt = means[y] + rng.normal(0, 0.8, (160, 6)) + [0, 0, 0, 0, 0.5, 0.5]
    return Shift(
        np.concatenate([near, turned(also, 0.2), far]),
        np.concatenate([y, y, (y + 2) % 4]),
        Xt,
        y,
        np.repeat([0, 1, 2], 160),
    )


def partial(seed: int) -> Shift:
    """Ten classes; the target is turned by 6 degrees, moved in columns that say nothing, and has three of them."""
    rng, means = np.random.default_rng(seed), circle(10, 6)
    y, yt = np.arange(300) % 10, np.arange(150) % 3
    Xt = turned(means[yt] + rng.normal(0, 0.6, (150, 6)), 0.1)
    Xt[:, 2:] += 1.5
    return Shift(means[y] + rng.normal(0, 0.6, (300, 6)), y, Xt, yt)


def open_set(seed: int) -> Shift:
    """Four classes; the target is turned and moved a little, and a fifth of it lies in a place of its own."""
    rng, means = np.random.default_rng(seed), np.vstack([circle(4, 6), 4 * np.eye(6)[2]])
    y, yt = np.arange(300) % 4, np.arange(300) % 5
    Xt = turned(means[yt] + rng.normal(0, 0.8, (300, 6)), 0.1)
    Xt[:, 3:] += 0.5
    return Shift(means[y] + rng.normal(0, 0.8, (300, 6)), y, Xt, np.where(yt == 4, -1, yt))


def few_labels(seed: int) -> Shift:
    """Four classes; the target is turned by 40 degrees, nearly half the way to the next class."""
    rng, means = np.random.default_rng(seed), circle(4, 6)
    y = np.arange(300) % 4
    Xt = turned(means[y] + rng.normal(0, 0.6, (300, 6)), 0.7)
    Xt[:, 2:] += 1
    return Shift(means[y] + rng.normal(0, 0.6, (300, 6)), y, Xt, y)


SHIFTS: dict[str, Callable[[int], Shift]] = {
    "subspace": subspace, "drift": drift, "covariate": covariate, "concept": concept, "label": label, "several": several, "partial": partial,
    "open": open_set, "few labels": few_labels,
}  # fmt: skip
