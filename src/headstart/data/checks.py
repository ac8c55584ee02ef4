"""What is in the data, and what is wrong with it: counts, imbalance, copies, leaks, sizes; each warning says what to do."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from headstart.data.dataset import ImageDataset
from headstart.data.scan import ScanResult

NEAR = 3
"""Perceptual hashes that differ in at most this many of 64 bits are near copies."""
FEW = 10
SHOWN = 20


def near_pairs(phash: np.ndarray, most: int = NEAR, limit: int = 2000) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, whose hashes differ in at most ``most`` of 64 bits.

    Two hashes that differ in at most 3 bits agree in one of four 16-bit bands at least, so only images that share a band
    are compared.

    Args:
        phash: uint64 (n,).
        limit: give back at most this many pairs.
    """
    assert most <= 3, "four bands find differences of up to three bits"
    found: set[tuple[int, int]] = set()
    for band in range(4):
        part = (phash >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = np.argsort(part, kind="stable")
        edges = np.flatnonzero(np.diff(part[order])) + 1
        for bucket in np.split(order, edges):
            for start in range(0, len(bucket), 512):
                some = bucket[start : start + 512]
                rest = bucket[start:]
                differ = np.bitwise_count(phash[some][:, None] ^ phash[rest][None, :]) <= most
                for a, b in zip(*np.nonzero(differ), strict=True):
                    i, j = int(some[a]), int(rest[b])
                    if i != j:
                        found.add((min(i, j), max(i, j)))
                if len(found) > limit:
                    return sorted(found)[:limit]
    return sorted(found)


def inspect_dataset(dataset: ImageDataset, scanned: ScanResult) -> dict[str, Any]:
    """Everything that `headstart inspect` shows, as plain values.

    Args:
        dataset: labelled and scanned, with or without splits.
        scanned: facts of its images, in its order or in the order before a split left images out (matched by digest).
    """
    assert dataset.labels is not None and dataset.digests is not None
    shown = dataset.as_classes if dataset.task == "regression" else dataset  # a quantity is counted by its fifths
    counts = {name: int(n) for name, n in zip(shown.classes, shown.counts, strict=True)}
    split_names = [s for s in ("train", "valid", "test") if s in set(dataset.splits)]
    by_split = {
        split: {name: int(n) for name, n in zip(shown.classes, shown.select(split).counts, strict=True)}
        for split in split_names
    }
    positive = [n for n in counts.values() if n]
    # labels, ranks and fifths are not meant to be equally frequent
    imbalance = max(positive) / min(positive) if positive and dataset.task == "classification" else 1.0
    copies = _copies(dataset)
    whole = len(scanned.phash) == len(dataset)
    looks = near_pairs(scanned.phash) if whole else []
    exact = {frozenset(pair) for group in copies for pair in _pairs(group)}
    looks = [pair for pair in looks if frozenset(pair) not in exact]
    leaks = [group for group in copies if len({dataset.splits[i] for i in group}) > 1]
    near_leaks = [(i, j) for i, j in looks if dataset.splits[i] != dataset.splits[j]]
    conflicts = [group for group in copies if len({dataset.labels[i].tobytes() for i in group}) > 1]
    few = {name: n for name, n in counts.items() if n < FEW}
    short = np.minimum(scanned.width, scanned.height) if len(scanned.width) else np.zeros(1, dtype=int)
    info: dict[str, Any] = {
        "root": dataset.root,
        "layout": dataset.layout,
        "n": len(dataset),
        "task": dataset.task,
        "classes": list(shown.classes),
        "counts": counts,
        "splits": {split: int((dataset.splits == split).sum()) for split in split_names},
        "counts_by_split": by_split,
        "imbalance": round(imbalance, 2),
        "bad": [list(row) for row in scanned.bad[:200]],
        "n_bad": len(scanned.bad),
        "duplicates": [[_name(dataset, i) for i in group] for group in copies[:SHOWN]],
        "n_duplicates": sum(len(group) - 1 for group in copies),
        "near_duplicates": [[_name(dataset, i) for i in pair] for pair in looks[:SHOWN]],
        "n_near_duplicates": len(looks),
        "leaks": [[_name(dataset, i) for i in group] for group in leaks[:SHOWN]],
        "n_leaks": len(leaks),
        "near_leaks": [[_name(dataset, i) for i in pair] for pair in near_leaks[:SHOWN]],
        "n_near_leaks": len(near_leaks),
        "label_conflicts": [
            [f"{_name(dataset, i)} ({dataset.label_text(i)})" for i in group] for group in conflicts[:SHOWN]
        ],
        "n_label_conflicts": len(conflicts),
        "width": _spread(scanned.width),
        "height": _spread(scanned.height),
        "modes": dict(Counter(scanned.mode).most_common()),
        "few": few,
        "groups": None if dataset.groups is None else len(set(dataset.groups)),
        "notes": list(dataset.notes),
    }
    info["warnings"] = list(_warnings(info, int(short.min()), few))
    return info


def _copies(dataset: ImageDataset) -> list[list[int]]:
    assert dataset.digests is not None
    where: dict[str, list[int]] = {}
    for i, digest in enumerate(dataset.digests):
        where.setdefault(str(digest), []).append(i)
    return [group for group in where.values() if len(group) > 1]


def _pairs(group: list[int]) -> list[tuple[int, int]]:
    return [(a, b) for i, a in enumerate(group) for b in group[i + 1 :]]


def _name(dataset: ImageDataset, index: int) -> str:
    reference = dataset.images[index]
    if not isinstance(reference, str):
        return f"#{index}"
    return reference.removeprefix(dataset.root).lstrip("/\\!") or reference


def _spread(values: np.ndarray) -> dict[str, int] | None:
    if not len(values):
        return None
    return {"min": int(values.min()), "median": int(np.median(values)), "max": int(values.max())}


def _warnings(info: dict[str, Any], smallest: int, few: dict[str, int]):  # type: ignore[no-untyped-def]
    if info["n_bad"]:
        path, reason = info["bad"][0]
        yield f"{info['n_bad']} files cannot be decoded and are left out (first: {path}: {reason}); mend or remove them."
    if info["n_leaks"]:
        yield f"{info['n_leaks']} images stand in more than one split (first: {' = '.join(info['leaks'][0][:2])}); the test score would flatter, remove the copies."
    if info["n_near_leaks"]:
        yield f"{info['n_near_leaks']} pairs of nearly equal images stand in different splits (first: {' ~ '.join(info['near_leaks'][0])}); look at them, the test score may flatter."
    if info["n_label_conflicts"]:
        yield f"{info['n_label_conflicts']} images have copies under another label (first: {' / '.join(info['label_conflicts'][0][:2])}); decide which label is right."
    if info["n_duplicates"]:
        yield f"{info['n_duplicates']} images are exact copies of others; copies are kept in one split."
    if info["imbalance"] > 3:
        low, high = (f(info["counts"].items(), key=lambda kv: kv[1]) for f in (min, max))
        yield f"The classes are unequal: {high[0]} has {high[1]} images, {low[0]} has {low[1]}; --imbalance auto weighs them, and balanced accuracy tells more than accuracy."
    if few:
        names = ", ".join(f"{name} ({n})" for name, n in list(few.items())[:5])
        yield f"{len(few)} classes have fewer than {FEW} images: {names}; their scores will be uncertain, add images if you can."
    if smallest < 16:
        yield f"The smallest image has a side of {smallest} pixels; check that it is no broken thumbnail."
