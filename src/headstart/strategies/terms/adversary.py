"""What the adversarial terms share: a small network of their own, and who faces whom in a batch."""

from __future__ import annotations

import torch
from torch import nn

from headstart.errors import HandshakeError, sentence
from headstart.functional.gradient_reversal import reverse_gradient
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Seen, Start

DROPOUT = 0.5
"""Of a discriminator behind a reversal, as in the authors' code of CDAN: one that is certain of every input teaches the backbone nothing."""


def perceptron(width: int, hidden: float, outputs: int, seed: int, dropout: float = 0.0) -> nn.Sequential:
    """(B, width) -> (B, outputs): two hidden layers of ``hidden`` units with ReLU and dropout, drawn from ``seed`` alone.

    Without batch norms: their statistics would be those of two domains, and tell them apart.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        size = int(hidden)
        layers: list[nn.Module] = []
        for inputs in (width, size):
            layers += [nn.Linear(inputs, size), nn.ReLU(), nn.Dropout(dropout)]
        return nn.Sequential(*layers, nn.Linear(size, outputs))


def linear_head(start: Start) -> nn.Linear:
    """The model's head, which all tasks have as a linear layer."""
    assert isinstance(start.model.head, nn.Linear)
    return start.model.head


def at_least_two_classes(name: str, start: Start, why: str, fix: str) -> None:
    """Refuse a head of one output.

    Raises:
        HandshakeError: in one sentence, with ``why`` in it.
    """
    if linear_head(start).out_features < 2:
        raise HandshakeError(sentence(f"term {name!r} needs two classes or more: {why}", got="one class", fix=fix))


def check_hidden(name: str, hidden: float) -> None:
    """Refuse a hidden layer that is none.

    Raises:
        RecipeError: not a whole number from 1 on.
    """
    check_argument(name, "hidden", hidden, hidden >= 1 and hidden == int(hidden), "a whole number from 1 on")


def against_the_head(seen: Seen) -> torch.Tensor | None:
    """(U, K) outputs of the target's rows behind a reversed gradient, so that head and backbone pull apart; ``None`` without such rows."""
    if seen.target_features is None or not len(seen.target_features):
        return None
    return seen.model.head(seen.model.dropout(reverse_gradient(seen.target_features))).float()


def nothing(seen: Seen) -> torch.Tensor:
    """0 with a gradient: for a piece of a batch, cut to fit into memory, that has one domain alone."""
    return seen.outputs.sum() * 0.0


def faces(seen: Seen) -> bool:
    """Whether both domains are there."""
    return seen.target_features is not None and len(seen.target_features) > 0 and len(seen.source_side()[0]) > 0
