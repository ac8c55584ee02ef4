"""Train one backbone for several tasks, each with a head, a loss and inputs of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.data.rows import Rows
from headstart.errors import HandshakeError, sentence
from headstart.progress import SILENT, Progress
from headstart.sources.bottleneck import Network
from headstart.strategies.handshake import handshake
from headstart.strategies.strategy import Strategy
from headstart.strategies.terms.term import Start
from headstart.strategies.tuning.tuning import Tuning, in_train_mode, parts_of
from headstart.tasks.task import Model, Task
from headstart.training.adapt import outputs_of
from headstart.training.balance import BALANCES, Balance, Together
from headstart.training.domains import Labelled, places
from headstart.training.loop import Fitted, train
from headstart.training.objective import Objective, bind
from headstart.training.optim import Optimisation


@dataclass(frozen=True)
class Member:
    """One task of several.

    Attributes:
        name: as the user calls it.
        task: head, loss, decoding.
        rows, labels: what it learns from, n inputs and what the task takes for their labels.
        valid, valid_labels: inputs that choose the epoch; ``None`` where it has no say in that.
        score: (decoded predictions (n, M), labels) -> scores by name with ``loss``, on which epochs are chosen.
    """

    name: str
    task: Task
    rows: Rows
    labels: np.ndarray
    valid: Rows | None = None
    valid_labels: np.ndarray | None = None
    score: Callable[[np.ndarray, np.ndarray], dict[str, float]] | None = None

    def size(self, batch_size: int) -> int:
        """Inputs of a batch."""
        return max(1, min(batch_size, len(self.rows)))

    def steps(self, batch_size: int) -> int:
        """Batches until every input has come once."""
        return -(-len(self.rows) // self.size(batch_size))


@dataclass
class Joint:
    """What training together leaves behind.

    Attributes:
        models: for each task the shared backbone, with batch-norm statistics of its own, and its head; in eval mode.
        fitted: history (``loss_NAME`` and ``weight_NAME`` of each task) and criterion.
    """

    models: dict[str, Model]
    fitted: Fitted

    @property
    def factors(self) -> dict[str, float]:
        """What the gradient of each task counted in the shared weights, on average over the last epoch."""
        return {name: self.fitted.history[-1].get(f"weight_{name}", 1.0) for name in self.models}

    def predict(self, member: Member, rows: Rows) -> np.ndarray:
        """What a task decodes of inputs, float32 (n, M)."""
        model = self.models[member.name]
        return outputs_of(model, member.task, rows, next(model.parameters()).device)[1]


def check_shared(strategy: Strategy) -> None:
    """Refuse a strategy that several tasks cannot share.

    Raises:
        HandshakeError: it takes no gradient steps, has terms, or puts adapters beside the weights.
    """
    where, fix = f"strategy {strategy.name!r}", "--strategy finetune, last(2) or gradual"
    if not strategy.procedure.by_steps or strategy.solved_head:
        raise HandshakeError(
            sentence("several tasks are trained by gradient steps from heads that start at zero", where=where, fix=fix)
        )
    if strategy.before:
        raise HandshakeError(
            sentence("a phase before prepares the source for one task, and there are several", where=where, fix=fix)
        )
    if strategy.terms:
        raise HandshakeError(
            sentence("terms speak of one task, and there are several", where=where, got=strategy.terms[0].name, fix=fix)
        )
    if type(strategy.tuning).rewire is not Tuning.rewire:
        raise HandshakeError(sentence("adapters beside the weights are not shared between tasks", where=where, fix=fix))


def train_together(
    network: Network,
    strategy: Strategy,
    members: Sequence[Member],
    options: Optimisation,
    *,
    updates: int,
    batch_size: int = 32,
    dropout: float = 0.0,
    balance: str = "equal",
    weights: dict[str, float] | None = None,
    device: torch.device,
    seed: int,
    precision: str = "auto",
    folder: Path | None = None,
    progress: Progress = SILENT,
    name: str = "together",
) -> Joint:
    """Train one backbone on the inputs of all ``members``, a batch of each an update; one member alone is plain fine-tuning.

    Every task sees the same batches in the same order whoever is trained beside it. The backbones are one in every parameter and
    differ in their batch norms' running statistics: those of a task come from its own inputs. The best epoch is the one with the
    lowest validation loss, of each task in units of what a head of zeros has, averaged over the tasks that have validation inputs;
    without any it is the last one.

    Args:
        network: its backbone is changed in place.
        strategy: which layers move, see :func:`check_shared`.
        options: as for one task; ``options.epochs`` of ``updates`` updates each.
        batch_size: inputs of each task an update.
        dropout: before the heads.
        balance: ``"equal"``, ``"uncertainty"``, ``"gradnorm"`` or ``"pcgrad"``.
        weights: of tasks by name, for ``"equal"``; 1 where none is given.
        folder: checkpoints; training goes on from those that are there.

    Raises:
        HandshakeError: weights for a balance that finds them, nothing of the backbone moves, a layer would not open within the epochs, batches of one input under batch norms.
        Diverged: a loss is not finite.
        OutOfMemory: one input at a time does not fit.
    """
    check_shared(strategy)
    if weights and not BALANCES[balance].weighs:
        raise HandshakeError(
            sentence(f"{balance} finds the weights of the tasks itself", got=weights, fix="balance='equal'")
        )
    torch.manual_seed(seed)
    network.backbone.to(device)
    parts = [
        part_of(
            network, network.backbone if k == 0 else beside(network.backbone), strategy, member, batch_size, dropout,
            device, seed,
        )
        for k, member in enumerate(members)
    ]  # fmt: skip
    bound = BALANCES[balance]([m.name for m in members], parts, [m.task.likelihood for m in members], weights or {})
    if not bound.shared:
        raise HandshakeError(
            sentence("the backbone is frozen, so that the tasks would share nothing that learns", where=f"strategy {strategy.name!r}",
                     fix="--strategy finetune")
        )  # fmt: skip
    fitted = train(
        one_objective(parts, bound), interleaved(members, updates, batch_size, seed), updates * len(parts),
        replace(options, accumulate=len(parts)), device=device, seed=seed, validate=validation(members, parts, device),
        metric="minus_relative_loss", precision=precision, folder=folder, progress=progress, name=name,
    )  # fmt: skip
    return Joint({member.name: part.model.eval() for member, part in zip(members, parts, strict=True)}, fitted)


def beside(backbone: nn.Module) -> nn.Module:
    """A backbone that shares every parameter with another and has buffers (batch-norm statistics) of its own."""
    return copy.deepcopy(backbone, {id(parameter): parameter for parameter in backbone.parameters()})


def part_of(
    network: Network,
    backbone: nn.Module,
    strategy: Strategy,
    member: Member,
    batch_size: int,
    dropout: float,
    device: torch.device,
    seed: int,
) -> Objective:
    """The objective of one task.

    Raises:
        HandshakeError: the strategy cannot act on this task.
    """
    has = frozenset(name for name, there in parts_of(backbone).items() if there) | {"hard_labels"}
    stages = handshake(strategy, network.layers, member.task, pretrained=network.pretrained, has=has)
    size = member.size(batch_size)
    start = Start(
        Model(backbone, member.task.head(network.width), dropout), network.layers, member.task,
        lambda: Labelled(member.rows, member.labels).batches, device, seed, total=len(member.rows),
        size=member.rows.shape[-1], batch=size,
    )  # fmt: skip
    objective = bind(strategy, stages, start)
    norms = (isinstance(module, nn.modules.batchnorm._BatchNorm) for _, module in in_train_mode(backbone, stages))
    if size == 1 and any(norms):
        raise HandshakeError(
            sentence("a batch of one input has no statistics for batch norms that train", where=member.name, got="1 input a batch",
                     fix="--batch-size 2 or more, more data, or --strategy 'finetune(bn=frozen)'")
        )  # fmt: skip
    return objective


class Buffers(nn.Module):
    """The buffers of another module, the same tensors under their names, so that a checkpoint holds them."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        for name, value in of.named_buffers():
            self.register_buffer(name.replace(".", "/"), value)


def one_objective(parts: Sequence[Objective], balance: Balance) -> Objective:
    """What the loop trains: the first backbone, the heads of all, the statistics of the others."""
    head = nn.ModuleDict(
        {f"head{k}": part.model.head for k, part in enumerate(parts)}
        | {f"buffers{k}": Buffers(part.model.backbone) for k, part in enumerate(parts) if k}
    )
    start = parts[0].start
    penalties = nn.ModuleDict({"balance": balance}).to(start.device)
    model = Model(parts[0].model.backbone, head)
    return Objective(model, parts[0].task, parts[0].stages, Together(balance), penalties, start)


def interleaved(
    members: Sequence[Member], updates: int, batch_size: int, seed: int
) -> Callable[[int], Iterator[Batch]]:
    """epoch -> one batch of each task in turn, ``updates`` times; each task goes through its inputs round after round."""

    def of_one(member: Member, epoch: int) -> Iterator[Batch]:
        size = member.size(batch_size)
        order = places(len(member.rows), epoch * updates * size, updates * size, [seed, 6])
        draws = int(np.random.SeedSequence([seed, 7, epoch]).generate_state(1)[0])
        labelled = Labelled(member.rows, member.labels)
        inputs = member.rows.stream(order, size, draws, vary=True)
        for x, index in zip(inputs, torch.as_tensor(order).split(size), strict=True):
            yield labelled.batch(x, index)

    def batches(epoch: int) -> Iterator[Batch]:
        for window in zip(*(of_one(member, epoch) for member in members), strict=True):
            yield from window

    return batches


def validation(
    members: Sequence[Member], parts: Sequence[Objective], device: torch.device
) -> Callable[[Any], dict[str, float]] | None:
    """Scores of the tasks that have validation inputs; ``None`` where none has."""
    judges = [(m, part) for m, part in zip(members, parts, strict=True) if m.valid is not None and m.score is not None]
    if not judges:
        return None

    def validate(_: Any) -> dict[str, float]:
        found: dict[str, float] = {}
        relative = []
        for member, part in judges:
            assert member.valid is not None and member.valid_labels is not None and member.score is not None
            scores = member.score(outputs_of(part.model, member.task, member.valid, device)[1], member.valid_labels)
            nothing = member.task.decode(torch.zeros(len(member.valid), member.task.rows)).numpy()
            relative.append(scores["loss"] / max(member.score(nothing, member.valid_labels)["loss"], 1e-12))
            found |= {f"{key}_{member.name}": value for key, value in scores.items() if not key.startswith("minus_")}
        mean = float(np.mean(relative))
        return found | {"relative_loss": mean, "minus_relative_loss": -mean, "loss": mean}

    return validate
