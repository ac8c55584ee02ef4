"""200 questions with their answers and predictions of every kind: made once from a seed, always the same."""

from __future__ import annotations

import random

WORDS = [
    "The",
    "the",
    "a",
    "an",
    "An",
    "cat",
    "dogs",
    "Paris",
    "New",
    "York",
    "1990",
    "3,000",
    "$5",
    "U.S.",
    "don't",
    "rock'n'roll",
    "co-op",
    "Müller",
    "café",
    "—",
    "–",
    "theatre",
    "Another",
    "%",
    "(",
    ")",
    "it's",
    "A.",
]
EDGES = [
    ([], ""), ([], "Paris"), ([], "the"), (["the"], ""), (["the"], "a"), (["The"], "the cat"), (["the", "Paris"], ""), (["..."], "!"),
    (["Paris"], ""), (["Paris"], "   "), (["Paris"], "the Paris."), (["paris"], "PARIS!"), (["New York"], "York New"),
    (["New York", "York"], "York"), (["a b c"], "b b b"), (["b b b"], "a b"), (["co-op"], "coop"), (["co-op"], "co op"),
    (["a–b"], "b"), (["the-atre"], "theatre"), (["an apple a day"], "apple day"), (["3,000"], "3000"), (["U.S."], "us"),
    (["don't"], "dont"), (["x  y"], "x y"), (["x\u00a0y"], "x y"), (["Müller"], "müller"), (["STRASSE"], "straße"), (["A"], "a"),
    (["cat", "cat", "dog"], "dog cat"), (["the cat sat"], "cat sat on the mat"), (["1", "1.0"], "1.0"),
]  # fmt: skip


def questions() -> list[tuple[list[str], str]]:
    """(answers, prediction), 200 of them."""
    draw = random.Random(7)
    rows = list(EDGES)
    while len(rows) < 200:
        answers = [" ".join(draw.choices(WORDS, k=draw.randint(1, 5))) for _ in range(draw.choice([0, 1, 1, 2, 3]))]
        if answers and draw.random() < 0.6:  # something near an answer
            words = draw.choice(answers).split()
            cut = words[draw.randint(0, 1) :] + draw.choices(WORDS, k=draw.randint(0, 2))
            said = draw.choice([str.upper, str.lower, str.title, str])(
                draw.choice(["", "the ", '"']) + " ".join(cut) + draw.choice(["", ".", "!"])
            )
        else:
            said = draw.choice(["", " ".join(draw.choices(WORDS, k=3))])
        rows.append((answers, said))
    return rows
