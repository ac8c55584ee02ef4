"""Pictures that look alike, by their perceptual hashes."""

from __future__ import annotations

import numpy as np

NEAR = 3
"""Perceptual hashes that differ in at most this many of 64 bits are near copies."""


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
