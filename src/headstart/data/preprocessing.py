"""How an image becomes what a source model expects: resize, crop, scale, normalise."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F


@dataclass(frozen=True)
class Preprocessing:
    """The evaluation-time preprocessing that travels with a source.

    Attributes:
        size: side of the square input, in pixels (> 0).
        mean, std: per channel, for values scaled to 0..1.
        interpolation: ``"bilinear"``, ``"bicubic"`` or ``"nearest"``.
        crop_pct: in (0, 1]; the shorter side is resized to ``size / crop_pct``, then the centre is cropped.
        crop_mode: ``"center"`` (resize the shorter side, crop) or ``"squash"`` (resize both sides to that, crop).
    """

    size: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    crop_pct: float = 1.0
    crop_mode: str = "center"
    modality = "image"

    def fit(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 (3, H, W) -> uint8 (3, size, size): the geometric half, once per image."""
        mode = InterpolationMode(self.interpolation)
        side = max(self.size, math.floor(self.size / self.crop_pct + 1e-6))
        height, width = image.shape[-2:]
        if self.crop_mode == "squash":
            image = F.resize(image, [side, side], interpolation=mode, antialias=True)
        elif min(height, width) != side:
            short = min(height, width)
            to = [side * height // short, side * width // short]
            image = F.resize(image, to, interpolation=mode, antialias=True)
        return F.center_crop(image, [self.size, self.size])

    def normalize(self, batch: torch.Tensor) -> torch.Tensor:
        """uint8 (B, 3, size, size) -> float32 of the same shape: the arithmetic half, once per batch."""
        mean = torch.tensor(self.mean, device=batch.device).mul(255.0).view(1, 3, 1, 1)
        scale = torch.tensor(self.std, device=batch.device).mul(255.0).reciprocal().view(1, 3, 1, 1)
        return batch.to(torch.float32).sub_(mean).mul_(scale)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 (3, H, W) -> float32 (3, size, size)."""
        return self.normalize(self.fit(image).unsqueeze(0))[0]

    def noise(self, n: int) -> torch.Tensor:
        """float32 (n, 3, size, size): images of noise, for trial steps."""
        return torch.randn(n, 3, self.size, self.size)

    def resized(self, size: int) -> Preprocessing:
        """The same preprocessing at another input size."""
        return replace(self, size=size)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        values = dict(values)
        for key in ("mean", "std"):
            if key in values:
                values[key] = tuple(float(x) for x in values[key])
        return cls(**values)

    @property
    def digest(self) -> str:
        """A short hash that changes when any field does; part of the feature cache's key."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]
