"""What a model that writes texts has to beat: copying, a dictionary, the first sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from headstart.data.dataset import Dataset
from headstart.functional.bleu import TOKENS, tokens_for
from headstart.functional.rouge import rouge
from headstart.functional.word_translation import ibm_model_1

SENTENCE = re.compile(r".+?(?:[.!?](?=\s)|[。！？](?:[”」』])?|\n|$)", re.S)
MOST_SENTENCES = 5


def copied(train_set: Dataset, texts: Sequence[str]) -> list[str]:
    """The texts themselves."""
    return list(texts)


def word_by_word(train_set: Dataset, texts: Sequence[str], *, rounds: int = 5) -> list[str]:
    """Each word replaced by the one that IBM model 1 takes for its likeliest translation (:mod:`headstart.functional.word_translation`),
    in the order of the text; words never seen stay.

    A word of a language without spaces in the target may be two letters: the second one is taken too where its t(f | e) is at least half
    of the first one's, in the order in which the two stand more often.
    """
    assert train_set.labels is not None
    sides = [list(train_set.inputs), list(train_set.labels)]
    names = [tokens_for(side) for side in sides]
    cut = [TOKENS[name] for name in names]
    spaced = names[1] == "13a"
    lines = [[[w.lower() for w in cut[0](t)] for t in sides[0]], [cut[1](t) for t in sides[1]]]
    table = ibm_model_1(lines[0], lines[1], rounds)
    follows = Counter(pair for line in lines[1] for pair in pairwise(line))
    first = np.searchsorted(table.e, np.arange(len(table.source) + 1))
    known = {w: i for i, w in enumerate(table.source)}
    meaning: dict[str, list[str]] = {}

    def means(word: str) -> list[str]:
        if word not in known:
            return [word]
        if word not in meaning:
            rows = slice(first[known[word]], first[known[word] + 1])
            best = np.argsort(-table.t[rows], kind="stable")[: 1 if spaced else 2]
            said = [table.target[table.f[rows][i]] for i in best if table.t[rows][i] * 2 >= table.t[rows][best[0]]]
            if len(said) == 2 and follows[said[1], said[0]] > follows[said[0], said[1]]:
                said.reverse()
            meaning[word] = said
        return meaning[word]

    found = []
    for text in texts:
        words: list[str] = []
        for word in cut[0](text):
            for said in means(word.lower()):
                if not words or words[-1] != said:
                    words.append(said)
        found.append((" " if spaced else "").join(words))
    return found


def sentences(text: str) -> list[str]:
    """A text cut behind its full stops, question and exclamation marks."""
    return [part.strip() for part in SENTENCE.findall(text) if part.strip()]


def first_sentences(train_set: Dataset, texts: Sequence[str], *, tried: int = 300) -> list[str]:
    """The first k sentences, k from 1 to 5 as it is best for ROUGE-L of (the first ``tried``) training pairs."""
    assert train_set.labels is not None
    cut = [sentences(t) for t in train_set.inputs[:tried]]
    right = list(train_set.labels[:tried])
    scores = [rouge([" ".join(part[:k]) for part in cut], right)[:, 2].mean() for k in range(1, MOST_SENTENCES + 1)]
    k = 1 + int(np.argmax(scores))
    return [" ".join(sentences(t)[:k]) for t in texts]


BASELINES = {"copy": copied, "dictionary": word_by_word, "lead": first_sentences}
"""By name; each takes the training pairs and the texts to be answered."""
OF_TASK = {"translation": ("copy", "dictionary"), "summarization": ("copy", "lead")}
