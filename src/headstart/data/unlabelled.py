"""Images without labels beside a labelled target: read, checked, and cleared of images that judge the run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.readers import read_images
from headstart.data.scan import scan
from headstart.data.tables import ENDINGS, read_paths
from headstart.errors import DataError, sentence
from headstart.progress import SILENT, Progress


@dataclass
class Unlabelled:
    """Images without labels.

    Attributes:
        dataset: the images, ``labels`` is ``None``.
        info: for ``data.json``: root, n, bad, n_bad, test_copies, valid_copies, digest.
        notes: sentences for the user.
    """

    dataset: Dataset
    info: dict[str, Any]
    notes: list[str]


def read_unlabelled(
    path: str | Path,
    target: Dataset,
    *,
    path_col: str | None = None,
    cache_dir: Path,
    on_bad: str = "skip",
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Unlabelled:
    """Read the unlabelled images of a target.

    Names of class folders and columns of labels are not looked at. Exact copies of the target's test and validation images
    are dropped: those judge the model. Copies of training images stay.

    Args:
        path: a folder (all images below it), a .zip, or a table with a column of paths.
        target: the labelled images, scanned and split.
        path_col: column of paths where a table has it; else it is guessed.
        cache_dir, on_bad, workers: as for :func:`headstart.data.scan.scan`.

    Raises:
        DataError: no such path, no images, or none left.
    """
    path = Path(path)
    if path.suffix.lower() in ENDINGS and path.is_file():
        images = read_paths(path, path_col)
        found = Dataset(images, None, (), np.full(len(images), "", dtype="U5"), root=str(path.parent))
    else:
        found = replace(read_images([path]), root=str(path))
    found, scanned = scan(found, cache_dir=cache_dir, on_bad=on_bad, workers=workers, progress=progress)
    assert found.digests is not None
    assert target.digests is not None
    digest, bad = found.digests, scanned.bad
    copies = {split: np.isin(digest, target.digests[target.splits == split]) for split in ("test", "valid")}
    keep = ~(copies["test"] | copies["valid"])
    notes = []
    if bad:
        notes.append(
            f"{len(bad)} unlabelled files cannot be decoded and are left out (first: {bad[0][0]}: {bad[0][1]})."
        )
    for split, what in (("test", "test"), ("valid", "validation")):
        if copies[split].any():
            notes.append(
                f"{int(copies[split].sum())} unlabelled images are exact copies of {what} images and are left out."
            )
    if not keep.any():
        raise DataError(
            sentence(
                "there is no unlabelled image to learn from", where=str(path),
                got=f"{len(bad)} that cannot be decoded, {int((~keep).sum())} that are test or validation images",
                fix="--unlabelled with other images",
            )
        )  # fmt: skip
    left = found.subset(np.flatnonzero(keep))
    assert left.digests is not None
    info = {
        "root": str(path), "n": len(left), "bad": [list(row) for row in bad[:200]], "n_bad": len(bad),
        "test_copies": int(copies["test"].sum()), "valid_copies": int(copies["valid"].sum()), "digest": left.digest,
    }  # fmt: skip
    return Unlabelled(left, info, [f"{len(left)} unlabelled images of {path}.", *notes])
