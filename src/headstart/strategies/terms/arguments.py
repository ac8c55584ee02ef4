"""The ranges of terms' arguments."""

from __future__ import annotations

from headstart.errors import RecipeError, sentence


def require(good: bool, term: str, argument: str, got: object, allowed: object) -> None:
    """Refuse a value out of range.

    Raises:
        RecipeError: unless ``good``.
    """
    if not good:
        raise RecipeError(sentence(f"argument {argument!r} of term {term!r} is out of range", got=got, allowed=allowed))
