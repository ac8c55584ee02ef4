"""A small network that tells the domains apart."""

from __future__ import annotations

import torch
from torch import nn


def discriminator(width: int, hidden: int, seed: int) -> nn.Sequential:
    """(B, width) -> (B, 1), the logit of "of the source": two hidden layers with ReLU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )
