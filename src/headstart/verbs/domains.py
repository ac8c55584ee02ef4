"""From what the user named to two domains of features: arrays and tables as they are, images through a cached backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.feature_tables import FeatureTable, is_feature_file, read_domains
from headstart.errors import DataError, RecipeError, sentence
from headstart.folder import cache_root
from headstart.progress import Progress


def two_domains(
    source: str | Path,
    target: str | Path,
    *,
    label: str | None,
    task: str,
    backbone: str,
    device: str,
    workers: int | None,
    progress: Progress,
) -> tuple[FeatureTable, FeatureTable, str]:
    """Source, target and the task.

    Raises:
        DataError: what :func:`read_domains` says; a folder of images beside a table.
        RecipeError: an option for tables with images, or the other way round.
    """
    kinds = [is_feature_file(path) for path in (source, target)]
    if kinds[0] != kinds[1]:
        raise DataError(
            sentence(
                "source and target are of different kinds",
                got=f"{source} and {target}",
                allowed="two tables or arrays, or two folders of images",
            )
        )
    if kinds[0]:
        return read_domains(source, target, label=label, task=task)
    if label is not None:
        raise RecipeError(
            sentence("--label is for tables", got=label, fix="leave it out: the class of an image is its folder")
        )
    if task == "regression":
        raise RecipeError(sentence("folders of images have classes, not values", got="--task regression"))
    tables = [
        _images(path, backbone, device, workers, progress, needs_label=i == 0)
        for i, path in enumerate((source, target))
    ]
    return tables[0], tables[1], "classification"


def _images(
    path: str | Path, backbone: str, device: str, workers: int | None, progress: Progress, *, needs_label: bool
) -> FeatureTable:
    """Features of a folder of class folders (or, for a target, of images in no class folder)."""
    from headstart.data.readers import read_dataset, read_images
    from headstart.data.scan import scan
    from headstart.features.extract import extract
    from headstart.sources import load_source
    from headstart.training.device import pick_device

    try:
        dataset = read_dataset(str(path), task="classification")
    except DataError:
        if needs_label or not Path(path).exists():
            raise
        dataset = read_images([str(path)])
    dataset, scanned = scan(dataset, cache_dir=cache_root(), workers=workers, progress=progress)
    for name, reason in scanned.bad:
        progress.say(f"left out: {name}: {reason}")
    if not len(dataset):
        raise DataError(sentence("a domain has no images", where=str(path)))
    found: Any = extract(
        load_source(backbone),
        dataset,
        cache_dir=cache_root(),
        device=str(pick_device(device)),
        workers=workers,
        progress=progress,
    )
    y = None if dataset.labels is None else np.array(dataset.classes)[dataset.labels]
    names = [f"{backbone}:{j}" for j in range(found.X.shape[1])]
    return FeatureTable(found.X, y, names, str(path), [str(image) for image in dataset.images])
