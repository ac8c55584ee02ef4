"""Small pictures for the report: mistakes and examples, as data URIs, a bounded number of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from headstart.data.dataset import Dataset, name_of
from headstart.data.images import read_image
from headstart.errors import BadImage
from headstart.evaluation.scoring.scoring import Worst

SIDE = 96
MISTAKES = 12
SAMPLES = 24


def thumbnail(image: torch.Tensor) -> str:
    """uint8 (3, H, W) -> a JPEG data URI of at most 96 px; pictures under 48 px are enlarged without smoothing."""
    from PIL import Image

    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    if max(picture.size) < SIDE // 2:
        factor = SIDE // max(picture.size)
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    picture.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def collect_pictures(
    dataset: Dataset,
    test_set: Dataset,
    worst: Sequence[Worst],
    read: Callable[[Any], torch.Tensor] = read_image,
) -> dict[str, list[dict[str, Any]]]:
    """Thumbnails of the worst mistakes, and of up to two training images a class.

    Args:
        dataset: all images, with splits.
        test_set: the test images, labelled.
        worst: the mistakes among them, the worst first.
        read: how an image is decoded.

    Returns:
        ``{"mistakes": [{path, label, predicted, confidence, note, image}], "samples": [{label, image}]}``.
    """
    assert test_set.labels is not None and dataset.labels is not None
    mistakes = []
    for one in worst[:MISTAKES]:
        image = _try(read, test_set.inputs[one.index])
        if image is not None:
            mistakes.append(
                {
                    "path": name_of(test_set.inputs[one.index], test_set.root, one.index), "label": one.label,
                    "predicted": one.predicted, "confidence": one.confidence, "note": one.note, "image": thumbnail(image),
                }
            )  # fmt: skip
    samples = []
    strata, classes = dataset.strata
    per_class = 2 if len(classes) * 2 <= SAMPLES else 1
    for label in range(min(len(classes), SAMPLES)):
        for i in np.flatnonzero((dataset.splits == "train") & (strata == label))[:per_class]:
            image = _try(read, dataset.inputs[i])
            if image is not None:
                samples.append({"label": dataset.label_text(int(i)), "image": thumbnail(image)})
    return {"mistakes": mistakes, "samples": samples}


def _try(read: Callable[[Any], torch.Tensor], reference: Any) -> torch.Tensor | None:
    try:
        return read(reference)
    except BadImage:
        return None
