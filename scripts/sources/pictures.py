"""Pictures made by formulas: noise, stripes, cells, dots, lattices, cracks, shapes and fractals.

A class is a family and a few fixed numbers (an exponent, a density, an iterated function system); what a picture of it
looks like beyond that (place, angle, colours, contrast, ground) is drawn anew for each picture. Fractals follow Kataoka
et al., *Pre-training without natural images*, ACCV 2020 (FractalDB): a class is an iterated function system.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Rng = np.random.Generator


def spectrum(rng: Rng, side: int, exponent: float, stretch: float = 1.0, angle: float = 0.0) -> Array:
    """Noise float64 (side, side) in 0..1 with amplitude ~ frequency^-exponent, drawn out by ``stretch`` along ``angle``."""
    fy, fx = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    u, v = fx * np.cos(angle) + fy * np.sin(angle), -fx * np.sin(angle) + fy * np.cos(angle)
    radius = np.hypot(u * stretch, v / stretch)
    radius[0, 0] = 1.0
    wave = np.fft.rfft2(rng.standard_normal((side, side))) * radius**-exponent
    wave[0, 0] = 0
    return ranked(np.fft.irfft2(wave, s=(side, side)))


def ranked(field: Array) -> Array:
    """Scale to 0..1 by the 2nd and 98th percentile."""
    low, high = np.percentile(field, (2, 98))
    return np.clip((field - low) / max(high - low, 1e-9), 0, 1)


def plane(rng: Rng, side: int, wobble: float = 0.0, turn: float = np.pi) -> tuple[Array, Array]:
    """Coordinates x, y (side, side) in pixels, turned and shifted at random, bent by smooth noise of ``wobble`` pixels."""
    y, x = np.mgrid[:side, :side].astype(np.float64) - side / 2
    a = rng.uniform(-turn, turn)
    x, y = x * np.cos(a) - y * np.sin(a) + rng.uniform(0, side), x * np.sin(a) + y * np.cos(a) + rng.uniform(0, side)
    if wobble:
        x = x + (spectrum(rng, side, 2.2) - 0.5) * wobble
        y = y + (spectrum(rng, side, 2.2) - 0.5) * wobble
    return x, y


def noise(rng: Rng, side: int, p: dict[str, float]) -> Array:
    field = spectrum(rng, side, p["exponent"], p["stretch"], rng.uniform(0, np.pi))
    kind = int(p["kind"])
    if kind == 1:
        return 1 - np.abs(2 * field - 1)  # ridges
    if kind == 2:
        return 1 / (1 + np.exp((0.5 - field) * 30))  # patches
    return field


def stripes(rng: Rng, side: int, p: dict[str, float]) -> Array:
    x, y = plane(rng, side, p["wobble"])
    period = p["period"] * rng.uniform(0.8, 1.25)
    first = np.sin(2 * np.pi * x / period)
    kind = int(p["kind"])
    if kind == 1:
        first = np.tanh(first * 6)  # hard edges
    elif kind == 2:
        first = first * np.sin(2 * np.pi * y / period)  # plaid
    elif kind == 3:
        first = np.sin(2 * np.pi * np.hypot(x - side, y - side) / period)  # rings
    elif kind == 4:
        first = np.sign(np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period))  # checks
    return first / 2 + 0.5


def cells(rng: Rng, side: int, p: dict[str, float]) -> Array:
    n = max(3, int(p["n"] * rng.uniform(0.8, 1.25)))
    x, y = plane(rng, side, p["wobble"])
    points = rng.uniform(0, 1, (n, 2)) * [np.ptp(x), np.ptp(y)] + [x.min(), y.min()]
    distance = (x.ravel()[:, None] - points[:, 0]) ** 2 + (y.ravel()[:, None] - points[:, 1]) ** 2
    near = np.argpartition(distance, 1, axis=1)[:, :2]
    two = np.sqrt(np.take_along_axis(distance, near, 1))
    first, second = two.min(1), two.max(1)
    kind = int(p["kind"])
    if kind == 0:
        field = np.clip((second - first) / p["edge"], 0, 1)  # dark borders
    elif kind == 1:
        field = rng.uniform(0, 1, n)[distance.argmin(1)]  # flat tiles
    elif kind == 2:
        field = 1 - first / (first.max() + 1e-9)  # cones
    else:
        field = rng.uniform(0, 1, n)[distance.argmin(1)] * np.clip((second - first) / p["edge"], 0.2, 1)
    return field.reshape(side, side)


def spots(rng: Rng, side: int, p: dict[str, float]) -> Array:
    n = max(1, int(p["n"] * rng.uniform(0.7, 1.4)))
    y, x = np.mgrid[:side, :side].astype(np.float64)
    field = np.zeros((side, side))
    kind = int(p["kind"])
    for _ in range(n):
        radius = p["radius"] * rng.uniform(0.6, 1.5)
        cx, cy, a = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(0, np.pi)
        u, v = (x - cx) * np.cos(a) + (y - cy) * np.sin(a), -(x - cx) * np.sin(a) + (y - cy) * np.cos(a)
        if kind == 0:
            d = np.hypot(u, v)
        elif kind == 1:
            d = np.maximum(np.abs(u), np.abs(v))
        elif kind == 2:
            d = np.maximum(-v, np.abs(u) * 0.87 + v * 0.5) * 1.3
        elif kind == 3:
            d = np.hypot(u * 2.2, v / 1.4)
        elif kind == 4:
            d = np.abs(np.hypot(u, v) - radius) + radius * 0.7
        else:
            d = np.minimum(np.maximum(np.abs(u) * 3.5, np.abs(v)), np.maximum(np.abs(u), np.abs(v) * 3.5))
        mask = 1 / (1 + np.exp(np.clip((d - radius) * 2.5, -40, 40)))
        field = field * (1 - mask) + rng.uniform(0.45, 1.0) * mask
    return field


def lattice(rng: Rng, side: int, p: dict[str, float]) -> Array:
    x, y = plane(rng, side, p["wobble"])
    period = p["period"] * rng.uniform(0.85, 1.2)
    row = np.floor(y / period)
    kind = int(p["kind"])
    if kind == 0:  # bricks
        u, v = ((x / (2 * period) + row / 2) % 1) * 2 * period, (y / period % 1) * period
        return np.clip(np.minimum(np.minimum(u, 2 * period - u), np.minimum(v, period - v)) - 0.4, 0, 1)
    if kind == 1:  # dots on a grid, every second row shifted
        u, v = (x / period + row / 2) % 1 - 0.5, y / period % 1 - 0.5
        return 1 / (1 + np.exp((np.hypot(u, v) - p["edge"]) * period * 2.5))
    if kind == 2:  # wire mesh
        u, v = np.abs(x / period % 1 - 0.5), np.abs(y / period % 1 - 0.5)
        return 1 / (1 + np.exp((np.maximum(u, v) - 0.42) * period * 3))
    if kind == 3:  # hexagons
        waves = sum(np.cos(2 * np.pi * (x * np.cos(t) + y * np.sin(t)) / period) for t in (0, np.pi / 3, 2 * np.pi / 3))
        return ranked(waves)
    u = (x + np.abs(y % (2 * period) - period)) / period  # zigzag
    return np.tanh(np.sin(2 * np.pi * u) * 3) / 2 + 0.5


def cracks(rng: Rng, side: int, p: dict[str, float]) -> Array:
    """Random walks whose direction keeps (scratches) or strays (roots), on a faint ground."""
    count = max(1, int(p["n"] * rng.uniform(0.7, 1.4)))
    steps = 3 * side
    angle = rng.uniform(0, 2 * np.pi, (count, 1)) if p["kind"] else rng.normal(rng.uniform(0, np.pi), 0.15, (count, 1))
    angle = angle + np.cumsum(rng.standard_normal((count, steps)) * p["stray"], axis=1)
    start = rng.uniform(-0.2 * side, 1.2 * side, (2, count, 1))
    xs = (start[0] + np.cumsum(np.cos(angle), 1) * 0.5).astype(int).ravel()
    ys = (start[1] + np.cumsum(np.sin(angle), 1) * 0.5).astype(int).ravel()
    inside = (xs >= 0) & (ys >= 0) & (xs < side) & (ys < side)
    field = np.bincount(ys[inside] * side + xs[inside], minlength=side * side).reshape(side, side) > 0
    field = field.astype(np.float64)
    if p["edge"] > 0.3:
        wide = np.pad(field, 1)
        field = np.max([wide[dy : dy + side, dx : dx + side] for dy in range(3) for dx in range(3)], axis=0)
    return field


def slopes(rng: Rng, side: int, p: dict[str, float]) -> Array:
    x, y = plane(rng, side, 6.0)
    kind = int(p["kind"])
    if kind == 0:
        field = x
    elif kind == 1:
        field = np.hypot(x - x.mean(), y - y.mean())
    elif kind == 2:
        field = np.arctan2(y - y.mean(), x - x.mean())
    else:
        field = np.floor(ranked(x) * p["n"])
    return ranked(field)


def fractal_points(rng: Rng, points: int = 300, rounds: int = 60) -> Array:
    """An iterated function system drawn at random and its attractor, float64 (n, 2) in 0..1 (chaos game)."""
    while True:
        k = int(rng.integers(2, 7))
        maps = rng.uniform(-1, 1, (k, 2, 3))
        weight = np.abs(np.linalg.det(maps[:, :, :2])) + 0.02
        weight /= weight.sum()
        found, z = [], np.zeros((points, 2))
        for i in range(rounds):
            m = maps[rng.choice(k, points, p=weight)]
            z = np.einsum("nij,nj->ni", m[:, :, :2], z) + m[:, :, 2]
            if i >= 12:
                found.append(z)
        if not np.isfinite(z).all() or np.abs(z).max() > 1e3:
            continue
        cloud = np.concatenate(found)
        low, high = np.percentile(cloud, (1, 99), axis=0)
        if (high - low).min() < 1e-3:
            continue
        cloud = (cloud - low) / (high - low)
        cover = len(np.unique((cloud * 31.99).clip(0, 31.99).astype(int) @ [1, 32])) / 1024
        if 0.12 < cover < 0.75:
            return cloud


def fractal(rng: Rng, side: int, cloud: Array) -> Array:
    a = rng.uniform(-np.pi, np.pi)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ np.diag([1.0, rng.choice([-1.0, 1.0])])
    keep = cloud[rng.permutation(len(cloud))[: int(rng.integers(3000, len(cloud)))]]
    at = ((keep - 0.5) @ turn.T * rng.uniform(0.6, 1.3) + 0.5 + rng.uniform(-0.12, 0.12, 2)) * side
    at = at[(at >= 0).all(1) & (at < side).all(1)].astype(int)
    counts = np.bincount(at[:, 1] * side + at[:, 0], minlength=side * side).reshape(side, side)
    return np.minimum(counts / rng.uniform(1, 4), 1.0)


@dataclass(frozen=True)
class Kind:
    """One class: its name and how a field float64 (side, side) in 0..1 of it is drawn."""

    name: str
    draw: Callable[[Rng, int], Array]


FAMILIES: list[tuple[str, Callable[[Rng, int, dict[str, float]], Array], list[dict[str, float]]]] = [
    (
        "noise",
        noise,
        [{"exponent": e, "stretch": s, "kind": k} for e in (0.4, 1.0, 1.6, 2.4) for s in (1.0, 2.2) for k in (0, 1, 2)],
    ),
    (
        "stripes",
        stripes,
        [{"period": q, "wobble": w, "kind": k} for q in (5, 10, 20) for w in (2.0, 16.0) for k in (0, 1, 2, 3, 4)],
    ),
    ("cells", cells, [{"n": n, "wobble": 6.0, "edge": 3.0, "kind": k} for n in (8, 30, 100) for k in (0, 1, 2, 3)]),
    ("spots", spots, [{"n": n, "radius": r, "kind": k} for n, r in ((1, 18), (6, 9), (30, 4)) for k in range(6)]),
    ("lattice", lattice, [{"period": q, "wobble": 4.0, "edge": 0.3, "kind": k} for q in (7, 14) for k in range(5)]),
    (
        "cracks",
        cracks,
        [
            {"n": n, "stray": s, "kind": k, "edge": w}
            for n, w in ((2, 0.5), (10, 0.5), (40, 0.0))
            for s in (0.05, 0.4)
            for k in (0, 1)
        ],
    ),
    ("slopes", slopes, [{"kind": k, "n": n} for k, n in ((0, 0), (1, 0), (2, 0), (3, 4))]),
]


def kinds(fractals: int = 40, seed: int = 2020) -> list[Kind]:
    """All classes: every family at each of its settings, then ``fractals`` iterated function systems."""
    found = []
    for name, family, settings in FAMILIES:
        for i, p in enumerate(settings):
            found.append(Kind(f"{name}-{i:02d}", lambda rng, side, family=family, p=p: family(rng, side, p)))  # type: ignore[misc]
    rng = np.random.default_rng(seed)
    for i in range(fractals):
        cloud = fractal_points(rng)
        found.append(Kind(f"fractal-{i:02d}", lambda rng, side, cloud=cloud: fractal(rng, side, cloud)))  # type: ignore[misc]
    return found


def coloured(rng: Rng, field: Array) -> Array:
    """uint8 (3, side, side): ``field`` shown between two colours (grey for 35 %), on a ground with shade and grain."""
    side = field.shape[0]
    low, high = rng.uniform(0, 1, 3), rng.uniform(0, 1, 3)
    if rng.random() < 0.35:
        low[:], high[:] = low[0], high[0]
    while abs(high.mean() - low.mean()) < 0.15 and np.abs(high - low).max() < 0.3:
        high = rng.uniform(0, 1, 3) if low.std() > 0 else np.full(3, rng.uniform(0, 1))
    field = field ** np.exp(rng.normal(0, 0.35))
    picture = low[:, None, None] + (high - low)[:, None, None] * field
    if rng.random() < 0.5:
        shade = spectrum(rng, side, rng.uniform(1.0, 2.5)) - 0.5
        picture = picture + shade * rng.uniform(0.05, 0.35)
    if rng.random() < 0.5:
        picture = picture + rng.normal(0, rng.uniform(0.01, 0.1), (3 if low.std() > 0 else 1, side, side))
    return (picture.clip(0, 1) * 255).astype(np.uint8)


def draw_pool(classes: list[Kind], each: int, side: int, seed: int, progress: bool = True) -> tuple[Array, Array]:
    """``each`` pictures of each class: uint8 (n, 3, side, side) and int64 (n,), class after class."""
    images = np.empty((len(classes) * each, 3, side, side), dtype=np.uint8)
    for c, kind in enumerate(classes):
        rng = np.random.default_rng([seed, c])
        for i in range(each):
            images[c * each + i] = coloured(rng, kind.draw(rng, side))
        if progress and (c + 1) % 30 == 0:
            print(f"drew {c + 1} of {len(classes)} classes", flush=True)
    return images, np.repeat(np.arange(len(classes)), each)
