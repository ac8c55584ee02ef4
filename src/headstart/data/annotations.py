"""Labels that lie inside a text: spans with a type, and answers to a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ANSWER, NO_ANSWER = "answer", "no answer"
"""The two kinds of a question, in place of classes."""


@dataclass(frozen=True, order=True)
class Span:
    """Letters ``start`` to ``end`` (behind the last) of a text, and their type; ``text`` is what stands there."""

    start: int
    end: int
    label: str
    text: str = field(default="", compare=False)


@dataclass(frozen=True)
class Spans:
    """What is marked in one text.

    Attributes:
        spans: from left to right, none over another.
        words: (start, end) of the words where the data say them (CoNLL), else ``None``.
        scheme: of the tags that they came as, one of :data:`headstart.functional.tag_spans.SCHEMES`.
    """

    spans: tuple[Span, ...]
    words: tuple[tuple[int, int], ...] | None = field(default=None, repr=False)
    scheme: str = field(default="BIO", repr=False, compare=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types that occur."""
        return tuple(sorted({span.label for span in self.spans}))

    def __str__(self) -> str:
        return "; ".join(f"{span.text or f'{span.start}-{span.end}'} ({span.label})" for span in self.spans) or "none"


@dataclass(frozen=True)
class Answers:
    """The answers to one question; none where its text has none.

    Attributes:
        texts: what the annotators said.
        starts: where each begins in the context, in letters.
        chinese: whether they are compared by the rules of CMRC 2018.
    """

    texts: tuple[str, ...]
    starts: tuple[int, ...]
    chinese: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """Whether there is an answer."""
        return (ANSWER if self.texts else NO_ANSWER,)

    def __str__(self) -> str:
        return " | ".join(dict.fromkeys(self.texts)) or NO_ANSWER


def objects(items: Sequence[Any]) -> np.ndarray:
    """object (n,): one item a place, whatever it is."""
    found = np.empty(len(items), dtype=object)
    found[:] = items
    return found


def held(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """float32 (n, K) of 0 and 1: which kinds each of n annotations holds."""
    place = {name: k for k, name in enumerate(classes)}
    table = np.zeros((len(labels), len(classes)), dtype=np.float32)
    for i, label in enumerate(labels):
        for kind in label.kinds:
            if kind in place:
                table[i, place[kind]] = 1
    return table
