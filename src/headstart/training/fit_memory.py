"""What fits in memory: the largest piece of a batch that a whole worst-case step gets through."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from headstart.data.batch import Batch
from headstart.errors import OutOfMemory, sentence
from headstart.training.device import accelerator
from headstart.training.memory_use import available_bytes, peak_memory, used_bytes
from headstart.training.objective import Objective
from headstart.training.optim import Optimisation, make_optimizer, parameter_groups
from headstart.training.randomness import untouched_randomness
from headstart.training.update import Pieces, is_out_of_memory, update

MARGIN = 0.1
"""Share of the available memory that is left alone: other processes grow, allocators waste."""


@dataclass(frozen=True)
class MemoryFit:
    """What fits.

    Attributes:
        batch_size: images an update, as asked for: never changed.
        micro_batch: images that go through the network at once.
        pieces: ``ceil(batch_size / micro_batch)``, how many of them make an update.
        peak_bytes: what the step took at its peak beyond what was held before (weights and their best copy included).
        available_bytes: what there was, the margin not taken off.
        tried: (images at once, peak bytes, whether that fits) of each trial; the last may be a prediction (see below).
        why: in words, with how it was measured.
    """

    batch_size: int
    micro_batch: int
    pieces: int
    peak_bytes: int
    available_bytes: int
    tried: list[tuple[int, int, bool]]
    why: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def fit_memory(
    objective: Objective,
    options: Optimisation,
    worst: Callable[[int], Batch],
    batch_size: int,
    *,
    device: torch.device,
    precision: str = "auto",
    available: int | None = None,
    margin: float = MARGIN,
) -> MemoryFit:
    """Find how many images of a batch can go through the model at once.

    Real steps are run on a copy of the model with more and more images, doubling: two updates (the optimiser
    makes its state in the first, so that the second holds state and activations together), then an evaluation of as
    many images. The copy stands for the copy of the best weights that training keeps. On a GPU a trial fails by running
    out of memory. A CPU's process is killed instead, so there a size is only tried while the straight line through the
    trials before it stays below the limit, and counts only if its measured peak does.

    Args:
        objective: left as it is, as are all random states.
        worst: n -> a batch of n images as large as they come, with targets as they come.
        batch_size: >= 1, the images of an update.
        available: bytes; default: :func:`headstart.training.memory_use.available_bytes`.
        margin: in [0, 1), share of them that is left alone.

    Raises:
        OutOfMemory: one image at a time does not fit.
    """
    room = available_bytes(device) if available is None else available
    limit = room * (1 - margin)
    before = used_bytes(device)
    sizes = sorted({-(-batch_size // 2**k) for k in range(batch_size.bit_length() + 1)})
    tried: list[tuple[int, int, bool]] = []
    how = ""

    def fits(size: int) -> bool:
        nonlocal how
        peak, how, done = _trial(objective, options, worst(size), device, precision)
        tried.append((size, peak - before, done and peak - before <= limit))
        return tried[-1][2]

    with untouched_randomness(device):
        torch.manual_seed(0)
        # one image alone has no batch statistics in some networks, so it is only tried where two do not fit
        for size in sizes[1:] or sizes:
            if device.type != "cuda" and _line(tried, size) > limit:
                tried.append((size, round(_line(tried, size)), False))
                break
            if not fits(size):
                break
        if not any(row[2] for row in tried) and len(sizes) > 1:
            fits(sizes[0])
    good = [(size, peak) for size, peak, done in tried if done]
    if not good:
        raise OutOfMemory(
            sentence(
                "one image at a time does not fit in memory", where="the memory probe",
                got=f"{_mb(tried[-1][1])} of {_mb(room)}",
                fix="a smaller --image-size, a smaller --source, or --strategy probe",
            )
        )  # fmt: skip
    size, peak = max(good)
    pieces = -(-batch_size // size)
    whole = "the whole batch" if pieces == 1 else f"{pieces} pieces of at most {size} images"
    why = (
        f"{batch_size} images an update, {whole}: two steps of {options.optimizer} and an evaluation took {_mb(peak)} of "
        f"{_mb(room)} ({how})"
    )
    return MemoryFit(batch_size, size, pieces, peak, room, tried, why)


def _line(tried: list[tuple[int, int, bool]], size: int) -> float:
    """The straight line through the last two trials, at ``size``; the same where there is only one."""
    if not tried:
        return 0.0
    b, q, _ = tried[-1]
    a, p = (tried[-2][0], tried[-2][1]) if len(tried) > 1 else (b, q)
    return q + max(0, q - p) / max(1, b - a) * (size - b)


def _trial(
    objective: Objective, options: Optimisation, batch: Batch, device: torch.device, precision: str
) -> tuple[int, str, bool]:
    """Peak bytes, how they were measured, and whether two updates and an evaluation went through."""
    done = False
    used_bytes(device)  # gives back what was freed
    with peak_memory(device) as peak:
        try:
            _steps(copy.deepcopy(objective), options, batch, device, precision)
            done = True
        except Exception as error:
            if not is_out_of_memory(error) and not isinstance(error, OutOfMemory):
                raise
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return peak.bytes, peak.how, done


def _steps(objective: Objective, options: Optimisation, batch: Batch, device: torch.device, precision: str) -> None:
    engine, model = accelerator(device, precision, objective.model), objective.model
    model.to(device=engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = engine.prepare(make_optimizer(parameter_groups(objective, options), options))
    objective.begin(1.0)
    for _ in range(2):
        update(objective, [batch], _Once(), engine, optimizer, options, "the memory probe")
    model.eval()
    with torch.inference_mode():
        objective.task.decode(model(batch.to(engine.device).inputs)).cpu()


class _Once(Pieces):
    """Whole batches; running out of memory is an answer here, not something to recover from."""

    def __init__(self) -> None:
        super().__init__(None, lambda line: None, "the memory probe")

    def run(self, n: int, work: Callable[[], Any], undo: Callable[[], None] = lambda: None) -> Any:
        return work()


def _mb(n: float) -> str:
    return f"{n / 2**20:,.0f} MB"
