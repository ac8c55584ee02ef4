"""The space that is searched: ranges and choices by name, read from text or from a table, and what a grid over it is."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headstart.errors import RecipeError, sentence

STRATEGY = "strategy"
"""The parameter that decides which others there are."""

FORM = "1e-5..1e-2:log (a range), 1e-5..1e-2:log/4 (four points of it), 4..12 (whole numbers), a|b|c (choices)"
_RANGE = re.compile(r"^(?P<low>.+?)\.\.(?P<high>.+?)(?P<log>:log)?(?:/(?P<points>\d+))?$")


@dataclass(frozen=True)
class Range:
    """Every number from ``low`` to ``high``, both included.

    Attributes:
        low, high: whole where both are ``int``.
        log: evenly in the logarithm; ``low`` > 0 then.
    """

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values whose being allowed means that all between are."""
        return (self.low, self.high)

    @property
    def points(self) -> tuple[Any, ...] | None:
        """Every value, or ``None`` where there is no end of them."""
        return tuple(range(int(self.low), int(self.high) + 1)) if self.whole and not self.log else None

    def suggest(self, trial: Any, name: str) -> Any:
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, float(self.low), float(self.high), log=self.log)

    def holds(self, value: Any) -> bool:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (not self.whole or value == int(value))

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}{':log' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """One of ``values``: numbers, words, true or false; at least two, none twice."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.values

    @property
    def points(self) -> tuple[Any, ...]:
        return self.values

    def suggest(self, trial: Any, name: str) -> Any:
        return trial.suggest_categorical(name, self.values)

    def holds(self, value: Any) -> bool:
        return any(value == known and isinstance(value, bool) == isinstance(known, bool) for known in self.values)

    def __str__(self) -> str:
        return "|".join(f"{v:g}" if isinstance(v, float) else str(v) for v in self.values)


Domain = Range | Choice


@dataclass(frozen=True)
class Space:
    """Attributes:
    branches: strategy (as users write it) -> its parameters. With several, the strategy is a parameter too, and each trial
        has only the parameters of its strategy.
    """

    branches: dict[str, dict[str, Domain]]

    @property
    def names(self) -> list[str]:
        """All parameters, the strategy first where it is one."""
        own = [STRATEGY] if len(self.branches) > 1 else []
        return own + list(dict.fromkeys(name for branch in self.branches.values() for name in branch))

    @property
    def size(self) -> int | None:
        """Points in all, ``None`` where there is no end of them."""
        total = 0
        for branch in self.branches.values():
            counts = [d.points for d in branch.values()]
            if any(c is None for c in counts):
                return None
            total += math.prod(len(c) for c in counts if c is not None)
        return total

    def domain(self, name: str) -> Domain:
        return next(branch[name] for branch in self.branches.values() if name in branch)

    def suggest(self, trial: Any) -> dict[str, Any]:
        """The values of one trial, the strategy always among them; ``trial`` is Optuna's."""
        texts = tuple(self.branches)
        text = trial.suggest_categorical(STRATEGY, texts) if len(texts) > 1 else texts[0]
        return {STRATEGY: text} | {name: d.suggest(trial, name) for name, d in self.branches[text].items()}

    def grid(self) -> list[dict[str, Any]]:
        """The product of every branch, as parameters of trials.

        Raises:
            RecipeError: a range without an end of points.
        """
        found = []
        for text, branch in self.branches.items():
            for name, d in branch.items():
                if d.points is None:
                    raise RecipeError(
                        sentence(
                            "a grid needs points, and between these two there is no end of them", where=f"the space of {name}",
                            got=str(d), fix=f"--space '{name}={d}/4' (four points), or --sampler tpe",
                        )
                    )  # fmt: skip
            first = {STRATEGY: text} if len(self.branches) > 1 else {}
            for values in itertools.product(*(d.points or () for d in branch.values())):
                found.append(first | dict(zip(branch, values, strict=True)))
        return found

    def starts(self, defaults: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The default values of each branch as parameters of a trial, where the space holds all of them."""
        found = []
        for text, branch in self.branches.items():
            known = defaults[text]
            if all(name in known and d.holds(known[name]) for name, d in branch.items()):
                first = {STRATEGY: text} if len(self.branches) > 1 else {}
                found.append(first | {name: known[name] for name in branch})
        return found

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain values for JSON."""
        return {text: {n: domain_table(d) for n, d in branch.items()} for text, branch in self.branches.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, Any]]) -> Space:
        return cls({text: {n: read_domain(n, v) for n, v in branch.items()} for text, branch in values.items()})


def domain_table(d: Domain) -> dict[str, Any] | list[Any]:
    """As in YAML."""
    return {"low": d.low, "high": d.high, "log": d.log} if isinstance(d, Range) else list(d.values)


def read_space(given: str | Mapping[str, Any]) -> dict[str, Domain]:
    """``"lr=1e-5..1e-2:log,weight_decay=0|0.01"``, or a table of the same, -> domains by name.

    A domain is text (``low..high``, ``:log`` behind it, ``/N`` for N points; choices with ``|`` between), a list of choices, or a
    table ``{low: .., high: .., log: true, points: N}``.

    Raises:
        RecipeError: text that cannot be read, a range that is none, a name that is there twice.
    """
    if isinstance(given, Mapping):
        found = {str(name).replace("-", "_"): value for name, value in given.items()}
    else:
        found = {}
        for part in split_outside(str(given), ","):
            name, equals, value = part.partition("=")
            name = name.strip().replace("-", "_")
            if not equals or not name or not value.strip():
                raise RecipeError(sentence("cannot read the space", got=part, allowed=f"name={FORM}", fix=_EXAMPLE))
            if name in found:
                raise RecipeError(sentence("a parameter is in the space twice", got=name))
            found[name] = value.strip()
    if not found:
        raise RecipeError(sentence("the space is empty", fix=_EXAMPLE))
    return {name: read_domain(name, value) for name, value in found.items()}


_EXAMPLE = "--space 'lr=1e-5..1e-2:log,weight_decay=0|0.01|0.1'"


def read_domain(name: str, value: Any) -> Domain:
    """One domain; see :func:`read_space`.

    Raises:
        RecipeError: it cannot be read, or is no range.
    """
    where = f"the space of {name}"
    if isinstance(value, Mapping):
        unknown = set(value) - {"low", "high", "log", "points"}
        if unknown or not {"low", "high"} <= set(value):
            raise RecipeError(
                sentence("cannot read a range", where=where, got=dict(value), allowed="{low: .., high: .., log: true, points: 4}")
            )  # fmt: skip
        return _range(where, _number(value["low"]), _number(value["high"]), bool(value.get("log")), value.get("points"))
    if isinstance(value, (list, tuple)):
        return _choice(where, [_scalar(v) if isinstance(v, str) else v for v in value])
    text = str(value)
    match = _RANGE.match(text)
    if match:
        points = match["points"]
        return _range(
            where, _number(match["low"]), _number(match["high"]), bool(match["log"]), int(points) if points else None
        )
    if ".." in text:
        raise RecipeError(sentence("cannot read a range", where=where, got=text, allowed=FORM))
    return _choice(where, [_scalar(part.strip()) for part in split_outside(text, "|")])


def _range(where: str, low: Any, high: Any, log: bool, points: int | None) -> Domain:
    if low is None or high is None or not low < high:
        got = None if low is None or high is None else f"{low:g}..{high:g}"
        raise RecipeError(
            sentence("a range goes from a lower to a higher number", where=where, got=got, allowed="low..high")
        )
    if log and low <= 0:
        raise RecipeError(
            sentence(
                "a range in the logarithm begins above 0", where=where, got=f"{low:g}..{high:g}:log", allowed="> 0"
            )
        )
    found = Range(low, high, log)
    if points is None:
        return found
    if points < 2:
        raise RecipeError(sentence("too few points of a range", where=where, got=points, allowed=">= 2"))
    if log:
        between = [low * (high / low) ** (i / (points - 1)) for i in range(points)]
    else:
        between = [low + (high - low) * i / (points - 1) for i in range(points)]
    steps: list[Any] = [round(v) if found.whole else float(f"{v:.12g}") for v in between]
    return Choice(tuple(dict.fromkeys(steps)))


def _choice(where: str, values: list[Any]) -> Choice:
    values = list(values)
    plain = all(v is None or isinstance(v, (bool, int, float, str)) for v in values)
    if not plain or any(isinstance(v, float) and not math.isfinite(v) for v in values):
        raise RecipeError(sentence("a choice is a number or a word", where=where, got=values, allowed=FORM))
    if len({(type(v) is bool, v) for v in values}) < len(values):
        raise RecipeError(sentence("a choice is there twice", where=where, got=values))
    if len(values) < 2:
        only = values[0] if values else ""
        name = where.rsplit(" ", 1)[-1]
        fix = f"--{name.replace('_', '-')} {only}" if "." not in name else None
        raise RecipeError(sentence("one value leaves nothing to search", where=where, got=only, fix=fix))
    return Choice(tuple(values))


def _number(text: Any) -> Any:
    if isinstance(text, bool):
        return None
    if isinstance(text, (int, float)):
        return text if math.isfinite(text) else None
    value = _scalar(str(text).strip())
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) else None


def _scalar(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(text.lower(), text)


def split_outside(text: str, mark: str) -> list[str]:
    """Parts of ``text`` between marks that stand outside brackets; empty ones are left out.

    >>> split_outside("strategy=l2sp(0.1, 0.2)|finetune,lr=1|2", ",")
    ['strategy=l2sp(0.1, 0.2)|finetune', 'lr=1|2']
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]
