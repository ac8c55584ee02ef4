"""Large tables once into an Arrow file of the cache, a few MB at a time; from then on it is mapped, not read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from headstart.data.text_column import ArrowFile
from headstart.errors import DataError, sentence
from headstart.folder import cache_root, disk_errors

FORMAT = 1
"""Raised when the meaning of a stored file changes; part of its name."""
PIECE = 16 << 20
"""Bytes of the table that are converted together, about."""


def stored(path: Path) -> ArrowFile:
    """The table as an Arrow file; made where the cache lacks it, by path, size and time of change.

    Columns of CSV, TSV and JSON Lines are strings, lists have bars between their items; those of Parquet keep their types.

    Raises:
        DataError: the table cannot be read, or has no rows.
        DiskFull: no room for the cache.
    """
    stat = path.stat()
    key = hashlib.sha256(f"{FORMAT}|{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()[:32]
    place = cache_root() / "texts" / f"{key}.arrow"
    if not place.exists():
        part = place.with_name(f"{key}.{os.getpid()}.tmp")
        with disk_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                rows = _parquet(path, part) if path.suffix.lower() == ".parquet" else _text(path, part)
                if not rows:
                    raise DataError(sentence("the table has no rows", where=str(path)))
                os.replace(part, place)
            finally:
                part.unlink(missing_ok=True)
    return ArrowFile(place)


def _parquet(path: Path, to: Path) -> int:
    file, rows = pq.ParquetFile(path), 0
    width = max(
        1,
        sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        // max(1, file.metadata.num_rows),
    )
    with ipc.new_file(str(to), file.schema_arrow) as writer:
        for batch in file.iter_batches(batch_size=max(1, PIECE // width)):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _text(path: Path, to: Path) -> int:
    from headstart.data.text_table import chunks

    rows, writer, schema = 0, None, None
    try:
        for frame in chunks(path, _rows_at_once(path)):
            if schema is None:
                schema = pa.schema([(name, pa.large_string()) for name in frame.columns])
                writer = ipc.new_file(str(to), schema)
            lost = [name for name in frame.columns if name not in schema.names]
            if lost:
                raise DataError(
                    sentence("a column comes up late in the table", where=str(path), got=lost[0], allowed=schema.names)
                )
            cells = [
                _cells(frame[name]) if name in frame.columns else pa.nulls(len(frame), pa.large_string())
                for name in schema.names
            ]
            assert writer is not None
            writer.write_batch(pa.record_batch(cells, schema=schema))
            rows += len(frame)
    finally:
        if writer is not None:
            writer.close()
    return rows


def _cells(column: pd.Series) -> pa.Array:
    def said(cell: Any) -> str | None:
        if isinstance(cell, str):
            return cell
        if isinstance(cell, (list, tuple, np.ndarray)):
            return "|".join(map(str, cell))
        return None if pd.isna(cell) else str(cell)

    return pa.array([said(cell) for cell in column], type=pa.large_string())


def _rows_at_once(path: Path) -> int:
    """Rows that make about :data:`PIECE` bytes, by the first MB of the file."""
    with path.open("rb") as opened:
        head = opened.read(1 << 20)
    return max(1, PIECE * max(1, head.count(b"\n")) // max(1, len(head)))
