"""Texts as batches: what is padded, what comes when, and that nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.data.dataset import Dataset
from headstart.data.loader import batches
from headstart.data.text_loader import WINDOW
from headstart.data.text_preprocessing import IDS, MASK, TYPES, TextPreprocessing, padded


class Letters:
    """A tokenizer of letters: each is one token, none is special."""

    pad_token_id = 0

    def __call__(self, first, second=None, *, truncation, max_length=None, padding=False, **_):
        rows = [[ord(c) - 96 for c in text][:max_length] for text in first]
        longest = max(map(len, rows)) if padding else 0
        fill = [row + [0] * (longest - len(row)) for row in rows]
        return {"input_ids": fill, "attention_mask": [[1] * len(r) + [0] * (longest - len(r)) for r in rows]}

    def get_vocab(self):
        return {chr(96 + i): i for i in range(1, 27)}

    def __len__(self):
        return 27


def texts(n: int) -> Dataset:
    rng = np.random.default_rng(0)
    made = ["".join(chr(97 + c) for c in rng.integers(0, 26, rng.integers(1, 60))) for _ in range(n)]
    return Dataset(made, np.arange(n) % 3, ("x", "y", "z"), np.full(n, "train"), modality="text")


def test_planes_and_cutting():
    encoded = TextPreprocessing(Letters(), 4)(["abcdef", "ba"])
    assert encoded.shape == (2, 3, 4) and encoded.dtype == torch.int64
    assert encoded[0, IDS].tolist() == [1, 2, 3, 4] and encoded[1, IDS].tolist() == [2, 1, 0, 0]
    assert encoded[1, MASK].tolist() == [1, 1, 0, 0] and not encoded[:, TYPES].any()
    assert TextPreprocessing(Letters(), 4).lengths(["abcdef", "ba"]) == [6, 2]


def test_the_digest_is_of_the_vocabulary_and_the_length():
    a = TextPreprocessing(Letters(), 4)
    assert a.digest == TextPreprocessing(Letters(), 4).digest != a.resized(5).digest
    other = Letters()
    other.get_vocab = lambda: {"a": 2}  # type: ignore[method-assign]
    assert TextPreprocessing(other, 4).digest != a.digest


@pytest.mark.parametrize("seed", [None, 3])
def test_every_row_comes_once_with_its_own_text_and_label(seed):
    data, how = texts(500), TextPreprocessing(Letters(), 64)
    seen = []
    for batch in batches(data, how, batch_size=16, shuffle_seed=seed):
        for row, label, encoded in zip(batch.index.tolist(), batch.targets.tolist(), batch.inputs, strict=True):
            word = "".join(chr(96 + i) for i in encoded[IDS].tolist() if i)
            assert word == data.inputs[row] and label == data.labels[row]
            seen.append(row)
    assert sorted(seen) == list(range(500))


def test_little_is_padded_and_the_order_is_of_the_seed():
    data, how = texts(64 * WINDOW), TextPreprocessing(Letters(), 64)

    def waste(**options):
        planes = [batch.inputs[:, MASK] for batch in batches(data, how, batch_size=16, **options)]
        return 1 - sum(p.sum().item() for p in planes) / sum(p.numel() for p in planes)

    plain = np.random.default_rng(0).permutation(len(data))
    assert waste(order=plain) > 0.4  # as they come
    assert waste() < 0.02 and waste(shuffle_seed=1) < 0.08
    first, again, other = (
        [batch.index.tolist() for batch in batches(data, how, batch_size=16, shuffle_seed=s)] for s in (1, 1, 2)
    )
    assert first == again != other
    sizes = [len(data.inputs[rows[0]]) for rows in first[: WINDOW - 1]]
    assert sizes != sorted(sizes)  # batches of like length do not come in order of length


def test_a_short_last_batch_can_be_dropped():
    data, how = texts(33), TextPreprocessing(Letters(), 64)
    assert [len(b) for b in batches(data, how, batch_size=16, shuffle_seed=0, drop_last=True)] == [16, 16]


def test_two_batches_are_filled_up_to_the_longer():
    how = TextPreprocessing(Letters(), 64)
    both = padded([how(["abc"]), how(["a", "bcdef"])])
    assert both.shape == (3, 3, 5) and both[0, MASK].tolist() == [1, 1, 1, 0, 0]
    assert padded([torch.ones(1, 4), torch.zeros(2, 4)]).shape == (3, 4)


def test_noise_is_as_long_as_texts_come():
    encoded = TextPreprocessing(Letters(), 9).noise(5)
    assert encoded.shape == (5, 3, 9) and encoded[:, MASK].all() and encoded[:, IDS].max() < 27
