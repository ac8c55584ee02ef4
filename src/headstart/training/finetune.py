"""From a backbone and a strategy to a trained model: handshake, terms, tuning, loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.augment import augmentation, mix_batch, mixing_share
from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.loader import DecodedCache, batches
from headstart.data.preprocessing import Preprocessing
from headstart.data.view_pairs import Views
from headstart.errors import HandshakeError, sentence
from headstart.folder import read_json, write_json
from headstart.progress import SILENT, Progress
from headstart.sources.source import Source
from headstart.sources.text_backbone import reads_left_to_right
from headstart.strategies.handshake import FIXES, handshake
from headstart.strategies.strategy import Strategy
from headstart.strategies.terms.checks import refuse_waiting
from headstart.strategies.terms.term import Start
from headstart.strategies.terms.unlabelled import unlabelled_stream
from headstart.strategies.tuning.tuning import in_train_mode, parts_of, refuse_unopened
from headstart.tasks.classification import sampler_weights
from headstart.tasks.task import Model, Task
from headstart.training.fit_memory import fit_memory
from headstart.training.loop import Batches, Fitted, train
from headstart.training.lr_range import lr_range_test
from headstart.training.objective import Objective, bind, unbind
from headstart.training.optim import Optimisation
from headstart.training.update import Pieces

EVAL_BATCH = 64
"""Images at once in an evaluation, where memory sets no other number."""

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
        decoded: decoded images that several trainings share; ``None``: each keeps its own.
        fit_memory: find out first how much of a batch fits in memory at once (:mod:`headstart.training.fit_memory`).
        repeats: each image comes this many times in a batch, each time augmented anew; an epoch shows every image as often.
        unlabelled: images for the terms that learn without labels.
    """

    batch_size: int = 32
    augment: Any = "light"
    mixup: float = 0.0
    cutmix: float = 0.0
    balanced: bool = False
    workers: int | None = None
    dropout: float = 0.0
    fit_memory: bool = False
    decoded: DecodedCache | None = field(default=None, compare=False, repr=False)
    repeats: int = 1
    unlabelled: Dataset | None = None


def finetune(
    source: Source,
    backbone: nn.Module,
    strategy: Strategy,
    task: Task,
    train_set: Dataset,
    valid_set: Dataset | None,
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
    head_start: tuple[torch.Tensor, ...] | None = None,
    progress: Progress,
    name: str = "training",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Fitted:
    """Train ``backbone`` with a new head on ``train_set`` as ``strategy`` says.

    Args:
        source: layers, width, preprocessing and head of the source; its own backbone is not touched.
        backbone: one of the source's architecture, (B, 3, H, W) -> (B, width); changed in place.
        pretrained: whether it carries the source's weights (terms may need that).
        valid_set: chooses the best epoch; ``None`` keeps the last one.
        score: (probabilities (n, K), labels (n,)) -> scores by name, with ``metric`` and ``loss``.
        folder: checkpoints and what was settled before the first step; training goes on from those that are there.
        head_start: (weight (rows, width), bias (rows,)) that the head starts from instead of zero, and what else the task's has.

    Raises:
        HandshakeError: parts of the strategy that cannot act.
        Diverged: the loss is not finite.
        OutOfMemory: one image at a time does not fit.
    """
    course = set_up(
        source, backbone, strategy, task, train_set, feeding, pretrained=pretrained, device=device, seed=seed,
        head_start=head_start,
    )  # fmt: skip
    refuse_unopened(course.objective.stages, options.epochs)
    refuse_waiting(strategy.terms, options.epochs)
    if said := strategy.tuning.note(source.backbone, source.layers, source.preprocessing.size):
        progress.say(f"{name}: {said}")
    options, micro_batch, found = settle(
        course, source.preprocessing, feeding, options, device=device, seed=seed, precision=precision, folder=folder,
        progress=progress, name=name,
    )  # fmt: skip

    def validate(current: Model) -> dict[str, float]:
        assert valid_set is not None and valid_set.labels is not None
        return score(
            predict_batches(
                current, task, valid_set, source.preprocessing, device, batch_size=micro_batch or EVAL_BATCH,
                cache=course.cache, workers=feeding.workers, say=progress.say,
            ),
            valid_set.labels,
        )  # fmt: skip

    fitted = train(
        course.objective, course.batches, course.steps, options, device=device, seed=seed, validate=validate if valid_set is not None and len(valid_set) else None, metric=metric,
        precision=precision, micro_batch=micro_batch, folder=folder, progress=progress, name=name, on_epoch=on_epoch,
    )  # fmt: skip
    unbind(strategy, fitted.model)
    fitted.extra |= {"options": options, **found}
    return fitted


def settle(
    course: Course,
    preprocessing: Preprocessing,
    feeding: Feeding,
    options: Optimisation,
    *,
    device: torch.device,
    seed: int,
    precision: str,
    folder: Path | None,
    progress: Progress,
    name: str,
) -> tuple[Optimisation, int | None, dict[str, Any]]:
    """Find out what was left to be found out: what fits in memory, then the learning rate.

    What is found is kept in ``folder`` and read back from there, so that a run that goes on keeps to what it began with.

    Returns:
        The options with their learning rate; images at once, ``None`` for whole batches; and how both were found
        (``memory``, ``lr_range``), ready for JSON.
    """
    kept = folder / "settled.json" if folder else None
    found: dict[str, Any] = read_json(kept) if kept and kept.exists() else {}
    task = course.objective.task
    if feeding.fit_memory and "memory" not in found:
        memory = fit_memory(
            course.objective, options, lambda n: worst_batch(n, preprocessing, task, feeding, course.stream), course.size,
            device=device, precision=precision,
        )  # fmt: skip
        progress.say(f"{name}: {memory.why}")
        found["memory"] = memory.to_dict()
    memory_found = found.get("memory")
    micro = memory_found["micro_batch"] if memory_found and memory_found["pieces"] > 1 else None
    if options.find_lr and "lr_range" not in found:
        tested = lr_range_test(
            course.objective, course.batches, options, device=device, seed=seed, precision=precision, micro_batch=micro,
            progress=progress, name=name,
        )  # fmt: skip
        progress.say(f"{name}: learning rate {tested.why}")
        found["lr_range"] = tested.to_dict()
    if found and kept:
        write_json(kept, found)
    lr = found["lr_range"]["lr"] if options.find_lr else options.lr
    return replace(options, lr=lr), micro, found


def worst_batch(
    n: int, preprocessing: Preprocessing, task: Task, feeding: Feeding, stream: tuple[float, bool] | None = None
) -> Batch:
    """n inputs of noise as large as they come, with targets of the kind that they come with, and the views beside them."""
    targets = task.some_targets(n)
    if feeding.mixup or feeding.cutmix:
        targets = mixable(task, targets)

    index = torch.arange(n) // feeding.repeats
    if stream is None:
        return Batch(preprocessing.noise(n), targets, index)
    beside = max(1, round(stream[0] * n))
    strong = preprocessing.noise(beside) if stream[1] else None
    return Batch(preprocessing.noise(n), targets, index, preprocessing.noise(beside), strong)


def together(labels: np.ndarray, several: int, seed: int) -> np.ndarray:
    """All rows once, int (n,), those of a class in runs of ``several`` in an order drawn at random, so that a batch holds pairs."""
    rng = np.random.default_rng(seed)
    runs = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        runs += np.split(rows, range(several, len(rows), several))
    return np.concatenate([runs[i] for i in rng.permutation(len(runs))])


def mixable(task: Task, targets: torch.Tensor) -> torch.Tensor:
    """The targets as numbers that mixup and CutMix can mix.

    Raises:
        HandshakeError: a mixture of two targets has no meaning in this task.
    """
    soft = task.soft(targets)
    if soft is None:
        raise HandshakeError(
            sentence("mixup and CutMix mix two targets, which has no meaning here", where=f"--task {task.name}", fix=FIXES["hard_labels"])
        )  # fmt: skip
    return soft


@dataclass
class Course:
    """Everything that the loop needs, before the first step.

    Attributes:
        objective: backbone and new head, the strategy bound to them.
        batches: epoch -> batches of ``size`` images; ``steps`` of them an epoch.
        cache: decoded images that ``batches`` keeps.
        stream: unlabelled images to a labelled one, and whether with strong views; ``None`` without.
    """

    objective: Objective
    batches: Batches
    steps: int
    size: int
    cache: DecodedCache
    stream: tuple[float, bool] | None = None


def set_up(
    source: Source,
    backbone: nn.Module,
    strategy: Strategy,
    task: Task,
    train_set: Dataset,
    feeding: Feeding,
    *,
    pretrained: bool,
    device: torch.device,
    seed: int,
    head_start: tuple[torch.Tensor, ...] | None = None,
) -> Course:
    """Handshake, head, tuning, terms and batches; arguments as for :func:`finetune`."""
    stages = handshake(strategy, source.layers, task, pretrained=pretrained, has=facts(source, feeding))
    torch.manual_seed(seed)
    head = task.head(source.width)
    if head_start is not None:
        head.load_state_dict({**head.state_dict(), **task.head_state(head_start)})
    assert train_set.labels is not None
    repeats = feeding.repeats
    n = len(train_set) * repeats
    size = max(1, min(feeding.batch_size // repeats, len(train_set))) * repeats
    cache = DecodedCache(DECODED_BYTES) if feeding.decoded is None else feeding.decoded
    start = Start(
        Model(backbone, head, feeding.dropout), source.layers, task,
        lambda: batches(
            train_set, source.preprocessing, batch_size=EVAL_BATCH, workers=feeding.workers, cache=cache
        ),
        device, seed, source.head if pretrained else None, source.classes, len(train_set),
        size=source.preprocessing.size, batch=size,
    )  # fmt: skip
    start.model.to(device)
    objective = bind(strategy, stages, start)
    if size == 1 and any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) for _, module in in_train_mode(backbone, stages)
    ):
        raise HandshakeError(
            sentence("a batch of one image has no statistics for batch norms that train", got="1 image a batch",
                     fix="--batch-size 2 or more, or a tuning with bn=frozen")
        )  # fmt: skip

    if train_set.modality == "text" and feeding.cutmix:
        raise HandshakeError(
            sentence("CutMix pastes a part of one image into another, and these are texts", got=f"cutmix {feeding.cutmix:g}", fix="--mixup 0.2")
        )  # fmt: skip
    lone = n > size and n % size == 1  # a batch of one image has no batch statistics
    steps = n // size if lone else math.ceil(n / size)
    weights = sampler_weights(train_set.strata[0]) if feeding.balanced else None
    augment = augmentation(feeding.augment) if train_set.modality == "image" else None
    stream, views = unlabelled_stream(strategy.terms), None
    if stream is not None:
        assert feeding.unlabelled is not None
        views = Views(
            feeding.unlabelled, source.preprocessing, augment, strong=stream[1], seed=seed, workers=feeding.workers, cache=cache
        )  # fmt: skip

    def beside(batch: Batch, step: int) -> Batch:
        """The batch with its views; where they stand in the stream depends on the number of the step alone."""
        assert stream is not None and views is not None
        first = step * max(1, round(stream[0] * size))
        weak, strong = views(first, max(1, round(stream[0] * len(batch))))
        return replace(batch, weak=weak, strong=strong)

    def train_batches(epoch: int) -> Iterator[Batch]:
        order = int(np.random.SeedSequence([seed, 1 + epoch]).generate_state(1)[0])
        mixing = torch.Generator().manual_seed(order)
        rows = together(train_set.strata[0], task.at_once, order) if task.at_once > 1 else None
        passing = batches(
            train_set, source.preprocessing, batch_size=size, augmentation=augment, shuffle_seed=order, sampler_weights=weights,
            order=rows, repeats=repeats, drop_last=lone, workers=feeding.workers, cache=cache,
        )  # fmt: skip
        for step, batch in enumerate(passing):
            if feeding.mixup or feeding.cutmix:
                assert batch.targets is not None
                targets = mixable(task, batch.targets)
                if (
                    train_set.modality == "text"
                ):  # words have no mean: the features are mixed, and the targets with them
                    share = torch.full((len(batch),), mixing_share(feeding.mixup, mixing))
                    batch = replace(batch, targets=targets, mixing=share)
                else:
                    images, targets = mix_batch(
                        batch.inputs, targets, mixup=feeding.mixup, cutmix=feeding.cutmix, generator=mixing
                    )
                    batch = replace(batch, inputs=images, targets=targets)
            yield batch if views is None else beside(batch, epoch * steps + step)

    return Course(objective, train_batches, steps, size, cache, stream)


def facts(source: Source, feeding: Feeding) -> frozenset[str]:
    """What a strategy may count on, beyond what the task gives; the words are those of the handshake."""
    found = parts_of(source.backbone) | {
        "source_head": source.head is not None,
        "hard_labels": not (feeding.mixup or feeding.cutmix),
        "unlabelled_target": feeding.unlabelled is not None,
        "mask_token": getattr(getattr(source.preprocessing, "tokenizer", None), "mask_token_id", None) is not None,
        "left_to_right": reads_left_to_right(source.backbone),
    }
    return frozenset(name for name, there in found.items() if there)


@torch.inference_mode()
def predict_batches(
    model: Model,
    task: Task,
    dataset: Dataset,
    preprocessing: Preprocessing,
    device: torch.device,
    *,
    batch_size: int = EVAL_BATCH,
    cache: DecodedCache | None = None,
    workers: int | None = None,
    say: Callable[[str], None] = SILENT.say,
) -> np.ndarray:
    """What the task decodes of a data set, float32 (n, M), in its order; fewer images at once where memory runs out."""
    model.eval()
    pieces = Pieces(None, say, "evaluation")
    found: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    for batch in batches(dataset, preprocessing, batch_size=batch_size, workers=workers, cache=cache):

        def work(images: torch.Tensor = batch.inputs) -> list[np.ndarray]:
            parts = images.tensor_split(pieces.count(len(images)))
            last: dict[str, Any] = {"memory_format": torch.channels_last} if images.ndim == 4 else {}
            outputs = (model(part.to(device, **last)) for part in parts)
            return [task.decode(output).cpu().numpy() for output in outputs]

        found += pieces.run(len(batch.inputs), work)
        assert batch.index is not None
        rows.append(batch.index.numpy())
    return np.concatenate(found)[np.argsort(np.concatenate(rows))]
