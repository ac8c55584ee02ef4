"""Images or texts without labels beside a labelled target: read, checked, and cleared of what judges the run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.readers import read_images
from headstart.data.scan import scan
from headstart.data.tables import ENDINGS, read_paths
from headstart.data.text_copies import normal_digest, normal_form
from headstart.data.text_new import read_new_texts
from headstart.data.text_preprocessing import of_pairs
from headstart.errors import DataError, sentence
from headstart.progress import SILENT, Progress


@dataclass
class Unlabelled:
    """Images or texts without labels.

    Attributes:
        dataset: they themselves, ``labels`` is ``None``.
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
    text_col: str | None = None,
    cache_dir: Path,
    on_bad: str = "skip",
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Unlabelled:
    """Read the unlabelled images, or texts, of a target.

    Names of class folders and columns of labels are not looked at. Exact copies of what the target tests and validates on
    are dropped: those judge the model; of texts, also those that differ in case, spaces and punctuation alone. Copies of what is trained on stay.

    Args:
        path: a folder (all images below it), a .zip, or a table with a column of paths; of texts, what
            :func:`headstart.data.text_new.read_new_texts` reads: a table, a .txt file with one text a line, a folder.
        target: the labelled images or texts, scanned and split.
        path_col, text_col: column of paths, or of texts, where a table has it; else it is guessed.
        cache_dir, on_bad, workers: as for :func:`headstart.data.scan.scan`.

    Raises:
        DataError: no such path, no images, or none left.
    """
    path = Path(path)
    more: tuple[str, ...] = ()
    if target.modality == "text":
        found = replace(_texts(path, target, text_col), root=str(path))
        more = found.notes
    elif path.suffix.lower() in ENDINGS and path.is_file():
        images = read_paths(path, path_col)
        found = Dataset(images, None, (), np.full(len(images), "", dtype="U5"), root=str(path.parent))
    else:
        found = replace(read_images([path]), root=str(path))
    found, scanned = scan(found, cache_dir=cache_dir, on_bad=on_bad, workers=workers, progress=progress)
    assert found.digests is not None
    assert target.digests is not None
    bad, words = scanned.bad, f"{target.modality}s"
    digest, judging = (found.digests, target.digests) if words == "images" else (_forms(found), _forms(target))
    copies = {split: np.isin(digest, judging[target.splits == split]) for split in ("test", "valid")}
    keep = ~(copies["test"] | copies["valid"])
    notes = [*more]
    if bad:
        what = "files cannot be decoded" if words == "images" else "texts cannot be used"
        notes.append(f"{len(bad)} unlabelled {what} and are left out (first: {bad[0][0]}: {bad[0][1]}).")
    for split, what in (("test", "test"), ("valid", "validation")):
        if copies[split].any():
            notes.append(
                f"{int(copies[split].sum())} unlabelled {words} are exact copies of {what} {words} and are left out."
            )
    if not keep.any():
        raise DataError(
            sentence(
                f"there is no unlabelled {target.modality} to learn from", where=str(path),
                got=f"{len(bad)} that cannot be {'decoded' if words == 'images' else 'used'}, {int((~keep).sum())} that are test or validation {words}",
                fix=f"--unlabelled with other {words}",
            )
        )  # fmt: skip
    left = found.subset(np.flatnonzero(keep))
    assert left.digests is not None
    info = {
        "root": str(path), "n": len(left), "bad": [list(row) for row in bad[:200]], "n_bad": len(bad),
        "test_copies": int(copies["test"].sum()), "valid_copies": int(copies["valid"].sum()), "digest": left.digest,
    }  # fmt: skip
    return Unlabelled(left, info, [f"{len(left)} unlabelled {words} of {path}.", *notes])


def _texts(path: Path, target: Dataset, text_col: str | None) -> Dataset:
    """The texts of a path, single ones or pairs as the target's are."""
    pairs = of_pairs(target.inputs)
    try:
        return read_new_texts([path], text_col=text_col, pairs=pairs)
    except DataError:
        if text_col is None:
            raise
        # another table may name its column differently
        return read_new_texts([path], pairs=pairs)


def _forms(dataset: Dataset) -> np.ndarray:
    """uint64 (n,): equal for texts that are copies but for case, spaces and punctuation."""
    return np.array([normal_digest(normal_form(text)) for text in dataset.inputs], dtype=np.uint64)
