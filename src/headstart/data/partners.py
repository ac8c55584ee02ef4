"""Pairs of texts that belong together (a question and its answer, a sentence and its translation) as identities of an embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.sequence_reader import read_sequences
from headstart.errors import DataError, sentence


def read_partners(
    data: Any, *, text_col: str, split_col: str | None, group: str | None, idle: Mapping[str, Any]
) -> Dataset:
    """Two columns (or two endings of parallel files), ``text_col`` ``"a,b"``: each row is a pair that belongs together.

    Every text is an input of its own; texts of one row are of one identity, and so are rows that share a text. A text that comes again is
    kept once.

    Raises:
        DataError: not two names; what :func:`headstart.data.sequence_reader.read_sequences` raises; a text in two splits.
    """
    names = [name.strip() for name in text_col.split(",") if name.strip()]
    if len(names) != 2:
        raise DataError(
            sentence("pairs are of two columns", where="--text-col", got=text_col, fix="--text-col question,answer")
        )
    if group is not None:
        raise DataError(
            sentence("pairs are kept whole by themselves, so --group would do nothing", got=group, fix="leave it out")
        )
    pairs = read_sequences(
        data, task="translation", text_col=names[0], label_col=names[1], split_col=split_col, idle=idle
    )
    assert pairs.labels is not None and pairs.names is not None
    place: dict[str, int] = {}
    texts: list[str] = []
    first: list[int] = []
    ends = np.empty((len(pairs), 2), dtype=np.int64)
    for i, both in enumerate(zip(pairs.inputs, pairs.labels, strict=True)):
        for side, text in enumerate(both):
            if text not in place:
                place[text] = len(texts)
                texts.append(text)
                first.append(i)
            ends[i, side] = place[text]
    own = _joined(len(texts), ends)
    splits = pairs.splits[first]
    mixed = _in_two_splits(own, splits)
    if mixed is not None:
        raise DataError(
            sentence("texts that belong together stand in two splits", where=pairs.root, got=texts[int(np.flatnonzero(own == mixed)[0])][:60], fix="data without a column of splits")
        )  # fmt: skip
    there, labels = np.unique(own, return_inverse=True)
    classes = tuple(f"{_short(texts[int(t)])} #{k}" for k, t in enumerate(there))
    note = (
        f"{len(pairs)} pairs of {names[0]!r} and {names[1]!r}: {len(texts)} different texts of {len(there)} identities."
    )
    return replace(
        pairs, inputs=texts, labels=labels.astype(np.int64), classes=classes, splits=splits, task="embedding",
        names=np.array([f"{pairs.names[i]}{'' if ends[i, 0] == j else ' (2)'}" for j, i in enumerate(first)]), notes=(*pairs.notes, note),
    )  # fmt: skip


def _joined(n: int, ends: np.ndarray) -> np.ndarray:
    """int (n,): the same number for all that edges (m, 2) join; that of the first of them."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
    part = connected_components(edges, directed=False)[1]
    first = np.full(part.max() + 1, n)
    np.minimum.at(first, part, np.arange(n))
    return first[part]


def _in_two_splits(own: np.ndarray, splits: np.ndarray) -> int | None:
    """An identity of two splits, if there is one."""
    pairs = {(int(k), str(s)) for k, s in zip(own, splits, strict=True)}
    seen: set[int] = set()
    for k, _ in sorted(pairs):
        if k in seen:
            return k
        seen.add(k)
    return None


def _short(text: str, most: int = 40) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."
