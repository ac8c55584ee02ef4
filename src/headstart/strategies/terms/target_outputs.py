"""Terms on what the model says of the target: minimum class confusion, entropy minimisation, information maximisation."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch

from headstart.functional.class_confusion import class_confusion
from headstart.functional.entropies import entropy, information
from headstart.strategies.terms.adversary import at_least_two_classes, nothing
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class OnOutputs(Term):
    """``weight *`` a function of the target's outputs (U, K); nothing is compared with the source, and no network is added."""

    needs = frozenset({"target_stream", "class_probabilities"})

    @abstractmethod
    def value(self, logits: torch.Tensor) -> torch.Tensor:
        """Of float32 logits (U, K), a scalar."""

    def bind(self, start: Start) -> Penalty:
        at_least_two_classes(self.name, start, "of one the model is always certain", "dann")
        return _OnOutputs(self)


class _OnOutputs(Penalty):
    def __init__(self, term: OnOutputs) -> None:
        super().__init__()
        self.term = term

    def forward(self, seen: Seen) -> torch.Tensor:
        if seen.target_outputs is None or not len(seen.target_outputs):
            return nothing(seen)
        with torch.autocast(seen.outputs.device.type, enabled=False):
            return self.term.weight * self.term.value(seen.target_outputs.float())


@dataclass(frozen=True)
class MCC(OnOutputs):
    """``weight *`` the class confusion of the target's predictions (Jin, Wang, Long, Wang, ECCV 2020).

    :func:`headstart.functional.class_confusion.class_confusion`. A batch should have several inputs of each class.

    Args:
        weight: > 0, default 1 (the paper's mu).
        temperature: > 0, default 2.5 (the authors' code).

    Raises:
        RecipeError: ``temperature`` out of range. HandshakeError: from :meth:`bind`, a head of one class.
    """

    weight: float = 1.0
    temperature: float = 2.5

    name = "mcc"

    def __post_init__(self) -> None:
        check_argument(self.name, "temperature", self.temperature, self.temperature > 0, "> 0")

    def value(self, logits: torch.Tensor) -> torch.Tensor:
        return class_confusion(logits, self.temperature)

    def describe(self) -> str:
        return f"minimum class confusion (weight {self.weight:g}, temperature {self.temperature:g})"


@dataclass(frozen=True)
class Entropy(OnOutputs):
    """``weight *`` the mean entropy of the target's predictions (Grandvalet and Bengio, NeurIPS 2004), in nats.

    Alone it is content with one class for all; ``infomax`` is not.

    Args:
        weight: > 0, default 0.1.

    Raises:
        HandshakeError: from :meth:`bind`, a head of one class.
    """

    weight: float = 0.1

    name = "entropy"

    def value(self, logits: torch.Tensor) -> torch.Tensor:
        return entropy(logits).mean()

    def describe(self) -> str:
        return f"entropy of the target's predictions (weight {self.weight:g})"


@dataclass(frozen=True)
class InfoMax(OnOutputs):
    """``-weight * I(x; y)``: certain predictions on the target, and all classes used (Shi and Sha, ICML 2012).

    The entropy of each prediction minus that of their mean (:func:`headstart.functional.entropies.information`): below zero. It takes
    the classes to be about equally frequent in the target.

    Args:
        weight: > 0, default 0.1.

    Raises:
        HandshakeError: from :meth:`bind`, a head of one class.
    """

    weight: float = 0.1

    name = "infomax"

    def value(self, logits: torch.Tensor) -> torch.Tensor:
        return -information(logits)

    def describe(self) -> str:
        return f"information about the target's classes (weight {self.weight:g})"
