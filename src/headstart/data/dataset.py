"""The one data-set type: references to images, or texts, with labels, splits and groups; nothing is decoded here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from headstart.data.annotations import held
from headstart.data.text_column import TextColumn

Reference = Any
"""One input. An image: a path (``str``; ``archive.zip!/member`` inside a zip file), an array (H, W[, C]) or a PIL image. A text:
the ``str`` itself, or a pair of them."""

MODALITIES = ("image", "text")

SEQUENCES = ("translation", "summarization")
"""Tasks whose label is a text."""

STAND_INS = {
    "multilabel": "each image's rarest label", "regression": "fifths of the quantity", "ordinal": "the ranks",
    "embedding": "the identities", "hierarchical": "the leaves",
    "token_classification": "each text's rarest type", "question_answering": "questions with and without an answer",
}  # fmt: skip
"""What one class an image is, for the tasks that have something else."""


@dataclass(frozen=True)
class Dataset:
    """n images, by reference, with what is known of each.

    Attributes:
        images: n references, see :data:`Reference`.
        labels: what is known of each image, by ``task``: int64 (n,), an index into ``classes`` (classification, ordinal: the rank,
            embedding: the identity, hierarchical: the leaf); float32 (n, K) of 0 and 1 (multilabel); float64 (n,)
            (regression); object (n,) of str (translation, summarization), or of :mod:`headstart.data.annotations` (spans, answers). ``None``
            where the images have no labels.
        classes: the names, in the order of the indices or columns; for regression the name of the quantity.
        splits: n strings out of ``"train"``, ``"valid"``, ``"test"``, or ``""`` where the layout gives none.
        groups: n strings; images that share one must stay in one split (a patient, a lot, a video); or ``None``.
        digests: n content hashes (sha256, first 24 hex digits), set by :func:`headstart.data.scan.scan`; or ``None``.
        root: the path the user named, for messages.
        layout: how it was read, for messages: ``"folders"``, ``"table"``, ``"zip"``, ``"arrays"``, ``"saved"`` (by Hugging Face's library).
        modality: what the inputs are, one of :data:`MODALITIES`.
        names: n strings, what tables call the inputs (a file), or int64 (n,), the rows of a table; or ``None``: by their references.
        copies: int64 (n,); inputs with one number are copies or nearly so, and stay in one split; or ``None``: equal ``digests`` do.
        left_out: (name, reason) of what the reader could not use.
        notes: sentences for the user about what was guessed or left out.
        task: what the labels are of, one of :data:`headstart.data.labels.TASKS`.
    """

    inputs: Sequence[Reference]
    labels: np.ndarray | None
    classes: tuple[str, ...]
    splits: np.ndarray
    groups: np.ndarray | None = None
    digests: np.ndarray | None = None
    root: str = ""
    layout: str = "folders"
    notes: tuple[str, ...] = field(default=())
    task: str = "classification"
    modality: str = "image"
    names: np.ndarray | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    copies: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def subset(self, indices: np.ndarray) -> Dataset:
        """The images at ``indices`` (int64), in that order."""
        indices = np.asarray(indices, dtype=np.int64)

        def take(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[indices]

        return replace(
            self,
            inputs=self.inputs.take(indices)
            if isinstance(self.inputs, TextColumn)
            else [self.inputs[i] for i in indices],
            labels=take(self.labels),
            splits=self.splits[indices],
            groups=take(self.groups),
            digests=take(self.digests),
            names=take(self.names),
            copies=take(self.copies),
        )

    def name(self, index: int) -> str:
        """How one input is called in tables."""
        if self.names is not None:
            name = self.names[index]
            return f"row {name}" if isinstance(name, np.integer) else str(name)
        return f"#{index}" if self.modality == "text" else name_of(self.inputs[index], self.root, index)

    def select(self, split: str) -> Dataset:
        """The images of one split."""
        return self.subset(np.flatnonzero(self.splits == split))

    @property
    def several(self) -> bool:
        """Whether an input may hold several of the classes, or none."""
        return self.task == "multilabel" or self.annotated

    @property
    def annotated(self) -> bool:
        """Whether the labels lie inside the texts (:mod:`headstart.data.annotations`)."""
        return self.labels is not None and self.labels.dtype == object and self.task not in SEQUENCES

    @property
    def held(self) -> np.ndarray:
        """float32 (n, K) of 0 and 1: which classes each input holds, for tasks where these are :attr:`several`."""
        assert self.labels is not None
        return held(self.labels, self.classes) if self.annotated else self.labels

    @property
    def counts(self) -> np.ndarray:
        """int64 (len(classes),): images a class (a label; all of them for a quantity)."""
        assert self.labels is not None, "counts of an unlabelled data set"
        if self.several:
            return self.held.sum(0).astype(np.int64)
        if self.task in ("regression", *SEQUENCES):
            return np.array([len(self.labels)])
        return np.bincount(self.labels, minlength=len(self.classes))

    def label_text(self, index: int) -> str:
        """The label of one image as people write it: names joined by a bar, a number, a name."""
        assert self.labels is not None, "the label of an unlabelled image"
        label = self.labels[index]
        if self.annotated or self.task in SEQUENCES:
            return str(label)
        if self.task == "multilabel":
            return "|".join(name for name, has in zip(self.classes, label, strict=True) if has) or "none"
        return f"{label:g}" if self.task == "regression" else self.classes[label]

    @property
    def members(self) -> np.ndarray:
        """bool (n, M): what a split should share out evenly. The classes; the labels, and the images without any; fifths of a
        quantity by size."""
        assert self.labels is not None, "members of an unlabelled data set"
        if self.several:
            has = self.held > 0
            none = ~has.any(1)
            return np.column_stack([has, none]) if none.any() else has
        strata, names = self.strata
        return np.eye(len(names), dtype=bool)[strata]

    @property
    def strata(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """One class an image, int64 (n,), and the names: where something needs classes (folds, the ranking of sources).

        A quantity is cut into fifths by size; an image with several labels counts for the rarest of them.
        """
        assert self.labels is not None, "strata of an unlabelled data set"
        if self.task in SEQUENCES:
            return np.zeros(len(self.labels), dtype=np.int64), self.classes
        if self.task == "regression":
            edges = np.unique(np.quantile(self.labels, [0.2, 0.4, 0.6, 0.8]))
            bins = np.unique(np.searchsorted(edges, self.labels, side="right"), return_inverse=True)[1]
            ends = [(self.labels[bins == b].min(), self.labels[bins == b].max()) for b in range(bins.max() + 1)]
            return bins.astype(np.int64), tuple(
                f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ends
            )
        if self.several:
            has = self.held
            rare = np.where(has > 0, has.sum(0), np.inf)
            label = np.where(has.any(1), rare.argmin(1), len(self.classes))
            there, index = np.unique(label, return_inverse=True)
            return index.astype(np.int64), tuple((*self.classes, "none")[i] for i in there)
        return self.labels, self.classes

    @property
    def stand_in(self) -> str:
        """What :attr:`strata` are, in words; ``""`` where they are the labels themselves."""
        what = STAND_INS.get(self.task)
        return f"{len(self.as_classes.classes)} classes ({what})" if what else ""

    @property
    def as_classes(self) -> Dataset:
        """The same images under :attr:`strata`, as a classification; the data set itself where it is one already."""
        if self.labels is None or self.task == "classification":
            return self
        strata, names = self.strata
        there, index = np.unique(strata, return_inverse=True)
        return replace(
            self, labels=index.astype(np.int64), classes=tuple(names[i] for i in there), task="classification"
        )

    @property
    def digest(self) -> str:
        """A hash over contents, labels, classes and splits; needs ``digests``."""
        assert self.digests is not None, "scan() sets the digests first"
        h = hashlib.sha256("\0".join(self.classes).encode())
        h.update("\0".join(map(str, self.digests)).encode())
        if self.annotated:
            h.update("\0".join(map(repr, self.labels)).encode())  # type: ignore[arg-type]
        elif self.labels is not None:
            texts = self.task in SEQUENCES
            h.update("\0".join(self.labels).encode() if texts else np.ascontiguousarray(self.labels).tobytes())
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
