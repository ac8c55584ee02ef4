"""`headstart pretrain`: make a source from labelled source-domain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.progress import SILENT, Progress
from headstart.run import Run
from headstart.verbs.fit import fit

EPOCHS = 30


def pretrain(
    data: Any,
    *,
    arch: str = "timm/resnet18",
    out: str | Path | None = None,
    source: str | None = None,
    epochs: int = EPOCHS,
    baselines: Any = ("raw_pixels", "classical"),
    progress: Progress = SILENT,
    **options: Any,
) -> Run:
    """Train a network on source-domain data; its run folder is then a source: ``fit(target, source=run.path)``.

    Args:
        data: labelled source-domain images, as for :func:`headstart.fit`.
        arch: architecture that starts from random weights, ``timm/NAME`` or ``torchvision/NAME``.
        out: run folder to make.
        source: start from this source instead of random weights (then ``arch`` is not used).
        epochs: default 30.
        baselines: what to compare with; default raw pixels, which a worthwhile source must beat.
        **options: as for :func:`headstart.fit`; ``image_size`` sets the size that the source will expect.

    Returns:
        The finished run.
    """
    return fit(
        data, source=source or f"random/{arch}", strategy="finetune", out=out, epochs=epochs,
        baselines=list(baselines) if not isinstance(baselines, str) else baselines, progress=progress, **options,
    )  # fmt: skip
