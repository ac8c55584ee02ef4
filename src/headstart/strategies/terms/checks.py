"""Is an argument of a term in its range?"""

from __future__ import annotations

from headstart.errors import RecipeError, sentence


def check_argument(term: str, key: str, value: object, good: bool, allowed: str) -> None:
    """Refuse a value out of range in one sentence.

    Raises:
        RecipeError: where ``good`` is false.
    """
    if not good:
        raise RecipeError(
            sentence(f"argument {key!r} of {term!r} is out of range", where="strategy", got=value, allowed=allowed)
        )
