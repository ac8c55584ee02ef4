"""One update, in pieces that fit in memory: the gradient of the whole batch, from parts of it one after the other.

With mean losses, a batch B cut into pieces B_j has the gradient

    grad L(B) = sum_j s_j grad L(B_j),    s_j = mass(B_j) / mass(B)

where the mass is the number of images, or the sum of their class weights. So the batch that counts stays the same, whatever
the memory. Three things differ: batch norm sees the statistics of a piece (and moves its running ones once a piece), dropout
draws another mask, and a term that compares images with each other compares those of one piece.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils.memory import should_reduce_batch_size

from headstart.data.batch import Batch
from headstart.errors import Diverged, OutOfMemory, sentence
from headstart.training.objective import Objective
from headstart.training.optim import Optimisation
from headstart.training.randomness import Randomness

T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: CUDA's, MPS's, the CPU allocator's, Python's."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, Exception) and should_reduce_batch_size(error)


class Pieces:
    """At most ``largest`` images go through the network at once; half as many from the moment that memory runs out.

    Args:
        largest: >= 1, or ``None`` for whole batches until memory runs out.
        say: told in one line when the pieces shrink.
        where: what is being done, for that line and for errors.
    """

    def __init__(self, largest: int | None, say: Callable[[str], None], where: str) -> None:
        self.largest, self.say, self.where = largest, say, where

    def count(self, n: int) -> int:
        """Into how many pieces of even size ``n`` images are cut."""
        return 1 if self.largest is None else -(-n // self.largest)

    def run(self, n: int, work: Callable[[], T], undo: Callable[[], None] = lambda: None) -> T:
        """``work()``; where memory runs out, ``undo()`` and the same again in smaller pieces.

        Args:
            n: images in the largest batch of the work.

        Raises:
            OutOfMemory: one image at a time does not fit either.
        """
        while True:
            try:
                return work()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # outside the handler: the traceback, which holds the activations, is gone
            undo()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            size = -(-n // self.count(n))
            if size == 1:
                raise OutOfMemory(
                    sentence(
                        "one image at a time does not fit in memory", where=self.where,
                        fix="a smaller --image-size, a smaller --source, or --strategy probe",
                    )
                )  # fmt: skip
            self.largest = -(-size // 2)
            self.say(
                f"{self.where}: out of memory with {size} images at once; the same step again with {self.largest} at once, "
                f"{self.count(n)} pieces to a batch of {n}, which still counts as one"
            )


def update(
    objective: Objective,
    window: Sequence[Batch],
    pieces: Pieces,
    engine: Accelerator,
    optimizer: torch.optim.Optimizer,
    options: Optimisation,
    where: str,
    progress: float = 0.0,
    combine: Callable[[dict[str, float]], dict[str, float]] = dict,
) -> dict[str, float]:
    """One update of the loop: for each step of the procedure a gradient, and an optimiser step of what it moves.

    Args:
        where: for errors.
        combine: takes gradients and losses of one process together with those of the others.

    Returns:
        The parts of the loss of all steps by name, as :func:`batch_gradient` gives them.

    Raises:
        Diverged: the loss is not finite.
        OutOfMemory: as the two functions below say.
    """
    values: dict[str, float] = {}
    for step in objective.procedure.steps(progress):
        run = partial(batch_gradient, pieces=pieces, engine=engine, progress=progress, step=step.name)
        found = combine(objective.procedure.gradient(objective, window, run))
        if not math.isfinite(sum(found.values())):
            raise Diverged(
                sentence(
                    "the loss is no longer a finite number", where=where, got=found, fix=f"--lr {options.lr / 10:g}"
                )
            )
        objective.hold(step)
        apply_gradient(optimizer, objective, engine, options, where)
        values |= found
    for penalty in objective.terms.values():
        penalty.after_step(objective.model)
    return values


def batch_gradient(
    objective: Objective,
    window: Sequence[Batch],
    pieces: Pieces,
    engine: Accelerator,
    progress: float = 0.0,
    step: str = "",
) -> dict[str, float]:
    """Leave in ``.grad`` the gradient of the mean loss over all images of ``window``; gradients must be cleared before.

    Where memory runs out, gradients, buffers (batch-norm statistics) and random states are put back to where they stood
    and the same window is run again in smaller pieces, so that the update is the one of a run that began with them.

    Args:
        window: labelled batches that make one update, on any device.
        pieces: how many images at once; remembers when it shrinks.
        progress: share of the epochs that has passed.
        step: of the procedure, by name.

    Returns:
        Each part of the loss by name, averaged over the window by mass.

    Raises:
        OutOfMemory: one image at a time does not fit.
    """
    random = Randomness.take(engine.device)
    modules = (objective.model, objective.penalties)
    buffers = [(buffer, buffer.detach().clone()) for module in modules for buffer in module.buffers()]
    total = sum(objective.mass(batch) for batch in window)

    def work() -> dict[str, float]:
        values: dict[str, float] = {}
        for batch in window:
            for piece in batch.split(pieces.count(len(batch))):
                share = objective.mass(piece) / total
                with engine.autocast():
                    parts = objective.losses(piece.to(engine.device), progress, step)
                    loss = torch.stack([value.float() for value in parts.values()]).sum()
                engine.backward(loss * share)
                for key, value in parts.items():
                    values[key] = values.get(key, 0.0) + value.item() * share
        return values

    def undo() -> None:
        for module in modules:
            module.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        random.restore()

    return pieces.run(max(len(batch) for batch in window), work, undo)


def lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Gradients in the memory order of their weights: an optimiser in one kernel reads both from the first number to the last."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is not None and p.grad.stride() != p.stride():
                p.grad = torch.empty_like(p).copy_(p.grad)


def apply_gradient(
    optimizer: torch.optim.Optimizer, objective: Objective, engine: Accelerator, options: Optimisation, where: str
) -> None:
    """Clip, step, clear.

    Raises:
        OutOfMemory: the optimiser's state does not fit. It is as large for one image as for a hundred, so that smaller
            pieces would not help, and a step that was left halfway cannot be repeated.
    """
    try:
        if options.grad_clip is not None:
            engine.clip_grad_norm_(objective.parameters, options.grad_clip)
        lay_out(optimizer)
        optimizer.step()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            sentence(
                "the optimiser's step does not fit in memory, whatever the batch", where=where, got=options.optimizer,
                fix="--strategy 'last(1)', --optimizer sgd or a smaller --source",
            )
        ) from None  # fmt: skip
    optimizer.zero_grad(set_to_none=True)
