"""Several tasks on one backbone: the gradient that each leaves in the shared weights, and how they become one.

An update runs a batch of every task. The shared weights move along ``1 / K sum_k a_k grad L_k``; the factors a_k are what a way of
balancing decides. Each head follows the gradient of its own loss alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.functional.gradnorm import gradnorm_gradient, gradnorm_step
from headstart.functional.pcgrad import pcgrad
from headstart.functional.uncertainty import uncertainty_gradient
from headstart.strategies.procedures.procedure import Procedure
from headstart.strategies.terms.term import Penalty, Seen
from headstart.strategies.tuning.tuning import moving
from headstart.training.objective import Objective

Run = Callable[[Objective, Sequence[Batch]], dict[str, float]]
"""(objective, batches) -> parts of the loss by name; the gradient is left in ``.grad``."""


@dataclass
class Gradients:
    """What the tasks ask of the shared weights at one update.

    Attributes:
        losses: (K,) float64.
        shared: for each task one tensor a shared parameter, ``None`` where it does not act on the loss.
        last: which of them are of the last shared layer.
    """

    losses: torch.Tensor
    shared: list[list[torch.Tensor | None]]
    last: list[int]

    def products(self, among: Sequence[int] | None = None) -> torch.Tensor:
        """(K, K) float64: inner products of the gradients, over the parameters ``among`` (default: all)."""
        k, places = len(self.shared), range(len(self.shared[0])) if among is None else among
        found = torch.zeros(k, k, dtype=torch.float64)
        for i in range(k):
            for j in range(i, k):
                pairs = ((self.shared[i][p], self.shared[j][p]) for p in places)
                each = [(a.float() * b.float()).sum() for a, b in pairs if a is not None and b is not None]
                found[i, j] = found[j, i] = torch.stack(each).sum().double().cpu() if each else 0.0
        return found

    def norms(self) -> torch.Tensor:
        """(K,) float64: of the gradients by the last shared layer."""
        return self.products(self.last).diagonal().sqrt()


class Balance(Penalty):
    """A way of balancing, bound to the tasks. What it learns is in the checkpoint like that of a term.

    Args:
        names: of the K tasks.
        parts: an objective for each; their backbones share every parameter.
        shares: (K,) how a loss enters a likelihood: 1/2 for squared errors, 1 for cross-entropies.
        weights: of the tasks, > 0, for the ways that take them.
    """

    weighs = False
    """Whether it takes weights from the user."""

    def __init__(
        self, names: Sequence[str], parts: Sequence[Objective], shares: Sequence[float], weights: Mapping[str, float]
    ) -> None:
        super().__init__()
        self.names, self.parts, self.shares = list(names), list(parts), torch.tensor(shares, dtype=torch.float64)
        groups = [moving(parts[0].model.backbone, stage) for stage in parts[0].stages]
        self.shared = [parameter for group in groups for parameter in group]
        last = {id(parameter) for group in [g for g in groups if g][-1:] for parameter in group}
        self.last = [i for i, parameter in enumerate(self.shared) if id(parameter) in last]
        self.keep(weights)

    def keep(self, weights: Mapping[str, float]) -> None:
        """Make what this way keeps between updates."""

    @abstractmethod
    def factors(self, found: Gradients) -> torch.Tensor:
        """(K,) float64: what the gradient of each task counts in the shared weights; 1 is the plain mean."""

    def begin(self, model: nn.Module, progress: float) -> None:
        """Train mode and what moves, for the backbone and head of every task."""
        for part in self.parts:
            part.begin(progress)

    def gradient(self, window: Sequence[Batch], run: Run) -> dict[str, float]:
        """Leave the joint gradient of one batch a task in ``.grad``; the losses and factors by name."""
        losses, shared = [], []
        for part, batch in zip(self.parts, window, strict=True):
            losses.append(sum(run(part, [batch]).values()))
            shared.append([parameter.grad for parameter in self.shared])
            for parameter in self.shared:
                parameter.grad = None
        factors = self.factors(Gradients(torch.tensor(losses, dtype=torch.float64), shared, self.last))
        mean = (factors / len(factors)).tolist()
        for place, parameter in enumerate(self.shared):
            for one, a in zip(shared, mean, strict=True):
                gradient = one[place]
                if gradient is not None:
                    parameter.grad = gradient * a if parameter.grad is None else parameter.grad.add_(gradient, alpha=a)
        whole = sum(a * loss for a, loss in zip(mean, losses, strict=True))
        if len(self.names) == 1:
            return {"loss": whole}
        each = {f"loss_{name}": loss for name, loss in zip(self.names, losses, strict=True)}
        return {"loss": whole, **each, **{f"weight_{n}": a for n, a in zip(self.names, factors.tolist(), strict=True)}}

    def forward(self, seen: Seen) -> torch.Tensor:
        """Zero: it adds nothing to a loss, it acts between the gradients."""
        return seen.outputs.new_zeros(())


class Equal(Balance):
    """The mean, or the weighted mean, of the tasks' gradients."""

    weighs = True

    def keep(self, weights: Mapping[str, float]) -> None:
        fixed = torch.tensor([weights.get(name, 1.0) for name in self.names], dtype=torch.float64)
        self.fixed = fixed * len(fixed) / fixed.sum()

    def factors(self, found: Gradients) -> torch.Tensor:
        return self.fixed


class Uncertainty(Balance):
    """``c_k exp(-s_k)`` with log-variances that are learned beside the weights (:mod:`headstart.functional.uncertainty`)."""

    def keep(self, weights: Mapping[str, float]) -> None:
        self.log_variances = nn.Parameter(torch.zeros(len(self.names)))

    def factors(self, found: Gradients) -> torch.Tensor:
        s = self.log_variances.detach().double().cpu()
        self.log_variances.grad = uncertainty_gradient(found.losses, s, self.shares).to(self.log_variances)
        return self.shares * torch.exp(-s)


class GradNorm(Balance):
    """Weights that follow how far each task has come (:mod:`headstart.functional.gradnorm`).

    The paper's alpha of 1.5 and rate of 0.025; the norms are those of the last layer of the backbone that moves.
    """

    alpha, lr = 1.5, 0.025
    weights: torch.Tensor
    first: torch.Tensor

    def keep(self, weights: Mapping[str, float]) -> None:
        self.register_buffer("weights", torch.ones(len(self.names), dtype=torch.float64))
        self.register_buffer("first", torch.zeros(len(self.names), dtype=torch.float64))

    def factors(self, found: Gradients) -> torch.Tensor:
        if not self.first.any():
            self.first.copy_(found.losses.clamp_min(1e-6))
        now, norms = self.weights.cpu().clone(), found.norms()
        step = gradnorm_gradient(norms, now, found.losses.clamp_min(1e-12), self.first.cpu(), self.alpha)
        self.weights.copy_(gradnorm_step(now, step, norms, self.lr))
        return now


class PCGrad(Balance):
    """Conflicts between the gradients are projected away (:mod:`headstart.functional.pcgrad`), in an order drawn anew each time."""

    def factors(self, found: Gradients) -> torch.Tensor:
        k = len(found.losses)
        return pcgrad(found.products(), [torch.randperm(k).tolist() for _ in range(k)]).sum(0)


BALANCES: dict[str, type[Balance]] = {
    "equal": Equal,
    "uncertainty": Uncertainty,
    "gradnorm": GradNorm,
    "pcgrad": PCGrad,
}


@dataclass(frozen=True)
class Together(Procedure):
    """One update of all tasks: a gradient from each, joined by ``balance``."""

    balance: Balance
    name = "together"
    words = "one update of all tasks"

    def gradient(self, objective: Any, window: Sequence[Any], run: Callable[..., dict[str, float]]) -> dict[str, float]:
        return self.balance.gradient(window, run)
