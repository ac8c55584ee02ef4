"""The report's charts: plain SVG, coloured by the page's own variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Dot:
    """One row of a dot plot: a value in 0..1 (or around it) with its interval; ``kind`` is a CSS class."""

    name: str
    value: float
    low: float
    high: float
    kind: str = "other"


def _ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers inside [low, high]."""
    span = (high - low) or 1.0
    unit = 10.0 ** math.floor(math.log10(span / most))
    step = next(unit * m for m in (1, 2, 5, 10) if span / (unit * m) <= most)
    first = int(low / step)
    return [round(i * step, 10) for i in range(first - 1, first + most + 3) if low - 1e-9 <= i * step <= high + 1e-9]


def _open(width: int, height: int, label: str, kind: str = "chart") -> str:
    """The opening tag; the label says in words what the picture shows."""
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'


def dots(rows: Sequence[Dot], *, label: str, percent: bool = True) -> Markup:
    """Horizontal dots with whiskers, names above their line so that long ones fit a narrow page."""
    low, high = min(r.low for r in rows), max(r.high for r in rows)
    if percent:
        low, high = max(0.0, low - 0.03), min(1.0, high + 0.03)
    else:
        low, high = low - 0.06 * (high - low), high + 0.06 * (high - low)
    width, left, right, step = 440, 20, 76, 38
    height = step * len(rows) + 26

    def x(value: float) -> float:
        return left + (value - low) / ((high - low) or 1) * (width - left - right)

    unit, scale = (" %", 100) if percent else ("", 1)
    said = "; ".join(f"{r.name} {r.value * scale:.1f}{unit} ({r.low * scale:.1f}–{r.high * scale:.1f})" for r in rows)
    parts = [_open(width, height, f"{label}: {said}")]
    for tick in _ticks(low, high):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="4" y2="{height - 20}"/>')
        shown = f"{tick * 100:.0f} %" if percent else f"{tick:g}"
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{height - 5}" text-anchor="middle">{shown}</text>')
    for i, row in enumerate(rows):
        y = step * i + 27
        parts.append(f'<text class="name {row.kind}" x="4" y="{y - 10}">{escape(row.name[:60])}</text>')
        parts.append(
            f'<line class="whisker {row.kind}" x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y}" y2="{y}"/>'
        )
        parts.append(f'<circle class="dot {row.kind}" cx="{x(row.value):.1f}" cy="{y}" r="5"/>')
        shown = f"{row.value * 100:.1f} %" if percent else f"{row.value:.3g}"
        parts.append(f'<text class="value {row.kind}" x="{width - 4}" y="{y + 4}" text-anchor="end">{shown}</text>')
    return Markup("".join(parts) + "</svg>")


def curves(lines: dict[str, list[tuple[float, float]]], *, label: str, x_label: str) -> Markup:
    """Lines over epochs; each name is a CSS class too and is written at its line's end."""
    points = [p for line in lines.values() for p in line]
    x_low, x_high = min(p[0] for p in points), max(p[0] for p in points)
    y_low, y_high = min(p[1] for p in points), max(p[1] for p in points)
    pad = (y_high - y_low) * 0.08 or 0.05
    y_low, y_high = y_low - pad, y_high + pad
    width, height, left, right, top, bottom = 440, 220, 40, 14, 10, 34

    def x(v: float) -> float:
        return left + (v - x_low) / ((x_high - x_low) or 1) * (width - left - right)

    def y(v: float) -> float:
        return height - bottom - (v - y_low) / (y_high - y_low) * (height - top - bottom)

    said = "; ".join(f"{line[0][1]:.3g} → {line[-1][1]:.3g}" for line in lines.values())
    parts = [_open(width, height, f"{label}: {said}")]
    for tick in _ticks(y_low, y_high):
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in sorted({round(x_low), round((x_low + x_high) / 2), round(x_high)}):
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{height - bottom + 16}" text-anchor="middle">{tick}</text>'
        )
    parts.append(
        f'<text class="tick" x="{(left + width - right) / 2}" y="{height - 3}" text-anchor="middle">{escape(x_label)}</text>'
    )
    for kind, line in lines.items():
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)
        parts.append(f'<polyline class="line {kind}" points="{path}"/>')
        if len(line) < 40:
            parts += [f'<circle class="point {kind}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.4"/>' for a, b in line]
    return Markup("".join(parts) + "</svg>")


def identity_scatter(
    points: Sequence[tuple[float, float]], *, label: str, x_label: str, y_label: str, most: int = 1000
) -> Markup:
    """Predictions against the truth on one scale, with the diagonal; of many points an even choice of ``most``."""
    shown = [points[i * len(points) // most] for i in range(most)] if len(points) > most else list(points)
    low, high = min(min(p) for p in points), max(max(p) for p in points)
    pad = (high - low) * 0.05 or 1.0
    low, high = low - pad, high + pad
    size, left, bottom, top = 300, 46, 40, 14

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - low) / (high - low) * (size - left - 16),
            size - bottom - (y - low) / (high - low) * (size - bottom - top),
        )

    parts = [_open(size, size, f"{label}: {len(points)}")]
    for tick in _ticks(low, high, 4):
        x, y = at(tick, tick)
        parts.append(f'<line class="grid" x1="{left}" x2="{size - 16}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{size - bottom + 16}" text-anchor="middle">{tick:g}</text>')
    (a, b), (c, d) = at(low, low), at(high, high)
    parts.append(f'<line class="whisker other" x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}"/>')
    for x, y in (at(*p) for p in shown):
        parts.append(f'<circle class="point model" cx="{x:.1f}" cy="{y:.1f}" r="2.4"/>')
    parts.append(
        f'<text class="tick" x="{(left + size) / 2:.0f}" y="{size - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    parts.append(f'<text class="tick" x="4" y="{top - 3}">{escape(y_label)}</text>')
    return Markup("".join(parts) + "</svg>")


def histograms(edges: Sequence[float], shares: dict[str, Sequence[float]], *, label: str, x_label: str) -> Markup:
    """Shares in bins as one outline a group; each name is a CSS class."""
    width, height, left, bottom, top = 440, 200, 14, 34, 8
    most = max(max(part) for part in shares.values()) or 1.0

    def x(v: float) -> float:
        return left + (v - edges[0]) / (edges[-1] - edges[0]) * (width - 2 * left)

    def y(v: float) -> float:
        return height - bottom - v / most * (height - bottom - top)

    parts = [_open(width, height, label)]
    for tick in _ticks(edges[0], edges[-1]):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{height - bottom}"/>')
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{height - bottom + 15}" text-anchor="middle">{tick:g}</text>'
        )
    for kind, part in shares.items():
        corners = [(edges[0], 0.0)]
        for i, share in enumerate(part):
            corners += [(edges[i], share), (edges[i + 1], share)]
        corners.append((edges[-1], 0.0))
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in corners)
        parts.append(f'<polyline class="line {kind}" points="{path}"/>')
    parts.append(f'<text class="tick" x="{width / 2}" y="{height - 4}" text-anchor="middle">{escape(x_label)}</text>')
    return Markup("".join(parts) + "</svg>")


def reliability(bins: Sequence[dict[str, float]], *, label: str, x_label: str, y_label: str) -> Markup:
    """Accuracy against confidence, the area of a dot by its number of images, the diagonal for reference."""
    size, left, bottom, top = 300, 46, 40, 14
    inner = size - left - 16

    def x(v: float) -> float:
        return left + v * inner

    def y(v: float) -> float:
        return size - bottom - v * (size - bottom - top)

    most = max((b["n"] for b in bins), default=1)
    said = "; ".join(f"{b['confidence'] * 100:.0f} % → {b['accuracy'] * 100:.0f} %" for b in bins)
    parts = [_open(size, size, f"{label} ({x_label} → {y_label}): {said}", "chart square")]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="grid" x1="{x(0)}" x2="{x(1)}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(
            f'<text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick * 100:.0f}</text>'
        )
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{size - bottom + 15}" text-anchor="middle">{tick * 100:.0f}</text>'
        )
    parts.append(f'<line class="diagonal" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>')
    for b in bins:
        radius = 3 + 9 * (b["n"] / most) ** 0.5
        parts.append(
            f'<line class="gap" x1="{x(b["confidence"]):.1f}" x2="{x(b["confidence"]):.1f}" y1="{y(b["confidence"]):.1f}" y2="{y(b["accuracy"]):.1f}"/>'
        )
        parts.append(
            f'<circle class="dot model soft" cx="{x(b["confidence"]):.1f}" cy="{y(b["accuracy"]):.1f}" r="{radius:.1f}">'
            f"<title>{b['n']:.0f}: {b['confidence']:.2f} / {b['accuracy']:.2f}</title></circle>"
        )
    parts.append(f'<text class="tick" x="{x(0.5)}" y="{size - 6}" text-anchor="middle">{escape(x_label)} (%)</text>')
    parts.append(
        f'<text class="tick" transform="translate(11 {y(0.5)}) rotate(-90)" text-anchor="middle">{escape(y_label)} (%)</text>'
    )
    return Markup("".join(parts) + "</svg>")


def tradeoff(
    curve: Sequence[dict[str, float]], chosen: float | None, *, label: str, x_label: str, y_label: str
) -> Markup:
    """Accuracy on the source against accuracy on the target along the line of weights from 0 (source) to 1 (tuned).

    Args:
        curve: rows of ``alpha``, ``target``, ``source``, in order.
        chosen: the alpha in use, drawn larger.
    """
    width, height, left, right, top, bottom = 440, 260, 46, 22, 16, 40
    spans = []
    for key in ("target", "source"):
        low, high = min(row[key] for row in curve), max(row[key] for row in curve)
        pad = (high - low) * 0.08 or 0.02
        spans.append((low - pad, high + pad))

    def at(row: dict[str, float]) -> tuple[float, float]:
        (a, b), (c, d) = spans
        x = left + (row["target"] - a) / (b - a) * (width - left - right)
        return x, height - bottom - (row["source"] - c) / (d - c) * (height - top - bottom)

    said = "; ".join(f"{r['alpha']:g}: {r['target'] * 100:.1f} %, {r['source'] * 100:.1f} %" for r in curve)
    parts = [_open(width, height, f"{label} ({x_label}, {y_label}): {said}")]
    for tick in _ticks(*spans[1]):
        y = at({"target": 0, "source": tick})[1]
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick * 100:.4g}</text>')
    for tick in _ticks(*spans[0]):
        x = at({"target": tick, "source": 0})[0]
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{height - bottom + 16}" text-anchor="middle">{tick * 100:.4g}</text>'
        )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, curve))
    parts.append(f'<polyline class="line model" points="{path}"/>')
    for row in curve:
        x, y = at(row)
        now = chosen is not None and abs(row["alpha"] - chosen) < 1e-9
        parts.append(
            f'<circle class="{"dot" if now else "point"} model" cx="{x:.1f}" cy="{y:.1f}" r="{5.5 if now else 2.8}">'
            f"<title>{row['alpha']:g}: {row['target'] * 100:.1f} / {row['source'] * 100:.1f}</title></circle>"
        )
        if now or row["alpha"] in (0, 1):
            end = "end" if x > width / 2 else "start"
            parts.append(
                f'<text class="tick" x="{x + (-8 if end == "end" else 8):.1f}" y="{y - 8:.1f}" text-anchor="{end}">'
                f"{row['alpha']:g}</text>"
            )
    parts.append(
        f'<text class="tick" x="{(left + width - right) / 2}" y="{height - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    parts.append(
        f'<text class="tick" transform="translate(11 {(top + height - bottom) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_label)}</text>'
    )
    return Markup("".join(parts) + "</svg>")


MARKERS = ("circle", "square", "triangle", "diamond", "cross", "plus")


def scatter(groups: Sequence[tuple[str, int, Sequence[tuple[float, float]]]], *, label: str) -> Markup:
    """A map of points. Each group is (CSS class, marker 0 to 5, points); the scale is the same in both directions."""
    points = [p for _, _, group in groups for p in group] or [(0.0, 0.0)]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    span = max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    mid_x, mid_y, size, edge = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2, 400, 12
    scale = (size - 2 * edge) / span
    parts = [_open(size, size, f"{label}, {len(points)} points", "chart square")]
    parts.append(f'<rect class="frame" x="0.5" y="0.5" width="{size - 1}" height="{size - 1}"/>')
    for kind, marker, group in groups:
        path = "".join(
            _marker(marker, size / 2 + (x - mid_x) * scale, size / 2 - (y - mid_y) * scale) for x, y in group
        )
        parts.append(f'<path class="mark-{kind}" d="{path}"/>')
    return Markup("".join(parts) + "</svg>")


def _marker(kind: int, x: float, y: float, r: float = 3.0) -> str:
    """One closed marker as part of a path; all of a group are one element, so that a map stays small."""
    shapes = {
        "circle": f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z",
        "square": f"M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z",
        "triangle": f"M{x:.1f} {y - r:.1f}l{r} {2 * r}h{-2 * r}z",
        "diamond": f"M{x:.1f} {y - r - 1:.1f}l{r} {r + 1}l{-r} {r + 1}l{-r} {-r - 1}z",
        "cross": f"M{x - r:.1f} {y - r:.1f}l{2 * r} {2 * r}m0 {-2 * r}l{-2 * r} {2 * r}",
        "plus": f"M{x - r:.1f} {y:.1f}h{2 * r}m{-r} {-r}v{2 * r}",
    }
    return shapes[MARKERS[kind % len(MARKERS)]]
