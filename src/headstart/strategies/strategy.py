"""A strategy is a value: one tuning, any number of terms, one procedure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from headstart.sources.source import Layer
from headstart.strategies.preparation.preparation import Preparation
from headstart.strategies.procedures.procedure import Procedure
from headstart.strategies.procedures.standard import Standard
from headstart.strategies.terms.term import Term
from headstart.strategies.tuning.tuning import Stage, Tuning


@dataclass(frozen=True)
class Strategy:
    """How knowledge moves.

    Attributes:
        name: as users write it, e.g. ``"l2sp"``.
        tuning: which parameters move.
        terms: what is added to the loss.
        procedure: how one update runs.
        before: phases that prepare the source, one after the other; the rest begins from what they leave.
        solved_head: the new head starts from the solved one of the frozen source, not from zero.

    >>> from headstart.strategies.tuning.full import Full
    >>> from headstart.strategies.terms.l2sp import L2SP
    >>> Strategy("mine", Full(), (L2SP(0.1),)).describe()
    'whole backbone trained + L2-SP (weight 0.1, head 0.005)'
    """

    name: str
    tuning: Tuning
    terms: tuple[Term, ...] = ()
    procedure: Procedure = field(default_factory=Standard)
    solved_head: bool = False
    before: tuple[Preparation, ...] = ()

    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        """The tuning's stages, batch norms settled where they were left open: a head that was solved on the source's
        features goes on under the source's statistics, any other adapts. Fresh layers are always trained."""
        settled = "frozen" if self.solved_head else "adapt"
        old = self.tuning.stages([layer for layer in layers if not layer.fresh])
        old = [replace(stage, bn=settled) if stage.bn == "auto" else stage for stage in old]
        return [*old, *(Stage(layer, trainable=True) for layer in layers if layer.fresh)]

    def describe(self) -> str:
        """One line for people."""
        first = "".join(f"{phase.describe()}, then " for phase in self.before)
        first += "head solved first, " if self.solved_head else ""
        parts = [first + self.tuning.describe(), *(term.describe() for term in self.terms)]
        if self.procedure.words:
            parts.append(self.procedure.words)
        return " + ".join(parts)
