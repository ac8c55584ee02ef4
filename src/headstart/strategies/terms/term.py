"""What is added to the loss: a term with a weight, bound to the starting point before the first step."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.sources.source import Layer
from headstart.strategies.tuning.tuning import Stage
from headstart.tasks.task import Model, Task

if TYPE_CHECKING:
    from headstart.strategies.procedures.procedure import Procedure


@dataclass
class Start:
    """What a term may take from the starting point.

    Attributes:
        model: backbone and new head as they stand before the first step, on the training device.
        layers: of the backbone, from the input to the output.
        task: what is predicted.
        batches: () -> one pass over the training images without augmentation.
        device: where the model is.
        seed: for what a term draws.
        source_head: (weight (S, width), bias (S,)) of the source task, or ``None``.
        source_classes: the S class names, or ``()``.
        total: training images.
        stages: what moves of each layer, and when.
        size: side of the images, in pixels.
        batch: images of a training step.
        sources: labelled domains.
        target_batches: () -> one pass over the inputs of the target domain without augmentation, in their order (``inputs`` and
            ``index``); ``None`` without such a domain.
        target_total: how many these are.
    """

    model: Model
    layers: Sequence[Layer]
    task: Task
    batches: Callable[[], Iterable[Batch]]
    device: torch.device
    seed: int
    source_head: tuple[torch.Tensor, torch.Tensor] | None = None
    source_classes: tuple[str, ...] = ()
    total: int = 0
    stages: Sequence[Stage] = ()
    size: int = 224
    batch: int = 32
    sources: int = 1
    target_batches: Callable[[], Iterable[Batch]] | None = None
    target_total: int = 0
    _frozen: nn.Module | None = field(default=None, init=False, repr=False)

    @property
    def frozen(self) -> nn.Module:
        """The backbone as it started, in eval mode and without gradients: one copy that all terms share.

        Its first use has to be in :meth:`Term.bind`, before the first step.
        """
        if self._frozen is None:
            self._frozen = copy.deepcopy(self.model.backbone).eval().requires_grad_(False)
        return self._frozen


@dataclass
class Seen:
    """What one forward pass saw; a term reads from it what it needs.

    Attributes:
        model: as it stands.
        batch: inputs, targets, index and what else there is.
        features: (B, width), before dropout.
        outputs: of the head, (B, K) logits for a classification.
        progress: share of the epochs that has passed, in [0, 1).
        start: the starting point.
        target_features: (U, width), of ``batch.target``; ``None`` without target inputs.
        target_outputs: (U, K), the same.
        weights: (B,), what each labelled input counts: ``batch.weights`` times what the terms weigh; ``None``: all alike.
    """

    model: Model
    batch: Batch
    features: torch.Tensor
    outputs: torch.Tensor
    progress: float
    start: Start
    target_features: torch.Tensor | None = None
    target_outputs: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    _source_features: torch.Tensor | None = field(default=None, init=False, repr=False)

    def source_side(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Features, outputs and weights of the labelled inputs that are of a source, without the labelled ones of the target."""
        if self.batch.domain is None or not (self.batch.domain >= self.start.sources).any():
            return self.features, self.outputs, self.weights
        mine = self.batch.domain < self.start.sources
        return self.features[mine], self.outputs[mine], None if self.weights is None else self.weights[mine]

    @property
    def source_features(self) -> torch.Tensor:
        """(B, width): what the starting backbone makes of the same images, without gradient; computed once a batch."""
        if self._source_features is None:
            with torch.no_grad():
                self._source_features = self.start.frozen(self.batch.inputs)
        return self._source_features


class Penalty(nn.Module, ABC):
    """A bound term. Its parameters are trained at the head's rate; its persistent buffers are in the checkpoint.

    References to parameters of the model are kept in plain lists: a penalty is copied together with its model.
    """

    def watching(self, model: Model, batch: Batch) -> AbstractContextManager[None]:
        """Around the pass of the inputs through the backbone, for a term that reads or changes what happens inside it.

        The labelled inputs come first, those of the target after them.
        """
        return nullcontext()

    def weigh(self, seen: Seen) -> torch.Tensor | None:
        """(B,) factors on what each labelled input counts, in the task's loss and in every term; asked before any of them."""
        return None

    def begin(self, model: Model, progress: float) -> None:
        """Before each epoch, ``model`` in train mode; to be left so."""

    def after_step(self, model: Model) -> None:
        """After each update."""

    def said(self) -> dict[str, Any]:
        """What the user should be told at the end, ready for JSON: weights of classes or of sources, say."""
        return {}

    @abstractmethod
    def forward(self, seen: Seen) -> torch.Tensor:
        """The weighted value, a scalar with gradient."""


@dataclass(frozen=True)
class Term(ABC):
    """One R_k of the objective ``L(D_t; theta) + sum_k lambda_k R_k``.

    ``needs`` names what must be there for the term to act (see :mod:`headstart.strategies.handshake`).
    """

    weight: float

    name = "term"
    needs = frozenset[str]()
    procedure: ClassVar[Procedure | None] = None
    """How one update runs, for a term that asks for more than one forward and one backward."""

    @abstractmethod
    def bind(self, start: Start) -> Penalty | None:
        """Take what must be kept of the starting point, and return the penalty of the model as it now stands.

        ``None`` for a term that acts by :meth:`rewire` alone and adds nothing to the loss.
        """

    @abstractmethod
    def describe(self) -> str:
        """A few words for tables."""

    def rewire(self, backbone: nn.Module) -> None:  # noqa: B027
        """Change the backbone in place before training; modules and parameters keep their dotted names."""

    def restore(self, backbone: nn.Module) -> None:  # noqa: B027
        """Undo :meth:`rewire` in place after training."""
