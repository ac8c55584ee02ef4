"""Mixout: dropout that falls back to the source's weights (Lee, Cho, Kang, *Mixout*, ICLR 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.functional.mixout import mixout
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.tasks.task import Model

CHANCES = ("dropout", "attention_dropout", "activation_dropout")
"""Where blocks that drop without a module of their own keep the chance (the attention of T5, all of Marian and BART)."""


@dataclass(frozen=True)
class Mixout(Term):
    """In each pass of a training batch every number of a weight that moves is the source's with chance ``p``, and the rest are scaled such
    that the expectation stays (:func:`headstart.functional.mixout.mixout`). So training holds near the source without a penalty; with
    few labels it keeps runs from failing.

    As in the authors' code it acts on the weights of linear layers (here of convolutions too), not on biases, norms and embeddings (nor on
    an output layer that shares its weight with them), and the backbone's own dropout is off in its place. Evaluation uses the weights as they are. It adds nothing to the loss, so that the log
    has no column for it. Each piece of a batch that is cut to fit into memory has draws of its own.

    Args:
        p: in (0, 1), default 0.7 (the paper tries 0.7 to 0.9).

    Raises:
        RecipeError: ``p`` out of range (0 would be plain fine-tuning, 1 would learn nothing).
    """

    weight: float = 1.0
    p: float = 0.7

    name = "mixout"
    needs = frozenset({"trainable_backbone", "pretrained_backbone", "plain_weights"})

    def __post_init__(self) -> None:
        check_argument(self.name, "p", self.p, 0 < self.p < 1, "above 0, below 1")

    def rewire(self, backbone: nn.Module) -> None:
        for module in backbone.modules():
            names = ("p",) if isinstance(module, nn.Dropout) else CHANCES
            found = {name: getattr(module, name, None) for name in names}
            module.before_mixout = {name: p for name, p in found.items() if isinstance(p, float)}  # type: ignore[assignment]
            for name in module.before_mixout:  # type: ignore[union-attr]
                setattr(module, name, 0.0)

    def restore(self, backbone: nn.Module) -> None:
        for module in backbone.modules():
            for name, p in module.__dict__.pop("before_mixout", {}).items():
                setattr(module, name, p)

    def bind(self, start: Start) -> Penalty:
        return _Mixed(self, start)

    def describe(self) -> str:
        return f"mixout (p {self.p:g})"


class _Mixed(Penalty):
    adds = False

    def __init__(self, term: Mixout, start: Start) -> None:
        super().__init__()
        self.p = term.p
        self.anchors = {name: p.detach().clone() for name, p in _weights(start.model.backbone)}

    @contextmanager
    def watching(self, model: Model, batch: Batch) -> Iterator[None]:
        """Mixed tensors stand in the parameters' places for one pass; gradients go on to the parameters."""
        plain: list[tuple[nn.Module, nn.Parameter]] = []
        for name, parameter in _weights(model.backbone):
            owner = model.backbone.get_submodule(name)
            plain.append((owner, parameter))
            owner._parameters["weight"] = mixout(parameter, self.anchors[name], self.p)  # type: ignore[assignment]
        try:
            yield
        finally:
            for owner, parameter in plain:
                owner._parameters["weight"] = parameter

    def forward(self, seen: Seen) -> torch.Tensor:
        return seen.outputs.sum() * 0.0


def _weights(backbone: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The weights with two sides or more that move, but for embeddings, by the names of their modules."""
    embeddings = {id(module.weight) for module in backbone.modules() if isinstance(module, nn.Embedding)}
    return [
        (name, weight)
        for name, module in backbone.named_modules()
        if isinstance(weight := module._parameters.get("weight"), nn.Parameter)
        and weight.requires_grad and weight.ndim > 1 and id(weight) not in embeddings
    ]  # fmt: skip
