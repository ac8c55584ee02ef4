"""From a backbone and a strategy to a trained model: handshake, terms, tuning, loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.augment import augmentation, mix_batch
from headstart.data.dataset import ImageDataset
from headstart.data.loader import DecodedCache, batches
from headstart.data.preprocessing import Preprocessing
from headstart.progress import Progress
from headstart.sources.source import Layer
from headstart.strategies.handshake import handshake
from headstart.strategies.strategy import Strategy
from headstart.strategies.tuning.tuning import set_trainable
from headstart.tasks.classification import Classification, sampler_weights
from headstart.tasks.task import Model
from headstart.training.loop import Fitted, train
from headstart.training.optim import Optimisation

DECODED_BYTES = 400_000_000
"""Decoded images kept between epochs, at most; a larger set is decoded anew in each epoch."""


@dataclass(frozen=True)
class Feeding:
    """How training images come.

    Attributes:
        batch_size: images a step.
        augment: see :func:`headstart.data.augment.augmentation`.
        mixup, cutmix: alpha of the Beta distribution, 0 is off.
        balanced: draw every class equally often.
        workers: threads that decode, or ``None`` for one a core.
        dropout: before the head.
    """

    batch_size: int = 32
    augment: Any = "light"
    mixup: float = 0.0
    cutmix: float = 0.0
    balanced: bool = False
    workers: int | None = None
    dropout: float = 0.0


def finetune(
    backbone: nn.Module,
    layers: Sequence[Layer],
    width: int,
    preprocessing: Preprocessing,
    strategy: Strategy,
    task: Classification,
    train_set: ImageDataset,
    valid_set: ImageDataset | None,
    feeding: Feeding,
    options: Optimisation,
    *,
    pretrained: bool,
    device: torch.device,
    seed: int,
    score: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    metric: str,
    precision: str = "auto",
    folder: Path | None = None,
    head_start: tuple[torch.Tensor, torch.Tensor] | None = None,
    progress: Progress,
    name: str = "training",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Fitted:
    """Train ``backbone`` with a new head on ``train_set`` as ``strategy`` says.

    Args:
        backbone: (B, 3, H, W) -> (B, ``width``); changed in place.
        pretrained: whether it carries a source's weights (terms may need that).
        valid_set: chooses the best epoch; ``None`` keeps the last one.
        score: (probabilities (n, K), labels (n,)) -> scores by name, with ``metric`` and ``loss``.
        folder: checkpoints; training goes on from those that are there.
        head_start: (weight (K, width), bias (K,)) that the head starts from instead of zero.

    Raises:
        HandshakeError: parts of the strategy that cannot act.
        Diverged: the loss is not finite.
    """
    stages = handshake(strategy, layers, task, pretrained=pretrained)
    torch.manual_seed(seed)
    head = task.head(width)
    if head_start is not None:
        head.load_state_dict({"weight": head_start[0], "bias": head_start[1]})
    model = Model(backbone, head, feeding.dropout)
    model.to(device)
    set_trainable(backbone, stages)
    penalties = {term.name: term.bind(model) for term in strategy.terms}

    assert train_set.labels is not None
    n = len(train_set)
    size = min(feeding.batch_size, n)
    lone = n > size and n % size == 1  # a batch of one image has no batch statistics
    steps = n // size if lone else math.ceil(n / size)
    weights = sampler_weights(train_set.labels) if feeding.balanced else None
    augment = augmentation(feeding.augment)
    cache = DecodedCache(DECODED_BYTES)
    k = len(task.classes)

    def train_batches(epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = int(np.random.SeedSequence([seed, 1 + epoch]).generate_state(1)[0])
        mixing = torch.Generator().manual_seed(order)
        for batch in batches(
            train_set, preprocessing, batch_size=size, augmentation=augment, shuffle_seed=order, sampler_weights=weights,
            drop_last=lone, workers=feeding.workers, cache=cache,
        ):  # fmt: skip
            images, targets = batch.images, batch.labels
            assert targets is not None
            if feeding.mixup or feeding.cutmix:
                onehot = nn.functional.one_hot(targets, k).to(torch.float32)
                images, targets = mix_batch(
                    images, onehot, mixup=feeding.mixup, cutmix=feeding.cutmix, generator=mixing
                )
            yield images, targets

    def validate(current: Model) -> dict[str, float]:
        assert valid_set is not None and valid_set.labels is not None
        return score(
            predict_batches(current, task, valid_set, preprocessing, device, cache=cache, workers=feeding.workers),
            valid_set.labels,
        )

    return train(
        model, task, stages, strategy.procedure, penalties, train_batches, steps, options, device=device, seed=seed,
        validate=validate if valid_set is not None and len(valid_set) else None, metric=metric, precision=precision,
        folder=folder, progress=progress, name=name, on_epoch=on_epoch,
    )  # fmt: skip


@torch.inference_mode()
def predict_batches(
    model: Model,
    task: Classification,
    dataset: ImageDataset,
    preprocessing: Preprocessing,
    device: torch.device,
    *,
    batch_size: int = 64,
    cache: DecodedCache | None = None,
    workers: int | None = None,
) -> np.ndarray:
    """Class probabilities float32 (n, K) of a data set, in its order."""
    model.eval()
    found = []
    for batch in batches(dataset, preprocessing, batch_size=batch_size, workers=workers, cache=cache):
        outputs = model(batch.images.to(device, memory_format=torch.channels_last))
        found.append(task.decode(outputs).cpu().numpy())
    return np.concatenate(found)
