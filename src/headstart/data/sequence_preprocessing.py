"""How a text and what is to be made of it become what an encoder-decoder expects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.text_loader import WINDOW

IDS, MASK, LABELS = range(3)
"""Planes of an encoded batch (B, 3, T): tokens of the texts, 1 where there is one, tokens of the targets (:data:`NONE` where none is)."""
NONE = -100
"""What stands behind the end of a target; no loss counts it."""


@dataclass(frozen=True)
class SequencePreprocessing:
    """The tokenizer that travels with an encoder-decoder.

    Attributes:
        tokenizer: of transformers.
        size: tokens of a text, and of a target, at most; what is longer loses its end.
        prefix: stands before every text (T5's models are told their task so).
    """

    tokenizer: Any = field(repr=False)
    size: int = 128
    prefix: str = ""
    modality = "text"

    def __call__(self, texts: Sequence[str], targets: Sequence[str] | None = None) -> torch.Tensor:
        """B texts and their targets -> int64 (B, 3, T): planes :data:`IDS`, :data:`MASK`, :data:`LABELS`, as long as the longest of them."""
        one = self.tokenizer([self.prefix + t for t in texts], truncation=True, max_length=self.size)["input_ids"]
        other: list[list[int]] = [[] for _ in texts]
        if targets is not None:
            other = self.tokenizer(text_target=list(targets), truncation=True, max_length=self.size)["input_ids"]
        longest = max(map(len, [*one, *other]))
        planes = np.empty((len(texts), 3, longest), dtype=np.int64)
        planes[:, IDS], planes[:, MASK], planes[:, LABELS] = self.pad, 0, NONE
        for row, a, b in zip(planes, one, other, strict=True):
            row[IDS, : len(a)], row[MASK, : len(a)], row[LABELS, : len(b)] = a, 1, b
        return torch.from_numpy(planes)

    @property
    def pad(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def lengths(self, texts: Sequence[str], *, target: bool = False) -> list[int]:
        """Tokens of each text, or target, as it is, nothing cut off."""
        given = {"text_target": list(texts)} if target else {"text": [self.prefix + t for t in texts]}
        return [len(ids) for ids in self.tokenizer(**given, truncation=False, verbose=False)["input_ids"]]

    def noise(self, n: int) -> torch.Tensor:
        """int64 (n, 3, size): texts and targets as long as they come, for trial steps."""
        ids = torch.randint(0, len(self.tokenizer), (n, self.size))
        return torch.stack([ids, torch.ones_like(ids), torch.randint(0, len(self.tokenizer), (n, self.size))], dim=1)

    def text(self, ids: Sequence[int]) -> str:
        """Tokens back to a text, without special ones."""
        return str(self.tokenizer.decode([i for i in ids if i >= 0], skip_special_tokens=True)).strip()

    def resized(self, size: int) -> SequencePreprocessing:
        """The same tokenizer at another length."""
        return replace(self, size=size)


def sequence_batches(
    dataset: Dataset, preprocessing: SequencePreprocessing, *, batch_size: int, shuffle_seed: int | None = None
) -> Iterator[Batch]:
    """One pass over pairs in batches of like length, as :func:`headstart.data.text_loader.text_batches` makes them; ``targets`` are the
    tokens (B, T) of the targets, :data:`NONE` behind their ends."""
    size = np.array([len(t) for t in dataset.inputs])
    if dataset.labels is not None:
        size = size + np.array([len(t) for t in dataset.labels])
    for rows in _grouped(size, batch_size, shuffle_seed):
        targets = None if dataset.labels is None else [dataset.labels[i] for i in rows]
        inputs = preprocessing([dataset.inputs[i] for i in rows], targets)
        yield Batch(inputs, inputs[:, LABELS].clone(), torch.as_tensor(rows))


def _grouped(size: np.ndarray, batch_size: int, seed: int | None) -> Iterator[np.ndarray]:
    """Rows of like length together: all sorted, the longest first; with a seed, within stretches of rows drawn at random, and the batches
    of a stretch in an order drawn at random."""
    if seed is None:
        order = np.argsort(-size, kind="stable")
        yield from (order[first : first + batch_size] for first in range(0, len(order), batch_size))
        return
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(size))
    for first in range(0, len(order), WINDOW * batch_size):
        part = order[first : first + WINDOW * batch_size]
        part = part[np.argsort(size[part], kind="stable")]
        pieces = [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
        yield from (pieces[i] for i in rng.permutation(len(pieces)))
