"""Look at every text once: digest and length; what is empty is named and left out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.text_loader import length
from headstart.data.text_preprocessing import Text
from headstart.errors import DataError, sentence


@dataclass
class TextScan:
    """What the scan found, one entry a kept text.

    Attributes:
        letters: int (n,).
        bad: (name, reason) of each text that was left out.
    """

    letters: np.ndarray
    bad: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.letters)

    def near_pairs(self) -> list[tuple[int, int]]:
        """Pairs of texts that are nearly copies."""
        return []

    def facts(self) -> dict[str, Any]:
        """For ``data.json``: lengths in letters."""
        some = self.letters if len(self.letters) else np.zeros(1)
        spread = {"min": int(some.min()), "median": int(np.median(some)), "max": int(some.max())}
        return {"letters": spread}

    def warnings(self) -> list[str]:
        """Sentences about the inputs themselves, each with what to do."""
        return []


def scan_texts(dataset: Dataset, *, on_bad: str = "skip") -> tuple[Dataset, TextScan]:
    """The data set without empty texts, with ``digests``.

    Raises:
        DataError: ``on_bad="fail"`` and a text is empty; or none is left.
    """
    sizes = np.array([length(text) for text in dataset.inputs], dtype=np.int64)
    empty = np.array([not _filled(text) for text in dataset.inputs], dtype=bool)
    bad = [*dataset.left_out, *((dataset.name(int(i)), "the text is empty") for i in np.flatnonzero(empty))]
    if bad and (on_bad == "fail" or empty.all()):
        what = "are empty" if empty.any() else "cannot be used"
        raise DataError(
            sentence(f"{len(bad)} of {len(dataset) + len(dataset.left_out)} texts {what}", where=dataset.root or None, got=": ".join(bad[0]),
                     fix="--on-bad-sample skip, or mend the rows")
        )  # fmt: skip
    kept = np.flatnonzero(~empty)
    left = dataset.subset(kept)
    return replace(left, digests=np.array([digest(text) for text in left.inputs], dtype="U24")), TextScan(
        sizes[kept], bad
    )


def _filled(text: Text) -> bool:
    return bool(text.strip()) if isinstance(text, str) else all(part.strip() for part in text)


def digest(text: Text) -> str:
    """sha256 of a text or a pair, the first 24 hex digits."""
    said = text if isinstance(text, str) else "\0".join(text)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:24]
