"""Look at every text once: digest, length, script and copies; what is empty is named and left out."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.scripts import SCRIPTS, scripts_of
from headstart.data.text_copies import SIGNED, bands_of, clusters, near_pairs, normal_digest, normal_form
from headstart.data.text_loader import length
from headstart.data.text_preprocessing import Text
from headstart.errors import DataError, sentence
from headstart.progress import SILENT, Progress

AT_ONCE = 1 << 20
"""Letters that are looked at together, about."""
SHARE, LEAST = 0.05, 2
"""Near copies are kept in one split up to this share of the texts together (but two always): more are made from one pattern."""
LONG = 100_000
"""Letters from which on a text may be no text but a file that went wrong."""
SHOWN = 2000


@dataclass
class TextScan:
    """What the scan found, one entry a kept text.

    Attributes:
        letters: int (n,).
        script: int (n,), into :data:`headstart.data.scripts.SCRIPTS`.
        pairs: (i, j, resemblance) of near copies, see :mod:`headstart.data.text_copies`.
        patterns: texts in clusters of near copies so large that they are not kept in one split.
        long: name of the longest text.
        of_pairs: whether each is a pair of texts.
        bad: (name, reason) of each text that was left out.
    """

    letters: np.ndarray
    script: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    pairs: list[tuple[int, int, float]] = field(default_factory=list)
    patterns: int = 0
    long: str = ""
    of_pairs: bool = False
    bad: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.letters)

    def near_pairs(self) -> list[tuple[int, int]]:
        """Pairs of texts that are nearly copies."""
        return [(i, j) for i, j, _ in self.pairs[:SHOWN]]

    def facts(self) -> dict[str, Any]:
        """For ``data.json``: lengths in letters, and how many texts are in which script."""
        some = self.letters if len(self.letters) else np.zeros(1)
        spread = {
            "min": int(some.min()),
            "median": int(np.median(some)),
            "p95": int(np.quantile(some, 0.95)),
            "max": int(some.max()),
        }
        counts = np.bincount(self.script, minlength=len(SCRIPTS))
        scripts = {SCRIPTS[k]: int(counts[k]) for k in np.argsort(-counts, kind="stable") if counts[k]}
        return {"letters": spread, "scripts": scripts, "pairs": self.of_pairs}

    def warnings(self) -> list[str]:
        """Sentences about the inputs themselves, each with what to do."""
        found = []
        if self.patterns:
            found.append(
                f"{self.patterns} texts differ so little, as if made from a few patterns, that they are not kept in one split; --group COLUMN keeps "
                "together what belongs together, without it the test score may flatter."
            )
        if len(self) and self.letters.max() >= LONG:
            found.append(
                f"The longest text has {int(self.letters.max())} letters ({self.long}); check that no quote is missing and that it is one text."
            )
        return found


def scan_texts(dataset: Dataset, *, on_bad: str = "skip", progress: Progress = SILENT) -> tuple[Dataset, TextScan]:
    """The data set without empty texts, with ``digests`` and, where it is labelled, ``copies``.

    Raises:
        DataError: ``on_bad="fail"`` and a text is empty; or none is left.
    """
    sizes, digests, normals, bands, scripts, empty = [], [], [], [], [], []
    progress.start("checking texts", total=len(dataset), unit="text")
    for some in _pieces(dataset):
        sizes += [length(text) for text in some]
        empty += [not _filled(text) for text in some]
        digests += [digest(text) for text in some]
        scripts.append(scripts_of([_joined(text)[:SIGNED] for text in some]))
        if dataset.labels is not None:
            forms = [normal_form(text) for text in some]
            normals += [normal_digest(form) for form in forms]
            bands.append(bands_of(forms))
        progress.advance(len(some))
    progress.done()
    gone = np.array(empty, dtype=bool)
    bad = [(dataset.name(int(i)), "the text is empty") for i in np.flatnonzero(gone)]
    if bad and (on_bad == "fail" or (gone.all() and dataset.labels is not None)):
        raise DataError(
            sentence(f"{len(bad)} of {len(dataset)} texts are empty", where=dataset.root or None, got=bad[0][0],
                     fix="--on-bad-sample skip, or mend the rows")
        )  # fmt: skip
    kept = np.flatnonzero(~gone)
    left = replace(dataset.subset(kept), digests=np.array(digests, dtype="U24")[kept])
    found = TextScan(
        np.array(sizes, dtype=np.int64)[kept], np.concatenate([np.zeros(0, np.int64), *scripts])[kept], bad=bad
    )
    if len(left):
        found.long = left.name(int(found.letters.argmax()))
        found.of_pairs = not isinstance(left.inputs[0], str)
    if dataset.labels is not None and len(left):
        found.pairs = near_pairs(
            np.array(normals, dtype=np.uint64)[kept], np.concatenate(bands)[kept], lambda i: normal_form(left.inputs[i])
        )
        copies, found.patterns = clusters(len(left), found.pairs, max(LEAST, int(SHARE * len(left))))
        left = replace(left, copies=copies)
    return left, found


def _pieces(dataset: Dataset) -> Iterator[list[Text]]:
    """The texts, some at a time."""
    some: list[Text] = []
    size = 0
    for text in dataset.inputs:
        some.append(text)
        size += length(text) + 16
        if size > AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _joined(text: Text) -> str:
    return text if isinstance(text, str) else " ".join(text)


def _filled(text: Text) -> bool:
    """Whether there is anything to see in a text, or in both of a pair; marks and signs that have no width are nothing."""
    if not isinstance(text, str):
        return all(_filled(part) for part in text)
    if text[:64].strip()[:1].isalnum():
        return True
    return any(not letter.isspace() and unicodedata.category(letter) not in ("Cf", "Cc", "Zs") for letter in text)


def digest(text: Text) -> str:
    """sha256 of a text or a pair, the first 24 hex digits."""
    said = text if isinstance(text, str) else "\0".join(text)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:24]
