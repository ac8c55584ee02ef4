"""`headstart compare`: several runs on the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.run import Run


def compare(runs: Sequence[str | Path], *, metric: str = "auto") -> dict[str, Any]:
    """Compare runs pair by pair on the test images they share, with paired 95 % intervals and corrected p-values.

    Raises:
        RunError: a folder is no finished run, or the runs share no test image.
    """
    from headstart.data.wording import said_again
    from headstart.errors import RunError
    from headstart.evaluation.compare import compare_runs

    found = [Run(path) for path in runs]
    modality = found[0].metrics.get("modality", "image") if found else "image"
    try:
        return compare_runs([run.path for run in found], metric=metric) | {"modality": modality}
    except RunError as error:
        raise said_again(error, modality) from None
