"""A phase before the task is learned: the whole source takes steps on something else, and what follows begins from there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from headstart.errors import RecipeError, sentence


@dataclass(frozen=True)
class Preparation(ABC):
    """How such a phase runs; :mod:`headstart.training.preparing` runs it.

    ``needs`` is checked by the handshake; ``reads_labels`` says that it sees the labels of the training inputs, so that the head's
    cross-validation on what it made is no longer held out; ``reads_unlabelled`` that it learns from unlabelled inputs too.

    Args:
        epochs: passes over the inputs, a whole number >= 1.
        lr: peak learning rate of the backbone, > 0.
        batch_size: inputs a step, a whole number >= 2.

    Raises:
        RecipeError: values outside these.
    """

    epochs: float
    lr: float
    batch_size: float

    name = "preparation"
    needs = frozenset[str]()
    reads_labels = False
    reads_unlabelled = False

    def __post_init__(self) -> None:
        for key, value, good, allowed in (
            ("epochs", self.epochs, self.epochs >= 1 and self.epochs == int(self.epochs), "a whole number from 1 on"),
            ("lr", self.lr, self.lr > 0, "above 0"),
            ("batch_size", self.batch_size, self.batch_size >= 2 and self.batch_size == int(self.batch_size), "a whole number from 2 on"),
        ):  # fmt: skip
            if not good:
                raise RecipeError(
                    sentence(f"argument {key!r} of phase {self.name!r} is out of range", got=value, allowed=allowed)
                )

    @abstractmethod
    def describe(self) -> str:
        """A few words for tables."""
