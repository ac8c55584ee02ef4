"""What a model says of a whole domain, in the middle of its training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from headstart.data.batch import Batch


@contextmanager
def asked(*modules: nn.Module) -> Iterator[None]:
    """In eval mode and without gradients; each module below goes back to the mode that it was in."""
    modes = {m: m.training for module in modules for m in module.modules()}
    for module in modules:
        module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for m, mode in modes.items():
            m.training = mode


def answers(network: nn.Module, batches: Iterable[Batch], device: torch.device) -> torch.Tensor:
    """float32 (n, ...): what ``network`` makes of the inputs of all batches, in their order, on ``device``."""
    with asked(network):
        return torch.cat([network(batch.to(device).inputs).float() for batch in batches])
