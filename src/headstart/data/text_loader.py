"""Batches of encoded texts: those of like length together, so that little is padded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.text_column import TextColumn
from headstart.data.text_preprocessing import Text, TextPreprocessing
from headstart.data.text_variation import TextVariation
from headstart.data.windows import Window

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
    augmentation: TextVariation | None = None,
    times: np.ndarray | None = None,
) -> Iterator[Batch]:
    """One pass over texts in batches; each says in ``index`` which rows it holds.

    With a seed, the rows of ``order`` are taken ``WINDOW`` batches at a time, sorted by length, cut into batches, and these come in
    an order drawn at random. Without a seed all of them are sorted, the longest first, so that what does not fit in memory says so at once.
    ``sort=False`` keeps to ``order``.

    Args:
        augmentation: varies each text by random numbers of ``shuffle_seed``, its row and its entry of ``times`` alone; a window at once,
            so that a model which rewrites texts works in batches.
        times: int (n,), how often each row of ``order`` has come before in this pass.
    """
    size = letters_of(dataset, order)
    step = WINDOW * batch_size
    places = np.arange(len(order))
    if not sort:
        windows = [places[first : first + step] for first in range(0, len(places), step)]
    elif shuffle_seed is None:
        windows = [np.argsort(-size, kind="stable")]
    else:
        rng = np.random.default_rng([shuffle_seed, 1])
        windows = []
        for first in range(0, len(order), step):
            part = slice(first, first + step)
            windows.append(_mixed(places[part][np.argsort(size[part], kind="stable")], batch_size, rng))
    for window in windows:
        rows = order[window]
        texts = [dataset.inputs[i] for i in rows] if augmentation is not None else None
        if augmentation is not None and texts is not None:
            again = np.zeros(len(rows), dtype=np.int64) if times is None else times[window]
            texts = augmentation(texts, [(shuffle_seed or 0, int(i), int(k)) for i, k in zip(rows, again, strict=True)])
        for first in range(0, len(rows), batch_size):
            some = rows[first : first + batch_size]
            if drop_last and len(some) < batch_size:
                continue
            labels = None if dataset.labels is None else torch.as_tensor(dataset.labels[some])
            inputs = [dataset.inputs[i] for i in some] if texts is None else texts[first : first + batch_size]
            yield Batch(preprocessing(inputs), labels, torch.as_tensor(some))


def _mixed(rows: np.ndarray, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """Rows cut into batches, these in an order drawn at random; the one that is short stays last."""
    whole = len(rows) // batch_size * batch_size
    pieces = rows[:whole].reshape(-1, batch_size)
    return np.concatenate([pieces[rng.permutation(len(pieces))].ravel(), rows[whole:]])


def length(text: Text | Window) -> int:
    """Letters of a text or a pair, which tell its tokens well enough to sort by; the tokens of a window."""
    return len(text) if isinstance(text, (str, Window)) else sum(map(len, text))


def letters_of(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """int64: :func:`length` of the texts at ``rows``; of those on the disk their bytes, which are known without reading them."""
    if isinstance(dataset.inputs, TextColumn):
        return dataset.inputs.take(rows).lengths()
    return np.array([length(dataset.inputs[i]) for i in rows], dtype=np.int64)
