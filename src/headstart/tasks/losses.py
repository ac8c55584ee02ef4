"""The losses of a classification, by name: cross_entropy, focal(gamma), logit_adjusted(tau)."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass

import torch

from headstart.errors import RecipeError, near, sentence
from headstart.functional.focal import focal_loss
from headstart.functional.logit_adjustment import adjust

LOSSES: dict[str, tuple[str, float] | None] = {
    "cross_entropy": None,
    "focal": ("gamma", 2.0),
    "logit_adjusted": ("tau", 1.0),
}
"""Name -> its one argument and the default of that."""


@dataclass(frozen=True)
class Loss:
    """What one image costs.

    Attributes:
        name: one of :data:`LOSSES`.
        strength: gamma of the focal loss, tau of logit adjustment, both > 0.
    """

    name: str = "cross_entropy"
    strength: float = 0.0

    def each(self, logits: torch.Tensor, targets: torch.Tensor, log_prior: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (B, K) and targets (B, K), rows summing to 1 -> (B,); ``log_prior`` (K,) is for logit adjustment."""
        if self.name == "logit_adjusted":
            assert log_prior is not None, "logit adjustment needs the classes' shares"
            logits = adjust(logits, log_prior, self.strength)
        return focal_loss(logits, targets, self.strength if self.name == "focal" else 0.0)


CROSS_ENTROPY = Loss()


def parse_loss(text: str | Loss) -> Loss:
    """``"cross_entropy"``, ``"focal"``, ``"focal(gamma=1.5)"``, ``"logit_adjusted(0.5)"`` -> a loss.

    Raises:
        RecipeError: an unknown name or argument, or a value that is not positive (0 would be the cross-entropy).
    """
    if isinstance(text, Loss):
        return text
    name, value = called(text, "loss", LOSSES)
    if value is not None and not value > 0:
        raise RecipeError(
            sentence(f"with this value {name} is the cross-entropy", where="loss", got=text, allowed="> 0",
                     fix="--loss cross_entropy")
        )  # fmt: skip
    return Loss(name, value or 0.0)


def called(text: str, what: str, known: dict[str, tuple[str, float] | None]) -> tuple[str, float | None]:
    """``name``, ``name(value)`` or ``name(argument=value)`` -> the name and its value (the default where none is given).

    Args:
        what: for errors, such as ``"loss"``.
        known: name -> (argument, default), or ``None`` for a name without one.

    Raises:
        RecipeError: text that is none of these.
    """
    shapes = [
        name if argument is None else f"{name}({argument[0]}={argument[1]:g})" for name, argument in known.items()
    ]
    wrong = RecipeError(sentence(f"cannot read the {what}", got=text, allowed=shapes))
    try:
        node = ast.parse(str(text).strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise wrong from None
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name):
        raise wrong
    name = call.func.id
    if name not in known:
        close = near(name, known, 1)
        raise RecipeError(sentence(f"unknown {what}", got=name, allowed=shapes, fix=close[0] if close else None))
    argument = known[name]
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    if argument is None:
        if given or isinstance(node, ast.Call):
            raise wrong
        return name, None
    for keyword in call.keywords:
        if keyword.arg != argument[0]:
            raise RecipeError(
                sentence(f"unknown argument of the {what} {name!r}", got=keyword.arg, allowed=argument[0], fix=f"{name}({argument[0]}={argument[1]:g})")
            )  # fmt: skip
    if len(given) > 1:
        raise wrong
    if not given:
        return name, argument[1]
    try:
        value = ast.literal_eval(given[0])
    except ValueError:
        raise wrong from None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise wrong
    return name, float(value)
