"""The loop: epochs, updates, validation, checkpoints. Thin, ours, on Accelerate for devices and precision."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.batch import Batch
from headstart.progress import SILENT, Progress
from headstart.strategies.tuning.tuning import refuse_unopened
from headstart.tasks.task import Model
from headstart.training import checkpoint, processes
from headstart.training.averaging import Averager, parse_average
from headstart.training.device import accelerator
from headstart.training.objective import Objective
from headstart.training.optim import Optimisation, make_optimizer, parameter_groups, schedule_factor
from headstart.training.update import Pieces, update

Batches = Callable[[int], Iterable[Batch]]
"""epoch -> labelled batches; the same epoch gives the same ones every time."""


SAVE_SHARE = 0.05
"""Checkpoints take at most this share of the time: where writing one is dear beside an epoch, not every epoch has one."""


@dataclass
class Fitted:
    """What training leaves behind.

    Attributes:
        model: the weights (their average, where there is one) of the best epoch (of the last one where there is no
            validation split), in eval mode.
        history: one row an epoch: epoch, step, losses by name, validation scores, lr, seconds, images_per_second.
        best_epoch: from 1.
        criterion: in words, how the epoch was chosen.
        micro_batch: images that went through the network at once at the end, ``None`` for whole batches.
        extra: what was found out before the first step: ``options``, ``lr_range``, ``memory``; and ``terms``, what the terms
            tell at the end, by name.
    """

    model: Model
    history: list[dict[str, Any]]
    best_epoch: int
    criterion: str
    seconds: float = 0.0
    stopped_early: bool = False
    micro_batch: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def train(
    objective: Objective,
    batches: Batches,
    steps_per_epoch: int,
    options: Optimisation,
    *,
    device: torch.device,
    seed: int,
    validate: Callable[[Model], dict[str, float]] | None = None,
    metric: str = "accuracy",
    precision: str = "auto",
    micro_batch: int | None = None,
    folder: Path | None = None,
    progress: Progress,
    name: str = "training",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Fitted:
    """Train the model of ``objective`` and give back its best epoch.

    With a process group of ``torch.distributed``, several processes that call this with the same arguments train one model
    (:mod:`headstart.training.processes`); the first one validates, writes and reports.

    The whole state is kept in ``folder``, after each epoch where that takes at most a twentieth of the time (else after some
    of them, always after the last); called again with the same arguments, training goes on from there and ends as if it had
    never stopped, since every epoch draws its randomness from (seed, epoch) alone.

    Args:
        objective: model, task, and the strategy bound to them; changed in place.
        batches: epoch (from 0) -> batches.
        steps_per_epoch: batches an epoch.
        options: optimiser, schedule, epochs.
        device: where to train.
        seed: >= 0.
        validate: model -> scores by name (with ``metric`` and ``loss``), or ``None`` where there is no validation split.
        metric: the score that chooses the best epoch; ties are broken by the lower validation loss.
        precision: see :func:`headstart.training.device.accelerator`.
        micro_batch: at most this many images go through the network at once, ``None`` for whole batches. The update is
            that of the whole batch (:mod:`headstart.training.update`). Where memory runs out in a step, it is halved,
            said in a line, and the same step is run again.
        folder: for checkpoints; ``None`` keeps none.
        progress: told of every step.
        name: for the progress display.
        on_epoch: called with each new row of the history.

    Raises:
        HandshakeError: a layer would not be unfrozen within the epochs.
        Diverged: the loss is not finite.
        OutOfMemory: one image at a time does not fit, or the optimiser's step does not.
    """
    start = time.perf_counter()
    refuse_unopened(objective.stages, options.epochs)
    if processes.rank():
        progress = SILENT
    engine = accelerator(device, precision, objective.model)
    model = objective.model
    model.to(device=engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(parameter_groups(objective, options), options)
    peaks = [group["lr"] for group in optimizer.param_groups]
    updates = math.ceil(steps_per_epoch / options.accumulate)
    total = updates * options.epochs
    optimizer = engine.prepare(optimizer)
    average = parse_average(options.average)
    averager = Averager(average, model, total) if average else None

    epoch, stale = 0, 0
    history: list[dict[str, Any]] = []
    best: list[float] = []  # epoch, score, minus the validation loss
    best_weights: dict[str, torch.Tensor] = {}
    reached = 0.0  # share of the epochs by which stages have opened; a run made longer closes none of them again
    state = checkpoint.load_last(folder) if folder else None
    if state:
        reached = state.get("reached", 0.0)
        model.load_state_dict(state["model"])
        objective.penalties.load_state_dict(state.get("terms", {}))
        optimizer.load_state_dict(state["optimizer"])
        epoch, history, best, stale = state["epoch"], state["history"], state["best"], state["stale"]
        micro_batch = state.get("micro_batch", micro_batch)
        if averager:
            averager.load_state_dict(state["average"])
        progress.say(f"{name}: going on after epoch {epoch}")
        if best and folder:
            best_weights = checkpoint.load_best(folder)

    averaged = bool(averager and averager.count)
    best_saved = best[0] if best else 0.0
    saved, save_seconds = start, 0.0
    pieces = Pieces(micro_batch, progress.say, name)
    progress.start(name, total=options.epochs * steps_per_epoch, unit="step")
    progress.advance(epoch * steps_per_epoch)
    stopped = bool(state and state["stopped"])
    while epoch < options.epochs and not stopped:
        # processes draw differently (dropout); the first one, or the only one, draws as if it were alone
        own = [processes.rank()] if processes.rank() else []
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch, *own]).generate_state(1)[0]))
        began, seen = time.perf_counter(), 0
        sums: dict[str, float] = {}
        progressed = max(epoch / options.epochs, reached)
        if any(stage.open(progressed) != stage.open(reached) for stage in objective.stages):
            stale = 0  # patience counts from the last opening
        reached = progressed
        objective.begin(progressed)
        for number, window in enumerate(_windows(batches(epoch), options.accumulate)):
            place = epoch * updates + number
            factor = schedule_factor(averager.held(place) if averager else place, total, options)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            mine, weight = processes.share(window, objective.mass)
            values = update(
                objective, mine, pieces, engine, optimizer, options, f"{name}, epoch {epoch + 1}, step {number + 1}",
                place / total, partial(processes.combine, objective.parameters, weight=weight),
            )  # fmt: skip
            if averager:
                averager.after(place, model)
            n = sum(map(len, window))
            for key, value in values.items():
                sums[key] = sums.get(key, 0.0) + value * n
            seen += n
            terms = {key: value / seen for key, value in sums.items() if key != "loss"}
            progress.advance(len(window), loss=sums["loss"] / seen, lr=peaks[-1] * factor, terms=terms)
        processes.average_buffers([model, objective.penalties])
        train_seconds = time.perf_counter() - began
        epoch += 1
        row: dict[str, Any] = {"epoch": epoch, "step": epoch * updates, "train_loss": sums.pop("loss") / seen}
        row |= {key: value / seen for key, value in sums.items()}
        row |= {"lr": optimizer.param_groups[0]["lr"], "images_per_second": seen / train_seconds}
        judged = model
        if averager and averager.count:
            judged = averager.settled(objective, batches(epoch - 1), (epoch - 1) / options.epochs, pieces.largest)
            if not averaged:
                averaged, best, best_saved = True, [], 0.0  # epochs before the average were not what was asked for
        if validate:
            judged.eval()
            scores = processes.by_first(partial(validate, judged))
            row |= {f"valid_{key}": value for key, value in scores.items()}
            rank = [scores[metric], -scores["loss"]]
            stale = 0 if not best or rank > best[1:] else stale + 1
            if stale == 0:
                best = [epoch, *rank]
                best_weights = copy.deepcopy(judged.state_dict())
            waits = averager is not None and not averager.count  # the average is still to come
            settled = not waits and all_open(objective, progressed)
            stopped = options.patience is not None and stale >= options.patience and settled
        else:
            best, best_weights = [epoch, 0.0, 0.0], judged.state_dict()
        row["seconds"] = time.perf_counter() - began
        if options.seconds is not None and epoch < options.epochs:
            # of the epochs of this call; the first one decodes the images and is not typical of what follows
            slow = max((r["seconds"] for r in [*history, row][1:]), default=row["seconds"])
            late = time.perf_counter() - start + slow > options.seconds
            if processes.by_first(partial(bool, late)):
                stopped = True
                progress.say(f"{name}: stopped after epoch {epoch} of {options.epochs} to keep to the time")
        history.append(row)
        if on_epoch and processes.rank() == 0:
            on_epoch(row)
        progress.advance(
            0, **{k: v for k, v in row.items() if k in (f"valid_{metric}", "train_loss", "images_per_second")}
        )
        last = stopped or epoch == options.epochs
        due = last or (time.perf_counter() - saved) * SAVE_SHARE >= save_seconds
        if folder and due and processes.rank() == 0:
            saving = time.perf_counter()
            if best[0] > best_saved:
                checkpoint.save_best(folder, best_weights)
                best_saved = best[0]
            checkpoint.save_last(
                folder,
                {
                    "reached": reached, "model": model.state_dict(), "terms": objective.penalties.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch,
                    "history": history, "best": best, "stale": stale, "stopped": stopped,
                    "micro_batch": pieces.largest, **({"average": averager.state_dict()} if averager else {}),
                },
            )  # fmt: skip
            saved = time.perf_counter()
            save_seconds = saved - saving
    progress.done()
    if best_weights:
        model.load_state_dict(best_weights)
    model.eval()
    criterion = (
        f"epoch {best[0]:.0f} of {epoch}, the {_best(metric)}" if validate and best
        else f"the last epoch ({epoch}); no validation images were held out"
    )  # fmt: skip
    if averager:
        criterion += f"; {averager.said(int(best[0]) * updates)}"
    seconds = time.perf_counter() - start
    told = {term: said for term, penalty in objective.terms.items() if (said := penalty.said())}
    extra = {"terms": told} if told else {}
    return Fitted(model, history, int(best[0]) if best else epoch, criterion, seconds, stopped, pieces.largest, extra)


def all_open(objective: Objective, progress: float) -> bool:
    """Whether every stage that ever moves does so at the share ``progress`` of the epochs."""
    return all(stage.open(progress) for stage in objective.stages if stage.trainable)


def _best(metric: str) -> str:
    """ "best validation accuracy"; of ``minus_rmse``, which is larger where rmse is lower, "lowest validation rmse"."""
    word = "lowest" if metric.startswith("minus_") else "best"
    return f"{word} validation {metric.removeprefix('minus_').replace('_', ' ')}"


def _windows(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Batches in groups of ``size``; the last may be shorter. Those of one group are kept until their update is done."""
    window: list[Batch] = []
    for batch in batches:
        window.append(batch)
        if len(window) == size:
            yield window
            window = []
    if window:
        yield window
