"""Exact match and F1 of answers: the rules worked out anew, hand-worked edges, and what the official scripts say of 200 predictions."""

import string
import sys
from pathlib import Path

import pytest

from headstart.functional import span_answers
from headstart.functional.span_answers import cmrc, mixed, mostly_chinese, plain, squad

sys.path.insert(0, str(Path(__file__).parents[1] / "spans"))
from predictions_200 import questions


def words_again(text: str) -> list[str]:
    """The rules once more, letter by letter: no punctuation, lower case, no articles between letters, digits and underscores."""
    letters = [c for c in text.lower() if c not in string.punctuation]
    runs, run = [], ""
    for c in [*letters, " "]:
        if c.isalnum() or c == "_":
            run += c
            continue
        runs.append(" " if run in ("a", "an", "the") else run)
        runs.append(c)
        run = ""
    return "".join(runs).split()


def scores_again(said: str, answers: list[str], version: int) -> tuple[float, float]:
    if version == 2:
        answers = [a for a in answers if words_again(a)] or [""]
    found = []
    for answer in answers:
        a, b = words_again(said), words_again(answer)
        left, shared = list(b), 0
        for word in a:
            if word in left:
                left.remove(word)
                shared += 1
        if version == 2 and (not a or not b):
            f1 = 1.0 if a == b else 0.0
        else:
            f1 = 0.0 if not shared else 2 * (shared / len(a)) * (shared / len(b)) / (shared / len(a) + shared / len(b))
        found.append((float(a == b), f1))
    return max(e for e, _ in found), max(f for _, f in found)


def test_200_predictions_score_as_the_rules_say_and_as_the_official_scripts_said():
    rows = questions()
    assert len(rows) == 200
    for answers, said in rows:
        assert squad(said, answers) == pytest.approx(scores_again(said, answers, 2), abs=1e-12), (answers, said)
        if answers:
            assert squad(said, answers, version=1) == pytest.approx(scores_again(said, answers, 1), abs=1e-12)
    # evaluate-v2.0.py on all of them, evaluate-v1.1.py on the 161 that have answers
    second = [squad(said, answers) for answers, said in rows]
    assert sum(e for e, _ in second) == 57
    assert sum(f for _, f in second) == pytest.approx(93.29083694083693, abs=1e-9)
    first = [squad(said, answers, version=1) for answers, said in rows if answers]
    assert len(first) == 161
    assert sum(e for e, _ in first) == 44
    assert sum(f for _, f in first) == pytest.approx(67.29083694083691, abs=1e-9)


@pytest.mark.parametrize(
    ("said", "answers", "exact", "f1"),
    [
        ("the Paris.", ["paris"], 1, 1),  # articles, punctuation, case
        ("York New", ["New York"], 0, 1),  # a bag of words
        ("b b b", ["a b c"], 0, 2 / 5),  # "a" is an article: {b, c} and {b, b, b} share one of 2 + 3
        ("coop", ["co-op"], 1, 1),  # a hyphen goes, it does not part
        ("co op", ["co-op"], 0, 0),
        ("York", ["New York", "York"], 1, 1),  # the best of several
        ("", [], 1, 1),
        ("Paris", [], 0, 0),
        ("the", [], 1, 1),  # nothing is left of it
        ("", ["the"], 1, 1),  # nor of this answer
        ("", ["Paris"], 0, 0),
        ("3000", ["3,000"], 1, 1),
    ],
)
def test_edges_by_hand(said, answers, exact, f1):
    assert squad(said, answers) == (exact, pytest.approx(f1))


def test_the_two_versions_differ_where_nothing_is_left():
    assert squad("the", ["a"], version=2) == (1, 1)
    assert squad("the", ["a"], version=1) == (1, 0)  # equal, yet no word in common
    assert squad("x", [], version=1) == (0, 0)


def test_a_fault_in_the_rules_is_caught(monkeypatch):
    monkeypatch.setattr(span_answers, "plain", lambda text: " ".join(text.lower().split()))
    with pytest.raises(AssertionError):
        test_200_predictions_score_as_the_rules_say_and_as_the_official_scripts_said()


def test_chinese_is_scored_by_its_characters_and_the_longest_run():
    # 4 of the prediction's 6 characters are a run of the answer's 4
    assert cmrc("在北京大学里", ["北京大学"]) == (0, pytest.approx(2 * 4 / (6 + 4)))
    # two runs of 2: the longest one counts, not the bag
    assert cmrc("大学北京", ["北京大学"])[1] == pytest.approx(2 * 2 / 8)
    assert cmrc("《北京大学》。", ["北京大学"]) == (1, 1)  # marks do not count
    assert cmrc("136次", ["136 次"]) == (0, 1)  # a space parts no pieces, but is a letter
    assert cmrc("上海", ["北京", "上海"]) == (1, 1)
    assert cmrc("", ["北京"]) == (0, 0)
    assert cmrc("", []) == (1, 1)
    assert cmrc("北京", []) == (0, 0)


def test_pieces_beside_chinese_are_words():
    assert mixed("由John H. McArthur教授于1,000.5年设立") == [
        "由", "john", "h.", "mcarthur", "教", "授", "于", "1,000.5", "年", "设", "立",
    ]  # fmt: skip
    assert mixed("a-b（c）") == ["abc"]
    assert mixed("共50%。") == ["共", "50", "%"]


def test_what_is_chinese():
    assert mostly_chinese("黑豹队的防守")
    assert not mostly_chinese("The word 龙 means dragon in Chinese")
    assert not mostly_chinese("1990")


def test_plain_form():
    assert plain("  The  A-Team's (an) U.S. tour! ") == "ateams us tour"
