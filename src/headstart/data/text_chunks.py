"""Texts longer than a model reads, cut into windows that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from headstart.errors import DataError, sentence

CHUNKS = 16
"""Windows of a text at most; what comes behind them is not read."""


def overlap(size: int) -> int:
    """Tokens that a window of ``size`` repeats of the one before it: a quarter."""
    return size // 4


def stride(tokenizer: Any, size: int) -> int:
    """Tokens of a text that each further window adds, at least one."""
    return max(1, size - tokenizer.num_special_tokens_to_add(False) - overlap(size))


def in_windows(tokenizer: Any, texts: Sequence[Any], size: int) -> torch.Tensor:
    """B texts -> int64 (B, 3, T): with one window of at most ``size`` tokens each, as they are; else T is a multiple of ``size``, and each
    ``size`` is a window with special tokens of its own, filled up on the right; windows that a text does not need are empty.

    Raises:
        DataError: pairs of texts.
    """
    if any(not isinstance(text, str) for text in texts):
        raise DataError(
            sentence("a pair of texts cannot be read in chunks", got="--long chunks", fix="--long truncate, which cuts the longer one")
        )  # fmt: skip
    given = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    room = size - tokenizer.num_special_tokens_to_add(False)
    step = stride(tokenizer, size)
    found = []
    for ids in given:
        ids = ids[: room + (CHUNKS - 1) * step]
        starts = range(0, max(1, len(ids) - room + step), step)
        found.append([whole(tokenizer, ids[start : start + room]) for start in starts])
    most = max(map(len, found))
    width = size if most > 1 else max(len(windows[0]) for windows in found)
    ids = torch.full((len(texts), most, width), tokenizer.pad_token_id, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for i, windows in enumerate(found):
        for j, window in enumerate(windows):
            ids[i, j, : len(window)] = torch.tensor(window, dtype=torch.int64)
            mask[i, j, : len(window)] = 1
    return torch.stack([ids, mask, torch.zeros_like(ids)], dim=1).flatten(2)


def whole(tokenizer: Any, ids: list[int]) -> list[int]:
    """Token numbers with the special ones that the tokenizer puts around a text."""
    before, behind = specials(tokenizer)
    return [*before, *ids, *behind]


def specials(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The numbers of the special tokens that stand before and behind a text."""
    known = getattr(tokenizer, "_headstart_specials", None)
    if known is None:
        inner = tokenizer("a", add_special_tokens=False)["input_ids"]
        outer = tokenizer("a")["input_ids"]
        n = len(inner)
        at = next(i for i in range(len(outer) - n + 1) if outer[i : i + n] == inner)
        known = outer[:at], outer[at + n :]
        tokenizer._headstart_specials = known
    return known  # type: ignore[no-any-return]
