"""Scores of spans equal seqeval's; of answers the mean of the official ones; intervals and gains over texts and questions."""

import random

import numpy as np
import pandas as pd
import pytest

from headstart.data.annotations import Answers, Span, Spans, objects
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.functional.tag_spans import decode
from headstart.tasks.question_answering import Answer, QuestionAnswering
from headstart.tasks.token_classification import Tagged, TokenClassification

TYPES = ("LOC", "ORG", "PER")


def tagged_problem(n=60, seed=0):
    draw = random.Random(seed)
    names = ["O", *(f"{p}-{t}" for t in TYPES for p in "BI")]
    true = [[draw.choice(names) for _ in range(draw.randint(1, 9))] for _ in range(n)]
    said = [[t if draw.random() < 0.7 else draw.choice(names) for t in row] for row in true]

    def spans(row):
        return tuple(Span(a, b, t, "w" * (b - a)) for a, b, t in decode(row))

    labels = objects([Spans(spans(row)) for row in true])
    found = objects([Tagged(spans(row), (0.5,) * len(spans(row)), 0.5) for row in said])
    return true, said, labels, found


def test_span_scores_equal_those_of_seqeval():
    metrics = pytest.importorskip("seqeval.metrics")
    true, said, labels, found = tagged_problem()
    scoring, task = SCORING["token_classification"], TokenClassification(TYPES)
    scores = scoring.scores(found, labels, task)
    for name, theirs in (
        ("f1", metrics.f1_score),
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
    ):
        assert scores[name]["value"] == pytest.approx(theirs(true, said), abs=1e-12)
        low, high = scores[name]["ci95"]
        assert low < scores[name]["value"] < high
    assert scores["macro_f1"]["value"] == pytest.approx(metrics.f1_score(true, said, average="macro"), abs=1e-12)
    report = metrics.classification_report(true, said, output_dict=True)
    for row in scoring.details(found, labels, task)["types"]:
        theirs = report[row["type"]]
        assert row["true"] == theirs["support"]
        for mine, name in (("f1", "f1-score"), ("precision", "precision"), ("recall", "recall")):
            assert row[mine]["value"] == pytest.approx(theirs[name], abs=1e-12)
    assert scoring.points(found, labels, TYPES)["f1"] == pytest.approx(scores["f1"]["value"])


def test_a_fault_in_the_counts_is_caught():
    metrics = pytest.importorskip("seqeval.metrics")
    true, said, labels, found = tagged_problem()
    moved = objects(
        [Tagged(tuple(Span(s.start, s.end + 1, s.label) for s in t.spans), t.confidences, t.sure) for t in found]
    )
    assert SCORING["token_classification"].points(moved, labels, TYPES)["f1"] != pytest.approx(
        metrics.f1_score(true, said)
    )


def test_types_that_the_model_does_not_know_count_as_missed():
    labels = objects([Spans((Span(0, 1, "NEW"), Span(2, 3, "LOC")))])
    found = objects([Tagged((Span(2, 3, "LOC"),), (1.0,), 1.0)])
    scores = SCORING["token_classification"].scores(found, labels, TokenClassification(("LOC",)))
    assert (scores["precision"]["value"], scores["recall"]["value"]) == (1, 0.5)


def test_mistakes_of_spans_by_kind():
    labels = objects([Spans((Span(0, 4, "PER"), Span(5, 9, "LOC"), Span(12, 15, "ORG")))])
    found = objects([Tagged((Span(0, 4, "LOC"), Span(5, 8, "LOC"), Span(20, 22, "PER")), (0.9, 0.8, 0.7), 0.9)])
    scoring, task = SCORING["token_classification"], TokenClassification(TYPES)
    assert scoring.details(found, labels, task)["span_mistakes"] == {"type": 1, "ends": 1, "missed": 1, "made_up": 1}
    (worst,) = scoring.worst(found, labels, task, TYPES)
    assert worst.note == "6 wrong"


def an_answer(text, confidence=0.5):
    return Answer(text, 0 if text else -1, len(text) if text else -1, confidence, (text, 0, len(text)), 1.0)


def test_answers_are_scored_question_by_question():
    labels = objects(
        [
            Answers(("the cat",), (0,)),
            Answers(("Rome", "old Rome"), (0, 0)),
            Answers((), ()),
            Answers(("北京大学",), (0,), True),
        ]
    )
    found = objects([an_answer("Cat!"), an_answer("in Rome"), an_answer(""), an_answer("北京大学里")])
    scoring, task = SCORING["question_answering"], QuestionAnswering(("answer", "no answer"))
    scores = scoring.scores(found, labels, task)
    assert scores["exact_match"]["value"] == pytest.approx((1 + 0 + 1 + 0) / 4)
    assert scores["f1"]["value"] == pytest.approx((1 + 2 / 3 + 1 + 8 / 9) / 4)
    told = scoring.details(found, labels, task)["answers"]
    assert told["kinds"]["no answer"]["exact_match"]["value"] == 1
    assert told["rules"] == "SQuAD v2.0, CMRC 2018 for 1 Chinese ones"
    assert told["silent"] == 0.25
    worst = scoring.worst(found, labels, task, task.classes)
    assert [w.index for w in worst] == [1, 3]
    assert worst[0].label == "Rome | old Rome"


def test_a_gain_in_f1_is_paired_by_question():
    draw = np.random.default_rng(0)
    n = 200
    labels = objects([Answers(("rome",), (0,))] * n)
    scoring, task = SCORING["question_answering"], QuestionAnswering(("answer",))
    good = objects([an_answer("rome" if x else "oslo") for x in draw.random(n) < 0.6])
    bad = objects([an_answer("rome" if x else "oslo") for x in draw.random(n) < 0.3])
    gain = scoring.gain(good, bad, labels, "f1", (task, task))
    assert gain["value"] == pytest.approx(
        np.mean([a.text == "rome" for a in good]) - np.mean([a.text == "rome" for a in bad])
    )
    assert gain["ci95"][0] > 0
    assert gain["p_value"] < 0.01
    assert gain["n"] == n


@pytest.mark.parametrize("name", ["question_answering", "token_classification"])
def test_predictions_are_read_back_from_their_table(name, tmp_path):
    scoring = SCORING[name]
    if name == "question_answering":
        task = QuestionAnswering(("answer", "no answer"))
        labels = objects([Answers(('say "a", b', "x"), (0, 0)), Answers((), ()), Answers(("北京",), (0,), True)])
        found = objects([an_answer("x"), an_answer(""), an_answer("北")])
    else:
        task = TokenClassification(TYPES)
        _, _, labels, found = tagged_problem(20)
    path = tmp_path / "p.csv"
    pd.DataFrame(scoring.columns(found, labels, task, task.classes)).to_csv(path, index=False)
    again, true = scoring.read(pd.read_csv(path, keep_default_na=False), task)
    mine, theirs = scoring.scores(found, labels, task), scoring.scores(again, true, task)
    assert {k: v["value"] for k, v in mine.items()} == pytest.approx({k: v["value"] for k, v in theirs.items()})
