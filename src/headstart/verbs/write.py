"""Write the files of a run folder."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.data.dataset import Dataset
from headstart.data.text_preprocessing import Text
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.folder import write_json, write_text
from headstart.tasks.task import Task

TOLD = 1000
"""Letters of a text that a table shows."""


def predictions_table(dataset: Dataset, found: np.ndarray, task: Task) -> pd.DataFrame:
    """One row an image: path, label (where known), predicted, and what stands behind it (one probability column a class)."""
    names = [dataset.name(i) for i in range(len(dataset))]
    columns = SCORING[task.name].columns(found, dataset.labels, task, dataset.classes)
    texts = {"text": [_told(text) for text in dataset.inputs]} if dataset.modality == "text" else {}
    return pd.DataFrame({"path": names, **texts, **columns})


def _told(text: Text) -> str:
    """A text, or a pair with a bar between, as tables show it; a long one by its beginning."""
    said = text if isinstance(text, str) else " | ".join(part[:TOLD] for part in text)
    return said if len(said) <= TOLD else f"{said[: TOLD - 3]}..."


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """CSV in UTF-8, floats with 6 digits, written whole or not at all."""
    write_text(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def environment() -> dict[str, Any]:
    """Versions and the machine, for ``env.json``."""
    from importlib.metadata import version

    import torch

    packages = (
        "headstart",
        "torch",
        "torchvision",
        "timm",
        "accelerate",
        "scikit-learn",
        "numpy",
        "pillow",
        "safetensors",
    )
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "packages": {name: version(name) for name in packages},
    }


def write_run_tables(
    work: Path,
    test_set: Dataset,
    target: tuple[np.ndarray, Task],
    baselines: dict[str, tuple[np.ndarray, Task]],
    history: list[dict[str, Any]],
) -> None:
    """predictions.csv, baselines/NAME.csv, history.csv, env.json."""
    write_table(work / "predictions.csv", predictions_table(test_set, *target))
    for name, found in baselines.items():
        write_table(work / "baselines" / f"{name}.csv", predictions_table(test_set, *found))
    if history:
        write_table(work / "history.csv", pd.DataFrame(history))
    write_json(work / "env.json", environment())
