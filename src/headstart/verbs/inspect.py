"""`headstart inspect`: what is in the data, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.folder import cache_root
from headstart.progress import SILENT, Progress


def inspect(
    data: Any,
    *,
    path_col: str | None = None,
    text_col: str | None = None,
    label_col: str | None = None,
    split_col: str | None = None,
    group: str | None = None,
    task: str = "auto",
    label_delimiter: str | None = None,
    order: Sequence[str] | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Read and verify every image once; count, measure, look for trouble. Trains nothing, changes nothing.

    Args:
        data: as for :func:`headstart.fit`.
        group: column or regular expression that names what must stay together; ``"auto"`` guesses.
        task, label_delimiter, order: what the labels are of, as for :func:`headstart.fit`.

    Returns:
        What :func:`headstart.data.checks.inspect_dataset` finds: counts, imbalance, bad files, duplicates, leaks across
        splits, sizes, channels, classes with too few examples, and ``warnings`` in sentences.

    Raises:
        DataError: there are no images and no texts, or the folder is missing.
    """
    from headstart.data.checks import inspect_dataset
    from headstart.data.readers import read_dataset
    from headstart.data.scan import scan

    dataset = read_dataset(
        data, path_col=path_col, text_col=text_col, label_col=label_col, split_col=split_col, group=group, task=task,
        label_delimiter=label_delimiter, order=order,
    )  # fmt: skip
    dataset, scanned = scan(dataset, cache_dir=cache_root(), workers=workers, progress=progress)
    return inspect_dataset(dataset, scanned)
