"""Some of the training images, drawn once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from headstart.data.batch import Batch
from headstart.strategies.terms.term import Start


def sample(start: Start, n: int) -> Iterator[Batch]:
    """At most ``n`` training images drawn by ``start.seed``, unaugmented, on its device; all of them where there are no more."""
    chosen = torch.as_tensor(np.random.default_rng(start.seed).permutation(start.total)[:n])
    for batch in start.batches():
        assert batch.index is not None and batch.targets is not None
        rows = torch.isin(batch.index, chosen).nonzero()[:, 0]
        if len(rows):
            yield Batch(batch.inputs[rows], batch.targets[rows], batch.index[rows]).to(start.device)
