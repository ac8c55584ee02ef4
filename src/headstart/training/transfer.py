"""Move a source to a target: the one call behind `fit`, `pretrain`, the baselines and the scikit-learn estimator."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.data.loader import batches
from headstart.data.text_column import one_after_the_other
from headstart.features.extract import extract
from headstart.features.layers import extract_layers
from headstart.functional.weights import State
from headstart.progress import Progress
from headstart.sources.source import Source
from headstart.sources.taps import Tapped, at_layer, tapped
from headstart.strategies.handshake import handshake
from headstart.strategies.procedures.head2toe import Head2Toe
from headstart.strategies.strategy import Strategy
from headstart.strategies.tuning.tuning import Stage
from headstart.tasks.catalogue import TASKS
from headstart.tasks.losses import CROSS_ENTROPY, Loss
from headstart.tasks.task import Model, Task, TaskOptions
from headstart.training.after import PLAIN, After, finish
from headstart.training.finetune import Feeding, facts, finetune, predict_batches
from headstart.training.head2toe import fit_head2toe
from headstart.training.heads.catalogue import SOLVERS
from headstart.training.heads.solved import Solved
from headstart.training.layer_weights import with_layer_weights
from headstart.training.loop import Fitted
from headstart.training.optim import HEAD_LR_SCALE, Optimisation, default_lr, reads_texts
from headstart.training.preparing import prepared

TARGET, TARGET_TEXTS = (200, 60), (100, 20)
"""Optimiser steps that the default number of epochs aims for, and epochs at most; from a source of texts more of them were no better."""

Score = Callable[[np.ndarray, np.ndarray], dict[str, float]]


@dataclass(frozen=True)
class Settings:
    """How to train, free of any recipe. ``None`` means the default described in :class:`headstart.recipe.Recipe`.

    ``task`` is read but for its ``label_smoothing`` and ``imbalance``, which are the fields of these names here; ``feeding`` and ``optimisation`` are only read by strategies that take gradient steps.
    """

    feeding: Feeding = field(default_factory=Feeding)
    optimisation: dict[str, Any] = field(default_factory=dict)
    label_smoothing: float = 0.0
    imbalance: Any = "auto"
    loss: Loss = CROSS_ENTROPY
    precision: str = "auto"
    task: TaskOptions = field(default_factory=TaskOptions)


@dataclass
class Transferred:
    """A model on the target.

    Attributes:
        backbone: (B, 3, H, W) -> (B, width), in eval mode.
        head: (weight (rows, width), bias (rows,)), float32.
        task: decodes what the head says, with what was settled on held-out predictions.
        moved: whether the backbone differs from the source's (if not, cached features serve it).
        stages: what was trained.
        history: one row an epoch; empty where the head was solved.
        criterion: in words, how epoch or strength was chosen.
        options: the optimisation that was used, ``None`` where the head was solved.
        cross_validated: accuracy by cross-validation at the chosen strength; ``None`` where steps were taken or nothing
            could be held out.
        found: what was found out before the first step, ready for JSON: ``lr_range``, ``memory``; and ``micro_batch``.
        oof: float32 (n, K), probabilities of the training images (validation images after them) by folds that did not see
            them, rows of nan where an image was never held out; ``None`` where steps were taken.
        ends: weights of the source (with a head solved on it) and the tuned ones, where they were asked for.
        reads: the source whose features the head reads: the source at one or several of its layers where the strategy
            reads others than the last, else the source itself.
    """

    backbone: nn.Module
    head: tuple[torch.Tensor, torch.Tensor]
    task: Task
    moved: bool
    stages: list[Stage]
    history: list[dict[str, Any]]
    criterion: str
    reads: Source
    options: Optimisation | None = None
    cross_validated: float | None = None
    found: dict[str, Any] = field(default_factory=dict)
    oof: np.ndarray | None = None
    ends: tuple[State, State] | None = None
    computed: int = 0
    stopped_early: bool = False


def resolve(
    values: dict[str, Any], n_train: int, batch_size: int, *, pretrained: bool, source: Source | None = None
) -> Optimisation:
    """Fill in epochs, learning rate and patience where they are not given; ``n_train`` images are shown in an epoch.

    epochs: enough for about 200 steps, from 4 to 60; from a source of texts 100 steps, from 4 to 20. lr: :func:`headstart.training.optim.default_lr`; ``"auto"`` asks for a
    range test around it. patience: a third of the epochs, at least 5. From random weights head and backbone share one
    rate; from a source the head's is 10 times the backbone's.
    """
    values = dict(values)
    steps = max(1, -(-n_train // batch_size))
    if values.get("epochs") is None:
        target, most = TARGET_TEXTS if reads_texts(source) and pretrained else TARGET
        values["epochs"] = int(min(most, max(4, round(target / steps))))
    values["find_lr"] = values.get("lr") == "auto"
    if values.get("lr") in (None, "auto"):
        values["lr"] = default_lr(values.get("optimizer", "adamw"), pretrained=pretrained, source=source)
    if values.get("patience") is None:
        values["patience"] = max(5, values["epochs"] // 3)
    values.setdefault("head_lr_scale", HEAD_LR_SCALE if pretrained else 1.0)
    return Optimisation(**values)


def transfer(
    source: Source,
    strategy: Strategy,
    classes: tuple[str, ...],
    train_set: Dataset,
    valid_set: Dataset | None,
    settings: Settings,
    *,
    device: torch.device,
    seed: int,
    score: Score,
    metric: str = "accuracy",
    cache_dir: Path | None,
    folder: Path | None = None,
    pretrained: bool = True,
    head: tuple[torch.Tensor, ...] | None = None,
    layer: str = "last",
    progress: Progress,
    name: str = "training",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    after: After = PLAIN,
) -> Transferred:
    """Move ``source`` to the target's labels as ``strategy`` says.

    Args:
        source: where the weights come from; never changed.
        classes: the K names of the target's classes.
        train_set, valid_set: labelled, scanned (with digests). A solved head learns from both, since its strength is
            chosen by cross-validation.
        score: (probabilities (n, K), labels (n,)) -> scores with ``metric`` and ``loss``.
        cache_dir: where features are cached, ``None`` for no cache.
        folder: checkpoints.
        pretrained: ``False`` starts from random weights of the same architecture (the ``scratch`` baseline).
        head: weights that the new head starts from instead of zero (same classes).
        layer: the layer that the head reads, by name, or ``"last"``.
        after: a soup of several trainings, the place between source and tuned weights; only for gradient steps.

    Raises:
        HandshakeError: parts of the strategy that cannot act together.
        SourceError: no such layer.
    """
    task = task_of(replace(train_set, classes=classes), settings, by_steps=strategy.procedure.by_steps)
    stages = handshake(
        strategy, source.layers, task, pretrained=pretrained, layer=layer, has=facts(source, settings.feeding)
    )
    done: list[dict[str, Any]] = []
    for i, phase in enumerate(strategy.before):
        source, told = prepared(
            source, phase, _all_of(train_set, None if strategy.procedure.by_steps else valid_set), settings.feeding.unlabelled,
            device=device, seed=seed, precision=settings.precision, folder=folder / f"{i}-{phase.name}" if folder else None,
            progress=progress,
        )  # fmt: skip
        done.append(told)
    if not strategy.procedure.by_steps or strategy.solved_head:
        source = with_layer_weights(
            source, train_set, cache_dir=cache_dir, device=str(device), seed=seed, progress=progress
        )
    if not strategy.procedure.by_steps:
        solved = _solve(
            at_layer(source, layer),
            strategy,
            stages,
            task,
            train_set,
            valid_set,
            device=device,
            seed=seed,
            cache_dir=cache_dir,
            progress=progress,
        )
        return _after(solved, strategy, done) if done else solved

    torch.manual_seed(seed)
    backbone = copy.deepcopy(source.backbone) if pretrained else source.build()
    values = dict(settings.optimisation)
    if strategy.solved_head:
        values.setdefault("head_lr_scale", 1.0)  # it knows as much as the backbone
        if head is None:
            head = solved_head(source, task, train_set, device=device, seed=seed, cache_dir=cache_dir)
    shown = len(train_set) * settings.feeding.repeats
    options = resolve(values, shown, settings.feeding.batch_size, pretrained=pretrained, source=source)
    fits: list[Fitted] = []

    def train_one(i: int, seed: int, factor: float) -> Fitted:
        how = replace(fits[0].extra["options"], find_lr=False) if fits else options
        fits.append(finetune(
            source, copy.deepcopy(source.backbone) if i else backbone, strategy, task, train_set, valid_set, settings.feeding,
            replace(how, lr=how.lr * factor), pretrained=pretrained, device=device, seed=seed, score=score, metric=metric,
            precision=settings.precision, folder=folder / f"soup-{i}" if folder and i else folder, head_start=head,
            progress=progress, name=f"{name} {i + 1} of {after.soup.n}" if after.soup else name, on_epoch=on_epoch,
        ))  # fmt: skip
        return fits[-1]

    def validate(model: Model) -> dict[str, float]:
        assert valid_set is not None and valid_set.labels is not None
        found = predict_batches(model, task, valid_set, source.preprocessing, device, workers=settings.feeding.workers)
        return score(found, valid_set.labels)

    fitted, made, ends = finish(
        after, train_one, source,
        lambda: head or solved_head(source, task, train_set, device=device, seed=seed, cache_dir=cache_dir),
        seed=seed, stages=stages, validate=validate if valid_set is not None and len(valid_set) else None, metric=metric,
        images=lambda: (batch.inputs for batch in batches(
            train_set, source.preprocessing, batch_size=settings.feeding.batch_size, shuffle_seed=seed,
        )), progress=progress,
    )  # fmt: skip
    linear = fitted.model.head
    assert isinstance(linear, nn.Linear)
    criterion = fitted.criterion
    if task.settles and valid_set is not None and len(valid_set):
        assert valid_set.labels is not None
        held = predict_batches(fitted.model, task, valid_set, source.preprocessing, device)
        task = task.tuned(held, valid_set.labels)
    elif task.settles:
        criterion += f"; {task.settles} stay at their defaults"
    return Transferred(
        task=task,
        reads=source,
        backbone=fitted.model.backbone,
        head=(linear.weight.detach().float().cpu(), linear.bias.detach().float().cpu()),
        moved=any(stage.trainable for stage in stages) or bool(done) or not pretrained,
        stages=stages,
        history=fitted.history,
        criterion=criterion,
        options=fitted.extra.pop("options"),
        stopped_early=fitted.stopped_early,
        found={"micro_batch": fitted.micro_batch, **fitted.extra, **made, **({"before": done} if done else {})},
        ends=ends,
    )


def _all_of(train_set: Dataset, valid_set: Dataset | None) -> Dataset:
    """What a phase before the head learns from: the inputs that the head learns from."""
    if valid_set is None or not len(valid_set):
        return train_set
    assert train_set.labels is not None and valid_set.labels is not None
    return replace(
        train_set, inputs=one_after_the_other(train_set.inputs, valid_set.inputs), labels=np.concatenate([train_set.labels, valid_set.labels]),
        splits=np.concatenate([train_set.splits, valid_set.splits]), groups=None, digests=None, names=None,
    )  # fmt: skip


def _after(solved: Transferred, strategy: Strategy, done: list[dict[str, Any]]) -> Transferred:
    """A solved head behind phases that have moved the source. Where these saw the labels, no prediction is a held-out one."""
    moved = replace(solved, moved=True, found={**solved.found, "before": done})
    if any(phase.reads_labels for phase in strategy.before):
        said = f"{solved.criterion}, on features that have seen them"
        moved = replace(moved, criterion=said, cross_validated=None, oof=None)
    return moved


def _solve(
    source: Source,
    strategy: Strategy,
    stages: list[Stage],
    task: Task,
    train_set: Dataset,
    valid_set: Dataset | None,
    *,
    device: torch.device,
    seed: int,
    cache_dir: Path | None,
    progress: Progress,
) -> Transferred:
    sets = [train_set] + ([valid_set] if valid_set is not None and len(valid_set) else [])
    labels = np.concatenate([part.labels for part in sets])
    groups = None if train_set.groups is None else np.concatenate([part.groups for part in sets])
    where: dict[str, Any] = {"cache_dir": cache_dir, "device": str(device), "progress": progress}
    procedure = strategy.procedure
    if isinstance(procedure, Head2Toe):
        found = [extract_layers(source, part, grid=procedure.grid, **where) for part in sets]
        taps, computed = found[0].taps, sum(part.computed for part in found)
        ends = np.cumsum([tap.width for tap in taps])[:-1]
        parts = np.split(np.concatenate([part.X for part in found]), ends, axis=1)
        weights = getattr(task, "class_weights", None)
        chosen = fit_head2toe(
            parts, labels, len(task.classes), fraction=procedure.fraction, groups=groups, seed=seed,
            sample_weight=None if weights is None else weights.numpy()[labels],
        )  # fmt: skip
        source = tapped(
            source,
            [replace(t, columns=tuple(map(int, c))) for t, c in zip(taps, chosen.columns, strict=True) if len(c)],
        )
        probe = chosen.probe
        criterion = (
            f"{source.width} of {sum(tap.width for tap in taps)} features of {len(taps)} layers "
            f"({'asked for' if procedure.fraction else 'a share chosen by cross-validation'}), "
            f"strength C = {probe.strength:g}, chosen by cross-validation on {len(labels)} training labels"
        )
        solved = Solved(probe.weight, probe.bias, criterion, chosen.cross_validated, chosen.oof)
    else:
        plain = [extract(source, part, **where) for part in sets]
        computed = sum(part.computed for part in plain)
        X = np.concatenate([part.X for part in plain])
        solved = SOLVERS[task.name](X, labels, task, groups=groups, seed=seed)
    criterion = solved.criterion
    if solved.held_out is not None:
        task = task.tuned(solved.held_out, labels)
    elif task.settles:
        criterion += f"; {task.settles} stay at their defaults"
    inner = source.backbone.backbone if isinstance(source.backbone, Tapped) else source.backbone
    return Transferred(
        backbone=inner,
        head=(torch.as_tensor(solved.weight), torch.as_tensor(solved.bias)),
        task=task,
        moved=False,
        stages=stages,
        history=[],
        criterion=criterion,
        reads=source,
        cross_validated=solved.cross_validated,
        oof=solved.held_out,
        computed=computed,
    )


def task_of(train_set: Dataset, settings: Settings, *, by_steps: bool = True) -> Task:
    """The task of a training set. Where the head is solved there is no sampler, and weights do its work.

    Raises:
        QuestionError: options that these labels cannot have.
    """
    imbalance = "weights" if settings.imbalance == "sampler" and not by_steps else settings.imbalance
    loss = settings.loss if by_steps else CROSS_ENTROPY
    options = replace(settings.task, label_smoothing=settings.label_smoothing, imbalance=imbalance, loss=loss)
    return TASKS[train_set.task].learn(train_set, options)


def solved_head(
    source: Source,
    task: Task,
    train_set: Dataset,
    *,
    device: torch.device,
    seed: int,
    cache_dir: Path | None,
) -> tuple[torch.Tensor, ...]:
    """The head that steps start from where the strategy solves it first: from the training images alone, as validation images judge what follows."""
    assert train_set.labels is not None
    X = extract(source, train_set, cache_dir=cache_dir, device=str(device)).X
    solved = SOLVERS[task.name](X, train_set.labels, task, groups=train_set.groups, seed=seed)
    weight, bias = torch.as_tensor(solved.weight), torch.as_tensor(solved.bias)
    more = task.beside(torch.as_tensor(X) @ weight.T + bias, torch.as_tensor(train_set.labels))
    return weight, bias - task.adjustment.to(bias), *more  # what the loss adds, the solved head has learned already


def probabilities(
    moved: Transferred,
    source: Source,
    classes: tuple[str, ...],
    dataset: Dataset,
    *,
    device: torch.device,
    cache_dir: Path | None,
    workers: int | None = None,
    progress: Progress,
) -> np.ndarray:
    """What the task decodes of a data set, float32 (n, M) (object (n,) for tasks ``by_token``), class probabilities (n, K) for instance: from cached features where
    the backbone did not move."""
    weight, bias = moved.head
    if not moved.moved and not moved.task.by_token:
        features = extract(moved.reads, dataset, cache_dir=cache_dir, device=str(device), progress=progress).X
        return moved.task.decode(torch.as_tensor(features) @ weight.T + bias).numpy()
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.load_state_dict({"weight": weight, "bias": bias})
    model = Model(moved.backbone, head).to(device)
    return predict_batches(model, moved.task, dataset, source.preprocessing, device, workers=workers)
