"""BLEU of a corpus from counts that add up over sentences (Papineni et al. 2002; tokens and smoothing as sacreBLEU's, Post 2018)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

ORDER = 4
HAN = (
    (0x3400, 0x4DB5), (0x4E00, 0x9FBB), (0xF900, 0xFA2D), (0xFA30, 0xFA6A), (0xFA70, 0xFAD9), (0x2001, 0x2A6D), (0x2F81, 0x2FA1),
    (0xFF00, 0xFFEF), (0x2E80, 0x2EFF), (0x3000, 0x303F), (0x31C0, 0x31EF), (0x2F00, 0x2FDF), (0x2FF0, 0x2FFF), (0x3100, 0x312F),
    (0x31A0, 0x31BF), (0xFE10, 0xFE1F), (0xFE30, 0xFE4F), (0x3200, 0x33FF),
)  # fmt: skip
"""Code points that stand alone in the tokens ``zh``: Chinese letters and marks. 2001 to 2A6D holds the curly quotation marks too."""
ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
MARKS = (
    (re.compile(r"([!-&(-+/:-@\[-`{-~])"), r" \1 "),  # ASCII marks but ' , - . which have rules of their own
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),  # a point or comma, unless a digit stands before it
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),  # ... or behind it
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),  # a dash behind a digit
)


def _apart(line: str) -> list[str]:
    for rule, said in MARKS:
        line = rule.sub(said, line)
    return line.split()


def tokens_13a(text: str) -> list[str]:
    """Tokens as WMT's mteval-v13a cuts them: for languages that write spaces between words."""
    line = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, letter in ENTITIES:
        line = line.replace(entity, letter)
    return _apart(f" {line} ")


def is_han(letter: str) -> bool:
    """Whether it stands alone in the tokens ``zh``."""
    code = ord(letter)
    return any(low <= code <= high for low, high in HAN)


def tokens_zh(text: str) -> list[str]:
    """Each Chinese letter alone, what stands between them as :func:`tokens_13a` cuts it."""
    return _apart("".join(f" {letter} " if is_han(letter) else letter for letter in text.strip()))


def tokens_char(text: str) -> list[str]:
    """Each letter alone: for scripts without spaces that ``zh`` does not know."""
    return [letter for letter in text.strip() if not letter.isspace()]


TOKENS: dict[str, Callable[[str], list[str]]] = {"13a": tokens_13a, "zh": tokens_zh, "char": tokens_char}


def tokens_for(texts: Sequence[str], most: int = 1000) -> str:
    """Which tokens suit a language: ``"zh"`` where Chinese letters are the most, ``"char"`` for Japanese, Thai, Lao, Khmer and Burmese
    (no spaces between words), else ``"13a"``."""
    letters = Counter(_script(letter) for text in texts[:most] for letter in text if letter.isalpha())
    total = sum(letters.values())
    if letters["kana"] > 0.05 * total or letters["joined"] > 0.3 * total:
        return "char"
    return "zh" if letters["han"] > 0.3 * total else "13a"


def _script(letter: str) -> str:
    code = ord(letter)
    if 0x3041 <= code <= 0x30FF:
        return "kana"
    if 0x0E00 <= code <= 0x0EFF or 0x1000 <= code <= 0x109F or 0x1780 <= code <= 0x17FF:
        return "joined"
    return "han" if 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF else "other"


def bleu_counts(said: Sequence[str], right: Sequence[str], tokenize: str = "13a") -> np.ndarray:
    """float (n, 10): of each sentence the n-grams that match and all of those said, orders 1 to 4, and both lengths."""
    cut = TOKENS[tokenize]
    found = np.zeros((len(said), 2 * ORDER + 2))
    for row, a, b in zip(found, map(cut, said), map(cut, right), strict=True):
        for n in range(1, ORDER + 1):
            mine, theirs = _grams(a, n), _grams(b, n)
            row[n - 1] = sum((mine & theirs).values())
            row[ORDER + n - 1] = max(len(a) - n + 1, 0)
        row[-2:] = len(a), len(b)
    return found


def _grams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(sums: np.ndarray) -> np.ndarray:
    """Sums (B, 10) of :func:`bleu_counts` -> BLEU (B,), 0 to 100::

        BLEU = 100 min(1, exp(1 - r / c)) (p_1 p_2 p_3 p_4)^(1/4)

    with lengths c (said) and r (right). The k-th order without any match counts as if it had 2^-k of one (smoothing "exp"); where
    nothing matches, or nothing has four tokens, it is 0.
    """
    match, all_ = sums[:, :ORDER], sums[:, ORDER : 2 * ORDER]
    said, right = sums[:, -2], sums[:, -1]
    none = (match == 0) & (all_ > 0)
    smoothed = np.where(none, 0.5 ** np.cumsum(none, 1), match)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = smoothed / all_
        short = np.where(said < right, np.exp(1 - right / said), 1.0)
        value = 100 * short * np.exp(np.log(shares).mean(1))
    return np.where((match.sum(1) > 0) & (all_ > 0).all(1), np.nan_to_num(value), 0.0)
