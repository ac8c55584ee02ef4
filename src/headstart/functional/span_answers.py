"""Exact match and F1 of answers that are spans of a text: the rules of SQuAD v1.1 and v2.0, and those of CMRC 2018 for Chinese.

P. Rajpurkar et al., *SQuAD: 100,000+ questions for machine comprehension of text*, EMNLP 2016; *Know what you don't know*, ACL
2018. Y. Cui et al., *A span-extraction dataset for Chinese machine reading comprehension*, EMNLP 2019.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")
CHINESE_MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""What CMRC leaves out, one character each."""
HAN = re.compile("[\u4e00-\u9fa5]")
MARK = re.compile(r"""([;@#$%&?!"()\[\]{}<>]|,(?!\d))""")
"""What is a piece of its own beside Chinese, a comma but not that of 1,000."""


def plain(text: str) -> str:
    """Lower case without ASCII punctuation, English articles and needless spaces, in this order."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(NO_PUNCTUATION)).split())


def squad(said: str, answers: Sequence[str], *, version: int = 2) -> tuple[float, float]:
    """Exact match and F1 of one prediction: the largest over the answers, each in [0, 1].

    With the words of both in :func:`plain` form as bags, ``F1 = 2 PR / (P + R)``, ``P`` and ``R`` the words in common over those of
    the prediction and of the answer.

    Args:
        said: the prediction; ``""`` says that there is no answer.
        answers: those of the question; none where it has none.
        version: 2: answers of which nothing is left count as no answer, and of two sides without words F1 is 1 where both are, else 0.
            1: every answer counts as it is, and without a word in common F1 is 0.
    """
    if version == 2:
        answers = [answer for answer in answers if plain(answer)] or [""]
    exact = max((float(plain(said) == plain(answer)) for answer in answers), default=0.0)
    return exact, max((_bags(plain(said).split(), plain(answer).split(), version) for answer in answers), default=0.0)


def _bags(said: list[str], answer: list[str], version: int) -> float:
    if version == 2 and not (said and answer):
        return float(said == answer)
    common = (Counter(said) & Counter(answer)).total()
    return 2 * common / (len(said) + len(answer)) if common else 0.0


def cmrc(said: str, answers: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1 of one prediction by the rules of CMRC 2018, the largest over the answers, each in [0, 1].

    Exact where the letters without :data:`CHINESE_MARKS` are the same. F1 is of the longest run of pieces that both have in common
    (:func:`mixed`), ``P = run / pieces of the prediction``, ``R = run / pieces of the answer``. A question without answers is as in
    version 2 of :func:`squad`.
    """
    if not answers:
        right = float(not said.strip())
        return right, right
    exact = max(float(_unmarked(said) == _unmarked(answer)) for answer in answers)
    pieces = mixed(said)
    return exact, max(_runs(pieces, mixed(answer)) for answer in answers)


def _unmarked(text: str) -> str:
    return "".join(c for c in text.lower().strip() if c not in CHINESE_MARKS)


def mixed(text: str) -> list[str]:
    """Pieces of a text without :data:`CHINESE_MARKS`: each Chinese character one, between them words and single marks.

    The script of CMRC cuts what is not Chinese by the tokenizer of the Penn Treebank; here contractions (``don't``) stay whole.
    """
    pieces: list[str] = []
    for part in re.split(f"({HAN.pattern})", _unmarked(text)):
        words = MARK.sub(r" \1 ", part).split()
        if words and re.search(r"[^.]\.$", words[-1]):  # the full stop that ends a sentence
            words[-1:] = [words[-1][:-1], "."]
        pieces += words
    return pieces


def _runs(said: list[str], answer: list[str]) -> float:
    best = 0
    before = [0] * (len(answer) + 1)
    for one in said:
        row = [0] * (len(answer) + 1)
        for j, other in enumerate(answer, 1):
            if one == other:
                row[j] = before[j - 1] + 1
                best = max(best, row[j])
        before = row
    return 2 * best / (len(said) + len(answer)) if best else 0.0


def mostly_chinese(text: str) -> bool:
    """Whether a tenth of the letters of a text or more are Chinese characters."""
    letters = sum(c.isalpha() for c in text)
    return 10 * len(HAN.findall(text)) >= max(letters, 1)
