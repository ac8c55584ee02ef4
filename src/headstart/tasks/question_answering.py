"""Answers that stand in a text: a linear head of two rows over its tokens, where an answer begins and where it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from headstart.data.annotations import NO_ANSWER, Answers, objects
from headstart.data.dataset import Dataset
from headstart.data.windows import Window, windows_of
from headstart.functional.span_answers import cmrc, squad
from headstart.tasks.task import Task, TaskOptions

N_BEST = 20
"""Spans that share the confidence."""
LONGEST = 100
"""Letters of an answer at most, where no training answer is known."""


@dataclass(frozen=True)
class Answer:
    """What is said to one question.

    Attributes:
        text: the answer, ``""`` for none.
        start, end: letters of the context; -1 for none.
        confidence: of the span among the ``N_BEST`` best ones and, where questions may have no answer, none.
        best: the best span's (text, start, end), whatever is said.
        margin: score of the best span above that of no answer.
    """

    text: str
    start: int
    end: int
    confidence: float
    best: tuple[str, int, int]
    margin: float


class QuestionAnswering(Task):
    """The start and the end of an answer in its context (J. Devlin et al., *BERT*, NAACL 2019, sections 4.2 and 4.3).

    With logits ``s_i`` and ``e_i`` of each token of a window as start and as end, the loss is the mean of two cross-entropies over the
    tokens of the context and the window's first token, which stands for "no answer here"; so it does in a window that does not hold the
    answer. The best span over all windows has the largest ``s_i + e_j`` of ``i <= j``, with at most ``longest`` letters; there is no answer
    where ``s_0 + e_0`` of the window where that is least is above it by more than ``threshold``.

    Args:
        classes: ``("answer",)``, or ``("answer", "no answer")`` where questions may have none.
        longest: letters of an answer at most; learned: the longest training answer.
        threshold: what a span's margin over no answer must reach; settled on validation questions for the largest F1, else 0.
    """

    name = "question_answering"
    by_token = True

    def __init__(self, classes: tuple[str, ...], *, longest: int = LONGEST, threshold: float = 0.0) -> None:
        self.classes, self.longest, self.threshold = classes, longest, threshold
        self.settles = "the threshold of no answer" if self.may_be_none else ""

    @property
    def may_be_none(self) -> bool:
        """Whether a question may have no answer."""
        return NO_ANSWER in self.classes

    @classmethod
    def learn(cls, train_set: Dataset, options: TaskOptions) -> QuestionAnswering:
        assert train_set.labels is not None
        return cls(
            train_set.classes,
            longest=max((len(text) for label in train_set.labels for text in label.texts), default=LONGEST),
        )

    @classmethod
    def restore(cls, classes: tuple[str, ...], state: dict[str, Any]) -> QuestionAnswering:
        return cls(classes, longest=state["longest"], threshold=state["threshold"])

    def state(self) -> dict[str, Any]:
        return {"longest": self.longest, "threshold": self.threshold}

    @property
    def says(self) -> str:
        return "Answers to questions, as spans of a text"

    @property
    def rows(self) -> int:
        return 2

    def windows(self, dataset: Dataset, preprocessing: Any) -> Dataset:
        """Pairs (question, context) in windows; targets int64 (windows, 4): start, end, first and last token of the context."""
        cut = windows_of(dataset.inputs, preprocessing)
        targets = None
        if dataset.labels is not None:
            targets = np.array(
                [
                    (*_target(window, dataset.labels[window.row]), window.first, max(window.end - 1, window.first))
                    for window in cut
                ]
            )
        return replace(
            dataset, inputs=cut, labels=None if targets is None else targets.reshape(-1, 4).astype(np.int64), splits=np.full(len(cut), "", dtype="U5"),
            groups=None, digests=None, names=None,
        )  # fmt: skip

    def each(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(B,): of outputs (B, T, 2) and targets (B, 4) of :meth:`windows`."""
        at = torch.arange(outputs.shape[1], device=outputs.device)
        outside = (at > 0) & ((at < targets[:, 2:3]) | (at > targets[:, 3:4]))
        logits = outputs.float().masked_fill(outside.unsqueeze(-1), float("-inf"))
        found = [torch.nn.functional.cross_entropy(logits[:, :, k], targets[:, k], reduction="none") for k in (0, 1)]
        return (found[0] + found[1]) / 2

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean of :meth:`each`."""
        return self.each(outputs, targets).mean()

    def some_targets(self, n: int) -> torch.Tensor:
        return torch.tensor([[1, 2, 1, 3]]).repeat(n, 1)

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """(B, T, 2) -> float32 (B, 2, T): starts and ends."""
        return outputs.float().transpose(1, 2)

    def gathered(self, found: list[np.ndarray], windows: Dataset, dataset: Dataset) -> np.ndarray:
        """What :meth:`decode` gave for each window, (2, T) -> object (n,) of :class:`Answer`, one a question."""
        cut = windows.inputs
        mine: list[list[int]] = [[] for _ in range(len(dataset))]
        for i, window in enumerate(cut):
            mine[window.row].append(i)
        return objects([
            self.answer(dataset.inputs[row][1], [(cut[i], found[i]) for i in some]) for row, some in enumerate(mine)
        ])  # fmt: skip

    def answer(self, context: str, read: list[tuple[Window, np.ndarray]]) -> Answer:
        """The best span over the windows of one context, each with its logits (2, >= T)."""
        spans: list[tuple[float, int, int]] = []
        none = min((float(logits[0, 0] + logits[1, 0]) for _, logits in read), default=0.0)
        for window, logits in read:
            spans += best_spans(
                logits[:, window.first : window.end], window.places[window.first : window.end], self.longest
            )
        spans = sorted(set(spans), key=lambda span: (-span[0], span[1], span[2]))[:N_BEST]
        if not spans:
            return Answer("", -1, -1, 1.0, ("", -1, -1), float("-inf"))
        score, start, end = spans[0]
        scores = np.array([span[0] for span in spans] + ([none] if self.may_be_none else []))
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        best = (context[start:end], start, end)
        margin = score - none
        if self.may_be_none and margin < self.threshold:
            return Answer("", -1, -1, float(shares[-1]), best, margin)
        return Answer(*best, float(shares[0]), best, margin)

    def compared(self, found: np.ndarray) -> np.ndarray:
        """The confidence, float32 (n, 1): two spans of nearly one score may change places, their scores do not."""
        return np.array([[answer.confidence] for answer in found], dtype=np.float32)

    def tuned(self, found: np.ndarray, labels: np.ndarray) -> QuestionAnswering:
        """With the threshold of the largest F1 over the held-out questions; of equal ones the nearest to 0."""
        if not self.may_be_none:
            return self
        margins = np.array([answer.margin for answer in found])
        said = np.array([f1(answer.best[0], label) for answer, label in zip(found, labels, strict=True)])
        silent = np.array([f1("", label) for label in labels])
        order = np.argsort(-margins, kind="stable")
        # the first k questions by margin are answered, the others are not
        total = (
            np.concatenate([[0.0], np.cumsum(said[order])])
            + silent.sum()
            - np.concatenate([[0.0], np.cumsum(silent[order])])
        )
        edges = np.concatenate([[margins.max() + 1], margins[order]])
        fair = np.concatenate([[True], np.append(margins[order][:-1] > margins[order][1:], True)])
        good = np.flatnonzero(fair & (total >= total[fair].max() - 1e-9) & np.isfinite(edges))
        if not len(good):
            return self
        return QuestionAnswering(
            self.classes, longest=self.longest, threshold=float(edges[good[np.abs(edges[good]).argmin()]])
        )


def best_spans(logits: np.ndarray, places: np.ndarray, longest: int) -> list[tuple[float, int, int]]:
    """The ``N_BEST`` best spans of one window: (score, start, end) in letters.

    Args:
        logits: (2, T) of the tokens of the context alone.
        places: int (T, 2), where these stand.
        longest: letters of a span at most.
    """
    starts, ends = places[:, 0], places[:, 1]
    size = ends[None, :] - starts[:, None]
    there = ends > starts  # a token that stands for no letter begins and ends nothing
    fits = (size > 0) & (size <= longest) & there[:, None] & there[None, :] & np.triu(np.ones(size.shape, dtype=bool))
    scores = np.where(fits, logits[0][:, None].astype(np.float64) + logits[1][None, :], -np.inf)
    flat = scores.ravel()
    if not len(flat):
        return []
    top = np.argpartition(-flat, min(N_BEST, len(flat)) - 1)[:N_BEST]
    rows = len(ends)
    return [(float(flat[k]), int(starts[k // rows]), int(ends[k % rows])) for k in top if np.isfinite(flat[k])]


def _target(window: Window, label: Answers) -> tuple[int, int]:
    """The tokens where the first answer that stands whole in a window begins and ends; (0, 0) where none does."""
    places = window.places[window.first : window.end]
    for text, start in zip(label.texts, label.starts, strict=True):
        lead = len(text) - len(text.lstrip())
        start, end = start + lead, start + len(text.rstrip())
        over = np.flatnonzero((places[:, 1] > start) & (places[:, 0] < end) & (places[:, 1] > places[:, 0]))
        if len(over) and places[over[0], 0] <= start and places[over[-1], 1] >= end:
            return window.first + int(over[0]), window.first + int(over[-1])
    return 0, 0


def f1(said: str, label: Answers, version: int = 2) -> float:
    """F1 of what is said by the rules that ``label`` is scored by."""
    return (cmrc(said, label.texts) if label.chinese else squad(said, label.texts, version=version))[1]
