"""One model from labelled domains and an unlabelled target: handshake, terms, loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.data.rows import ImageRows, Rows
from headstart.errors import HandshakeError, sentence
from headstart.progress import SILENT, Progress
from headstart.sources.bottleneck import Network
from headstart.strategies.handshake import handshake
from headstart.strategies.strategy import Strategy
from headstart.strategies.terms.checks import refuse_waiting
from headstart.strategies.terms.term import Start
from headstart.strategies.terms.unlabelled import unlabelled_stream
from headstart.strategies.tuning.tuning import parts_of
from headstart.tasks.task import Model, Task
from headstart.training.domains import EVAL_BATCH, DomainBatches, Labelled
from headstart.training.finetune import EVAL_BATCH as IMAGES_AT_ONCE
from headstart.training.loop import Fitted, train
from headstart.training.objective import bind, unbind
from headstart.training.optim import Optimisation


def adapt(
    network: Network,
    strategy: Strategy,
    task: Task,
    labelled: Labelled,
    target: Rows | None,
    options: Optimisation,
    *,
    batch_size: int = 32,
    dropout: float = 0.0,
    head: nn.Module | None = None,
    device: torch.device,
    seed: int,
    validate: Callable[[Model], dict[str, float]] | None = None,
    metric: str = "accuracy",
    folder: Path | None = None,
    progress: Progress = SILENT,
    name: str = "adapting",
) -> Fitted:
    """Train ``network`` with a new head on labelled inputs, the target's unlabelled ones beside them.

    Args:
        network: its backbone is changed in place.
        strategy: terms with the need ``"target_stream"`` compare the two.
        target: ``None`` for a strategy that learns from labelled domains alone.
        batch_size: labelled inputs an update; as many of the target come beside them.
        head: what to start from; default: a new one of the task.
        validate, metric, folder: as for :func:`headstart.training.loop.train`.

    Raises:
        HandshakeError: parts that cannot act. DataError: domains that do not go together.
        Diverged: the loss is not finite. OutOfMemory: one input at a time does not fit.
    """
    if strategy.before:
        raise HandshakeError(
            sentence("a phase that prepares the source is of fit, on one data set", got=f"{strategy.name} ({strategy.before[0].name})",
                     fix="headstart fit TARGET --strategy 'mlm>finetune', then headstart adapt --source that run")
        )  # fmt: skip
    given = facts(network, labelled, target)
    stages = handshake(strategy, network.layers, task, pretrained=network.pretrained, has=given)
    refuse_waiting(strategy.terms, options.epochs)
    stream = unlabelled_stream(strategy.terms)
    batches = DomainBatches(
        labelled, target, batch_size, seed, views=stream is not None, ratio=1.0 if stream is None else stream[0]
    )
    torch.manual_seed(seed)
    model = Model(network.backbone, task.head(network.width) if head is None else head, dropout)

    def epochs(epoch: int) -> Iterator[Batch]:
        both = strategy.procedure.labelled(epoch / options.epochs)
        return batches(epoch) if both else batches.target_alone(epoch)

    start = Start(
        model, network.layers, task, lambda: labelled.batches, device, seed, total=len(labelled.rows),
        size=labelled.rows.shape[-1], batch=batches.size, sources=sources(labelled),
        target_batches=None if target is None else lambda: Labelled(target, None).batches,
        target_total=0 if target is None else len(target),
    )  # fmt: skip
    model.to(device)
    objective = bind(strategy, stages, start)
    fitted = train(
        objective, epochs, batches.steps, options, device=device, seed=seed, validate=validate, metric=metric,
        folder=folder, progress=progress, name=name,
    )  # fmt: skip
    unbind(strategy, fitted.model)
    fitted.extra["options"] = options
    return fitted


def sources(labelled: Labelled) -> int:
    """How many sources there are; labelled inputs of the target are not one."""
    return 1 if labelled.domain is None else max(1, len(np.unique(labelled.domain)) - int(labelled.few))


def facts(network: Network, labelled: Labelled, target: Rows | None) -> frozenset[str]:
    """What a strategy may count on; the words are those of the handshake."""
    found = parts_of(network.backbone) | {
        "hard_labels": True,
        "target_stream": target is not None,
        "unlabelled_target": target is not None,
        "several_sources": sources(labelled) > 1,
        "labelled_target": labelled.few,
        "feature_maps": isinstance(labelled.rows, ImageRows),
    }
    return frozenset(name for name, there in found.items() if there)


@torch.inference_mode()
def outputs_of(model: Model, task: Task, rows: Rows, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Deep features float32 (n, width), and what the task decodes, float32 (n, M), of inputs in their order."""
    model.eval()
    size = IMAGES_AT_ONCE if isinstance(rows, ImageRows) else EVAL_BATCH
    features, decoded = [], []
    for inputs in rows.stream(np.arange(len(rows)), size, 0, vary=False):
        found = model.backbone(inputs.to(device))
        features.append(found.float().cpu().numpy())
        decoded.append(task.decode(model.head(found)).cpu().numpy())
    return np.concatenate(features), np.concatenate(decoded)
