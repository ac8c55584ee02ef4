"""The arguments of a strategy's parts as names with values (``l2sp.weight``), to be read and to be set."""

from __future__ import annotations

from typing import Any

from headstart.errors import RecipeError, near, sentence
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.part import Argument, Part
from headstart.strategies.preparations import PREPARATIONS
from headstart.strategies.terms.catalogue import TERMS
from headstart.strategies.tunings import TUNINGS


def arguments_of(text: str) -> dict[str, Argument]:
    """``part.argument`` -> its value, of every part that is in the strategy once, those left at their default included.

    >>> arguments_of("l2sp(weight=0.1)")["l2sp.weight"]
    0.1

    Raises:
        RecipeError: see :func:`headstart.strategies.grammar.parse_strategy`.
    """
    calls = _calls(text)
    names = [name for phase in calls for name, _ in phase]
    found: dict[str, Argument] = {}
    for phase in calls:
        for name, given in phase:
            if names.count(name) == 1:
                part: Part[Any] = next(table for table in (TUNINGS, PREPARATIONS, TERMS) if name in table)[name]
                found |= {f"{name}.{key}": given.get(key, default) for key, default in part.arguments.items()}
    return found


def with_arguments(text: str, values: dict[str, Argument]) -> str:
    """The strategy with these arguments, in its canonical text.

    >>> with_arguments("finetune+l2sp", {"l2sp.weight": 0.1})
    'finetune+l2sp(weight=0.1)'

    Raises:
        RecipeError: a name that is not one of :func:`arguments_of`, or a value that its part refuses.
    """
    known = arguments_of(text)
    for name in values:
        if name not in known:
            close = near(name, known, 1)
            raise RecipeError(
                sentence("the strategy has no such argument", where=text, got=name, allowed=sorted(known), fix=close[0] if close else None)
            )  # fmt: skip
    phases = []
    for phase in _calls(text):
        parts = []
        for name, given in phase:
            mine = given | {k.partition(".")[2]: v for k, v in values.items() if k.partition(".")[0] == name}
            said = ", ".join(f"{key}={str(v).lower() if isinstance(v, bool) else v}" for key, v in mine.items())
            parts.append(f"{name}({said})" if said else name)
        phases.append("+".join(parts))
    return parse_strategy(">".join(phases)).name


def _calls(text: str) -> list[list[tuple[str, dict[str, Argument]]]]:
    """Phases of (part, arguments that differ from the default), from the canonical text, where they stand by name."""
    found = []
    for phase in _split(parse_strategy(text).name, ">"):
        calls = []
        for part in _split(phase, "+"):
            name, _, inside = part.partition("(")
            pairs = [each.partition("=") for each in _split(inside.removesuffix(")"), ",")]
            calls.append((name, {key.strip(): _value(value.strip()) for key, _, value in pairs}))
        found.append(calls)
    return found


def _value(text: str) -> Argument:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(text, text)


def _split(text: str, mark: str) -> list[str]:
    """Parts of ``text`` between marks that stand outside brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]
