"""ADDA: an encoder of the target's own, taught to give features like the source's (Tzeng, Hoffman, Saenko, Darrell, CVPR 2017)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Self, cast

import torch
from torch.nn.functional import softplus

from headstart.data.batch import Batch
from headstart.functional.domain_classifier import domain_loss
from headstart.strategies.procedures.procedure import Procedure, Step, weigh
from headstart.strategies.terms.adversary import check_hidden, faces, linear_head, perceptron
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.strategies.terms.unlabelled import statistics_kept
from headstart.tasks.task import Model, Task


@dataclass(frozen=True)
class ADDA(Term):
    """*Adversarial Discriminative Domain Adaptation*: training on the source, then adversarial adaptation, equation 9.

    :class:`TwoStages` runs both. The model that is left is the target's encoder with the source's head. A score on labelled inputs of
    the source says little of it: where one chooses the epoch, the first stage wins.

    Args:
        weight: > 0, default 1: on the losses of the second stage.
        share: of the training, in (0, 1), that the first stage takes, default 0.5.
        hidden: units of each of the two hidden layers of the discriminator, a whole number >= 1, default 256.

    Raises:
        RecipeError: arguments out of range.
    """

    weight: float = 1.0
    share: float = 0.5
    hidden: float = 256

    name = "adda"
    needs = frozenset({"trainable_backbone", "target_stream"})

    def __post_init__(self) -> None:
        check_argument(self.name, "share", self.share, 0 < self.share < 1, "above 0 and below 1, a share of the epochs")
        check_hidden(self.name, self.hidden)

    @property
    def procedure(self) -> Procedure:  # type: ignore[override]
        return TwoStages(self.share)

    def bind(self, start: Start) -> Penalty:
        return Encoders(self, start)

    def describe(self) -> str:
        return f"adversarial encoder of the target (weight {self.weight:g}, after {self.share:.0%} of the epochs)"


class Encoders(Penalty):
    """The source's encoder, in eval mode, and the discriminator."""

    taken: torch.Tensor

    def __init__(self, term: ADDA, start: Start) -> None:
        super().__init__()
        self.term = term
        self.encoder = copy.deepcopy(start.model.backbone).requires_grad_(False).eval()
        self.discriminator = perceptron(linear_head(start).in_features, term.hidden, 1, start.seed)
        self.register_buffer("taken", torch.tensor(False))

    def train(self, mode: bool = True) -> Self:
        """The source's encoder stays as it is."""
        super().train(mode)
        self.encoder.eval()
        return self

    @torch.no_grad()
    def take(self, model: Model) -> None:
        """What the backbone is now is the source's encoder; once, until the first stage runs again."""
        if not self.taken:
            self.encoder.load_state_dict(model.backbone.state_dict())
            self.taken.fill_(True)

    def judge(self, features: torch.Tensor) -> torch.Tensor:
        """(B, 1) logits of being of the source."""
        with torch.autocast(features.device.type, enabled=False):
            return self.discriminator(features.float())

    def forward(self, seen: Seen) -> torch.Tensor:
        """``weight`` times the discriminator's loss on detached features."""
        if not faces(seen):
            return self.judge(seen.features.detach()).sum() * 0.0  # a piece of a batch with one domain alone
        features, _, weights = seen.source_side()
        assert seen.target_features is not None
        found = domain_loss(self.judge(features.detach()), self.judge(seen.target_features.detach()), weights)
        return self.term.weight * found


@dataclass(frozen=True)
class TwoStages(Procedure):
    """The updates of ADDA.

    For the first ``share`` of the training the model descends the task's loss on the source; alone, without the target's inputs passing
    (batch norms see the source); with other terms in the strategy these stand beside it, and the target's inputs pass too.
    Then a copy of the backbone is kept as the source's encoder, the head is held, and each update has two steps:

    1. The discriminator learns to tell the source's features (of the source's encoder) from the target's (of the backbone).
    2. The backbone descends the discriminator's loss with inverted labels, ``-1/U sum_u log D(M_t(x_u))``.

    In the second stage the backbone sees inputs of the target alone, so that its batch norms become those of the target; their running
    statistics follow the second step. Other terms act in the first stage only, but what they weigh counts in both.
    """

    share: float = 0.5

    name = "adda"
    words = "the source first, then the target's encoder"

    def steps(self, progress: float) -> tuple[Step, ...]:
        if progress < self.share:
            return (Step(),)
        return (Step("discriminator", frozenset({"terms"})), Step("encoder", frozenset({"backbone"})))

    def losses(
        self,
        model: Model,
        task: Task,
        batch: Batch,
        penalties: Mapping[str, Penalty],
        start: Start,
        progress: float,
        step: str = "",
    ) -> dict[str, torch.Tensor]:
        own = cast(Encoders, penalties["adda"])
        if step == "":
            own.taken.fill_(False)
            others = {name: penalty for name, penalty in penalties.items() if name != "adda"}
            shown = batch if others else replace(batch, target=None, target_index=None)
            return super().losses(model, task, shown, others, start, progress)
        own.take(model)
        if step == "encoder":
            seen = self.both(own, model, batch, penalties, start, progress)
            if not faces(seen):
                return {"loss": own(seen)}
            assert seen.target_features is not None
            return {"loss": own.term.weight * softplus(-own.judge(seen.target_features)).mean()}
        with torch.no_grad(), statistics_kept(model.backbone):
            seen = self.both(own, model, batch, penalties, start, progress)
        return {"adda": own(seen)}

    def both(
        self,
        own: Encoders,
        model: Model,
        batch: Batch,
        penalties: Mapping[str, Penalty],
        start: Start,
        progress: float,
    ) -> Seen:
        """Labelled inputs through the source's encoder, those of the target through the backbone."""
        with torch.no_grad():
            features = own.encoder(batch.inputs)
            seen = Seen(model, batch, features, model.head(features), progress, start, weights=batch.weights)
        if batch.target is not None and len(batch.target):
            alone = replace(batch, inputs=batch.inputs[:0])
            with ExitStack() as watching:
                for penalty in penalties.values():
                    watching.enter_context(penalty.watching(model, alone))
                seen.target_features = model.backbone(batch.target)
            seen.target_outputs = model.head(model.dropout(seen.target_features))
        return weigh(seen, penalties)
