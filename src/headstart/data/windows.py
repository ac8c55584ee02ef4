"""Texts longer than a model, in windows that overlap; each token knows where in the text it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from headstart.errors import SourceError, sentence

if TYPE_CHECKING:
    from headstart.data.text_preprocessing import Text, TextPreprocessing

OVERLAP = 4
"""Neighbouring windows share a quarter of the model's length."""
QUESTION = 3
"""A question takes a third of the model's length at most; what is longer loses its end."""


@dataclass(frozen=True)
class Window:
    """A stretch of one text, encoded.

    Attributes:
        ids, types: int64 (T,), tokens and which of two texts they are of.
        places: int64 (T, 2), letters (start, end) of the text that each token stands for; of a pair the second text.
        first, end: the tokens ``first`` to ``end - 1`` are of that text, the others a question or special.
        row: the row of the data set.
    """

    ids: np.ndarray
    types: np.ndarray
    places: np.ndarray
    first: int
    end: int
    row: int

    def __len__(self) -> int:
        return len(self.ids)


def windows_of(texts: Sequence[Text], preprocessing: TextPreprocessing) -> list[Window]:
    """Every text, or the second one of every pair beside the whole first one, in windows of ``preprocessing.size`` tokens.

    Neighbours overlap by a quarter of the size (A. Radford et al. and J. Devlin et al. call this a stride), so that what is cut by an
    end of one stands whole in another.

    Raises:
        SourceError: the tokenizer cannot say where its tokens stand.
    """
    tokenizer, size = preprocessing.tokenizer, preprocessing.size
    if not getattr(tokenizer, "is_fast", False):
        raise SourceError(
            sentence("this tokenizer does not say where in a text its tokens stand, which spans are read from", got=type(tokenizer).__name__,
                     fix="a source with a tokenizer.json")
        )  # fmt: skip
    if not texts:
        return []
    pairs = not isinstance(texts[0], str)
    how = {
        "max_length": size,
        "stride": size // OVERLAP,
        "return_overflowing_tokens": True,
        "return_offsets_mapping": True,
    }
    if pairs:
        given = tokenizer(_short([text[0] for text in texts], tokenizer, size // QUESTION), [text[1] for text in texts], truncation="only_second", **how)  # fmt: skip
    else:
        given = tokenizer(list(texts), truncation=True, **how)
    found = []
    for i, ids in enumerate(given["input_ids"]):
        inside = np.array([side == int(pairs) for side in given.sequence_ids(i)], dtype=bool)
        at = np.flatnonzero(inside)
        types = given["token_type_ids"][i] if "token_type_ids" in given else [0] * len(ids)
        found.append(
            Window(
                np.array(ids, dtype=np.int64), np.array(types, dtype=np.int64), np.array(given["offset_mapping"][i], dtype=np.int64).reshape(-1, 2),
                int(at[0]) if len(at) else 0, int(at[-1]) + 1 if len(at) else 0, int(given["overflow_to_sample_mapping"][i]),
            )
        )  # fmt: skip
    return found


def _short(questions: list[str], tokenizer, most: int) -> list[str]:  # type: ignore[no-untyped-def]
    """Questions of at most ``most`` tokens."""
    given = tokenizer(questions, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return [
        text if len(places) <= most else text[: places[most - 1][1]]
        for text, places in zip(questions, given["offset_mapping"], strict=True)
    ]


def collate(windows: Sequence[Window], pad: int) -> torch.Tensor:
    """B windows -> int64 (B, 3, T), planes as of :mod:`headstart.data.text_preprocessing`, padded on the right."""
    longest = max(map(len, windows))
    found = np.zeros((len(windows), 3, longest), dtype=np.int64)
    found[:, 0] = pad
    for row, window in zip(found, windows, strict=True):
        n = len(window)
        row[0, :n], row[1, :n], row[2, :n] = window.ids, 1, window.types
    return torch.from_numpy(found)
