"""Which word stands for which, from sentence pairs alone: IBM model 1 by expectation maximisation (Brown et al. 1993)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WordTable:
    """t(f | e) of every pair of words that shared a sentence pair.

    Attributes:
        source, target: words by number; word 0 of the source is the empty one, which explains what no word does.
        e, f: int (P,), the pairs, sorted by ``e``. t: float (P,), sums to 1 over the pairs of an ``e``.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    e: np.ndarray
    f: np.ndarray
    t: np.ndarray


def ibm_model_1(
    source: Sequence[Sequence[str]], target: Sequence[Sequence[str]], rounds: int = 5, empty: bool = True
) -> WordTable:
    """Learn from n sentence pairs, as lists of words::

        c(f, e) = sum over pairs of  t(f | e) / sum_e' t(f | e'),        t(f | e) = c(f, e) / sum_f' c(f', e)

    Args:
        rounds: of expectation maximisation, from a uniform start.
        empty: let the empty word explain words of every target.
    """
    names = [["", *sorted({w for line in source for w in line})], sorted({w for line in target for w in line})]
    place = [{w: i for i, w in enumerate(side)} for side in names]
    es, fs, ns = [], [], []
    slots = 0
    for one, other in zip(source, target, strict=True):
        e = np.array([*([0] if empty else []), *(place[0][w] for w in one)], dtype=np.int64)
        f = np.array([place[1][w] for w in other], dtype=np.int64)
        es.append(np.tile(e, len(f)))
        fs.append(np.repeat(f, len(e)))
        ns.append(np.repeat(slots + np.arange(len(f)), len(e)))
        slots += len(f)
    e, f, slot = (np.concatenate(part).astype(np.int64) for part in (es, fs, ns))
    keys, pair = np.unique(e * len(names[1]) + f, return_inverse=True)
    of_e, of_f = keys // len(names[1]), keys % len(names[1])
    t = np.ones(len(keys))
    for _ in range(rounds):
        each = t[pair]
        each /= np.bincount(slot, each, slots)[slot]
        count = np.bincount(pair, each, len(keys))
        t = count / np.bincount(of_e, count, len(names[0]))[of_e]
    return WordTable(tuple(names[0]), tuple(names[1]), of_e, of_f, t)
