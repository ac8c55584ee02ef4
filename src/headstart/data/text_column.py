"""Texts that stay on the disk: a sequence over columns of an Arrow file mapped into memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc

if TYPE_CHECKING:
    from headstart.data.text_preprocessing import Text

HELD = 64 << 20
"""Bytes read before the pages of the file are given back to the system."""


class ArrowFile:
    """A table of an Arrow file or stream, mapped: what is read is read from the disk, and given back after :data:`HELD` bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as opened:
            self.map = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        buffer = pa.py_buffer(self.map)
        if self.map[:6] == b"ARROW1":
            self.table = ipc.open_file(buffer).read_all()
        else:  # as the library datasets writes them
            self.table = ipc.open_stream(buffer).read_all()
        self.read = 0
        self._cells: dict[str, pa.ChunkedArray] = {}

    def text(self, row: int, columns: Sequence[str]) -> Text:
        """The text of a row; a pair for two columns; ``""`` where a cell is empty."""
        said = []
        for name in columns:
            if name not in self._cells:
                self._cells[name] = self.table.column(name)
            cell = self._cells[name][row].as_py()
            said.append("" if cell is None else str(cell))
        self.read += sum(map(len, said)) + 64
        if self.read > HELD:
            self.release()
        return said[0] if len(said) == 1 else (said[0], said[1])

    def release(self) -> None:
        """Give the pages back; they are read again where they are asked for."""
        self.read = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            self.map.madvise(mmap.MADV_DONTNEED)


class TextColumn(Sequence["Text"]):
    """n texts, or pairs of them, of Arrow files on the disk; only those asked for are in memory.

    Args:
        files: of :class:`ArrowFile`; their rows follow each other.
        columns: the column of the texts, or the two of the pairs.
        rows: int64 (n,), which rows of the files, in this order; default: all.
    """

    def __init__(self, files: Sequence[ArrowFile], columns: Sequence[str], rows: np.ndarray | None = None) -> None:
        self.files, self.columns = tuple(files), tuple(columns)
        self.starts = np.cumsum([0, *(file.table.num_rows for file in self.files)])
        self.rows = np.arange(self.starts[-1]) if rows is None else np.asarray(rows, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Text: ...
    @overload
    def __getitem__(self, index: slice) -> TextColumn: ...
    def __getitem__(self, index: int | slice) -> Text | TextColumn:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        row = int(self.rows[index])
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.files[part].text(row - int(self.starts[part]), self.columns)

    def __iter__(self) -> Iterator[Text]:
        return (self[i] for i in range(len(self)))

    def take(self, indices: np.ndarray) -> TextColumn:
        """The texts at ``indices`` (int64), still on the disk."""
        return TextColumn(self.files, self.columns, self.rows[np.asarray(indices, dtype=np.int64)])

    def lengths(self) -> np.ndarray:
        """int64 (n,): bytes of each text in UTF-8 (both of a pair), without reading the texts."""
        total = np.zeros(self.starts[-1], dtype=np.int64)
        for file, first, last in zip(self.files, self.starts[:-1], self.starts[1:], strict=True):
            for name in self.columns:
                chunks = [_sizes(chunk) for chunk in file.table.column(name).chunks]
                total[first:last] += np.concatenate([np.zeros(0, np.int64), *chunks])
        return total[self.rows]

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, ([file.path for file in self.files], self.columns, self.rows)


def _sizes(chunk: pa.Array) -> np.ndarray:
    """Bytes of each cell, from the offsets of a column of strings."""
    if not (pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type)):
        return np.array([0 if cell is None else len(str(cell)) for cell in chunk.to_pylist()], dtype=np.int64)
    kind = np.int64 if pa.types.is_large_string(chunk.type) else np.int32
    offsets = np.frombuffer(chunk.buffers()[1], dtype=kind)[chunk.offset : chunk.offset + len(chunk) + 1]
    return np.diff(offsets).astype(np.int64)


def _reopened(paths: Sequence[Path], columns: Sequence[str], rows: np.ndarray) -> TextColumn:
    return TextColumn([ArrowFile(path) for path in paths], columns, rows)
