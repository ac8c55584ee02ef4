"""Batches of encoded texts: those of like length together, so that little is padded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.text_column import TextColumn
from headstart.data.text_preprocessing import Text, TextPreprocessing

WINDOW = 32
"""Batches that are drawn, and then sorted by length, together."""


def text_batches(
    dataset: Dataset,
    preprocessing: TextPreprocessing,
    order: np.ndarray,
    *,
    batch_size: int,
    shuffle_seed: int | None,
    sort: bool = True,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """One pass over texts in batches; each says in ``index`` which rows it holds.

    With a seed, the rows of ``order`` are taken ``WINDOW`` batches at a time, sorted by length, cut into batches, and these come in
    an order drawn at random. Without a seed all of them are sorted, the longest first, so that what does not fit in memory says so at once.
    ``sort=False`` keeps to ``order``.
    """
    if isinstance(dataset.inputs, TextColumn):
        size = dataset.inputs.lengths()[order]
    else:
        size = np.array([length(dataset.inputs[i]) for i in order])
    if not sort:
        windows = [order]
    elif shuffle_seed is None:
        windows = [order[np.argsort(-size, kind="stable")]]
    else:
        step = WINDOW * batch_size
        rng = np.random.default_rng([shuffle_seed, 1])
        windows = []
        for first in range(0, len(order), step):
            part = slice(first, first + step)
            windows.append(_mixed(order[part][np.argsort(size[part], kind="stable")], batch_size, rng))
    for rows in windows:
        for first in range(0, len(rows), batch_size):
            some = rows[first : first + batch_size]
            if drop_last and len(some) < batch_size:
                continue
            labels = None if dataset.labels is None else torch.as_tensor(dataset.labels[some])
            yield Batch(preprocessing([dataset.inputs[i] for i in some]), labels, torch.as_tensor(some))


def _mixed(rows: np.ndarray, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """Rows cut into batches, these in an order drawn at random; the one that is short stays last."""
    whole = len(rows) // batch_size * batch_size
    pieces = rows[:whole].reshape(-1, batch_size)
    return np.concatenate([pieces[rng.permutation(len(pieces))].ravel(), rows[whole:]])


def length(text: Text) -> int:
    """Letters of a text or a pair, which tell its tokens well enough to sort by."""
    return len(text) if isinstance(text, str) else sum(map(len, text))
