"""Several processes that train one model: each takes its share of every batch, gradients are summed, weights stay equal.

There is no wrapper around the model, so that any plan of stages works: a layer that opens in the middle of training has
gradients from then on, on every process, and is summed with the others. With a batch B cut into the shares B_r,

    grad L(B) = sum_r m_r grad L(B_r),    m_r = mass(B_r) / mass(B)

and one all-reduce an update sums flattened gradients and losses. Batch norms in train mode see the statistics of a share,
and their running statistics are averaged once an epoch; all else is the update of one process.

Without a process group of ``torch.distributed``, everything here does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

from headstart.data.batch import Batch

T = TypeVar("T")


def count() -> int:
    """Processes that train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The place of this process among them, from 0; the first one validates and writes."""
    return dist.get_rank() if count() > 1 else 0


def share(window: Sequence[Batch], mass: Callable[[Batch], float]) -> tuple[list[Batch], float]:
    """This process's part of the batches of one update, and what it counts for: its mass over that of the whole.

    Every process must pass the same batches. Where a batch has fewer images than there are processes, those without one
    take the first and count for nothing.
    """
    n, r = count(), rank()
    if n == 1:
        return list(window), 1.0
    mine = [batch.split(n)[r] for batch in window]
    masses = [mass(batch) if len(batch) else 0.0 for batch in mine]
    parts = [part if len(part) else batch.split(len(batch))[0] for part, batch in zip(mine, window, strict=True)]
    if not any(masses):
        return parts, 0.0
    kept = [part for part, mass in zip(parts, masses, strict=True) if mass]
    return kept, sum(masses) / sum(mass(batch) for batch in window)


def combine(parameters: Sequence[nn.Parameter], values: Mapping[str, float], weight: float) -> dict[str, float]:
    """Sum ``weight`` times the gradients, in place, and ``weight`` times ``values`` over all processes, by one all-reduce.

    Args:
        parameters: those of the model, in the same order and with the same ``requires_grad`` on every process.
        values: parts of the loss by name, the same names on every process.
        weight: of :func:`share`.
    """
    if count() == 1:
        return dict(values)
    moving = [p for p in parameters if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in moving]
    device = moving[0].device
    losses = torch.tensor(list(values.values()), device=device)
    flat = torch.cat([g.reshape(-1).float() for g in gradients] + [losses.float()]) * weight
    dist.all_reduce(flat)
    pieces = flat.split([g.numel() for g in gradients] + [len(values)])
    for p, piece in zip(moving, pieces, strict=False):
        p.grad = piece.reshape(p.shape).to(p.dtype)
    return dict(zip(values, pieces[-1].tolist(), strict=True))


def average_buffers(modules: Sequence[nn.Module]) -> None:
    """The mean over all processes of every floating buffer (running statistics), in place; what is the same stays the same."""
    n = count()
    floating = [b for m in modules for b in m.buffers() if b.is_floating_point()] if n > 1 else []
    if not floating:
        return
    flat = torch.cat([b.reshape(-1).double() for b in floating])
    dist.all_reduce(flat)
    with torch.no_grad():
        for b, piece in zip(floating, (flat / n).split([b.numel() for b in floating]), strict=True):
            b.copy_(piece.reshape(b.shape))


def by_first(work: Callable[[], T]) -> T:
    """What ``work`` gives in the first process; the others wait for it and get the same."""
    if count() == 1:
        return work()
    found: list[T | None] = [work() if rank() == 0 else None]
    dist.broadcast_object_list(found, src=0)
    return found[0]  # type: ignore[return-value]
