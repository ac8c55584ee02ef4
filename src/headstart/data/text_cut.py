"""The beginning of a text that is all a model sees, so that a text of many MB is not taken apart for its first tokens."""

from __future__ import annotations

import re
from collections.abc import Callable

LETTERS = 32
"""Letters a token, to begin with; more where that is too few."""
MORE = 16
"""Tokens that the beginning has more than are kept, so that what stands at its end changes none of them."""


def beginning(text: str, size: int, count: Callable[[str], int]) -> str:
    """The beginning of a text whose first ``size`` tokens are those of the text; cut between words where there are spaces.

    Args:
        size: tokens that are kept.
        count: tokens of a text, without special ones.
    """
    letters = LETTERS * size
    while len(text) > letters:
        space = re.search(r"\s", text[letters : letters + 1000])
        piece = text[: letters + (space.start() if space else 0)]
        if count(piece) >= size + MORE:
            return piece
        letters *= 4
    return text
