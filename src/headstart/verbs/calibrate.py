"""Held-out predictions of a trained model, and the temperature that makes its confidences honest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.dataset import Dataset
from headstart.deploy.held_out import HeldOut
from headstart.errors import RecipeError, sentence
from headstart.evaluation.metrics import expected_calibration_error, log_losses
from headstart.functional.temperature import at_temperature, fit_temperature, log_probabilities
from headstart.progress import Progress
from headstart.sources.source import Source
from headstart.training.transfer import Transferred, probabilities

DOUBT = 0.5
"""A temperature is fitted as if half an image more were held out whose label is every class alike: nine images that are all
right do not make a model certain."""


def held_out(
    moved: Transferred,
    source: Source,
    classes: tuple[str, ...],
    train_set: Dataset,
    valid_set: Dataset,
    *,
    device: torch.device,
    cache_dir: Path | None,
    workers: int | None,
    progress: Progress,
) -> HeldOut | None:
    """Predictions of images that the weights were not fitted to, ``None`` where there are none.

    A solved head learns from training and validation images alike, so these are its out-of-fold predictions from the
    cross-validation. After gradient steps they are the validation images: no weight was fitted to them, but the best epoch
    was chosen on them, which makes them a little too good.
    """
    sets = [part for part in (train_set, valid_set) if len(part)]
    if moved.options is None:
        if moved.oof is None:
            return None
        labels, digests = (np.concatenate([getattr(part, name) for part in sets]) for name in ("labels", "digests"))
        rows = np.isfinite(moved.oof).all(1)
        if not rows.any():
            return None
        return HeldOut(moved.oof[rows], labels[rows], digests[rows], "out-of-fold predictions of the training images")
    if not len(valid_set):
        return None
    found = probabilities(
        moved, source, classes, valid_set, device=device, cache_dir=cache_dir, workers=workers, progress=progress
    )
    assert valid_set.labels is not None and valid_set.digests is not None
    return HeldOut(found, valid_set.labels, valid_set.digests, "validation images")


def calibrate(moved: Transferred, held: HeldOut | None) -> tuple[Transferred, HeldOut, dict[str, Any]]:
    """Divide the head by the temperature of the held-out predictions: ``softmax(z / T)`` is a head (W / T, b / T).

    So the model is calibrated wherever its weights are opened, and no decision changes.

    Returns:
        The model, the held-out predictions at that temperature, and ``{"temperature", "fitted_on", "n", "ece", "log_loss"}``
        with the last two as ``{"before", "after"}`` on the held-out images.

    Raises:
        RecipeError: nothing was held out.
    """
    if held is None:
        raise RecipeError(
            sentence(
                "a temperature is fitted on held-out images, and there are none",
                got="calibrate: temperature",
                fix="--valid-fraction 0.2, or --calibrate none",
            )
        )
    logits = log_probabilities(held.probabilities)
    t = fit_temperature(logits, held.labels, doubt=DOUBT)
    after = replace(held, probabilities=at_temperature(logits, t).astype(np.float32))
    weight, bias = moved.head

    def both(score: Any) -> dict[str, float]:
        return {
            when: float(np.mean(score(h.probabilities, h.labels))) for when, h in (("before", held), ("after", after))
        }

    said = {
        "temperature": t,
        "fitted_on": held.by,
        "n": len(held),
        "ece": both(expected_calibration_error),
        "log_loss": both(log_losses),
    }
    return replace(moved, head=(weight / t, bias / t)), after, said
