"""Reading an array in blocks of rows, so that a memory map of a million rows never lies in memory whole."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np

BLOCK_BYTES = 64 << 20


def row_blocks(X: np.ndarray, rows: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
    """(slice, block) over the rows of X (n, ...); blocks of 64 MB unless told.

    Where X is a read-only view of a memory map, the pages behind a block are given back to the system after it has been
    used: they would otherwise count as memory of this process until something else asks for it.
    """
    if rows is None:
        rows = max(1, BLOCK_BYTES // max(1, X[:1].nbytes))
    behind = memory_map(X)
    for start in range(0, len(X), rows):
        part = slice(start, min(start + rows, len(X)))
        yield part, np.asarray(X[part])
        if behind is not None:
            behind.madvise(mmap.MADV_DONTNEED)


def memory_map(X: np.ndarray) -> mmap.mmap | None:
    """The memory map behind a read-only array, if there is one."""
    if X.flags.writeable or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    base: object = X
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base
