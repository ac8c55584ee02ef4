"""What held-out images said of a model, kept beside it: the scores that prediction sets are cut at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.errors import RunError, sentence
from headstart.functional.conformal import METHODS, draws_of, prediction_sets, rank_of, threshold, true_scores

FILE = "held_out.safetensors"


@dataclass(frozen=True)
class HeldOut:
    """Predictions of images that the weights were not fitted to.

    Attributes:
        probabilities: float32 (n, K).
        labels: int64 (n,).
        digests: n content hashes.
        by: in words, where they come from.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    digests: np.ndarray
    by: str

    def __len__(self) -> int:
        return len(self.labels)


def save_held_out(folder: Path, held: HeldOut) -> None:
    """Keep the conformal scores of the true classes in a model folder: float64 (n,) for each method, rising."""
    import torch
    from safetensors.torch import save_file

    draws = draws_of(held.digests)
    scores = {m: np.sort(true_scores(held.probabilities, held.labels, m, draws)) for m in METHODS}
    save_file({m: torch.from_numpy(s) for m, s in scores.items()}, folder / FILE, metadata={"by": held.by})


def sets_of(
    folder: Path, probabilities: np.ndarray, digests: np.ndarray, coverage: float, method: str = "lac"
) -> np.ndarray:
    """Prediction sets bool (n, K) that hold the true class of a share ``coverage`` of images like the held-out ones.

    The most likely class is always in: a set that would be empty gets it, which can only raise the coverage.

    Args:
        folder: the model folder, with the scores of its held-out images.
        probabilities: (n, K), of the images to predict.
        digests: n content hashes; they decide the draws of ``"aps"``, so that the same image has the same set.
        coverage: in (0, 1).
        method: ``"lac"`` or ``"aps"``, see :func:`headstart.functional.conformal.class_scores`.

    Raises:
        RunError: no held-out scores were kept, or too few for this coverage; or a value out of range.
    """
    from safetensors.numpy import load_file

    if not 0 < coverage < 1:
        raise RunError(sentence("coverage is a share of the images", got=coverage, allowed="between 0 and 1"))
    if method not in METHODS:
        raise RunError(sentence("unknown kind of prediction sets", got=method, allowed=list(METHODS)))
    if not (folder / FILE).is_file():
        raise RunError(
            sentence(
                "prediction sets need scores of held-out images, and this run kept none",
                where=str(folder),
                fix="headstart fit DATA --valid-fraction 0.2",
            )
        )
    scores = load_file(folder / FILE)[method]
    n = len(scores)
    if rank_of(n, coverage) > n:
        raise RunError(
            sentence(
                f"{n} held-out images are too few for this coverage: every set would hold every class",
                where=str(folder),
                got=coverage,
                allowed=f"up to {n / (n + 1):.3g}",
            )
        )
    found = prediction_sets(probabilities, threshold(scores, coverage), method, draws_of(digests))
    found[np.arange(len(found)), probabilities.argmax(1)] = True
    return found
