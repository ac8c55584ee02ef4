"""What is added to the loss: a term with a weight, bound to a model before tuning rewires it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch

from headstart.tasks.task import Model

Penalty = Callable[[], torch.Tensor]
"""What a bound term gives at each step: its weighted value, a scalar with gradient."""


@dataclass(frozen=True)
class Term(ABC):
    """One R_k of the objective ``L(D_t; theta) + sum_k lambda_k R_k``.

    ``needs`` names what must be there for the term to act (see :mod:`headstart.strategies.handshake`).
    """

    weight: float

    name = "term"
    needs = frozenset[str]()

    @abstractmethod
    def bind(self, model: Model) -> Penalty:
        """Take what must be kept of the starting point, and return the penalty of the model as it now stands."""

    @abstractmethod
    def describe(self) -> str:
        """A few words for tables."""
