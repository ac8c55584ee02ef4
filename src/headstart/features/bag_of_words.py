"""Texts as counts of their words and letters: what a classifier reads that knows no language at all."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.data.text_preprocessing import Text

MOST_TERMS = 200_000
"""Terms of words, and of letters, that are kept at most: the most frequent ones."""
RARE_FROM = 2000
"""From so many texts on, a term that stands in one of them alone is left out."""
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


class BagOfWords:
    """TF-IDF of words 1-2 and of letters 2-5 within words; of letters 1-3 where a script puts no spaces between words.

    A term t of text i weighs ``(1 + ln n_it) (1 + ln((1 + n) / (1 + n_t)))``, each kind of terms at unit length (Salton and Buckley,
    *Term-weighting approaches*, 1988). Of a pair of texts stand side by side the first, the second, and the terms that both have.

    Args:
        texts: those to learn terms and their frequencies from.
    """

    def __init__(self, texts: Sequence[Text]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.pairs = not isinstance(texts[0], str)
        every: list[str] = [part for text in texts for part in ((text,) if isinstance(text, str) else text)]
        self.spaced = not unspaced(every)
        common: dict[str, Any] = {
            "sublinear_tf": True, "dtype": np.float32, "max_features": MOST_TERMS, "min_df": 2 if len(every) >= RARE_FROM else 1,
        }  # fmt: skip
        if self.spaced:
            words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **common)
            self.kinds = [words, TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **common)]
        else:
            self.kinds = [TfidfVectorizer(analyzer="char", ngram_range=(1, 3), **common)]
        kept = []
        for kind in self.kinds:
            try:
                kept.append(kind.fit(every))
            except ValueError:  # no text has a term of this kind
                continue
        self.kinds = kept
        self.says = "words and letters" if self.spaced else "letters"

    def __call__(self, texts: Sequence[Text]) -> Any:
        """A sparse matrix, float32 (n, terms)."""
        from scipy.sparse import csr_matrix, hstack

        if not self.kinds:
            return csr_matrix((len(texts), 1), dtype=np.float32)
        if not self.pairs:
            return hstack([kind.transform(texts) for kind in self.kinds]).tocsr()
        sides = [[kind.transform([text[side] for text in texts]) for kind in self.kinds] for side in (0, 1)]
        both = [a.multiply(b) for a, b in zip(*sides, strict=True)]
        return hstack([*sides[0], *sides[1], *both]).tocsr()


def unspaced(texts: Sequence[str], most: int = 500) -> bool:
    """Whether more than three letters of ten, in up to ``most`` of the texts, are of a script without spaces between words."""
    letters = [c for text in texts[:: max(1, len(texts) // most)] for c in text[:200] if c.isalpha()]
    few = [c for c in letters if ord(c) > 0xE00 and unicodedata.name(c, "").startswith(UNSPACED)]
    return len(few) > 0.3 * len(letters)
