"""What a source costs to run: multiplications, and memory of a forward pass."""

from __future__ import annotations

import copy

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from headstart.sources.source import Source

BATCH = 64
"""Images at once, as :func:`headstart.features.extract.extract` takes them."""


def count_macs(source: Source) -> int | None:
    """Multiply-adds of one forward pass, counted without computing anything where the backbone allows it."""
    from torch.utils.flop_counter import FlopCounterMode

    for place in ("meta", "cpu"):
        try:
            model = copy.deepcopy(source.backbone).eval().to(place)
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                model(source.preprocessing.noise(1).to(place))
            return int(counter.get_total_flops()) // 2
        except (RuntimeError, NotImplementedError):
            continue  # a backbone that builds tensors on the CPU inside its forward
    return None


class _Live(TorchDispatchMode):
    """Keeps the largest number of bytes that tensors made inside held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        self.held = {key: kept for key, kept in self.held.items() if not kept[0].expired()}
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                self.held[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self.held.values()))
        return out


def forward_memory(source: Source, device: str = "cpu", batch: int = BATCH) -> tuple[int | None, str]:
    """Bytes that a forward pass over ``batch`` images needs in float32, weights included, and how that is known.

    On CUDA it is ``"measured"`` by the allocator. Elsewhere it is ``"counted"``: the largest sum of the sizes of the tensors
    alive at once, with no arithmetic done; workspaces of the kernels and what the allocator keeps come on top. ``None`` where
    the backbone allows neither.
    """
    if torch.device(device).type == "cuda":
        model = copy.deepcopy(source.backbone).eval()
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        with torch.no_grad():
            model.to(device)(source.preprocessing.noise(batch).to(device))
        return int(torch.cuda.max_memory_allocated(device) - before), "measured"
    try:
        model = copy.deepcopy(source.backbone).eval().to("meta")
        weights = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
        with torch.no_grad(), _Live() as live:
            model(source.preprocessing.noise(batch).to("meta"))
        return weights + live.peak, "counted"
    except (RuntimeError, NotImplementedError):
        return None, ""
