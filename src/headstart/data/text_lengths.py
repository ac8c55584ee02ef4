"""How long texts are for a model: tokens, what is cut off, and what its tokenizer does not know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.text_loader import letters_of
from headstart.data.text_preprocessing import COUNTED as COUNTED_LETTERS
from headstart.data.text_preprocessing import TextPreprocessing, counted_part

COUNTED = 20_000
"""Texts whose tokens are counted at most, and"""
LETTERS = 10_000_000
"""their letters together; of more, a random draw."""
AT_ONCE = 64
UNKNOWN = 0.05
"""Share of unknown tokens from which on there is a warning."""


@dataclass(frozen=True)
class TokenCounts:
    """How many tokens texts have, special ones included.

    Attributes:
        n: texts of the data set. reach: tokens that the model reads of a text.
        rows: int64 (m,), sorted: those that were counted.
        sizes: int64 (m,): their tokens.
        unknown: share of tokens, in 0..1, that the tokenizer has no name for.
    """

    n: int
    reach: int
    rows: np.ndarray
    sizes: np.ndarray
    unknown: float

    def facts(self) -> dict[str, Any]:
        """For ``data.json`` and the report: how long texts are, and what the model does not see.

        Returns:
            ``n`` texts, of which ``counted``; ``size``, the reach; ``tokens`` {min, median, p95, max}; ``truncated`` texts are longer than
            ``size`` (scaled up where not all are counted); of them, ``lost`` {median, max} tokens each, and ``lost_share`` of all tokens
            together; ``unknown``.
        """
        size = self.sizes
        over = size[size > self.reach] - self.reach
        return {
            "n": self.n, "counted": len(self.rows), "size": self.reach,
            "tokens": {"min": int(size.min()), "median": int(np.median(size)), "p95": int(np.quantile(size, 0.95)), "max": int(size.max())},
            "truncated": round(len(over) * self.n / len(size)),
            "lost": {"median": int(np.median(over)), "max": int(over.max())} if len(over) else {"median": 0, "max": 0},
            "lost_share": round(float(over.sum() / max(1, size.sum())), 4), "unknown": round(self.unknown, 4),
        }  # fmt: skip


def count_tokens(
    dataset: Dataset, preprocessing: TextPreprocessing, *, most: int = COUNTED, seed: int = 0
) -> TokenCounts:
    """Count the tokens of one text or more; of more than ``most``, or than :data:`LETTERS` letters together, those of so many drawn at random
    (by ``seed``)."""
    rows = drawn(dataset, most, seed=seed)
    lengths, unknown, total = [], 0, 0
    unk = getattr(preprocessing.tokenizer, "unk_token_id", None)
    for share, ids in _tokens(dataset, preprocessing, rows):
        lengths.append(round(len(ids) * share))
        unknown += sum(i == unk for i in ids)
        total += len(ids)
    return TokenCounts(
        len(dataset), preprocessing.reach, rows, np.array(lengths, dtype=np.int64), unknown / max(1, total)
    )


def drawn(dataset: Dataset, most: int, *, seed: int = 0) -> np.ndarray:
    """int64, sorted: rows drawn at random, ``most`` of them and :data:`LETTERS` letters together at most; all where they are no more."""
    order = np.random.default_rng(seed).permutation(len(dataset))[:most]
    reached = np.cumsum(np.minimum(letters_of(dataset, order), COUNTED_LETTERS))
    return np.sort(order[: max(1, int(np.searchsorted(reached, LETTERS, side="right")))])


def _tokens(dataset: Dataset, preprocessing: TextPreprocessing, rows: np.ndarray) -> Iterator[tuple[float, list[int]]]:
    """The tokens of what is counted of each text, and how many times longer the whole is."""
    for first in range(0, len(rows), AT_ONCE):
        texts = [dataset.inputs[int(i)] for i in rows[first : first + AT_ONCE]]
        given, whole = zip(*map(counted_part, texts), strict=True)
        yield from zip(whole, preprocessing.token_ids(given), strict=True)


def in_windows(facts: dict[str, Any]) -> dict[str, Any]:
    """:meth:`TokenCounts.facts` for tasks that read texts in windows: what is longer is ``windowed``, and nothing is lost."""
    return {**facts, "windowed": facts["truncated"], "truncated": 0, "lost": {"median": 0, "max": 0}, "lost_share": 0.0}


def token_sentences(facts: dict[str, Any], source: str) -> list[str]:
    """What to say of :meth:`TokenCounts.facts` to the user."""
    n, size = facts["n"], facts["size"]
    about = "" if facts["counted"] == n else f"about (by {facts['counted']} drawn at random) "
    if facts.get("windowed"):
        found = [
            f"{about}{facts['windowed']} of {n} texts are longer than {size} tokens and are read in windows that overlap; nothing is lost."
        ]
    elif facts["truncated"]:
        found = [
            f"{about}{facts['truncated']} of {n} texts are longer than the {size} tokens that are read of each and lose their end: "
            f"{facts['lost']['median']} tokens at the median, {100 * facts['lost_share']:.1f} % of all tokens; --max-length reads more, as far as "
            "the model can."
        ]
    else:
        found = [
            f"{about}no text is longer than the {size} tokens that are read of each (the longest has {facts['tokens']['max']})."
        ]
    found = [line[0].upper() + line[1:] for line in found]
    if facts["unknown"] > UNKNOWN:
        found.append(
            f"{100 * facts['unknown']:.0f} % of the tokens are unknown to the tokenizer of {source}, which sees nothing in them: it was made for "
            "another language or script; take a source that was made for these texts."
        )
    return found
