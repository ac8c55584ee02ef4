"""The reader of strategies as users write them: ``finetune+l2sp(0.01)+bss(0.001)``, ``probe>finetune(layer_decay=0.75)``.

strategy := phase ('>' phase)*      one after the other; `probe>` solves the head first, `setfit`, `mlm` and `clm` prepare the source
phase    := part ('+' part)*        a tuning, then terms; a term alone stands for finetune + term
part     := name | name(arguments)  numbers, words, true and false; in order or by name
"""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from typing import Any

from headstart.errors import RecipeError, near, sentence
from headstart.strategies.part import Argument, Part
from headstart.strategies.preparation.preparation import Preparation
from headstart.strategies.preparations import PREPARATIONS
from headstart.strategies.presets import PRESETS
from headstart.strategies.strategy import Strategy
from headstart.strategies.terms.catalogue import TERMS
from headstart.strategies.terms.domains import DOMAIN_TERMS
from headstart.strategies.terms.term import Term
from headstart.strategies.tuning.keep import Keep
from headstart.strategies.tuning.phases import Phases
from headstart.strategies.tunings import TUNINGS

FREEZE: Part[str] = Part(
    lambda layers: layers, {"layers": ""}, "layers that stay frozen: 'backbone[:-2]', or names separated by commas"
)
"""``+freeze('backbone[:-2]')``; stands among the terms."""

Call = tuple[str, list[ast.expr], list[tuple[str, ast.expr]]]
"""One part as it was read: name, arguments in order, arguments by name."""


def names() -> list[str]:
    """Every name with which a strategy on one data set can begin; those for several are ``DOMAIN_TERMS``."""
    return sorted({*TUNINGS, *PRESETS, *TERMS, *PREPARATIONS} - {*DOMAIN_TERMS})


def help_of(text: str) -> str:
    """What the tuning of a strategy does, in one line (of its last phase)."""
    name = _phases(text)[-1][0][0]
    part: Part[Any] = next(table for table in (TUNINGS, TERMS, PREPARATIONS) if name in table)[name]
    return part.help


def parse_strategy(text: str) -> Strategy:
    """Text -> a strategy; its ``name`` is the text in its shortest form, which reads back to an equal strategy.

    Raises:
        RecipeError: an unknown name (near ones offered), an unknown argument, or text that cannot be read.
    """
    prepared, said_before, phases = _prepared(_phases(text), text)
    *before, last = phases or [[("probe", [], [])]]
    terms: list[Term] = []
    solved = bool(before) and before[0][0][0] == "probe"
    tunings, written = [], []
    for phase in before:
        (name, *_), *others = phase
        made, said = _tuning(phase[0], text)
        written.append(said)
        if others or name in TERMS:
            raise _refused("terms stand in the last phase and act in all of them", text, "finetune+l2sp")
        if not made.procedure.by_steps and not (name == "probe" and phase is before[0]):
            raise _refused("only the first phase can be one that is solved, the probe", text, "probe>finetune")
        if made.procedure.by_steps:
            tunings.append(made.tuning)
    if last[0][0] in TERMS:
        last = [("finetune", [], []), *last]
    made, said = _tuning(last[0], text)
    if before and not made.procedure.by_steps:
        raise _refused("a head that is solved at once can only be the first phase", text, "probe>finetune")
    tunings.append(made.tuning)
    parts, frozen = [said], list[str]()
    for call in last[1:]:
        if call[0] == "freeze":
            kept, said = _read(call, FREEZE, "part")
            if frozen:
                raise _refused("freeze is there twice", text, "finetune+freeze('backbone[:-2]')")
            frozen.append(kept)
            parts.append(said)
            continue
        if call[0] in PREPARATIONS:
            raise _refused(f"{call[0]!r} prepares the source, so it is a phase of its own", text, f"{call[0]}>finetune")
        if call[0] in TUNINGS or call[0] in PRESETS:
            raise _refused(f"{call[0]!r} is a tuning, and there can be one in a phase", text, f"{call[0]}+l2sp")
        term, said = _read(call, TERMS[call[0]], "term")
        if any(term.name == other.name for other in terms):
            raise _refused(f"term {term.name!r} is there twice", text, "finetune+l2sp")
        terms.append(term)
        parts.append(said)
    tuning = tunings[0] if len(tunings) == 1 else Phases(tuple(tunings))
    if frozen:
        tuning = Keep(tuning, frozen[0])
    own = [(term.name, term.procedure) for term in terms if term.procedure is not None]
    if len(own) > 1:
        raise _refused(
            f"{' and '.join(repr(name) for name, _ in own)} each ask for an update of their own kind",
            text,
            f"finetune+{own[0][0]}",
        )
    if own:
        made = replace(made, procedure=own[0][1])
    written += ["+".join(parts)] if phases else []
    return replace(
        made, name=">".join([*said_before, *written]), terms=tuple(terms), solved_head=solved, tuning=tuning, before=prepared
    )  # fmt: skip


def _prepared(phases: list[list[Call]], text: str) -> tuple[tuple[Preparation, ...], list[str], list[list[Call]]]:
    """The phases at the beginning that prepare the source, their texts, and the phases after them."""
    found: list[tuple[Preparation, str]] = []
    for i, phase in enumerate(phases):
        name = phase[0][0]
        if name not in PREPARATIONS:
            continue
        if i > len(found):
            raise _refused(f"{name!r} prepares the source, so it comes first", text, f"{name}>finetune")
        if len(phase) > 1:
            raise _refused(
                f"{name!r} prepares the source, and terms act on what follows", text, f"{name}>finetune+l2sp"
            )
        found.append(_read(phase[0], PREPARATIONS[name], "phase"))
    return tuple(made for made, _ in found), [said for _, said in found], phases[len(found) :]


def _phases(text: str) -> list[list[Call]]:
    """The calls of each phase; names of whole compositions are replaced by what they stand for."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise _unreadable(text) from None
    nodes = [node]
    if isinstance(node, ast.Compare):
        if not all(isinstance(op, ast.Gt) for op in node.ops):
            raise _unreadable(text)
        nodes = [node.left, *node.comparators]
    found = []
    for each in nodes:
        calls = _calls(each, text)
        name, arguments, keywords = calls[0]
        if name in PRESETS:
            *before, last = _phases(PRESETS[name])
            found += before
            calls = [(last[0][0], [*last[0][1], *arguments], [*last[0][2], *keywords]), *last[1:], *calls[1:]]
        found.append(calls)
    return found


def _calls(node: ast.expr, text: str) -> list[Call]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _calls(node.left, text) + _calls(node.right, text)
    if isinstance(node, ast.Name):
        return [(node.id, [], [])]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return [(node.func.id, node.args, [(str(k.arg), k.value) for k in node.keywords])]
    raise _unreadable(text)


def _tuning(call: Call, text: str) -> tuple[Strategy, str]:
    name = call[0]
    if name not in TUNINGS:
        if name in TERMS:
            return _tuning(("finetune", [], []), text)
        close = near(name, [*names(), *DOMAIN_TERMS])
        raise RecipeError(sentence("unknown strategy", got=name, allowed=names(), fix=close[0] if close else None))
    return _read(call, TUNINGS[name], "strategy")


def _read(call: Call, part: Part[Any], kind: str) -> tuple[Any, str]:
    """The part with its arguments, and its shortest text."""
    name, arguments, keywords = call
    known = list(part.arguments)
    values: dict[str, Argument] = {}
    given = [(known[i] if i < len(known) else f"argument {i + 1}", a) for i, a in enumerate(arguments)] + keywords
    for key, node in given:
        if key not in part.arguments:
            close = near(key, known, 1)
            raise RecipeError(
                sentence(
                    f"unknown argument of {kind} {name!r}", got=key, allowed=known or "none",
                    fix=f"{name}({close[0]}=...)" if close else f"--strategy {name}",
                )
            )  # fmt: skip
        if key in values:
            raise RecipeError(sentence(f"argument {key!r} of {kind} {name!r} is given twice", fix=f"{name}({key}=...)"))
        values[key] = _value(node, part.arguments[key], f"argument {key!r} of {kind} {name!r}")
    differ = {key: value for key, value in values.items() if value != part.arguments[key]}
    said = ", ".join(f"{key}={_text(value)}" for key, value in differ.items())
    return part(**values), f"{name}({said})" if said else name


def _value(node: ast.expr, default: Argument, what: str) -> Argument:
    if isinstance(node, ast.Name):
        found: Any = {"true": True, "false": False}.get(node.id.lower(), node.id)
    else:
        try:
            found = ast.literal_eval(node)
        except ValueError:  # backbone[:-2] is a word too
            found = ast.unparse(node) if isinstance(node, (ast.Subscript, ast.Attribute)) else None
    if isinstance(default, bool):
        good, allowed = isinstance(found, bool), "true or false"
    elif isinstance(default, str):
        good, allowed = isinstance(found, str), "a word"
    else:
        number = isinstance(found, (int, float)) and not isinstance(found, bool)
        if number and not 0 <= found < math.inf:
            raise RecipeError(sentence(f"{what} is out of range", got=ast.unparse(node), allowed=">= 0, finite"))
        good, allowed = number, ">= 0"
    if not good:
        kind = "true or false" if isinstance(default, bool) else "a word" if isinstance(default, str) else "a number"
        raise RecipeError(sentence(f"{what} must be {kind}", got=ast.unparse(node), allowed=allowed))
    return found


def _text(value: Argument) -> str:
    if isinstance(value, str) and not value.isidentifier():
        return repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refused(problem: str, text: str, example: str) -> RecipeError:
    return RecipeError(sentence(problem, got=text, fix=f"--strategy '{example}'"))


def _unreadable(text: str) -> RecipeError:
    return RecipeError(sentence("cannot read the strategy", got=text, allowed=names(), fix="--strategy 'last(2)'"))
