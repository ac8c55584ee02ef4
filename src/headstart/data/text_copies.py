"""Texts that are copies but for case, spaces and punctuation, or nearly so: shingles, MinHash and bands.

The resemblance of two texts is the Jaccard coefficient of their sets of shingles, |A n B| / |A u B| (Broder 1997, "On the resemblance and
containment of documents"). The least value of a random hash over A equals that over B with just this chance, so that texts whose ``ROWS``
least values agree in one of ``BANDS`` bands are compared, and no others: a pair of resemblance s is found with chance
1 - (1 - s^ROWS)^BANDS, 0.99 at 0.8.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from headstart.data.text_preprocessing import Text

SHINGLE = 5
"""Letters of a shingle."""
BANDS, ROWS = 12, 5
NEAR = 0.8
"""Resemblance from which on two texts are near copies."""
SIGNED = 2000
"""Letters of a text that its bands are made of."""
COMPARED = 20_000
"""Letters of a text that are compared with others."""
NEIGHBOURS = 8
"""Texts before it in its band that a text is compared with."""

_SIDE = "\0"


def normal_form(text: Text) -> str:
    """A text without what tells copies apart: compatibility forms and case folded (NFKC), letters and digits only, one space between words.
    A text that has neither letters nor digits keeps its signs; the two of a pair stay apart. Only the first :data:`COMPARED` letters are looked at."""
    if not isinstance(text, str):
        return _SIDE.join(normal_form(part) for part in text)
    folded = unicodedata.normalize("NFKC", text[:COMPARED]).casefold()
    return " ".join(re.findall(r"\w+", folded)) or " ".join(folded.split())


def normal_digest(form: str) -> int:
    """64 bits of a normal form."""
    return int.from_bytes(hashlib.blake2b(form.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def shingles(form: str) -> np.ndarray:
    """uint64, sorted: hashes of the different runs of :data:`SHINGLE` letters of a normal form; a shorter one is a run of its own."""
    return np.unique(_hashes([form])[0])


def resemblance(a: np.ndarray, b: np.ndarray) -> float:
    """|A n B| / |A u B| of two sorted sets."""
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


def bands_of(forms: Sequence[str]) -> np.ndarray:
    """uint32 (n, BANDS): equal in a column for normal forms whose least values agree there."""
    hashes, starts = _hashes([form[:SIGNED] for form in forms])
    rng = np.random.default_rng(0)
    odd, plus = rng.integers(0, 2**63, (2, BANDS * ROWS), dtype=np.uint64)
    found = np.zeros((len(forms), BANDS), dtype=np.uint64)
    for k in range(BANDS * ROWS):
        least = np.minimum.reduceat(_mixed(hashes * (odd[k] | np.uint64(1)) + plus[k]), starts)
        found[:, k // ROWS] = found[:, k // ROWS] * np.uint64(0x9E3779B97F4A7C15) + least
    return (_mixed(found) >> np.uint64(32)).astype(np.uint32)


def _hashes(forms: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The hashes of all shingles of some forms, and where each form's begin."""
    letters = [np.frombuffer(form.encode("utf-32-le", "surrogatepass"), dtype=np.uint32) for form in forms]
    padded = [np.pad(some, (0, max(0, SHINGLE - len(some)))) for some in letters]
    every = np.concatenate(padded).astype(np.uint64)
    counts = np.array([len(some) - SHINGLE + 1 for some in padded])
    ends = np.cumsum([len(some) for some in padded])
    rolled = np.zeros(len(every) - SHINGLE + 1, dtype=np.uint64)
    for j in range(SHINGLE):
        rolled = rolled * np.uint64(0x100000001B3) + every[j : j + len(rolled)]
    inside = np.ones(len(every), dtype=bool)
    for j in range(1, SHINGLE):
        inside[ends - j] = False  # a shingle does not run on into the next text
    return _mixed(rolled[inside[: len(rolled)]]), np.concatenate([[0], np.cumsum(counts)[:-1]])


def _mixed(values: np.ndarray) -> np.ndarray:
    """The end of SplitMix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit given."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def near_pairs(
    normal: np.ndarray, bands: np.ndarray, form: Callable[[int], str], limit: int = 1_000_000
) -> list[tuple[int, int, float]]:
    """Pairs (i, j, resemblance), i < j, of near copies among n texts: each text with the first of its normal form, and first ones with the
    :data:`NEIGHBOURS` before them in a band.

    Args:
        normal: (n,) digests of the normal forms. bands: (n, BANDS).
        form: the normal form of a text, by its place.
        limit: give back at most this many pairs.
    """
    kept = lru_cache(maxsize=8192)(lambda i: shingles(form(i)))
    _, first, which = np.unique(normal, return_index=True, return_inverse=True)
    leader = first[which]
    found = {(int(a), int(b)): 1.0 for a, b in zip(leader, np.arange(len(normal)), strict=True) if a != b}
    seen: set[tuple[int, int]] = set()
    alone = np.sort(first)
    for column in bands.T:
        order = alone[np.argsort(column[alone], kind="stable")]
        edges = np.flatnonzero(np.diff(column[order])) + 1
        for low, high in zip(np.r_[0, edges], np.r_[edges, len(order)], strict=True):
            bucket = order[low:high]
            for place in range(1, len(bucket)):
                for other in bucket[max(0, place - NEIGHBOURS) : place]:
                    pair = (int(other), int(bucket[place]))
                    if pair in seen:
                        continue
                    seen.add(pair)
                    like = resemblance(kept(pair[0]), kept(pair[1]))
                    if like >= NEAR:
                        found[pair] = like
            if len(found) > limit:
                break
    return [(*pair, like) for pair, like in sorted(found.items())][:limit]


def clusters(n: int, pairs: Sequence[tuple[int, int, float]], most: int) -> tuple[np.ndarray, int]:
    """int64 (n,): texts with one number are copies of each other, directly or through others; and how many texts are in clusters of near copies
    of more than ``most``, which stay apart but for equal normal forms: they are made from one pattern, and could not be split at all."""
    whole = _joined(n, [(i, j) for i, j, _ in pairs])
    sizes = np.bincount(whole, minlength=n)[whole]
    exact = _joined(n, [(i, j) for i, j, like in pairs if like == 1.0])
    # a large cluster of nothing but equal forms is no pattern
    large = (sizes > most) & (np.bincount(exact, minlength=n)[exact] < sizes)
    return np.where(large, exact, whole), int(large.sum())


def _joined(n: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """int64 (n,): the least member of what pairs join."""
    parent = np.arange(n)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for i, j in pairs:
        a, b = root(i), root(j)
        parent[max(a, b)] = min(a, b)
    return np.array([root(i) for i in range(n)], dtype=np.int64)
