"""Images or texts through a frozen backbone, once: what was computed before is read from the cache."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.errors import WorkError, sentence
from headstart.features.cache import FeatureCache, SplitCache
from headstart.features.precision import ENOUGH, check_precision, fastest, least_cosine, plain, prepare
from headstart.progress import SILENT, Progress
from headstart.sources.modality import check_modality
from headstart.sources.source import Source

FORMAT = 1
"""Raised when the meaning of cached rows changes; part of the key."""
LEAST_BATCH = 8
"""Smaller batches are filled up: libraries choose other kernels for them, and an image's features would depend on its
neighbours in the last bits."""
CHECK_ROWS = 8
"""Images of the first batch on which a reduced precision is compared with fp32."""
SPEED_IMAGES = 32
"""A speed is measured on at least so many images."""
TOKENS = {True: 16, False: 256}
"""Tokens that count as one text of a batch, on a CPU and elsewhere: more at once leave a CPU's caches."""
CHUNK_ROWS = 512
CHUNK_SECONDS = 20.0
"""A chunk is written after so many rows or seconds: what a killed process loses at most."""


@dataclass(frozen=True)
class FeatureSet:
    """Features of a data set, in its order.

    Attributes:
        X: float32 (n, width).
        seconds: of the whole call.
        computed: images that went through the backbone.
        cached: images whose features were at hand: in the cache, or as the copy of another image of the set.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``: what they were computed in.
        cosine: the least similarity to fp32 features in the first 8 images, where a check was made in this call.
        note: a sentence where ``"auto"`` fell back to fp32, else ``""``.
        images_per_second: loading and forward pass, measured in this call or in the one that filled the cache;
            ``None`` where fewer than 32 images were ever computed at once.
    """

    X: np.ndarray
    seconds: float
    computed: int
    cached: int
    precision: str
    cosine: float | None = None
    note: str = ""
    images_per_second: float | None = None


def extract(
    source: Source,
    dataset: Dataset,
    *,
    cache_dir: Path | None,
    parts: Sequence[Source] = (),
    device: str = "cpu",
    precision: str = "auto",
    batch_size: int = 64,
    workers: int | None = None,
    progress: Progress | None = None,
) -> FeatureSet:
    """Features of every image, from the cache where it has them.

    Rows are keyed by the digests of the source's weights and of its preprocessing, the precision, and the content of
    each image (``dataset.digests``), so that a renamed, moved or doubled file costs nothing, and a changed one is
    computed again. Images are streamed; only the features are held.

    Args:
        source: its backbone is used in eval mode and left as it is.
        dataset: with ``digests`` (:func:`headstart.data.scan.scan` sets them) if anything is to be cached.
        cache_dir: features go to ``cache_dir/features/...``; ``None`` computes everything and writes nothing.
        parts: sources whose features are the columns of this one's, side by side; each part is kept under its own key,
            so that what was computed together is found when one of them is asked for alone.
        device: ``"cpu"``, ``"cuda"``, ...
        precision: ``"auto"`` is the fastest that keeps the first 8 images within a cosine of 0.999 of fp32 each
            (the answer is kept in the cache); ``"fp32"``; ``"bf16"``; ``"fp16"`` (CUDA only).
        batch_size: images at once, > 0; of texts as many times 16 tokens, on other devices than the CPU 256.
        workers: of the loader; ``None`` for its default.
        progress: told of each batch.

    Raises:
        RecipeError: an unknown precision, or one that the device has not.
        SourceError: a source of texts for images, or the reverse.
        DiskFull: no room for the cache.
        WorkError: features that are not finite numbers, or not (n, width).
        BadImage: an image that cannot be decoded.
    """
    began = time.perf_counter()
    progress = SILENT if progress is None else progress
    check_precision(precision, device)
    check_modality(source, dataset.modality)
    n = len(dataset)
    X = np.empty((n, source.width), dtype=np.float32)
    keys = [str(i) for i in range(n)] if dataset.digests is None else [str(digest) for digest in dataset.digests]
    keep = cache_dir is not None and dataset.digests is not None

    tried = fastest(device) if precision == "auto" else precision
    verdict: dict[str, Any] = {}
    verdict_file = None
    if precision == "auto" and tried != "fp32" and keep and cache_dir is not None:
        verdict_file = cache_folder(cache_dir, source, tried, device) / "checked"
        verdict = _read_verdict(verdict_file)
        if verdict and verdict["cosine"] < ENOUGH:
            tried = "fp32"
    cache = _open(cache_dir, source, parts, tried, device) if keep and cache_dir else None

    first: dict[str, int] = {}
    for i, key in enumerate(keys):
        if cache is None or key not in cache:
            first.setdefault(key, i)
    todo = np.fromiter(first.values(), dtype=np.int64, count=len(first))
    cosine, note = None, _note(tried, verdict)
    speed = None if cache is None else _read_number(cache.folder / "speed")
    if len(todo):
        started = time.perf_counter()
        check = precision == "auto" and tried != "fp32" and not verdict
        runner = _Runner(source, device, tried, check=check, widths=[part.width for part in parts])
        _compute(runner, source, dataset.subset(todo), todo, keys, X, cache, batch_size, workers, progress)
        if runner.cosine is not None:
            cosine = runner.cosine
            if verdict_file is not None:
                # kept, so that the next call needs no forward pass to know its precision
                _write_json(verdict_file, {"cosine": cosine, "tried": tried})
            if (
                runner.precision != tried
            ):  # the check failed on the first batch: nothing was cached under this precision
                left = extract(
                    source, dataset, cache_dir=cache_dir, parts=parts, device=device, precision="fp32",
                    batch_size=batch_size, workers=workers, progress=progress,
                )  # fmt: skip
                return FeatureSet(
                    left.X, time.perf_counter() - began, left.computed, left.cached, "fp32", cosine,
                    _note("fp32", {"cosine": cosine, "tried": tried}), left.images_per_second,
                )  # fmt: skip
        if len(todo) >= SPEED_IMAGES:
            speed = len(todo) / (time.perf_counter() - started)
            if cache is not None:
                _write_json(cache.folder / "speed", speed)
    if cache is not None:
        rest = np.array([i for i, key in enumerate(keys) if first.get(key) is None], dtype=np.int64)
        cache.read([keys[i] for i in rest], X, rest)
    for i, key in enumerate(keys):
        if first.get(key, i) != i:
            X[i] = X[first[key]]
    return FeatureSet(X, time.perf_counter() - began, len(todo), n - len(todo), tried, cosine, note, speed)


def cache_folder(cache_dir: Path, source: Source, precision: str, device: str) -> Path:
    """Where the features of a source are kept. fp32 features are shared by all devices, others are not."""
    how = precision if precision == "fp32" else f"{precision}-{torch.device(device).type}"
    name = f"{source.digest}-{source.preprocessing.digest}-{source.width}-{how}-{FORMAT}"
    safe = all(c.isalnum() or c in "-_." for c in name)
    return Path(cache_dir) / "features" / (name if safe else hashlib.sha256(name.encode()).hexdigest()[:32])


def _open(
    cache_dir: Path, source: Source, parts: Sequence[Source], precision: str, device: str
) -> FeatureCache | SplitCache:
    folder = cache_folder(cache_dir, source, precision, device)
    if not parts:
        return FeatureCache(folder, source.width)
    return SplitCache(
        folder, [FeatureCache(cache_folder(cache_dir, part, precision, device), part.width) for part in parts]
    )


class _Runner:
    """The prepared backbone; its first batch decides whether a reduced precision is good enough."""

    def __init__(self, source: Source, device: str, precision: str, *, check: bool, widths: list[int]) -> None:
        self.source, self.device, self.precision, self.check = source, device, precision, check
        self.widths = widths
        self.forward = prepare(source.backbone, device, precision)
        self.cosine: float | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor | None:
        """float32 (B, width), or ``None`` where the check failed."""
        n = len(images)
        if n < LEAST_BATCH:
            images = torch.cat([images, images[-1:].expand(LEAST_BATCH - n, *images.shape[1:])])
        if self.check and self.cosine is None:
            some = images[:CHECK_ROWS]
            found, true = self.forward(some), plain(self.source.backbone, self.device)(some)
            if self.widths:
                pairs = zip(found.split(self.widths, 1), true.split(self.widths, 1), strict=True)
                self.cosine = min(least_cosine(a, b) for a, b in pairs)
            else:
                self.cosine = least_cosine(found, true)
            if self.cosine < ENOUGH:
                self.precision = "fp32"
                return None
        found = self.forward(images)[:n]
        if found.shape != (n, self.source.width):
            raise WorkError(
                sentence(
                    "the backbone gives features of another shape than it said",
                    where=self.source.name,
                    got=tuple(found.shape),
                    allowed=f"({n}, {self.source.width})",
                )
            )
        if not bool(torch.isfinite(found).all()):
            raise WorkError(
                sentence(
                    "features that are not finite numbers",
                    where=f"{self.source.name} in {self.precision}",
                    fix="--precision fp32" if self.precision != "fp32" else "another source: its weights are broken",
                )
            )
        return found


def _compute(
    runner: _Runner,
    source: Source,
    part: Dataset,
    places: np.ndarray,
    keys: list[str],
    X: np.ndarray,
    cache: FeatureCache | SplitCache | None,
    batch_size: int,
    workers: int | None,
    progress: Progress,
) -> None:
    """Fill ``X[places]`` batch by batch and hand finished chunks to the cache; stops early where the check fails."""
    waiting: list[int] = []
    since = time.monotonic()

    def write() -> None:
        nonlocal since
        if cache is not None and waiting:
            cache.write([keys[i] for i in waiting], X[waiting])
        waiting.clear()
        since = time.monotonic()

    progress.start(f"features of {source.name}", total=len(part), unit=part.modality)
    try:
        for batch in _batches(part, source, runner.device, batch_size, workers):
            found = runner(batch.inputs)
            if found is None:
                return
            assert batch.index is not None
            to = places[batch.index.numpy()]
            X[to] = found.numpy()
            waiting.extend(map(int, to))
            if len(waiting) >= CHUNK_ROWS or time.monotonic() - since > CHUNK_SECONDS:
                write()
            progress.advance(len(to))
        write()
    finally:
        progress.done()


def _batches(part: Dataset, source: Source, device: str, batch_size: int, workers: int | None) -> Iterator[Batch]:
    from headstart.data.loader import batches
    from headstart.data.text_encoding import encoded_batches

    if part.modality == "text":
        return encoded_batches(part, source.preprocessing, tokens=batch_size * TOKENS[device.startswith("cpu")])
    more: dict[str, Any] = {} if workers is None else {"workers": workers}
    return batches(part, source.preprocessing, batch_size=batch_size, **more)


def _note(precision: str, verdict: dict[str, Any]) -> str:
    if precision != "fp32" or not verdict:
        return ""
    return (
        f"features are computed in fp32: in {verdict['tried']} one had a cosine of only {verdict['cosine']:.4f} "
        f"to its fp32 value, {ENOUGH} is asked for"
    )


def _read_verdict(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"cosine": float(found["cosine"]), "tried": str(found["tried"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read_number(path: Path) -> float | None:
    try:
        return float(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    part.write_text(json.dumps(value), encoding="utf-8")
    os.replace(part, path)
