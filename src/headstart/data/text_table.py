"""A table with texts in it, or one file a split: CSV, TSV, JSON Lines, Parquet, data sets saved by Hugging Face's library."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.data.encodings import encoding_of, said
from headstart.data.text_column import ArrowFile, TextColumn
from headstart.data.text_columns import PEEK
from headstart.data.text_preprocessing import Text
from headstart.errors import DataError, sentence

STREAM = 64 << 20
"""Tables of more bytes than this stay on the disk (:mod:`headstart.data.text_store`)."""
SEPARATORS = (",", "\t", ";", "|")
JSON = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class Part:
    """One file: its rows in memory, or on the disk.

    Attributes:
        path: of the file. split: what its name says, or ``""``.
        frame: the rows; or ``None``. file: the rows on the disk; or ``None``.
    """

    path: Path
    split: str
    frame: pd.DataFrame | None = None
    file: ArrowFile | None = None


@dataclass(frozen=True)
class TextTable:
    """The rows of all parts, one after the other.

    Attributes:
        path: what the user named.
        names: of classes, where a column holds their numbers; by column.
        notes: what the user should know of the reading.
    """

    path: Path
    parts: tuple[Part, ...]
    names: dict[str, list[str]]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(map(_rows, self.parts))

    def head(self) -> pd.DataFrame:
        """The first :data:`PEEK` rows."""
        first = self.parts[0]
        found = first.frame.head(PEEK) if first.frame is not None else _frame(first.file, 0, PEEK)  # type: ignore[arg-type]
        return found.assign(split=first.split) if first.split else found

    def frame(self, texts: Sequence[str]) -> pd.DataFrame:
        """All rows; on the disk, the columns ``texts`` are left there but for the first three rows, and stand as dots."""
        found = []
        for part in self.parts:
            rows = part.frame if part.frame is not None else _without(part.file, texts)  # type: ignore[arg-type]
            found.append(rows.assign(split=part.split) if part.split else rows)
        frame = pd.concat(found, ignore_index=True) if len(found) > 1 else found[0]
        for column, names in self.names.items():
            if column in frame.columns and column not in texts:
                frame = frame.assign(**{column: _named(frame[column], names)})
        return frame

    def texts(self, columns: Sequence[str], rows: np.ndarray) -> Sequence[Text]:
        """The texts of these rows, or pairs from two columns."""
        if self.parts[0].file is not None:
            return TextColumn([part.file for part in self.parts if part.file], columns, rows)
        frame = pd.concat([part.frame[list(columns)] for part in self.parts if part.frame is not None])
        cells = [frame[name].iloc[rows].map(_cell).tolist() for name in columns]
        return cells[0] if len(cells) == 1 else list(zip(*cells, strict=True))

    def row_names(self, rows: np.ndarray) -> np.ndarray:
        """What tables call these rows: their number as a spreadsheet counts, which begins with 2; with the file's name where there are several."""
        if len(self.parts) == 1:
            return rows + 2
        ends = np.cumsum([_rows(part) for part in self.parts])
        where = np.searchsorted(ends, rows, side="right")
        starts = np.concatenate([[0], ends])[where]
        return np.array(
            [f"{self.parts[k].path.name} row {row - s + 2}" for k, row, s in zip(where, rows, starts, strict=True)]
        )


def _cell(cell: object) -> str:
    return "" if cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell)) else str(cell)


def _rows(part: Part) -> int:
    return len(part.frame) if part.frame is not None else part.file.table.num_rows  # type: ignore[union-attr]


def _frame(file: ArrowFile, first: int, n: int) -> pd.DataFrame:
    return _counted(file.table.slice(first, n))


def _without(file: ArrowFile, texts: Sequence[str]) -> pd.DataFrame:
    """The rows of a file with dots in place of its texts."""
    table = file.table
    frame = _counted(table.drop_columns([name for name in texts if name in table.column_names]))
    for name in texts:
        cells = np.full(len(frame), "...", dtype=object)
        cells[:3] = [_cell(cell) for cell in table.column(name).slice(0, 3).to_pylist()]
        frame[name] = cells
    file.release()
    return frame


def _named(column: pd.Series, names: Sequence[str]) -> list[Any]:
    """Numbers of classes as their names; a list of them as names with bars; what is no such number stays empty."""

    def name(cell: Any) -> Any:
        if isinstance(cell, (list, tuple, np.ndarray)):
            return "|".join(names[int(k)] for k in cell)
        return None if cell is None or cell != cell or int(cell) < 0 else names[int(cell)]

    return [name(cell) for cell in column]


def open_table(files: Sequence[tuple[Path, str]], root: Path) -> TextTable:
    """Tables of one kind of rows, each with the split that its name says.

    Args:
        files: (path, split) of each; ``""`` where there is one table for all.
        root: what the user named.

    Raises:
        DataError: a file cannot be read, or has other columns than the first.
    """
    from headstart.data.text_store import stored

    large = sum(path.stat().st_size for path, _ in files) > STREAM
    notes, parts = [], []
    for path, split in files:
        notes += said(path)
        if large:
            parts.append(Part(path, split, file=stored(path)))
        else:
            frame, of_quotes = read_rows(path)
            notes += of_quotes
            parts.append(Part(path, split, frame))
    columns = [list(part.frame.columns if part.frame is not None else part.file.table.column_names) for part in parts]  # type: ignore[union-attr]
    for part, names in zip(parts, columns, strict=True):
        if set(names) != set(columns[0]):
            raise DataError(
                sentence("the tables have other columns than each other", where=str(root), got=f"{part.path.name}: {', '.join(map(str, names))}",
                         allowed=f"{parts[0].path.name}: {', '.join(map(str, columns[0]))}")
            )  # fmt: skip
    if large:
        notes.append(f"{root.name} is larger than {STREAM >> 20} MB: its texts stay on the disk.")
    return TextTable(root, tuple(parts), {}, tuple(notes))


def read_rows(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """A whole table; of CSV and TSV every cell is text, and only an empty one is missing.

    Returns:
        The rows, and what the user should know.
    """
    frames = list(chunks(path, None))
    frame, notes = frames[0], []
    if path.suffix.lower() == ".tsv":
        with_quotes = len(frame)
        plain = _as_it_stands(path)
        if plain is not None and len(plain) > with_quotes:
            frame = plain
            notes.append(f"Quotes in {path.name} do not pair up; they are read as letters of the texts.")
    if not len(frame):
        raise DataError(sentence("the table has no rows", where=str(path)))
    return frame, notes


def _as_it_stands(path: Path) -> pd.DataFrame | None:
    """A TSV with quotes as letters; ``None`` where its lines then have unequal numbers of cells."""
    with path.open(encoding=encoding_of(path)) as opened:
        cells = {line.count("\t") for line in opened if line.strip()}
    return next(_csv(path, None, quoting=csv.QUOTE_NONE)) if len(cells) == 1 else None


def chunks(path: Path, rows: int | None) -> Generator[pd.DataFrame]:
    """A table in pieces of ``rows`` rows, all of it at once by default.

    Raises:
        DataError: it cannot be read, with the line where one is known.
    """
    kind = path.suffix.lower()
    for frame in (
        _parquet(path, rows) if kind == ".parquet" else _json(path, rows) if kind in JSON else _csv(path, rows)
    ):
        frame.columns = [str(name).strip() for name in frame.columns]
        yield frame


def peek(path: Path) -> pd.DataFrame:
    """The first :data:`PEEK` rows of a table."""
    with closing(chunks(path, PEEK)) as found:
        return next(found)


def separator(path: Path) -> str:
    """What separates the cells of a CSV: the sign of :data:`SEPARATORS` that comes most often in its first line, a tab in a TSV."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    with path.open(encoding=encoding_of(path), newline="") as opened:
        line = re.sub(r'"[^"]*"', "", opened.readline(1 << 16))
    return max(SEPARATORS, key=line.count)


def _csv(path: Path, rows: int | None, quoting: int = csv.QUOTE_MINIMAL) -> Generator[pd.DataFrame]:
    try:
        with pd.read_csv(
            path, sep=separator(path), encoding=encoding_of(path), dtype=str, keep_default_na=False, na_values=[""], quoting=quoting,  # type: ignore[call-overload]
            iterator=True,
        ) as found:  # fmt: skip
            while True:
                try:
                    frame = found.read(rows)
                except StopIteration:
                    return
                if not isinstance(frame.index, pd.RangeIndex):
                    raise DataError(
                        sentence("rows have more cells than the header", where=str(path), got=f"{frame.shape[1] + frame.index.nlevels} cells",
                                 allowed=f"{frame.shape[1]} ({', '.join(map(str, frame.columns))})", fix="a text that holds the separator stands in quotes")
                    )  # fmt: skip
                yield frame
                if rows is None:
                    return
    except pd.errors.EmptyDataError:
        raise DataError(sentence("the table is empty", where=str(path))) from None
    except (ValueError, OSError, OverflowError) as error:
        raise DataError(_why(path, str(error))) from None


def _why(path: Path, said: str) -> str:
    """What the reader of CSV complains of, in words."""
    if match := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", said):
        wanted, line, got = match.groups()
        return sentence(
            "a row has more cells than the header", where=f"line {line} of {path}", got=f"{got} cells", allowed=wanted,
            fix="a text that holds the separator stands in quotes",
        )  # fmt: skip
    if match := re.search(r"EOF inside string starting at row (\d+)", said):
        return sentence(
            "a quote is not closed",
            where=f"row {int(match[1]) + 1} of {path}",
            fix='"..." around the text, "" for a quote in it',
        )
    return sentence(
        "the table cannot be read", where=str(path), got=said.splitlines()[0] if said else "no reason given"
    )


def _json(path: Path, rows: int | None) -> Generator[pd.DataFrame]:
    """JSON Lines, or one list of objects; fields inside a field get its name and a dot before theirs."""
    found: list[dict[str, Any]] = []
    some = False
    for where, row in _objects(path):
        if not isinstance(row, dict):
            raise DataError(
                sentence("not a JSON object", where=f"{where} of {path}", got=str(row)[:40], allowed='{"text": ..., "label": ...}')
            )  # fmt: skip
        found.append(_flat(row))
        if rows is not None and len(found) == rows:
            yield pd.DataFrame(found, dtype=object)
            found, some = [], True
    if found or not some:
        yield pd.DataFrame(found, dtype=object)


def _objects(path: Path) -> Generator[tuple[str, Any]]:
    """What stands in a file of JSON, each with its place."""
    with path.open(encoding=encoding_of(path)) as opened:
        if path.suffix.lower() == ".json" and opened.read(4096).lstrip()[:1] == "[":
            opened.seek(0)
            try:
                listed = json.load(opened)
            except ValueError as error:
                raise DataError(sentence("the file is not JSON", where=str(path), got=str(error))) from None
            for number, row in enumerate(listed, start=1):
                yield f"object {number}", row
            return
        opened.seek(0)
        for number, line in enumerate(opened, start=1):
            if not line.strip():
                continue
            try:
                yield f"line {number}", json.loads(line)
            except ValueError as error:
                raise DataError(
                    sentence("a line is not JSON", where=f"line {number} of {path}", got=str(error))
                ) from None


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        inner = {f"{name}.{key}": cell for key, cell in _flat(value).items()} if isinstance(value, dict) else {}
        found |= inner or {name: value}
    return found


def _counted(table: pa.Table) -> pd.DataFrame:
    """The rows numbered from 0, whatever index pandas saved with them: it is a column if it has a name, else left out."""
    own = [name for name in table.column_names if not re.fullmatch(r"__index_level_\d+__", name)]
    return table.select(own).to_pandas(ignore_metadata=True)


def _parquet(path: Path, rows: int | None) -> Generator[pd.DataFrame]:
    try:
        with pq.ParquetFile(path) as file:
            if rows is None:
                yield _counted(file.read())
                return
            for batch in file.iter_batches(batch_size=rows):
                yield _counted(pa.Table.from_batches([batch]))
    except (pa.ArrowException, OSError) as error:
        raise DataError(sentence("the table cannot be read", where=str(path), got=str(error).splitlines()[0])) from None
