"""From what the user named to domains of features: arrays and tables as they are, images and texts through a frozen model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.feature_tables import FeatureTable, is_feature_file, read_domains
from headstart.data.missing_values import Missing
from headstart.data.rows import joined
from headstart.data.several_domains import SeveralDomains, pooled, read_several, short_names, twice_named
from headstart.data.text_preprocessing import of_pairs
from headstart.data.texts import holds_texts, read_texts
from headstart.errors import DataError, RecipeError, sentence
from headstart.folder import cache_root
from headstart.progress import Progress
from headstart.verbs.reading import KINDS, as_loaded, check_reading

BACKBONES = {"images": "bundled/objects", "texts": "bundled/minilm"}


@dataclass(frozen=True)
class Domains:
    """What was read.

    Attributes:
        source, target: features, and labels where there are such.
        task: ``"classification"`` or ``"regression"``.
        kind: ``"rows"``, ``"images"`` or ``"texts"``.
        reader: what made the features: a :class:`headstart.sources.source.Source` for images and texts; ``None`` for rows.
        backbone: its name; ``None`` for rows.
        images: those behind the features, or the texts, of source and target.
        domain: int (n_s,), which source each row is of; ``None`` for one source.
        sources: their names.
        notes: sentences for the user.
        fill: what stands in for missing numbers, by column; empty unless that was asked for.
    """

    source: FeatureTable
    target: FeatureTable
    task: str
    kind: str
    reader: Any = None
    backbone: str | None = None
    images: tuple[Dataset, Dataset] | None = None
    domain: np.ndarray | None = None
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fill: dict[str, float] = field(default_factory=dict)

    @property
    def pairs(self) -> bool:
        """Whether these are pairs of texts."""
        return self.kind == "texts" and self.images is not None and of_pairs(self.images[1].inputs)


def read_all(
    sources: Sequence[str | Path],
    target: str | Path | None,
    *,
    label: str | None,
    task: str,
    backbone: str | None,
    reading: Mapping[str, Any],
    text_col: str | None = None,
    domain_col: str | None = None,
    device: str,
    workers: int | None,
    progress: Progress,
    missing: str | None = None,
    augment: Any = None,
) -> Domains:
    """All domains and the task; rows of several sources one after the other, their classes united.

    Args:
        target: ``None``: nothing but the sources is known, and ``Domains.target`` is their own rows.
        backbone: what images or texts are read by; default ``"bundled/objects"`` and ``"bundled/minilm"``.
        reading: how it reads: ``image_size``, ``max_length``, ``pool`` and ``long`` of :class:`headstart.verbs.adapt_question.Options`.
        text_col: column of the tables with the texts, or the two of pairs; guessed if left out.
        domain_col: column of a table that names each row's source; ``target`` may be one of its values.
        augment: refused where there are neither images nor texts.
        missing: what is done about missing values of tables: ``"mean"``, ``"drop"``, or ``None`` (refused), see
            :class:`headstart.data.missing_values.Missing`.

    Raises:
        DataError: what :func:`read_domains` and :func:`read_several` say; domains of different kinds.
        RecipeError: an option for tables with images, or the other way round.
    """
    paths = (
        [*sources] if target is None or (domain_col is not None and not Path(target).exists()) else [*sources, target]
    )
    for path in paths:
        if (Path(path) / "recipe.yaml").is_file():
            raise DataError(
                sentence("a run folder is a model, and adapt learns from data", got=str(path),
                         fix="its data; or the run as the only SOURCE, with --method shot")
            )  # fmt: skip
    kinds = [kind_of(path, sure=text_col is not None) for path in paths]
    kind = kinds[0]
    other = next((i for i, found in enumerate(kinds) if found != kind), None)
    if other is not None:
        raise DataError(
            sentence(
                "source and target are of different kinds" if len(paths) == 2 else "the domains are of different kinds",
                got=f"{paths[0]} ({KINDS[kind]}) and {paths[other]} ({KINDS[kinds[other]]})",
                allowed="the same kind twice" if len(paths) == 2 else "one kind",
            )
        )
    check_reading({**reading, "text_col": text_col, "augment": augment}, kind)
    if domain_col is not None and kind != "rows":
        raise RecipeError(
            sentence("--domain-col is a column of a table of numbers and categories", got=domain_col, where=KINDS[kind],
                     fix="one path a source")
        )  # fmt: skip
    if missing is not None and kind != "rows":
        raise RecipeError(
            sentence("--missing is for tables and arrays", got=missing, where=KINDS[kind], fix="leave it out")
        )
    if kind == "rows":
        holes = Missing(missing)
        if backbone is not None:
            raise RecipeError(
                sentence(
                    "--backbone reads images or texts; rows are features already", got=backbone, fix="leave it out"
                )
            )
        if len(sources) == 1 and domain_col is None and target is not None:
            s, t, found = read_domains(sources[0], target, label=label, task=task, missing=holes)
            return Domains(s, t, found, kind, sources=(s.origin,), notes=tuple(holes.notes), fill=holes.fill)
        several = read_several(sources, target, label=label, task=task, domain_col=domain_col, missing=holes)
        one = len(several.names) == 1
        return Domains(
            several.source, several.target or several.source, several.task, kind,
            domain=None if one else several.domain, sources=several.names, notes=(*holes.notes, *(() if one else several.notes)), fill=holes.fill,
        )  # fmt: skip
    if task == "regression":
        raise RecipeError(sentence(f"{KINDS[kind]} have classes here, not values", got="--task regression"))
    twice_named(paths[: len(sources)])
    if label is not None and kind == "images":
        raise RecipeError(
            sentence("--label is for tables", got=label, fix="leave it out: the class of an image is its folder")
        )
    from headstart.sources import load_source

    labelled, name = len(sources), backbone or BACKBONES[kind]
    reader = load_source(name, **as_loaded(reading))
    columns = {"label": label, "text_col": text_col}
    domains = [
        read_inputs(path, kind, **columns, workers=workers, progress=progress, needs_label=i < labelled)
        for i, path in enumerate(paths)
    ]
    notes: list[str] = []
    if kind == "texts":
        alike(domains, paths)
        notes = list(dict.fromkeys(note for dataset in domains for note in dataset.notes))
    if target is not None and label is None and kind == "texts":
        domains[-1], said = of_known_classes(domains[-1], domains[:labelled], target)
        notes += said
    tables = [
        FEATURES[kind](dataset, reader, str(path), device, workers, progress)
        for dataset, path in zip(domains, paths, strict=True)
    ]
    mine = domains[0] if labelled == 1 else joined(domains[:labelled])
    images = mine, mine if target is None else domains[-1]
    return _pooled(tables, labelled, kind, reader=reader, backbone=name, images=images, notes=tuple(notes))


def _pooled(tables: list[FeatureTable], labelled: int, kind: str, **more: Any) -> Domains:
    """Domains of classes: the first ``labelled`` tables are sources, one more is the target."""
    mine = tables[:labelled]
    source = mine[0] if labelled == 1 else pooled(mine)
    names = short_names([table.origin for table in mine])
    several = SeveralDomains(
        source, np.repeat(np.arange(labelled), [len(table.X) for table in mine]), names, None, "classification"
    )
    notes = (*more.pop("notes", ()), *(several.notes if labelled > 1 else ()))
    target = tables[labelled] if len(tables) > labelled else source
    return Domains(
        source, target, "classification", kind, domain=several.domain if labelled > 1 else None, sources=names, notes=notes, **more
    )  # fmt: skip


def kind_of(path: str | Path, *, sure: bool = False) -> str:
    """``"texts"`` for what :func:`headstart.data.texts.holds_texts` says (``sure``: the user names their column), ``"rows"`` for other tables
    and arrays, else ``"images"``."""
    if holds_texts(Path(path), sure=sure):
        return "texts"
    return "rows" if is_feature_file(path) else "images"


def read_inputs(
    path: str | Path,
    kind: str,
    *,
    label: str | None = None,
    text_col: str | None = None,
    workers: int | None = None,
    progress: Progress,
    needs_label: bool,
) -> Dataset:
    """Images or texts with a class each, or (for a target) without any, scanned; those that cannot be used are named and left out.

    Args:
        kind: ``"images"`` or ``"texts"``. label, text_col: columns of tables of texts; guessed if left out.
    """
    from headstart.data.readers import read_dataset, read_images
    from headstart.data.scan import scan

    if kind == "texts":
        dataset = read_texts(Path(path), label, text_col=text_col, needs_label=needs_label)
    else:
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
        raise DataError(sentence(f"a domain has no {kind}", where=str(path)))
    return dataset


def alike(found: Sequence[Dataset], paths: Sequence[str | Path]) -> None:
    """Refuse pairs of texts beside single ones.

    Raises:
        DataError: there are both.
    """
    pairs = [of_pairs(dataset.inputs) for dataset in found]
    if len(set(pairs)) > 1:
        raise DataError(
            sentence("some domains are pairs of texts and some single texts", got=f"{paths[pairs.index(True)]} and {paths[pairs.index(False)]}",
                     fix="--text-col COLUMN, or --text-col A,B for pairs")
        )  # fmt: skip


def of_known_classes(target: Dataset, sources: Sequence[Dataset], path: str | Path) -> tuple[Dataset, list[str]]:
    """The target without its labels where these are none of the sources' classes, so that the column that was guessed is of something
    else; and what to say of that."""
    known = {name for dataset in sources for name in dataset.classes}
    if target.labels is None or known & set(target.classes):
        return target, []
    said = f"The labels of {path} ({', '.join(target.classes[:3])}, ...) are none of the classes of the source, so they are not looked at; --label COLUMN names others."
    return replace(target, labels=None, classes=()), [said]


def image_features(
    dataset: Dataset, reader: Any, origin: str, device: str, workers: int | None, progress: Progress
) -> FeatureTable:
    """Features of images by a frozen source, from the cache where it has them."""
    from headstart.features.extract import extract
    from headstart.training.device import pick_device

    found = extract(
        reader, dataset, cache_dir=cache_root(), device=str(pick_device(device)), workers=workers, progress=progress
    )
    return _table(found.X, dataset, reader, origin, [str(image) for image in dataset.inputs])


def text_features(
    dataset: Dataset, reader: Any, origin: str, device: str, workers: int | None, progress: Progress
) -> FeatureTable:
    """The same of texts, each row at unit length."""
    from headstart.features.texts import embed_texts
    from headstart.training.device import pick_device

    X = embed_texts(dataset, reader, cache_dir=cache_root(), device=str(pick_device(device)), progress=progress)
    return _table(X, dataset, reader, origin, [dataset.name(i) for i in range(len(dataset))])


def _table(X: np.ndarray, dataset: Dataset, reader: Any, origin: str, ids: list[str]) -> FeatureTable:
    y = None if dataset.labels is None else np.array(dataset.classes)[dataset.labels]
    return FeatureTable(X, y, [f"{reader.name}:{j}" for j in range(X.shape[1])], origin, ids)


FEATURES = {"images": image_features, "texts": text_features}
