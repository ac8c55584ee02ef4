"""Test-time augmentation: several views of the same prepared image."""

from __future__ import annotations

import torch

CROP = 7 / 8
"""Side of a crop as a share of the image's, as in the ten-crop test of Krizhevsky et al. (2012): 224 of 256."""
CORNERS = ("top left", "bottom right", "top right", "bottom left")


def view_names(count: int, *, flip: bool) -> list[str]:
    """What the first ``count`` views are: the image itself, then mirrored, then crops at the corners enlarged to the whole.

    Args:
        count: 1 to 10, or 1 to 5 without ``flip``.
        flip: whether a mirrored image may stand for the image (letters and signs may not).

    Raises:
        ValueError: more views than there are.
    """
    places = ["whole", *CORNERS]
    names = [name for place in places for name in ([place, f"{place}, mirrored"] if flip else [place])]
    if not 1 <= count <= len(names):
        raise ValueError(f"there are {len(names)} views, not {count}")
    return names[:count]


def view(images: torch.Tensor, name: str) -> torch.Tensor:
    """One view of float (B, 3, H, W), of the same shape."""
    place, _, mirrored = name.partition(", ")
    if place != "whole":
        height, width = images.shape[-2:]
        h, w = max(1, round(height * CROP)), max(1, round(width * CROP))
        top, left = (0 if "top" in place else height - h), (0 if "left" in place else width - w)
        images = torch.nn.functional.interpolate(
            images[..., top : top + h, left : left + w], (height, width), mode="bilinear", align_corners=False
        )
    return images.flip(-1) if mirrored else images
