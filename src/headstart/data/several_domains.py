"""Several labelled domains, and perhaps a target: files with the same columns, or one table with a column that names the domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.data.feature_tables import FeatureTable, Raw, like_tables, read_raw
from headstart.data.missing_values import Missing
from headstart.errors import DataError, sentence

MANY = 200
"""Values of a column from which on it does not name domains."""


@dataclass(frozen=True)
class SeveralDomains:
    """S sources, and the target.

    Attributes:
        source: all rows of the sources, one after the other.
        domain: int64 (n,), which source each of them is of.
        names: of the S sources.
        target: ``None`` where nothing but the sources is known.
        task: ``"classification"`` or ``"regression"``.
    """

    source: FeatureTable
    domain: np.ndarray
    names: tuple[str, ...]
    target: FeatureTable | None
    task: str

    @property
    def notes(self) -> list[str]:
        """What a person should know of these sources: classes that some of them lack, sources of very different sizes."""
        found = []
        y = self.source.y
        if self.task == "classification" and y is not None:
            every = set(y)
            for k, name in enumerate(self.names):
                lacks = sorted(every - set(y[self.domain == k]))
                if lacks:
                    more = f" and {len(lacks) - 5} more" if len(lacks) > 5 else ""
                    found.append(f"{name} has no rows of class {', '.join(lacks[:5])}{more}, which other sources have.")
        sizes = np.bincount(self.domain, minlength=len(self.names))
        if sizes.max() > 10 * sizes.min():
            small, large = self.names[int(sizes.argmin())], self.names[int(sizes.argmax())]
            found.append(
                f"{large} has {sizes.max():,} rows and {small} {sizes.min():,}: a batch has as many of either, so that rows of {small} come "
                f"{sizes.max() / sizes.min():.0f} times as often."
            )
        return found


def read_several(
    sources: Sequence[str | Path],
    target: str | Path | None,
    *,
    label: str | None = None,
    task: str = "auto",
    domain_col: str | None = None,
    missing: Missing | None = None,
) -> SeveralDomains:
    """Read labelled sources and a target with the same columns; classes are those of all sources together.

    Args:
        sources: paths; with ``domain_col`` each is cut by it.
        target: a path whose labels may be missing, a value of ``domain_col``, or ``None``.
        label, task, missing: as for :func:`headstart.data.feature_tables.read_domains`.
        domain_col: column of a table (array of an ``.npz``) that names each row's domain; it is no feature.

    Raises:
        DataError: as of :func:`headstart.data.feature_tables.read_domains`; the same file twice; no such column; one domain where
            several are asked for; fewer than two rows of one.
    """
    paths = [Path(path) for path in sources]
    twice_named(paths)
    raw: list[Raw] = []
    for path in paths:
        frame, y = read_raw(path, label, needs_label=True, beside=domain_col)
        raw += [Raw(frame, y, str(path))] if domain_col is None else _cut(Raw(frame, y, str(path)), domain_col)
    called = [str(part.origin) for part in raw]
    if target is not None:
        own = next((i for i, name in enumerate(called) if domain_col is not None and name == str(target)), None)
        if own is not None and not Path(target).exists():
            raw.append(raw.pop(own))
            called.pop(own)
        else:
            raw.append(_target(Path(target), label, domain_col, called))
    if not called:
        raise DataError(sentence("no domain is left to learn from", got=str(target), fix="more domains"))
    for name, part in zip(called, raw, strict=False):
        if len(part.frame) < 2:
            raise DataError(sentence("a source has fewer than two rows", where=name, fix="leave it out"))
    tables, task = like_tables(raw, task, len(called), missing)
    mine = tables[: len(called)]
    return SeveralDomains(
        pooled(mine), np.repeat(np.arange(len(mine)), [len(table.X) for table in mine]), short_names(called),
        tables[-1] if target is not None else None, task,
    )  # fmt: skip


def twice_named(paths: Sequence[str | Path]) -> None:
    """Refuse the same path twice.

    Raises:
        DataError: it is there.
    """
    whole = [Path(path).resolve() for path in paths]
    again = [path for i, path in enumerate(paths) if whole[i] in whole[:i]]
    if again:
        raise DataError(sentence("a source is named twice", got=str(again[0]), fix="each domain once"))


def _cut(part: Raw, column: str) -> list[Raw]:
    """One domain a value of the column, in sorted order (numbers by size)."""
    if column not in part.frame.columns:
        raise DataError(
            sentence(f"no column {column!r}", where=part.origin, allowed=list(part.frame.columns[:20]), fix="--domain-col COLUMN")
        )  # fmt: skip
    column_of = part.frame.pop(column)
    if column_of.isna().any():
        raise DataError(
            sentence("rows without a domain", where=f"{part.origin}, column {column}", got=int(column_of.isna().sum()))
        )
    of = column_of.astype(str).to_numpy()
    names = sorted(set(of), key=lambda v: (len(v), v) if v.isdigit() else (999, v))
    if not 2 <= len(names) <= MANY:
        raise DataError(
            sentence("the column does not name several domains", where=f"{part.origin}, column {column}", got=f"{len(names)} values",
                     allowed=f"2 to {MANY}")
        )  # fmt: skip
    y = part.y
    return [
        Raw(part.frame[of == name].reset_index(drop=True), None if y is None else y[of == name], name) for name in names
    ]


def _target(path: Path, label: str | None, column: str | None, names: Sequence[str]) -> Raw:
    if column is not None and not path.exists():
        raise DataError(
            sentence(f"the target is neither a file nor a value of {column!r}", got=str(path), allowed=list(names[:20]))
        )
    frame, y = read_raw(path, label, needs_label=False, beside=column)
    return Raw(frame.drop(columns=column) if column in frame.columns else frame, y, str(path))


def pooled(tables: Sequence[FeatureTable]) -> FeatureTable:
    """The rows of several tables one after the other; of labelled ones."""
    labels = [table.y for table in tables if table.y is not None]
    ids = [name for table in tables for name in table.ids]
    if len(tables) > 1:
        ids = [f"{table.origin}:{name}" for table in tables for name in table.ids]
    return FeatureTable(
        np.concatenate([table.X for table in tables]), np.concatenate(labels) if labels else None, tables[0].columns,
        ", ".join(table.origin for table in tables), ids,
    )  # fmt: skip


def short_names(paths: Sequence[str]) -> tuple[str, ...]:
    """The last part of each path without its ending; the whole path of all where two would be alike."""
    short = tuple(Path(path).stem if Path(path).suffix else Path(path).name for path in paths)
    return short if len(set(short)) == len(short) else tuple(paths)
