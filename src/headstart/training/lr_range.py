"""A learning rate from a range test (Smith, *Cyclical Learning Rates for Training Neural Networks*, WACV 2017, section 3.3)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from headstart.data.batch import Batch
from headstart.errors import Diverged
from headstart.progress import SILENT, Progress
from headstart.training.device import accelerator
from headstart.training.objective import Objective
from headstart.training.optim import Optimisation, make_optimizer, parameter_groups
from headstart.training.randomness import untouched_randomness
from headstart.training.update import Pieces, update

RUNS = 3
STEPS = 40
BELOW, ABOVE = 100.0, 1000.0
"""The sweep goes from the family's default divided by ``BELOW`` to ``ABOVE`` times it: five decades."""
SMOOTHING = 0.8
DIVERGED = 4.0
"""A run ends where the loss is this many times the lowest smoothed one so far."""
LEAST_FALL = 0.05
"""A curve that falls by less than this share of its first loss says nothing."""
SHARE = 0.1
"""The suggestion as a share of the rate where the smoothed loss is lowest."""


@dataclass(frozen=True)
class Run:
    """One sweep: its losses, the rate it suggests (``None`` where it says nothing) and why."""

    seed: int
    lr: float | None
    why: str
    losses: list[float]


@dataclass(frozen=True)
class LrRange:
    """A learning rate and how it was found.

    Attributes:
        lr: the median of the runs' suggestions, or the family's default.
        default: the family's default.
        fell_back: whether ``lr`` is the default because the curves say nothing.
        curve: one row a step: ``step``, ``lr``, ``loss`` (smoothed, the median of the runs that got there).
        runs: the three sweeps.
        why: in words.
    """

    lr: float
    default: float
    fell_back: bool
    curve: list[dict[str, float]]
    runs: list[Run]
    why: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def lr_range_test(
    objective: Objective,
    batches: Callable[[int], Iterable[Batch]],
    options: Optimisation,
    *,
    device: torch.device,
    seed: int,
    precision: str = "auto",
    micro_batch: int | None = None,
    steps: int = STEPS,
    progress: Progress = SILENT,
    name: str = "training",
) -> LrRange:
    """Sweep the learning rate upwards while training a copy, three times, and suggest one.

    In each run a copy of ``objective`` takes ``steps`` updates of the real kind (same optimiser, groups, clipping, terms) at
    rates ``lr_i = low (high / low)^(i / (steps - 1))``, with low = ``options.lr`` / 100 and high = 1000 ``options.lr``.
    The losses l_i are smoothed, ``s_i = (1 - b) sum_j b^(i-j) l_j / (1 - b^(i+1))`` with b = 0.8. A run ends where the loss
    is not finite or 4 times the lowest s so far. Its suggestion is a **tenth of the rate where s is lowest**: the lowest
    point lies just before the largest rate at which the loss still falls, and since a sweep spends only a step or
    two at each rate, it passes the largest stable rate before the loss shows it. The result is the median over the runs.

    A run says nothing where s falls by less than 5 % of the first loss, or where the lowest s is one of the first three;
    unless two runs speak, the family's default ``options.lr`` is kept.

    Nothing is left behind: the runs work on copies, terms included, and every random state is put back. Run r
    draws from (seed, r) and takes the batches of the epochs r, r + 3, r + 6, ..., so that the same call gives the same
    result to the bit on the same machine.

    Args:
        objective: as it stands before the first step. Layers that open later are swept open.
        batches: epoch -> batches, a pure function of the epoch.
        options: ``lr`` is the family's default; schedule and epochs play no part.
        micro_batch: as for :func:`headstart.training.loop.train`.
        steps: updates a run, at least 8.

    Raises:
        ValueError: fewer than 8 steps.
        OutOfMemory: one image at a time does not fit.
    """
    if steps < 8:
        raise ValueError(f"steps must be at least 8: got {steps}")
    rates = np.geomspace(options.lr / BELOW, options.lr * ABOVE, steps)
    progress.start(f"{name}: learning-rate range test", total=RUNS * steps, unit="step")
    runs = []
    with untouched_randomness(device):
        for r in range(RUNS):
            torch.manual_seed(int(np.random.SeedSequence([seed, 13, r]).generate_state(1)[0]))
            losses = _sweep(
                copy.deepcopy(objective), _endless(batches, r), options, rates,
                device=device, precision=precision, pieces=Pieces(micro_batch, progress.say, name), progress=progress,
            )  # fmt: skip
            lr, why = suggestion(rates, losses)
            runs.append(Run(r, lr, why, losses))
    progress.done()
    found = [run.lr for run in runs if run.lr is not None]
    fell_back = 2 * len(found) <= RUNS
    lr = options.lr if fell_back else _round(float(np.exp(np.median(np.log(found)))))
    if fell_back:
        silent = next(run.why for run in runs if run.lr is None)
        why = f"{lr:g}, the default for {options.optimizer}: the range test says nothing, {silent}"
    else:
        spread = f"{min(found):.2g} to {max(found):.2g}"
        why = f"{lr:g}, a tenth of where the loss was lowest in a range test (median of {len(found)}, {spread})"
    smooth = [smoothed(run.losses) for run in runs]
    curve = [
        {"step": i, "lr": float(rate), "loss": float(np.median([s[i] for s in smooth if i < len(s)]))}
        for i, rate in enumerate(rates)
        if any(i < len(s) for s in smooth)
    ]
    return LrRange(lr, options.lr, fell_back, curve, runs, why)


def smoothed(losses: Sequence[float], b: float = SMOOTHING) -> np.ndarray:
    """Exponential mean with its bias taken out: ``s_i = (1 - b) sum_j b^(i-j) l_j / (1 - b^(i+1))``; float64 (n,)."""
    found, total = [], 0.0
    for i, loss in enumerate(losses):
        total = b * total + (1 - b) * loss
        found.append(total / (1 - b ** (i + 1)))
    return np.array(found)


def suggestion(rates: np.ndarray, losses: Sequence[float]) -> tuple[float | None, str]:
    """What one sweep suggests, and why; ``None`` where it says nothing.

    Args:
        rates: (n,), rising.
        losses: the loss at the first of them, at most n, all finite.
    """
    s = smoothed(losses)
    if len(s) < 4:
        return None, f"the loss diverges at once, from a rate of {rates[max(0, len(s) - 1)]:.2g} on"
    best = int(s.argmin())
    if s[0] - s[best] < LEAST_FALL * abs(s[0]):
        return None, f"the loss never falls by {LEAST_FALL:.0%}"
    if best < 3:
        return None, "the loss is lowest at the smallest rates"
    return float(SHARE * rates[best]), f"the smoothed loss is lowest at {rates[best]:.2g}"


def _sweep(
    objective: Objective, batches: Iterator[Batch], options: Optimisation, rates: np.ndarray, *, device: torch.device,
    precision: str, pieces: Pieces, progress: Progress,
) -> list[float]:  # fmt: skip
    """The loss before each update, up to the one that diverges."""
    engine = accelerator(device, precision, objective.model)
    objective.model.to(device=engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(parameter_groups(objective, replace(options, lr=1.0)), options)
    scales = [group["lr"] for group in optimizer.param_groups]
    optimizer = engine.prepare(optimizer)
    objective.begin(1.0)
    losses: list[float] = []
    for rate in rates:
        for group, scale in zip(optimizer.param_groups, scales, strict=True):
            group["lr"] = float(rate) * scale
        window = [next(batches) for _ in range(options.accumulate)]
        try:
            loss = sum(update(objective, window, pieces, engine, optimizer, options, "the range test").values())
        except Diverged:
            break
        if losses and loss > DIVERGED * smoothed(losses).min():
            break
        losses.append(loss)
        progress.advance(1, loss=loss, lr=float(rate))
    return losses


def _endless(batches: Callable[[int], Iterable[Batch]], first: int) -> Iterator[Batch]:
    epoch = first
    while True:
        yield from batches(epoch)
        epoch += RUNS


def _round(value: float) -> float:
    """Two digits: more would pretend."""
    return float(f"{value:.1e}")
