"""What a source costs to run."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from headstart.sources.source import Source


@torch.inference_mode()
def macs(source: Source) -> int:
    """Multiply-accumulate operations of one forward pass of one image at the source's own size."""
    device = next((p.device for p in source.backbone.parameters()), torch.device("cpu"))
    size = source.preprocessing.size
    with FlopCounterMode(display=False) as counter:
        source.backbone.eval()(torch.zeros(1, 3, size, size, device=device))
    return int(counter.get_total_flops() // 2)
