"""Batches of texts for a forward pass alone: as many tokens in each, and no text padded further than its own length asks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.text_loader import text_batches
from headstart.data.text_preprocessing import TextPreprocessing

WINDOW = 8192
"""Texts that are tokenised, and sorted by length, together."""
HELD = 256
"""Texts of them that are in memory together; they may be long."""
STEP = 4


def filled_up(lengths: np.ndarray, most: int) -> np.ndarray:
    """Tokens to which texts of these lengths are filled up: a multiple of 4, from 32 on of 8, from 64 on of 16, at most ``most``. It depends
    on a text alone, and its batch is of others that are filled up to the same: what stands beside it changes none of its features."""
    step = STEP * np.where(lengths <= 32, 1, np.where(lengths <= 64, 2, 4))
    return np.maximum(np.minimum(-(-lengths // step) * step, most), np.maximum(lengths, 1))


def encoded_batches(dataset: Dataset, preprocessing: TextPreprocessing, *, tokens: int) -> Iterator[Batch]:
    """One pass over texts, those of a length together and the longest of :data:`WINDOW` first; ``Batch.index`` says which rows.

    Args:
        tokens: of a batch at most, padding included; one text at least.
    """
    if preprocessing.long != "truncate":
        rows = np.arange(len(dataset))
        yield from text_batches(
            dataset, preprocessing, rows, batch_size=max(1, tokens // preprocessing.size), shuffle_seed=None
        )
        return
    pad = preprocessing.tokenizer.pad_token_id
    for first in range(0, len(dataset), WINDOW):
        ids, types = _tokens(dataset, preprocessing, range(first, min(first + WINDOW, len(dataset))))
        lengths = np.array([len(one) for one in ids])
        filled = filled_up(lengths, preprocessing.size)
        order = np.argsort(-filled, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(filled[order])) + 1):
            width = int(filled[rows[0]])
            at_once = max(1, tokens // width)
            for start in range(0, len(rows), at_once):
                some = rows[start : start + at_once]
                planes = np.zeros((len(some), 3, width), dtype=np.int64)
                planes[:, 0] = pad
                for k, i in enumerate(some):
                    planes[k, 0, : lengths[i]] = ids[i]
                    planes[k, 1, : lengths[i]] = 1
                    if types:
                        planes[k, 2, : lengths[i]] = types[i]
                index = torch.as_tensor(first + some)
                labels = None if dataset.labels is None else torch.as_tensor(dataset.labels[index.numpy()])
                yield Batch(torch.from_numpy(planes), labels, index)


def _tokens(dataset: Dataset, preprocessing: TextPreprocessing, rows: range) -> tuple[list[list[int]], list[list[int]]]:
    """Tokens and types of the texts at ``rows``; no types where the tokenizer has none."""
    ids: list[list[int]] = []
    types: list[list[int]] = []
    for start in range(0, len(rows), HELD):
        given = preprocessing.encode([dataset.inputs[i] for i in rows[start : start + HELD]])
        ids += given["input_ids"]
        types += given.get("token_type_ids") or []
    return ids, types
