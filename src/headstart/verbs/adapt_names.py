"""What ``--method`` may name: a shallow method, a deep term or a strategy, or ``auto``."""

from __future__ import annotations

import re

from headstart.adapters.catalogue import METHODS
from headstart.errors import RecipeError, near, sentence
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.presets import PRESETS
from headstart.strategies.strategy import Strategy
from headstart.strategies.terms.domains import DOMAIN_TERMS
from headstart.strategies.tunings import TUNINGS

OF_TARGET = frozenset({"target_stream", "unlabelled_target", "labelled_target"})
"""Needs of a term that learns from the target."""


def is_deep(method: str) -> bool:
    """Whether it is trained by gradient steps; ``auto`` is not (what it chooses may be)."""
    return method != "auto" and method not in METHODS


def whole_network(method: str) -> bool:
    """Whether it begins with a tuning and so says what of the network moves; a bare term trains new layers on features."""
    return is_deep(method) and re.split(r"\W", method.strip(), maxsplit=1)[0] in {*TUNINGS, *PRESETS}


def read_method(method: str) -> Strategy | None:
    """The strategy of a deep method; ``None`` for a shallow one and for ``auto``.

    Raises:
        RecipeError: an unknown name (the nearest of both kinds are given), a strategy that is solved and not trained, or one of
            whose parts none looks at another domain.
    """
    if not is_deep(method):
        return None
    if method.isidentifier() and method not in {*DOMAIN_TERMS, *TUNINGS, *PRESETS} and not known_term(method):
        guess = near(method, [*METHODS, *DOMAIN_TERMS])
        raise RecipeError(
            sentence(
                "unknown method", got=method, allowed=["auto", *METHODS, *DOMAIN_TERMS, "a strategy such as finetune+dann"],
                fix=" or ".join(f"--method {name}" for name in guess[:2]) or None,
            )
        )  # fmt: skip
    strategy = parse_strategy(method)
    if strategy.solved_head or not strategy.procedure.by_steps:
        raise RecipeError(
            sentence(
                "a head that is solved at once learns nothing from a target", got=method, fix="--method finetune+dann"
            )
        )
    if strategy.before:
        raise RecipeError(
            sentence(
                "a phase that prepares the source is of fit, on one data set", got=f"{method} ({strategy.before[0].name})",
                fix="headstart fit TARGET --strategy 'mlm>finetune', then headstart adapt --source that run",
            )
        )  # fmt: skip
    if not any(adapts(term.name, term.needs) for term in strategy.terms):
        raise RecipeError(
            sentence(
                "no term of the strategy learns from a second domain, so nothing would be adapted", got=method,
                fix=f"--method '{method}+dann', or source_only",
            )
        )  # fmt: skip
    return strategy


def known_term(name: str) -> bool:
    """Whether a name stands for a term of a strategy."""
    from headstart.strategies.terms.catalogue import TERMS

    return name in TERMS


def adapts(name: str, needs: frozenset[str]) -> bool:
    """Whether a term is one of several domains."""
    return name in DOMAIN_TERMS or bool(needs & OF_TARGET)


def answers_unknown(method: str) -> bool:
    """Whether a term gives the head an output for rows of no known class."""
    strategy = read_method(method)
    return strategy is not None and any("unknown_output" in term.needs for term in strategy.terms)


def without_target(method: str) -> str:
    """The strategy without its terms of several domains: the same network trained on the source alone.

    >>> without_target("last(2)+dann(weight=0.5)+l2sp")
    'last(n=2)+l2sp'
    """
    strategy = parse_strategy(method)
    gone = {term.name for term in strategy.terms if adapts(term.name, term.needs)}
    return "+".join(part for part in _parts(strategy.name) if re.split(r"\W", part, maxsplit=1)[0] not in gone)


def _parts(text: str) -> list[str]:
    """The parts between the plus signs that stand in no brackets."""
    found, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "+" and not depth:
            found.append("")
        else:
            found[-1] += letter
    return found
