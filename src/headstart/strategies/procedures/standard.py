"""The usual update: one forward, the sum of the losses, one backward."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.strategies.procedures.procedure import Procedure


@dataclass(frozen=True)
class Standard(Procedure):
    """Gradient descent on the task's loss plus the terms."""

    name = "standard"
