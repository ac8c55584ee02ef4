"""A text made from a text: an encoder-decoder under teacher forcing, cross-entropy over the vocabulary."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.data.sequence_preprocessing import NONE
from headstart.functional.bleu import tokens_for
from headstart.tasks.task import Task, TaskOptions


@dataclass(frozen=True)
class Decoding:
    """How texts are written.

    Attributes:
        beams: texts that are kept while writing, >= 1; 1 is greedy.
        length_penalty: the log-probability of a text is divided by its length to this power; above 0 favours longer texts.
        max_new_tokens: tokens of a text at most; ``None``: half as many again as the longest training target, within the model's.
    """

    beams: int = 1
    length_penalty: float = 1.0
    max_new_tokens: int | None = None


class Generation(Task):
    """A text for each text. Its outputs are (B, T, V) over the vocabulary, under teacher forcing; there is no head of its own.

    Args:
        classes: the name of what is made, alone.
        tokenize: how BLEU cuts the texts that are made (:data:`headstart.functional.bleu.TOKENS`).
        smoothing: share of the target spread over the vocabulary (Szegedy et al. 2016).
        decoding: how texts are written.
        prefix: stands before each text.
    """

    gives = frozenset({"texts"})
    obeys = frozenset({"label_smoothing", "decoding"})
    smoothing: float

    def __init__(
        self, classes: tuple[str, ...], *, tokenize: str = "13a", smoothing: float = 0.0, decoding: Decoding | None = None
    ) -> None:  # fmt: skip
        self.classes, self.tokenize, self.smoothing = classes, tokenize, smoothing
        self.decoding = decoding or Decoding()

    @classmethod
    def learn(cls, train_set: Dataset, options: TaskOptions) -> Generation:
        assert train_set.labels is not None
        return cls(train_set.classes, tokenize=tokens_for(list(train_set.labels)), smoothing=options.label_smoothing)

    @classmethod
    def restore(cls, classes: tuple[str, ...], state: dict[str, Any]) -> Generation:
        return cls(classes, tokenize=state["tokenize"], decoding=Decoding(**state["decoding"]))

    def state(self) -> dict[str, Any]:
        return {"tokenize": self.tokenize, "decoding": asdict(self.decoding)}

    @property
    @abstractmethod
    def says(self) -> str:
        """What a model of this task does, for its card."""

    @property
    def rows(self) -> int:
        return 0

    def each(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(B,): minus the log-likelihood of each target, summed over its tokens; outputs (B, T, V), targets (B, T)."""
        return self._tokens(outputs, targets).reshape(targets.shape).sum(1)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean over the tokens of the targets, :data:`NONE` left out."""
        return self._tokens(outputs, targets).sum() / self.mass(targets)

    def _tokens(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(
            outputs.flatten(0, 1).float(), targets.flatten(), ignore_index=NONE, label_smoothing=self.smoothing, reduction="none"
        )  # fmt: skip

    def mass(self, targets: torch.Tensor) -> float:
        """Tokens of the targets."""
        return max(1.0, float((targets != NONE).sum()))

    def some_targets(self, n: int) -> torch.Tensor:
        return torch.zeros(n, 1, dtype=torch.int64)

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """(B, T, V) -> (B, T): the likeliest token at each place, given the true target before it."""
        return outputs.argmax(-1).float()


class Translation(Generation):
    """Sentences of one language from those of another."""

    name = "translation"

    @property
    def says(self) -> str:
        return f"Translation into {self.classes[0]}"


class Summarization(Generation):
    """Short texts from long ones."""

    name = "summarization"

    @property
    def says(self) -> str:
        return f"Summarization of texts ({self.classes[0]})"
