"""From what the user named to two domains of features: arrays and tables as they are, images and texts through a frozen model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import ImageDataset
from headstart.data.feature_tables import FeatureTable, is_feature_file, read_domains
from headstart.data.texts import Texts, holds_texts, read_texts
from headstart.errors import DataError, RecipeError, sentence
from headstart.folder import cache_root
from headstart.progress import Progress

KINDS = {"rows": "tables or arrays", "images": "folders of images", "texts": "tables or folders of texts"}


@dataclass(frozen=True)
class Domains:
    """What was read.

    Attributes:
        source, target: features, and labels where there are such.
        task: ``"classification"`` or ``"regression"``.
        kind: ``"rows"``, ``"images"`` or ``"texts"``.
        reader: what made the features: a :class:`headstart.sources.source.Source` for images; ``None`` for rows.
        backbone: its name; ``None`` for rows.
        images: those behind the features, of source and target.
        domain: int (n_s,), which source each row is of; ``None`` for one source.
        notes: sentences for the user.
    """

    source: FeatureTable
    target: FeatureTable
    task: str
    kind: str
    reader: Any = None
    backbone: str | None = None
    images: tuple[ImageDataset, ImageDataset] | None = None
    domain: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def two_domains(
    source: str | Path,
    target: str | Path,
    *,
    label: str | None,
    task: str,
    backbone: str | None,
    image_size: int | None,
    device: str,
    workers: int | None,
    progress: Progress,
) -> Domains:
    """Both domains and the task.

    Args:
        backbone: what images or texts are read by; default ``"bundled/objects"`` and ``"bundled/minilm"``.
        image_size: side of images in pixels; default: the backbone's own.

    Raises:
        DataError: what :func:`read_domains` says; two domains of different kinds.
        RecipeError: an option for tables with images, or the other way round.
    """
    kinds = [kind_of(path) for path in (source, target)]
    if kinds[0] != kinds[1]:
        raise DataError(
            sentence(
                "source and target are of different kinds",
                got=f"{source} ({KINDS[kinds[0]]}) and {target} ({KINDS[kinds[1]]})",
                allowed="the same kind twice",
            )
        )
    kind = kinds[0]
    if image_size is not None and kind != "images":
        raise RecipeError(sentence("--image-size is for images", got=image_size, where=KINDS[kind], fix="leave it out"))
    if kind == "rows":
        if backbone is not None:
            raise RecipeError(
                sentence(
                    "--backbone reads images or texts; rows are features already", got=backbone, fix="leave it out"
                )
            )
        s, t, found = read_domains(source, target, label=label, task=task)
        return Domains(s, t, found, kind)
    if task == "regression":
        raise RecipeError(sentence(f"{KINDS[kind]} have classes here, not values", got="--task regression"))
    if kind == "texts":
        texts = [read_texts(Path(path), label, needs_label=i == 0) for i, path in enumerate((source, target))]
        return _embedded(texts, backbone or "bundled/minilm", device, progress)
    if label is not None:
        raise RecipeError(
            sentence("--label is for tables", got=label, fix="leave it out: the class of an image is its folder")
        )
    from headstart.sources import load_source

    name = backbone or "bundled/objects"
    reader = load_source(name, image_size=image_size)
    found_images = [_images(path, workers, progress, needs_label=i == 0) for i, path in enumerate((source, target))]
    tables = [
        image_features(dataset, reader, str(path), device, workers, progress)
        for dataset, path in zip(found_images, (source, target), strict=True)
    ]
    images = found_images[0], found_images[1]
    return Domains(tables[0], tables[1], "classification", kind, reader, name, images)


def kind_of(path: str | Path) -> str:
    """``"texts"`` for a table with a column of sentences or a folder of .txt files, ``"rows"`` for other tables and arrays, else
    ``"images"``."""
    if holds_texts(Path(path)):
        return "texts"
    return "rows" if is_feature_file(path) else "images"


def _images(path: str | Path, workers: int | None, progress: Progress, *, needs_label: bool) -> ImageDataset:
    """A folder of class folders (or, for a target, images in no class folder); those that cannot be decoded are left out."""
    from headstart.data.readers import read_dataset, read_images
    from headstart.data.scan import scan

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
    return dataset


def image_features(
    dataset: ImageDataset, reader: Any, origin: str, device: str, workers: int | None, progress: Progress
) -> FeatureTable:
    """Features of images by a frozen source, from the cache where it has them."""
    from headstart.features.extract import extract
    from headstart.training.device import pick_device

    found = extract(
        reader, dataset, cache_dir=cache_root(), device=str(pick_device(device)), workers=workers, progress=progress
    )
    y = None if dataset.labels is None else np.array(dataset.classes)[dataset.labels]
    names = [f"{reader.name}:{j}" for j in range(found.X.shape[1])]
    return FeatureTable(found.X, y, names, origin, [str(image) for image in dataset.images])


def _embedded(texts: list[Texts], backbone: str, device: str, progress: Progress) -> Domains:
    """Texts as rows of features."""
    from headstart.features.texts import embed_texts
    from headstart.training.device import pick_device

    tables = []
    for part in texts:
        X = embed_texts(
            part.texts, backbone, cache_dir=cache_root(), device=str(pick_device(device)), progress=progress
        )
        names = [f"{backbone}:{j}" for j in range(X.shape[1])]
        tables.append(FeatureTable(X, part.y, names, part.origin, part.ids))
    notes = tuple(dict.fromkeys(note for part in texts for note in part.notes))
    return Domains(tables[0], tables[1], "classification", "texts", None, backbone, notes=notes)
