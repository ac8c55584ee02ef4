"""Texts for the report: mistakes with their most telling words, what is taken for what, examples, lengths; a bounded number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.data.checks import shown
from headstart.data.dataset import Dataset
from headstart.data.text_lengths import TokenCounts
from headstart.evaluation.scoring.scoring import Worst
from headstart.evaluation.telling import Piece, Reading, against, telling
from headstart.tasks.task import Task

MISTAKES = 12
SAMPLES = 24
PAIRS = 10
LETTERS = 600
"""Of a text that is shown, at most."""
BINS = 24


def collect_texts(
    dataset: Dataset,
    test_set: Dataset,
    worst: Sequence[Worst],
    found: np.ndarray,
    task: Task,
    reading: Reading,
    tokens: TokenCounts,
) -> dict[str, Any]:
    """What the report shows of texts.

    Args:
        dataset: all texts, with splits.
        test_set: the test texts, labelled.
        worst: the mistakes among them, the worst first.
        found: decoded predictions of the test texts (n, M).
        reading: the model, for its telling words.
        tokens: how long the texts are.

    Returns:
        ``{"mistakes": [{path, label, predicted, confidence, note, pieces}], "confusions": [{label, predicted, n, examples}],
        "samples": [{label, text}], "lengths": {...}}``; a piece is (letters, weight in -1..1 or ``None`` for what was not read).
    """
    assert test_set.labels is not None
    mistakes = []
    for one in worst[:MISTAKES]:
        text, way = test_set.inputs[one.index], against(task, found[one.index], test_set.labels[one.index])
        pieces = [(shown(text, LETTERS), 0.0)] if way is None else excerpt(scaled(telling(reading, text, way)))
        mistakes.append(
            {
                "path": test_set.name(one.index), "label": one.label, "predicted": one.predicted,
                "confidence": one.confidence, "note": one.note, "pieces": pieces,
            }
        )  # fmt: skip
    return {
        "mistakes": mistakes,
        "told": bool(mistakes) and against(task, found[0], test_set.labels[0]) is not None,
        "confusions": confusions(test_set, worst),
        "samples": samples(dataset),
        "lengths": lengths(dataset, tokens),
    }


def scaled(pieces: Sequence[Piece]) -> list[Piece]:
    """Weights divided by the largest, two digits."""
    most = max((abs(weight) for _, weight in pieces if weight), default=0.0) or 1.0
    return [(text, None if weight is None else round(weight / most, 2)) for text, weight in pieces]


def excerpt(pieces: list[Piece], most: int = LETTERS) -> list[Piece]:
    """At most about ``most`` letters around the most telling piece, dots where something is left out."""
    if sum(len(text) for text, _ in pieces) <= most:
        return pieces
    first = last = max(range(len(pieces)), key=lambda i: abs(pieces[i][1] or 0.0))
    room = most - len(pieces[first][0])
    while True:  # one piece further to either side while there is room
        grew = False
        for i in (last + 1, first - 1):
            if 0 <= i < len(pieces) and len(pieces[i][0]) <= room:
                room -= len(pieces[i][0])
                first, last, grew = min(first, i), max(last, i), True
        if not grew:
            break
    start: list[Piece] = [("… ", 0.0)] if first else []
    kept = pieces[first : last + 1]
    if last + 1 < len(pieces):
        text, weight = pieces[last + 1]
        kept = [*kept, (text[: max(room, 0)] + " …", weight)]
    return start + kept


def confusions(test_set: Dataset, worst: Sequence[Worst]) -> list[dict[str, Any]]:
    """The most frequent pairs of a true label and another that was said, each with up to two texts, the surest mistakes."""
    if test_set.task not in ("classification", "ordinal", "hierarchical"):
        return []
    pairs: dict[tuple[str, str], list[int]] = {}
    for one in worst:
        pairs.setdefault((one.label, one.predicted), []).append(one.index)
    most = sorted(pairs.items(), key=lambda item: -len(item[1]))[:PAIRS]
    return [
        {
            "label": label,
            "predicted": said,
            "n": len(rows),
            "examples": [shown(test_set.inputs[i], 160) for i in rows[:2]],
        }
        for (label, said), rows in most
    ]


def samples(dataset: Dataset) -> list[dict[str, str]]:
    """Up to two training texts a class."""
    assert dataset.labels is not None
    strata, classes = dataset.strata
    per_class = 2 if len(classes) * 2 <= SAMPLES else 1
    return [
        {"label": dataset.label_text(int(i)), "text": shown(dataset.inputs[i], 160)}
        for label in range(min(len(classes), SAMPLES))
        for i in np.flatnonzero((dataset.splits == "train") & (strata == label))[:per_class]
    ]


def lengths(dataset: Dataset, tokens: TokenCounts) -> dict[str, Any]:
    """Tokens a text: a histogram of shares by split, and how many are longer than the model reads.

    The last bin holds all that is longer than it.
    """
    sizes, splits = tokens.sizes, dataset.splits[tokens.rows]
    top = max(8, int(np.percentile(sizes, 99)) + 1)
    edges = np.unique(np.linspace(0, top, min(BINS, top) + 1).round())
    groups = {"model": np.isin(splits, ["train", "valid"]), "other": splits == "test"}
    shares = {}
    for name, own in groups.items():
        if own.any():
            counts = np.histogram(np.minimum(sizes[own], edges[-1]), edges)[0]
            shares[name] = [float(v) for v in counts / own.sum()]
    return {
        "edges": [float(e) for e in edges], "shares": shares, "limit": tokens.reach, "cut": int((sizes > tokens.reach).sum()),
        "counted": len(sizes), "median": int(np.median(sizes)), "max": int(sizes.max()),
    }  # fmt: skip
