"""The loop: epochs, updates, validation, checkpoints. Thin, ours, on Accelerate for devices and precision."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.errors import Diverged, sentence
from headstart.progress import Progress
from headstart.strategies.procedures.procedure import Procedure
from headstart.strategies.terms.term import Penalty
from headstart.strategies.tuning.tuning import Stage, frozen_to_eval
from headstart.tasks.task import Model, Task
from headstart.training import checkpoint
from headstart.training.device import accelerator
from headstart.training.optim import Optimisation, make_optimizer, parameter_groups, schedule_factor

Batches = Callable[[int], Iterable[tuple[torch.Tensor, torch.Tensor]]]
"""epoch -> (images (B, 3, H, W), targets (B,) or (B, K)); the same epoch gives the same batches every time."""


@dataclass
class Fitted:
    """What training leaves behind.

    Attributes:
        model: the weights of the best epoch (of the last one where there is no validation split), in eval mode.
        history: one row an epoch: epoch, step, losses by name, validation scores, lr, seconds, images_per_second.
        best_epoch: from 1.
        criterion: in words, how the epoch was chosen.
    """

    model: Model
    history: list[dict[str, Any]]
    best_epoch: int
    criterion: str
    seconds: float = 0.0
    stopped_early: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


def train(
    model: Model,
    task: Task,
    stages: Sequence[Stage],
    procedure: Procedure,
    penalties: Mapping[str, Penalty],
    batches: Batches,
    steps_per_epoch: int,
    options: Optimisation,
    *,
    device: torch.device,
    seed: int,
    validate: Callable[[Model], dict[str, float]] | None = None,
    metric: str = "accuracy",
    precision: str = "auto",
    folder: Path | None = None,
    progress: Progress,
    name: str = "training",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Fitted:
    """Train ``model`` and give back its best epoch.

    After each epoch the whole state is kept in ``folder``; called again with the same arguments, training goes on from
    there and ends as if it had never stopped, since every epoch draws its randomness from (seed, epoch) alone.

    Args:
        model: on any device; its ``requires_grad`` flags are already set by the tuning.
        task: gives the loss.
        stages: which layers move and how fast.
        procedure: how one update runs.
        penalties: the bound terms of the strategy, by name.
        batches: epoch (from 0) -> batches.
        steps_per_epoch: batches an epoch.
        options: optimiser, schedule, epochs.
        device: where to train.
        seed: >= 0.
        validate: model -> scores by name (with ``metric`` and ``loss``), or ``None`` where there is no validation split.
        metric: the score that chooses the best epoch; ties are broken by the lower validation loss.
        precision: see :func:`headstart.training.device.accelerator`.
        folder: for checkpoints; ``None`` keeps none.
        progress: told of every step.
        name: for the progress display.
        on_epoch: called with each new row of the history.

    Raises:
        Diverged: the loss is not finite.
    """
    start = time.perf_counter()
    engine = accelerator(device, precision, options.accumulate)
    model.to(device=engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(parameter_groups(model, stages, options), options)
    peaks = [group["lr"] for group in optimizer.param_groups]
    updates = math.ceil(steps_per_epoch / options.accumulate)
    total = updates * options.epochs
    net, optimizer = engine.prepare(model, optimizer)
    plain: Model = engine.unwrap_model(net, keep_fp32_wrapper=False)

    epoch, stale = 0, 0
    history: list[dict[str, Any]] = []
    best: list[float] = []  # epoch, score, minus the validation loss
    best_weights: dict[str, torch.Tensor] = {}
    state = checkpoint.load_last(folder) if folder else None
    if state:
        plain.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        epoch, history, best, stale = state["epoch"], state["history"], state["best"], state["stale"]
        progress.say(f"{name}: going on after epoch {epoch}")
        if best and folder:
            best_weights = checkpoint.load_best(folder)

    progress.start(name, total=options.epochs * steps_per_epoch, unit="step")
    progress.advance(epoch * steps_per_epoch)
    stopped = bool(state and state["stopped"])
    while epoch < options.epochs and not stopped:
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
        began, seen = time.perf_counter(), 0
        sums: dict[str, float] = {}
        net.train()
        frozen_to_eval(plain.backbone, stages)
        for i, (images, targets) in enumerate(batches(epoch)):
            factor = schedule_factor(epoch * updates + i // options.accumulate, total, options)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            images = images.to(engine.device, memory_format=torch.channels_last, non_blocking=True)
            targets = targets.to(engine.device, non_blocking=True)
            with engine.autocast():
                parts = procedure.losses(net, task, images, targets, penalties)
                loss = torch.stack([value.float() for value in parts.values()]).sum()
            # the last window of an epoch may be shorter: each batch counts as a share of its own window
            window = min(options.accumulate, steps_per_epoch - i // options.accumulate * options.accumulate)
            engine.backward(loss * options.accumulate / window)
            values = {key: value.item() for key, value in parts.items()}
            if not math.isfinite(sum(values.values())):
                raise Diverged(
                    sentence(
                        "the loss is no longer a finite number", where=f"{name}, epoch {epoch + 1}, step {i + 1}",
                        got=values, fix=f"--lr {options.lr / 10:g}",
                    )
                )  # fmt: skip
            if (i + 1) % options.accumulate == 0 or i + 1 == steps_per_epoch:
                if options.grad_clip is not None:
                    engine.clip_grad_norm_(net.parameters(), options.grad_clip)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            for key, value in values.items():
                sums[key] = sums.get(key, 0.0) + value * len(images)
            seen += len(images)
            progress.advance(1, loss=sums["loss"] / seen, lr=peaks[-1] * factor)
        train_seconds = time.perf_counter() - began
        epoch += 1
        row: dict[str, Any] = {"epoch": epoch, "step": epoch * updates, "train_loss": sums.pop("loss") / seen}
        row |= {key: value / seen for key, value in sums.items()}
        row |= {"lr": optimizer.param_groups[0]["lr"], "images_per_second": seen / train_seconds}
        if validate:
            plain.eval()
            scores = validate(plain)
            row |= {f"valid_{key}": value for key, value in scores.items()}
            rank = [scores[metric], -scores["loss"]]
            stale = 0 if not best or rank > best[1:] else stale + 1
            if stale == 0:
                best = [epoch, *rank]
                best_weights = copy.deepcopy(plain.state_dict())
            stopped = options.patience is not None and stale >= options.patience
        else:
            best, best_weights = [epoch, 0.0, 0.0], plain.state_dict()
        row["seconds"] = time.perf_counter() - began
        history.append(row)
        if on_epoch:
            on_epoch(row)
        progress.advance(
            0, **{k: v for k, v in row.items() if k in (f"valid_{metric}", "train_loss", "images_per_second")}
        )
        if folder:
            if best[0] == epoch:
                checkpoint.save_best(folder, best_weights)
            checkpoint.save_last(
                folder,
                {
                    "model": plain.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch,
                    "history": history, "best": best, "stale": stale, "stopped": stopped,
                },
            )  # fmt: skip
    progress.done()
    if best_weights:
        plain.load_state_dict(best_weights)
    plain.eval()
    criterion = (
        f"epoch {best[0]:.0f} of {epoch}, the best validation {metric.replace('_', ' ')}" if validate and best
        else f"the last epoch ({epoch}); no validation images were held out"
    )  # fmt: skip
    return Fitted(plain, history, int(best[0]) if best else epoch, criterion, time.perf_counter() - start, stopped)
