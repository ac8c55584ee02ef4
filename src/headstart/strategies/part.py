"""A named part of a strategy: how it is made, the arguments it takes, and when it helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Argument = float | str | bool


@dataclass(frozen=True)
class Part(Generic[T]):
    """Attributes:
    make: takes the arguments as keywords.
    arguments: name -> default, whose type says what may be given: a number (0 or more), a word, true or false.
    help: one line for people.
    """

    make: Callable[..., T]
    arguments: dict[str, Argument]
    help: str

    def __call__(self, **values: Any) -> T:
        """The part with the given arguments and the defaults of the others."""
        return self.make(**{**self.arguments, **values})
