"""What the terms of a deep adaptation tell at the end, in sentences and small tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

BY_SOURCE = {"sources": "weight", "losses": "loss", "distances": "distance to the target"}
"""What a term tells source by source."""
BY_CLASS = {
    "pada": (
        "mean prediction for the target",
        "A class that the target is hardly ever predicted as counts little in the loss; classes of the target come out large, the others near 0.",
    ),
    "iwan": (
        "mean weight of its source rows",
        "1 is the mean over the source. Rows that are easily told from the target count little; classes that the target lacks come out small.",
    ),
    "weights": (
        "weight of its source rows",
        "The share of the class in the target over that in the source, as it was estimated, before the rows' weights are scaled to a mean of 1: above 1 is more frequent there.",
    ),
}
"""Of ``classes``: what the number is, and how to read it."""
MANY = 12
"""Rows of a table by class; of more classes the largest and the smallest are shown."""
FEW = 0.1
"""Effective share of the rows below which a few of them decide."""


@dataclass
class Told:
    """Of one term: sentences, and tables with their heads; a head's first cell is the name's."""

    name: str
    lines: list[str] = field(default_factory=list)
    tables: list[tuple[list[str], list[list[str]]]] = field(default_factory=list)


def told(terms: dict[str, Any], sources: Sequence[str] = ()) -> list[Told]:
    """One :class:`Told` a term that tells something.

    Args:
        terms: term -> what it tells (:meth:`headstart.strategies.terms.term.Penalty.said`).
        sources: names of the sources, in their order, where a table of them stands elsewhere; else they are numbered in one here.
    """
    found = [_told(name, said, sources) for name, said in terms.items()]
    return [term for term in found if term.lines or term.tables]


def _told(name: str, said: dict[str, Any], sources: Sequence[str]) -> Told:
    out, rest = Told(name), dict(said)
    by_source = {key: rest.pop(key) for key in BY_SOURCE if key in rest}
    if by_source:
        _sources(out, by_source, sources)
    if "effective_sample_size" in rest:
        _weights(out, rest)
    if "thresholds" in rest:
        _thresholds(out, rest)
    if "labels" in rest:
        counts = rest.pop("labels")
        out.lines.append("Rows of the target that the last clustering gave each class; very unequal counts that you do not expect speak against the labels.")  # fmt: skip
        out.tables.append((["class", "rows"], _largest({c: int(n) for c, n in counts.items()}, "{:,}")))
    if "classes" in rest:
        head, line = BY_CLASS.get(name, ("value", ""))
        out.lines += [line] if line else []
        out.tables.append((["class", head], _largest(rest.pop("classes"), "{:.3f}")))
    for key, value in rest.items():  # of a term that this page does not know yet
        if isinstance(value, dict):
            out.tables.append((["", key.replace("_", " ")], [[str(k), _number(v)] for k, v in value.items()]))
        elif isinstance(value, (list, tuple)):
            out.lines.append(f"{key.replace('_', ' ')}: {', '.join(map(_number, value))}.")
        else:
            out.lines.append(f"{key.replace('_', ' ')}: {_number(value)}.")
    return out


def _sources(out: Told, found: dict[str, list[float]], sources: Sequence[str]) -> None:
    n = len(next(iter(found.values())))
    known = len(sources) == n
    names = list(sources) if known else [f"source {i + 1}" for i in range(n)]
    if "sources" in found:
        shares = found["sources"]
        most, least = names[shares.index(max(shares))], names[shares.index(min(shares))]
        if max(shares) - min(shares) < 0.1 / n:
            out.lines.append(f"All {n} sources count about alike (equal would be {1 / n:.3f} each).")
        else:
            out.lines.append(f"{most} counts most ({max(shares):.3f}) and {least} least ({min(shares):.3f}); equal would be {1 / n:.3f} each.")  # fmt: skip
    if known:
        return
    rows = [[name, *(_number(values[i]) for values in found.values())] for i, name in enumerate(names)]
    out.tables.append((["source", *(BY_SOURCE[key] for key in found)], rows))


def _weights(out: Told, rest: dict[str, Any]) -> None:
    n, size = rest.pop("rows"), rest.pop("effective_sample_size")
    where = {"inputs": "the inputs, once before training", "features": "the deep features"}.get(rest.pop("on"), "")
    line = f"Source rows weighed by {rest.pop('by')} on {where}: the weights are worth {size:,.0f} of {n:,} rows, the largest is {rest.pop('largest'):.3g} times the mean"
    clipped = rest.pop("clipped")
    out.lines.append(line + (f", and {clipped:,} were cut." if clipped else "."))
    if size < FEW * n:
        out.lines.append("So few rows decide that the result is unsteady: clip=5 cuts large weights.")


def _thresholds(out: Told, rest: dict[str, Any]) -> None:
    share = rest.pop("labelled", None)
    shown = rest.pop("thresholds")
    if share is not None:
        out.lines.append(f"The last labelling gave {share:.1%} of the target's rows a label of their own making.")
    none = [name for name, value in shown.items() if value is None]
    if none:
        out.lines.append(f"No row was predicted as {', '.join(none[:5])}{f' and {len(none) - 5} more' if len(none) > 5 else ''}.")  # fmt: skip
    out.tables.append(
        (["class", "confidence from which it labels"], _largest({c: v for c, v in shown.items() if v is not None}, "{:.3f}"))
    )  # fmt: skip


def _largest(found: dict[str, Any], form: str) -> list[list[str]]:
    """Rows in their order; of many classes the extremes."""
    rows = [[str(name), form.format(value)] for name, value in found.items()]
    if len(rows) <= MANY:
        return rows
    order = sorted(range(len(rows)), key=lambda i: -list(found.values())[i])
    half = MANY // 2
    return [rows[i] for i in order[:half]] + [[f"{len(rows) - MANY} more between", ""]] + [rows[i] for i in order[-half:]]  # fmt: skip


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)


def first_and_last(history: Sequence[dict[str, Any]], names: Sequence[str]) -> list[list[str]]:
    """Parts of the loss, with their weights: name, mean over the first epoch, mean over the last."""
    return [[name, _number(history[0].get(name)), _number(history[-1].get(name))] for name in names]
