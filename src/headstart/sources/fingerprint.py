"""What a network is, in a few bytes: a digest of its weights, and what it answers to one known picture."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from typing import Any

import torch
from torch import nn

TOLERANCE = 0.01
"""Largest difference of a probed feature, as a share of the features' root mean square: other CPUs differ by some 1e-5."""


def weights_digest(backbone: nn.Module) -> str:
    """sha256 (16 hex digits) over names and values of the tensors: the same whatever route they came by."""
    h = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            h.update(name.encode())
            h.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()[:16]


def source_digest(weights: str, library: str, architecture: str, model_args: dict[str, Any]) -> str:
    """Weights and the arithmetic around them (16 hex digits): the key of cached features.

    The same tensors in another arrangement (``pad_type="same"``, say) give other features, so they need another key.
    """
    made = json.dumps([weights, library, architecture.split(".")[0], model_args], sort_keys=True, default=str)
    return hashlib.sha256(made.encode()).hexdigest()[:16]


def probe_picture(size: int) -> torch.Tensor:
    """float32 (1, 3, size, size) in -2..2: crossing waves, the same on every machine."""
    at = torch.arange(size, dtype=torch.float64) / size * 2 * math.pi
    rows = [torch.sin((c + 1) * at)[:, None] + torch.cos((3 - c) * 2 * at)[None, :] for c in range(3)]
    return torch.stack(rows).float().unsqueeze(0)


@torch.inference_mode()
def probe_activation(backbone: nn.Module, size: int) -> dict[str, Any]:
    """What the backbone answers to :func:`probe_picture` in eval mode on the CPU.

    Returns:
        ``{"size": side in pixels, "first": the first 8 features, "rms": root mean square of all}``.
    """
    model = backbone
    if model.training or any(p.device.type != "cpu" or p.dtype != torch.float32 for p in model.parameters()):
        model = copy.deepcopy(backbone).cpu().float().eval()
    features = model(probe_picture(size))[0]
    return {
        "size": size,
        "first": [round(float(x), 6) for x in features[:8]],
        "rms": round(float(features.square().mean().sqrt()), 6),
    }


def probe_difference(recorded: dict[str, Any], found: dict[str, Any]) -> float:
    """Largest difference of the recorded features and their rms, as a share of the recorded rms (0: the same)."""
    scale = max(abs(float(recorded["rms"])), 1e-6)
    pairs = zip([*recorded["first"], recorded["rms"]], [*found["first"], found["rms"]], strict=True)
    return max(abs(float(a) - float(b)) for a, b in pairs) / scale
