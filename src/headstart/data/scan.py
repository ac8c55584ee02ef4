"""Verify every image once: digest, size, mode, a perceptual hash; what cannot be decoded is named. Results are cached."""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart.data.dataset import Dataset, Reference
from headstart.data.images import INSIDE, read_bytes, read_image
from headstart.data.near_copies import near_pairs
from headstart.data.text_scan import TextScan, scan_texts
from headstart.errors import BadImage, DataError, sentence
from headstart.progress import SILENT, Progress

VERSION = 1
AT_ONCE = 256


@dataclass
class ScanResult:
    """What the scan found, one entry a kept image.

    Attributes:
        width, height: int (n,), pixels as stored.
        mode: n PIL modes (``"RGB"``, ``"L"``, ``"CMYK"``, ``"I;16"``, ...).
        phash: uint64 (n,), equal or nearly so for pictures that look alike.
        bad: (path, reason) of each image that cannot be decoded.
    """

    width: np.ndarray
    height: np.ndarray
    mode: list[str]
    phash: np.ndarray
    bad: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.phash)

    def near_pairs(self) -> list[tuple[int, int]]:
        """Pairs of images that look alike."""
        return near_pairs(self.phash)

    def facts(self) -> dict[str, Any]:
        """For ``data.json``: sides in pixels, modes."""
        modes = dict(Counter(self.mode).most_common())
        return {"width": _spread(self.width), "height": _spread(self.height), "modes": modes}

    def warnings(self) -> list[str]:
        """Sentences about the images themselves, each with what to do."""
        smallest = int(np.minimum(self.width, self.height).min()) if len(self) else 0
        if smallest >= 16:
            return []
        return [f"The smallest image has a side of {smallest} pixels; check that it is no broken thumbnail."]


def _spread(values: np.ndarray) -> dict[str, int] | None:
    if not len(values):
        return None
    return {"min": int(values.min()), "median": int(np.median(values)), "max": int(values.max())}


Facts = tuple[str, int, int, str, int]
"""digest, width, height, mode, perceptual hash."""


def scan(
    dataset: Dataset,
    *,
    cache_dir: Path,
    on_bad: str = "skip",
    workers: int | None = None,
    progress: Progress = SILENT,
) -> tuple[Dataset, ScanResult | TextScan]:
    """Decode each image once, in threads, holding a few at a time; of texts see :func:`headstart.data.text_scan.scan_texts`.

    Args:
        cache_dir: where results are kept (by path, size and time of change; by CRC inside a zip file).
        on_bad: ``"skip"`` leaves bad images out and lists them; ``"fail"`` stops at the first.

    Returns:
        The data set without bad images, with ``digests``; and the facts of each kept image.

    Raises:
        DataError: ``on_bad="fail"`` and an image is bad; or none is left.
    """
    if dataset.modality == "text":
        return scan_texts(dataset, on_bad=on_bad, progress=progress)
    with _Cache(cache_dir / "scan.sqlite") as cache:
        progress.start("checking images", total=len(dataset), unit="image")
        facts: list[Facts | str] = []
        keys = _keys(dataset.inputs)
        items = zip(dataset.inputs, keys, strict=False)
        with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            while chunk := list(islice(items, AT_ONCE)):
                known = cache.get([key for _, key in chunk if key])
                todo = [i for i, (_, key) in enumerate(chunk) if key not in known]
                fresh = dict(zip(todo, pool.map(_look, [chunk[i][0] for i in todo]), strict=True))
                cache.put([(chunk[i][1], value) for i, value in fresh.items() if chunk[i][1]])
                facts += [fresh[i] if i in fresh else known[key] for i, (_, key) in enumerate(chunk)]
                progress.advance(len(chunk))
        progress.done()
    bad = [(_shown(dataset.inputs[i], i), value) for i, value in enumerate(facts) if isinstance(value, str)]
    if bad and on_bad == "fail":
        raise DataError(
            sentence(
                f"{len(bad)} of {len(dataset)} images cannot be decoded",
                where=dataset.root or None,
                got=f"{bad[0][0]}: {bad[0][1]}",
                fix="--on-bad-sample skip, or mend the files",
            )
        )
    kept = np.array([i for i, value in enumerate(facts) if not isinstance(value, str)], dtype=np.int64)
    if not len(kept) and dataset.labels is not None:
        raise DataError(
            sentence("none of the images can be decoded", where=dataset.root or None, got=f"{bad[0][0]}: {bad[0][1]}")
        )
    rows = [value for value in facts if not isinstance(value, str)]
    found = ScanResult(
        width=np.array([r[1] for r in rows], dtype=np.int64), height=np.array([r[2] for r in rows], dtype=np.int64),
        mode=[r[3] for r in rows], phash=np.array([r[4] for r in rows], dtype=np.uint64), bad=bad,
    )  # fmt: skip
    return replace(dataset.subset(kept), digests=np.array([r[0] for r in rows], dtype="U24")), found


def _shown(reference: Reference, index: int) -> str:
    return reference if isinstance(reference, str) else f"#{index}"


def _look(reference: Reference) -> Facts | str:
    """The facts of one image, or why it is bad."""
    try:
        if isinstance(reference, str):
            data = read_bytes(reference)
            if not data:
                return "the file is empty"
            digest = hashlib.sha256(data).hexdigest()[:24]
            with Image.open(io.BytesIO(data)) as picture:
                width, height, mode = *picture.size, picture.mode
                if picture.format == "JPEG" and mode in ("RGB", "L"):
                    picture.draft("L", (64, 64))  # decodes at 1/8 of the size; a file cut short still fails
                    grey = picture.convert("L")
                else:
                    grey = _grey(read_image(reference))
        else:
            image = read_image(reference)
            height, width = image.shape[1:]
            mode = "array"
            digest = hashlib.sha256(repr(tuple(image.shape)).encode() + image.numpy().tobytes()).hexdigest()[:24]
            grey = _grey(image)
        return digest, int(width), int(height), mode, _phash(grey)
    except BadImage as error:
        return error.reason
    except Exception as error:
        text = str(error)
        if "truncated" in text.lower():
            return "the file is cut short"
        if "cannot identify" in text:
            return "not an image that can be decoded"
        return text.splitlines()[0] if text else type(error).__name__


def _grey(image) -> Image.Image:  # type: ignore[no-untyped-def]
    return Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")


def _phash(grey: Image.Image) -> int:
    """64 bits: is each of 8 x 8 low frequencies of the 32 x 32 picture above their median? (perceptual hash by cosine transform)"""
    from scipy.fft import dctn

    values = np.asarray(grey.resize((32, 32), Image.Resampling.BILINEAR), dtype=np.float64)
    low = dctn(values, norm="ortho")[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int(np.packbits(bits).view(">u8")[0])


def _keys(images) -> Iterator[str]:  # type: ignore[no-untyped-def]
    """What changes when an image does: path, size and time; inside a zip file its CRC. ``""`` for images in memory."""
    crcs: dict[str, dict[str, int]] = {}
    for reference in images:
        if not isinstance(reference, str):
            yield ""
            continue
        try:
            if INSIDE in reference:
                path, member = reference.split(INSIDE, 1)
                if path not in crcs:
                    with zipfile.ZipFile(path) as opened:
                        crcs[path] = {i.filename: i.CRC ^ (i.file_size << 32) for i in opened.infolist()}
                yield f"{VERSION}|{os.path.abspath(path)}|{member}|{crcs[path].get(member)}"
            else:
                stat = os.stat(reference)
                yield f"{VERSION}|{os.path.abspath(reference)}|{stat.st_size}|{stat.st_mtime_ns}"
        except OSError:
            yield ""


class _Cache:
    """Facts by key in one SQLite file; a cache that cannot be used is done without."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db: sqlite3.Connection | None = None

    def __enter__(self) -> _Cache:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(self.path, timeout=30)
            self.db.execute(
                "create table if not exists facts (key text primary key, digest text, width int, height int, mode text, phash int, bad text)"
            )
        except (sqlite3.Error, OSError):
            self.db = None
        return self

    def __exit__(self, *_: object) -> None:
        if self.db:
            self.db.close()

    def get(self, keys: list[str]) -> dict[str, Facts | str]:
        found: dict[str, Facts | str] = {}
        if not self.db or not keys:
            return found
        try:
            for start in range(0, len(keys), 500):
                some = keys[start : start + 500]
                rows = self.db.execute(f"select * from facts where key in ({','.join('?' * len(some))})", some)
                for key, digest, width, height, mode, phash, bad in rows:
                    found[key] = bad if bad else (digest, width, height, mode, int(phash) & (2**64 - 1))
        except sqlite3.Error:
            return {}
        return found

    def put(self, rows: list[tuple[str, Facts | str]]) -> None:
        if not self.db or not rows:
            return
        values = [
            (key, None, None, None, None, None, f) if isinstance(f, str)
            else (key, f[0], f[1], f[2], f[3], f[4] - 2**64 if f[4] >= 2**63 else f[4], None)
            for key, f in rows
        ]  # fmt: skip
        try:
            with self.db:
                self.db.executemany("insert or replace into facts values (?,?,?,?,?,?,?)", values)
        except sqlite3.Error:
            self.db = None
