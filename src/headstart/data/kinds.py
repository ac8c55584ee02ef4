"""What inputs in memory are: images, or texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.data.images import is_image

LOOKED_AT = 20


def kind_of_inputs(inputs: Sequence[Any]) -> str:
    """``"text"`` where the first of the inputs are strings, or pairs of them, and one is no path of an image; else ``"image"``."""
    some = [inputs[i] for i in range(min(len(inputs), LOOKED_AT))]
    if not some or not all(isinstance(item, str) or pair(item) for item in some):
        return "image"
    return "image" if all(isinstance(item, str) and _path(item) for item in some) else "text"


def pair(item: Any) -> bool:
    """Whether an input is a pair of strings."""
    return isinstance(item, (tuple, list)) and len(item) == 2 and all(isinstance(part, str) for part in item)


def _path(item: str) -> bool:
    """Whether a string names a file: by its ending, or because it is there."""
    short = len(item) < 1000 and "\n" not in item and "\0" not in item
    return short and (is_image(item) or Path(item.split("!/")[0]).exists())
