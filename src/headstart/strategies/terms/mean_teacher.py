"""The mean teacher (Tarvainen and Valpola 2017), across domains as self-ensembling (French et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.func import functional_call

from headstart.functional.mean_teacher import consistency, sigmoid_ramp, teacher_decay
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start
from headstart.strategies.terms.unlabelled import OnUnlabelled, statistics_kept
from headstart.tasks.task import Model


@dataclass(frozen=True)
class MeanTeacher(OnUnlabelled):
    """What a slowly moving average of the model says of the weak view, asked of the model on the strong view.

    ``weight * ramp(t) / U * sum_u 1[max q_u >= threshold] ||p(strong_u) - q(weak_u)||^2``, q of the teacher, whose weights are
    ``decay`` times its own plus the rest of the model's after every update (the plain mean of all so far, until that is
    as long). The teacher gets no gradient; its batch norms use the statistics of the view that passes. What is kept at
    the end is the model, not the teacher.

    Args:
        weight: > 0, default 3 (French et al.; they and Tarvainen and Valpola divide the distance by K, we do not).
        threshold: as for the others, default 0 (all count); French et al. take 0.968 instead of a ramp.
        decay: in [0, 1), default 0.99.
        rampup: the weight grows as ``exp(-5 (1 - x)^2)`` over this share of the training, in [0, 1], default 0.3.
    """

    weight: float = 3.0
    threshold: float = 0.0
    decay: float = 0.99
    rampup: float = 0.3

    name = "meanteacher"
    strong = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_argument(self.name, "decay", self.decay, 0 <= self.decay < 1, "0 <= decay < 1")
        check_argument(self.name, "rampup", self.rampup, 0 <= self.rampup <= 1, "0 to 1, a share of the training")

    def bind(self, start: Start) -> Penalty:
        return _MeanTeacher(self, start)

    def describe(self) -> str:
        return f"mean teacher ({self.words()}, decay {self.decay:g})"


class _MeanTeacher(Penalty):
    step: torch.Tensor

    def __init__(self, term: MeanTeacher, start: Start) -> None:
        super().__init__()
        self.term = term
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        for name, parameter in start.model.named_parameters():
            self.register_buffer(_key(name), parameter.detach().clone())

    def forward(self, seen: Seen) -> torch.Tensor:
        weak, strong = seen.batch.weak, seen.batch.strong
        assert weak is not None and strong is not None
        if not len(weak):  # a piece of a batch that was cut to fit into memory
            return seen.outputs.sum() * 0.0
        kept = dict(self.named_buffers())
        weights = {name: kept[_key(name)] for name, _ in seen.model.named_parameters()}
        with torch.no_grad(), statistics_kept(seen.model):
            taught = functional_call(seen.model, weights, (weak,))
        # running statistics follow the joint pass of both domains, or without one the labelled images, not the strong view
        with statistics_kept(seen.model):
            outputs = seen.model(strong)
        ramp = sigmoid_ramp(seen.progress, self.term.rampup)
        return ramp * self.term.weight * consistency(outputs, taught, self.term.threshold)

    @torch.no_grad()
    def after_step(self, model: Model) -> None:
        decay = teacher_decay(int(self.step), self.term.decay)
        kept = dict(self.named_buffers())
        for name, parameter in model.named_parameters():
            kept[_key(name)].lerp_(parameter, 1 - decay)
        self.step += 1


def _key(name: str) -> str:
    """The name of a parameter as that of a buffer, in which no dot may be."""
    return "teacher/" + name.replace(".", "/")
