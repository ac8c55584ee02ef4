"""ROUGE of summaries: n-grams and longest common subsequences (Lin 2004), F measures as the package rouge-score gives them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from headstart.functional.bleu import is_han

WORD = re.compile(r"[a-z0-9]+|[^\W_a-z0-9]+")


def words(text: str) -> list[str]:
    """Runs of a-z and 0-9 of the text in small letters, as rouge-score cuts it (without stemming); runs of other letters, which
    rouge-score drops, are words too, and each Chinese letter is one."""
    found: list[str] = []
    for run in WORD.findall(text.lower()):
        if any(map(is_han, run)):
            found += list(run)
        else:
            found.append(run)
    return found


def rouge(said: Sequence[str], right: Sequence[str]) -> np.ndarray:
    """float (n, 3): ROUGE-1, ROUGE-2 and ROUGE-L of each text, F measures in [0, 1]; the score of several is their mean."""
    found = np.zeros((len(said), 3))
    for row, a, b in zip(found, map(words, said), map(words, right), strict=True):
        for n in (1, 2):
            mine, theirs = (Counter(tuple(t[i : i + n]) for i in range(len(t) - n + 1)) for t in (a, b))
            row[n - 1] = _f(sum((mine & theirs).values()), sum(mine.values()), sum(theirs.values()))
        row[2] = _f(longest_common(a, b), len(a), len(b))
    return found


def _f(both: int, said: int, right: int) -> float:
    return 2 * both / (said + right) if both else 0.0


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for one in a:
        before = 0
        for j, other in enumerate(b, start=1):
            above = row[j]
            row[j] = before + 1 if one == other else max(above, row[j - 1])
            before = above
    return row[-1]
