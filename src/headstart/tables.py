"""One small table: name -> value, with near spellings for a name that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from headstart.errors import QuestionError, near, sentence

T = TypeVar("T")


class Table(Generic[T]):
    """Named values of one kind. ``kind`` is the word that errors use, ``error`` the exception they raise.

    >>> colours = Table("colour", {"red": 1, "green": 2})
    >>> colours["red"]
    1
    """

    def __init__(self, kind: str, entries: dict[str, T], error: type[QuestionError] = QuestionError) -> None:
        self.kind = kind
        self.error = error
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        if name in self._entries:
            return self._entries[name]
        close = near(name, self._entries)
        raise self.error(
            sentence(f"unknown {self.kind}", got=name, allowed=sorted(self._entries), fix=close[0] if close else None)
        )

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> list[tuple[str, T]]:
        return list(self._entries.items())
