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
    epochs: int | None = None,
    baselines: Any = ("raw_pixels", "classical"),
    progress: Progress = SILENT,
    **options: Any,
) -> Run:
    """Train a network on source-domain data; its run folder is then a source: ``fit(target, source=run.path)``.

    Args:
        data: labelled source-domain images or texts, as for :func:`headstart.fit`.
        arch: architecture that starts from random weights, ``timm/NAME`` or ``torchvision/NAME``; for texts a source of texts
            (``bundled/minilm``, ``hf/ORG/NAME``, a folder), whose configuration and tokenizer are taken; for translation and
            summarization ``transformers/marian``, ``t5`` or ``bart``, with ``-mini`` or ``-tiny`` behind it (default: marian).
        out: run folder to make.
        source: start from this source instead of random weights (then ``arch`` is not used).
        epochs: default 30; for translation and summarization as for :func:`headstart.fit`.
        baselines: what to compare with; default raw pixels, which a worthwhile source must beat.
        **options: as for :func:`headstart.fit`; ``image_size`` sets the size that the source will expect.

    Returns:
        The finished run.
    """
    if options.get("task") in ("translation", "summarization"):
        from headstart.training.sequence_baselines import OF_TASK

        arch = "transformers/marian" if arch == "timm/resnet18" else arch
        baselines = OF_TASK[options["task"]] if baselines == ("raw_pixels", "classical") else baselines
    elif epochs is None:
        epochs = EPOCHS
    return fit(
        data, source=source or f"random/{arch}", strategy="finetune", out=out, epochs=epochs,
        baselines=list(baselines) if not isinstance(baselines, str) else baselines, progress=progress, **options,
    )  # fmt: skip
