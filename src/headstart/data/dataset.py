"""The one data-set type: references to images with labels, splits and groups; nothing is decoded here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Reference = Any
"""What names one image: a path (``str``; ``archive.zip!/member`` inside a zip file), an array (H, W[, C]) or a PIL image."""


@dataclass(frozen=True)
class ImageDataset:
    """n images, by reference, with what is known of each.

    Attributes:
        images: n references, see :data:`Reference`.
        labels: int64 (n,), an index into ``classes``; ``None`` where the images have no labels.
        classes: the names, in the order of the indices.
        splits: n strings out of ``"train"``, ``"valid"``, ``"test"``, or ``""`` where the layout gives none.
        groups: n strings; images that share one must stay in one split (a patient, a lot, a video); or ``None``.
        digests: n content hashes (sha256, first 24 hex digits), set by :func:`headstart.data.scan.scan`; or ``None``.
        root: the path the user named, for messages.
        layout: how it was read, for messages: ``"folders"``, ``"table"``, ``"zip"``, ``"arrays"``.
        notes: sentences for the user about what was guessed or left out.
    """

    images: Sequence[Reference]
    labels: np.ndarray | None
    classes: tuple[str, ...]
    splits: np.ndarray
    groups: np.ndarray | None = None
    digests: np.ndarray | None = None
    root: str = ""
    layout: str = "folders"
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: np.ndarray) -> ImageDataset:
        """The images at ``indices`` (int64), in that order."""
        indices = np.asarray(indices, dtype=np.int64)

        def take(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[indices]

        return replace(
            self,
            images=[self.images[i] for i in indices],
            labels=take(self.labels),
            splits=self.splits[indices],
            groups=take(self.groups),
            digests=take(self.digests),
        )

    def select(self, split: str) -> ImageDataset:
        """The images of one split."""
        return self.subset(np.flatnonzero(self.splits == split))

    @property
    def counts(self) -> np.ndarray:
        """int64 (len(classes),): images a class."""
        assert self.labels is not None, "counts of an unlabelled data set"
        return np.bincount(self.labels, minlength=len(self.classes))

    @property
    def digest(self) -> str:
        """A hash over contents, labels, classes and splits; needs ``digests``."""
        assert self.digests is not None, "scan() sets the digests first"
        h = hashlib.sha256("\0".join(self.classes).encode())
        h.update("\0".join(map(str, self.digests)).encode())
        h.update(b"" if self.labels is None else np.ascontiguousarray(self.labels).tobytes())
        h.update("\0".join(map(str, self.splits)).encode())
        return h.hexdigest()[:16]


def name_of(reference: Any, root: str, index: int) -> str:
    """How an image is called in tables: its path relative to the data's root, or ``#index`` for one in memory."""
    if not isinstance(reference, str):
        return f"#{index}"
    base = str(root).rstrip("/\\")
    if base and reference.startswith(base):
        rest = reference[len(base) :].lstrip("!/\\")
        return rest or reference
    return reference
