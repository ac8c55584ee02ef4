"""Is an argument of a term in its range?"""

from __future__ import annotations

from collections.abc import Iterable

from headstart.errors import HandshakeError, RecipeError, sentence
from headstart.strategies.terms.term import Term


def check_argument(term: str, key: str, value: object, good: bool, allowed: str) -> None:
    """Refuse a value out of range in one sentence.

    Raises:
        RecipeError: where ``good`` is false.
    """
    if not good:
        raise RecipeError(
            sentence(f"argument {key!r} of {term!r} is out of range", where="strategy", got=value, allowed=allowed)
        )


def refuse_waiting(terms: Iterable[Term], epochs: int) -> None:
    """Refuse a term whose warm-up begins at nothing and lasts as long as the training.

    Raises:
        HandshakeError: one epoch, and a term with a warm-up; no epoch that begins after the share of the training for which a
            term waits.
    """
    for term in terms:
        if epochs == 1 and getattr(term, "warmup", 0) > 0:
            raise HandshakeError(
                sentence(
                    f"term {term.name!r} warms up from nothing through the first epoch, and there is no other, so it cannot act",
                    got="1 epoch", fix=f"--epochs 2 or more, or {term.name}(warmup=0)",
                )
            )  # fmt: skip
        if (epochs - 1) / epochs < getattr(term, "waits", 0.0):
            raise HandshakeError(
                sentence(
                    f"term {term.name!r} begins with the first epoch after {term.waits:.0%} of the training, and there is none",  # type: ignore[attr-defined]
                    got=f"{epochs} epochs", fix="more --epochs, or a shorter warm-up",
                )
            )  # fmt: skip
