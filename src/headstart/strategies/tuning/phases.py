"""One tuning after the other: more layers move from phase to phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from headstart.errors import HandshakeError, sentence
from headstart.sources.source import Layer
from headstart.strategies.tuning.tuning import Stage, Tuning


@dataclass(frozen=True)
class Phases(Tuning):
    """Tunings that take equal shares of the epochs, ``a > b``: what moves in one phase moves in those after it.

    Rates and batch-norm modes are those of the last phase. One schedule of the learning rate runs through all of them.

    Raises:
        HandshakeError: from :meth:`stages`, where a later phase freezes what an earlier one has moved, or moves other
            parameters of it.
    """

    tunings: tuple[Tuning, ...]

    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        phases = [tuning.stages(layers) for tuning in self.tunings]
        found = []
        for i, last in enumerate(phases[-1]):
            each = [phase[i] for phase in phases]
            first = next((k for k, stage in enumerate(each) if stage.trainable), None)
            if first is None:
                found.append(last)
                continue
            for stage in each[first:]:
                if not stage.trainable or stage.only != last.only or stage.opens:
                    raise HandshakeError(
                        sentence(
                            "a later phase must move what an earlier one moved, and more", where=f"layer {last.layer.name!r}",
                            got=" > ".join(tuning.describe() for tuning in self.tunings), fix="--strategy 'last(1)>finetune'",
                        )
                    )  # fmt: skip
            found.append(replace(last, opens=first / len(phases)))
        return found

    def describe(self) -> str:
        return ", then ".join(tuning.describe() for tuning in self.tunings)
