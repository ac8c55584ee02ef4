"""Layers kept as the source left them, by name or by place, whatever the tuning moves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from headstart.errors import HandshakeError, near, sentence
from headstart.sources.source import Layer
from headstart.strategies.tuning.tuning import Stage, Tuning


@dataclass(frozen=True)
class Keep(Tuning):
    """``tuning`` on the layers that ``what`` does not name; those that it names stay frozen, in eval mode.

    Args:
        tuning: one that moves the backbone; it sees the other layers as if they were all (``last(2)`` counts among them).
        what: see :func:`chosen`.
    """

    tuning: Tuning
    what: str

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return self.tuning.needs

    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        kept = chosen(self.what, layers)
        inner = self.tuning.stages([layer for i, layer in enumerate(layers) if i not in kept])
        if not any(stage.trainable for stage in inner):
            raise HandshakeError(
                sentence(
                    "freeze would do nothing: the tuning freezes the whole backbone", got=self.what,
                    fix="leave it out, or --strategy finetune",
                )
            )  # fmt: skip
        moving = iter(inner)
        return [Stage(layer, False, 0.0) if i in kept else next(moving) for i, layer in enumerate(layers)]

    def rewire(self, backbone: nn.Module, layers: Sequence[Layer], size: int) -> None:
        kept = chosen(self.what, layers)
        self.tuning.rewire(backbone, [layer for i, layer in enumerate(layers) if i not in kept], size)

    def note(self, backbone: nn.Module, layers: Sequence[Layer], size: int) -> str:
        kept = chosen(self.what, layers)
        return self.tuning.note(backbone, [layer for i, layer in enumerate(layers) if i not in kept], size)

    def restore(self, backbone: nn.Module) -> None:
        self.tuning.restore(backbone)

    def describe(self) -> str:
        return f"{self.tuning.describe()}, {self.what} frozen"


def chosen(what: str, layers: Sequence[Layer]) -> set[int]:
    """The places of the layers that ``what`` names.

    Args:
        what: a slice as Python counts, ``"backbone[:-2]"`` (all but the last two) or ``"[:3]"``; or names separated by
            commas, where ``"layer1"`` stands for ``layer1.0``, ``layer1.1`` ... too. Names are those of
            `headstart sources NAME`.

    Raises:
        HandshakeError: it names no layer, an unknown one, or all of them.
    """
    names = [layer.name for layer in layers]
    found: set[int] = set()
    cut = re.fullmatch(r"(?:backbone)?\[(-?\d*):(-?\d*)\]", what.replace(" ", ""))
    if cut:
        a, b = (int(text) if text not in ("", "-") else None for text in cut.groups())
        found = set(range(len(names))[a:b])
        if not found:
            raise _refused("freeze names no layer", what, names)
    else:
        for name in filter(None, (part.strip() for part in what.split(","))):
            hits = {i for i, each in enumerate(names) if each == name or each.startswith(f"{name}.")}
            if not hits:
                close = near(name, names, 1)
                raise HandshakeError(
                    sentence(
                        "freeze names a layer that this backbone does not have",
                        got=name,
                        allowed=names,
                        fix=close[0] if close else None,
                    )
                )
            found |= hits
    if len(found) in (0, len(names)):
        problem = "freeze leaves no layer of the backbone to train" if found else "freeze names no layer"
        raise _refused(problem, what, names)
    return found


def _refused(problem: str, what: str, names: Sequence[str]) -> HandshakeError:
    return HandshakeError(
        sentence(
            problem, got=what, allowed=f"some of {', '.join(names)}", fix="--freeze 'backbone[:-1]', or --strategy head"
        )
    )
