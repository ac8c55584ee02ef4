"""Spans of a type in a text: a linear head over its tokens, the tag of a word read at its first token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from headstart.data.annotations import Span, Spans, objects
from headstart.data.dataset import Dataset
from headstart.data.tagging_reader import split_words
from headstart.data.windows import Window, windows_of
from headstart.functional.tag_spans import decode, encode, tag_names
from headstart.tasks.task import Task, TaskOptions

IGNORED = -100
"""The target of tokens that no word begins with."""


@dataclass(frozen=True)
class Tagged:
    """What is said of one text.

    Attributes:
        spans: from left to right.
        confidences: of each span, the mean over its words of the probability of their tags.
        sure: mean over all tokens of the largest probability.
    """

    spans: tuple[Span, ...]
    confidences: tuple[float, ...]
    sure: float


class TokenClassification(Task):
    """A tag for each word, read at the word's first token; cross-entropy over those tokens (J. Devlin et al., *BERT*, NAACL 2019, section 5.3).

    Args:
        classes: the K types of spans.
        scheme: of the tags, one of :data:`headstart.functional.tag_spans.SCHEMES`: BIO has 1 + 2K of them, IOBES 1 + 4K.
    """

    name = "token_classification"
    by_token = True

    def __init__(self, classes: tuple[str, ...], *, scheme: str = "BIO") -> None:
        self.classes, self.scheme = classes, scheme
        self.tags = tag_names(classes, scheme)

    @classmethod
    def learn(cls, train_set: Dataset, options: TaskOptions) -> TokenClassification:
        """In the scheme of the data; BIO for spans given by their letters, and where the schemes of the files differ."""
        assert train_set.labels is not None
        schemes = {label.scheme for label in train_set.labels}
        return cls(train_set.classes, scheme=schemes.pop() if len(schemes) == 1 else "BIO")

    @classmethod
    def restore(cls, classes: tuple[str, ...], state: dict[str, Any]) -> TokenClassification:
        return cls(classes, scheme=state["scheme"])

    def state(self) -> dict[str, Any]:
        return {"scheme": self.scheme}

    @property
    def says(self) -> str:
        return f"Spans of {len(self.classes)} types in texts"

    @property
    def rows(self) -> int:
        return len(self.tags)

    def windows(self, dataset: Dataset, preprocessing: Any) -> Dataset:
        """Texts in windows; targets int64 (windows, size): the tag of a word at its first token, -100 elsewhere."""
        cut = windows_of(dataset.inputs, preprocessing)
        targets = None
        if dataset.labels is not None:
            targets = np.full((len(cut), preprocessing.size), IGNORED, dtype=np.int64)
            number = {tag: k for k, tag in enumerate(self.tags)}
            marked: dict[int, tuple[Any, list[int]]] = {}
            for i, window in enumerate(cut):
                if window.row not in marked:
                    words = words_of(dataset, window.row)
                    tags = encode(over_words(dataset.labels[window.row], words), len(words), self.scheme)
                    marked[window.row] = words, [number.get(tag, IGNORED) for tag in tags]
                words, numbers = marked[window.row]
                for word, token in first_tokens(window, words).items():
                    targets[i, token] = numbers[word]
        return replace(
            dataset,
            inputs=cut,
            labels=targets,
            splits=np.full(len(cut), "", dtype="U5"),
            groups=None,
            digests=None,
            names=None,
        )

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean over the words' first tokens of outputs (B, T, tags) and targets (B, any): what these lack is no word."""
        n = outputs.shape[1]
        wanted = torch.nn.functional.pad(targets[:, :n], (0, max(0, n - targets.shape[1])), value=IGNORED)
        total = torch.nn.functional.cross_entropy(
            outputs.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return total / (wanted != IGNORED).sum().clamp(min=1)

    def mass(self, targets: torch.Tensor) -> float:
        """The words."""
        return max(float((targets != IGNORED).sum()), 1e-6)

    def some_targets(self, n: int) -> torch.Tensor:
        return torch.zeros(n, 1, dtype=torch.int64)

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """(B, T, tags) -> float32 (B, 2, T): the most probable tag and its probability."""
        best = torch.softmax(outputs.float(), -1).max(-1)
        return torch.stack([best.indices.float(), best.values], dim=1)

    def gathered(self, found: list[np.ndarray], windows: Dataset, dataset: Dataset) -> np.ndarray:
        """What :meth:`decode` gave for each window, (2, T) -> object (n,) of :class:`Tagged`, one a text.

        A word that stands in several windows is read where its first token is farthest from an end.
        """
        mine: list[list[int]] = [[] for _ in range(len(dataset))]
        for i, window in enumerate(windows.inputs):
            mine[window.row].append(i)
        return objects([
            self.tagged(dataset.inputs[row], words_of(dataset, row), [(windows.inputs[i], found[i]) for i in some])
            for row, some in enumerate(mine)
        ])  # fmt: skip

    def tagged(self, text: str, words: tuple[tuple[int, int], ...], read: list[tuple[Window, np.ndarray]]) -> Tagged:
        """The spans of one text from its windows, each with (2, >= T): tags and their probabilities."""
        best: dict[int, tuple[int, int, float]] = {}
        sure = [logits[1, window.first : window.end] for window, logits in read]
        for window, said in read:
            for word, token in first_tokens(window, words).items():
                room = min(token - window.first, window.end - 1 - token)
                if word not in best or room > best[word][0]:
                    best[word] = room, int(said[0, token]), float(said[1, token])
        outside = "O" if self.scheme != "tags" else ""
        tags = [self.tags[best[i][1]] if i in best else outside for i in range(len(words))]
        if self.scheme == "tags":  # a word that has no token of its own has no tag
            places = [(i, i + 1, tag) for i, tag in enumerate(tags) if tag]
        else:
            places = decode(tags, self.scheme)
        spans = tuple(
            Span(words[first][0], words[end - 1][1], name, text[words[first][0] : words[end - 1][1]])
            for first, end, name in places
        )
        confidences = tuple(
            float(np.mean([best[i][2] for i in range(first, end) if i in best])) for first, end, _ in places
        )
        every = np.concatenate(sure) if sure else np.ones(1)
        return Tagged(spans, confidences, float(every.mean()) if len(every) else 1.0)

    def compared(self, found: np.ndarray) -> np.ndarray:
        """How sure the model is of each text, float32 (n, 1)."""
        return np.array([[tagged.sure] for tagged in found], dtype=np.float32)


def words_of(dataset: Dataset, row: int) -> tuple[tuple[int, int], ...]:
    """Where the words of a text stand: as its annotation says, else as :func:`headstart.data.tagging_reader.split_words` cuts it."""
    given = None if dataset.labels is None else dataset.labels[row].words
    return split_words(dataset.inputs[row]) if given is None else given


def over_words(label: Spans, words: tuple[tuple[int, int], ...]) -> list[tuple[int, int, str]]:
    """Spans of letters -> spans of the words that they touch."""
    starts, ends = np.array(words, dtype=np.int64).reshape(-1, 2).T
    found = []
    for span in label.spans:
        touched = np.flatnonzero((ends > span.start) & (starts < span.end))
        if len(touched):
            found.append((int(touched[0]), int(touched[-1]) + 1, span.label))
    return found


def first_tokens(window: Window, words: tuple[tuple[int, int], ...]) -> dict[int, int]:
    """Word -> the token of the window that it begins with, for the words whose first letter stands in the window; a token that
    several words share is the first one's."""
    if not words:
        return {}
    starts = np.array([word[0] for word in words])
    found: dict[int, int] = {}
    taken = -1
    for token in range(window.first, window.end):
        start, end = window.places[token]
        if end <= start:
            continue
        # the words whose first letter this token holds
        low, high = np.searchsorted(starts, [start, end])
        if low < high and int(low) not in found and int(low) > taken:
            found[int(low)] = token
            taken = int(high) - 1
    return found
