"""One pass over the target in eval mode, for terms that label all of it before an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from headstart.data.batch import Batch
from headstart.tasks.task import Model


@torch.no_grad()
def target_pass(
    model: Model, batches: Callable[[], Iterable[Batch]], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (m, width) and outputs (m, K), float32, of the target's inputs in their order; modes are left as they were.

    Args:
        batches: of :class:`headstart.strategies.terms.term.Start`, ``target_batches``.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    features = torch.cat([model.backbone(batch.inputs.to(device)).float() for batch in batches()])
    outputs = model.head(features)
    for module, mode in modes.items():
        module.training = mode
    return features, outputs
