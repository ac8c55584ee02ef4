"""Train an encoder-decoder on pairs of texts: the one loop, with teacher forcing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.loader import DecodedCache
from headstart.data.sequence_preprocessing import SequencePreprocessing, sequence_batches
from headstart.errors import HandshakeError, sentence
from headstart.progress import Progress
from headstart.sources.source import Source
from headstart.strategies.handshake import handshake
from headstart.strategies.strategy import Strategy
from headstart.strategies.terms.term import Start
from headstart.strategies.tuning.tuning import Stage, parts_of
from headstart.tasks.generation import Generation
from headstart.tasks.task import Model
from headstart.training.finetune import EVAL_BATCH, Course, Feeding, settle
from headstart.training.loop import Fitted, train
from headstart.training.objective import bind, unbind
from headstart.training.optim import Optimisation
from headstart.training.transfer import Settings, resolve

STEPS = 1500
"""Optimiser steps that the default number of epochs aims for, from 3 to 40 epochs."""
RATES = {True: 3e-4, False: 1e-3}
"""Peak learning rate with AdamW, from a source and from random weights; 20 times that for SGD."""
OF_WEIGHTS = frozenset({"l2sp", "mixout"})
"""Terms that compare weights alone, so that they mean the same where outputs are texts."""


def sequence_options(values: dict[str, Any], n_train: int, batch_size: int, *, pretrained: bool) -> Optimisation:
    """:func:`headstart.training.transfer.resolve` with the defaults of this task: epochs for about 1500 steps, rates of whole networks."""
    values = dict(values)
    if values.get("epochs") is None:
        steps = max(1, -(-n_train // batch_size))
        values["epochs"] = int(min(40, max(3, round(STEPS / steps))))
    find = values.get("lr") == "auto"
    if values.get("lr") in (None, "auto"):
        values["lr"] = RATES[pretrained] * (20 if values.get("optimizer") == "sgd" else 1)
    values["head_lr_scale"] = 1.0
    made = resolve(values, n_train, batch_size, pretrained=pretrained)
    return Optimisation(**{**vars(made), "find_lr": find})


def check_strategy(strategy: Strategy, source: Source, task: Generation, *, pretrained: bool) -> list[Stage]:
    """The stages of a strategy on an encoder-decoder.

    Raises:
        HandshakeError: it solves or trains a head, which this task has not, or a term reads features or classes.
    """
    if not strategy.procedure.by_steps or strategy.solved_head:
        raise HandshakeError(
            sentence("this strategy solves a head on fixed features, and a model that writes texts has none", where=f"strategy {strategy.name!r}",
                     fix="--strategy finetune, lora or last(2)")
        )  # fmt: skip
    odd = [term.name for term in strategy.terms if term.name not in OF_WEIGHTS]
    if odd:
        raise HandshakeError(
            sentence("the term reads features or classes of whole inputs, and a model that writes texts has neither", where=f"strategy {strategy.name!r}",
                     got=", ".join(odd), allowed=sorted(OF_WEIGHTS), fix="--strategy finetune+l2sp")
        )  # fmt: skip
    stages = handshake(
        strategy,
        source.layers,
        task,
        pretrained=pretrained,
        has={name for name, there in parts_of(source.backbone).items() if there},
    )
    if not any(stage.trainable for stage in stages):
        raise HandshakeError(
            sentence("nothing would be trained: the task has no head of its own", where=f"strategy {strategy.name!r}", fix="--strategy finetune")
        )  # fmt: skip
    return stages


def train_sequences(
    source: Source,
    strategy: Strategy,
    task: Generation,
    train_set: Dataset,
    valid_set: Dataset | None,
    settings: Settings,
    *,
    pretrained: bool,
    device: torch.device,
    seed: int,
    folder: Path | None,
    progress: Progress,
    name: str,
) -> tuple[Fitted, list[Stage]]:
    """Train a copy of the source's network (with random weights where not ``pretrained``) as ``strategy`` says.

    The loss is the cross-entropy of the true next token given the text and the true target before it, a mean over tokens; the best epoch has
    the lowest loss on the validation pairs.

    Raises:
        HandshakeError: a strategy that cannot act here.
        Diverged: the loss is not finite.
    """
    stages = check_strategy(strategy, source, task, pretrained=pretrained)
    torch.manual_seed(seed)
    backbone = source.build()
    if pretrained:
        backbone.load_state_dict(source.backbone.state_dict())
    preprocessing: Any = source.preprocessing
    feeding = settings.feeding
    options = sequence_options(settings.optimisation, len(train_set), feeding.batch_size, pretrained=pretrained)
    course = _course(source, backbone, strategy, task, train_set, feeding, stages, device, seed)
    options, micro, found = settle(
        course, preprocessing, feeding, options, device=device, seed=seed, precision=settings.precision, folder=folder,
        progress=progress, name=name,
    )  # fmt: skip

    def validate(model: Model) -> dict[str, float]:
        assert valid_set is not None
        loss = mean_loss(model, task, valid_set, preprocessing, device, batch_size=micro or EVAL_BATCH)
        return {"loss": loss, "minus_loss": -loss}

    fitted = train(
        course.objective, course.batches, course.steps, options, device=device, seed=seed, metric="minus_loss", precision=settings.precision,
        validate=validate if valid_set is not None and len(valid_set) else None, micro_batch=micro, folder=folder, progress=progress, name=name,
    )  # fmt: skip
    unbind(strategy, fitted.model)
    fitted.extra |= {"options": options, **found}
    return fitted, stages


def _course(
    source: Source, backbone: nn.Module, strategy: Strategy, task: Generation, train_set: Dataset, feeding: Feeding, stages: list[Stage],
    device: torch.device, seed: int,
) -> Course:  # fmt: skip
    preprocessing: Any = source.preprocessing
    size = max(1, min(feeding.batch_size, len(train_set)))
    start = Start(
        Model(backbone, nn.Identity()), source.layers, task,
        lambda: sequence_batches(train_set, preprocessing, batch_size=EVAL_BATCH), device, seed, None, (), len(train_set),
        size=preprocessing.size, batch=size,
    )  # fmt: skip
    start.model.to(device)
    objective = bind(strategy, stages, start)

    def batches(epoch: int) -> Iterator[Batch]:
        order = int(np.random.SeedSequence([seed, 1 + epoch]).generate_state(1)[0])
        return sequence_batches(train_set, preprocessing, batch_size=size, shuffle_seed=order)

    return Course(objective, batches, math.ceil(len(train_set) / size), size, DecodedCache(0))


@torch.inference_mode()
def mean_loss(
    model: nn.Module,
    task: Generation,
    dataset: Dataset,
    preprocessing: SequencePreprocessing,
    device: torch.device,
    *,
    batch_size: int = EVAL_BATCH,
) -> float:
    """The task's loss over all tokens of the targets of a data set, in nats; its exponential is the perplexity."""
    model.eval()
    total = tokens = 0.0
    for batch in sequence_batches(dataset, preprocessing, batch_size=batch_size):
        batch = batch.to(device)
        assert batch.targets is not None
        mass = task.mass(batch.targets)
        total += float(task.loss(model(batch.inputs), batch.targets)) * mass
        tokens += mass
    return total / max(tokens, 1.0)
