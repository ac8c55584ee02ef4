"""Answers from start and end logits: windows, targets, the loss by hand, the best span by brute force, the threshold by trying all."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.data.annotations import Answers, objects
from headstart.data.dataset import Dataset
from headstart.data.text_preprocessing import IDS, MASK, TYPES, TextPreprocessing
from headstart.data.windows import windows_of
from headstart.errors import SourceError
from headstart.tasks.question_answering import Answer, QuestionAnswering, best_spans, f1
from headstart.tasks.task import TaskOptions

sys.path.insert(0, str(Path(__file__).parents[1] / "spans"))
pytest.importorskip("transformers")
import itertools

from tiny_texts import CITIES, tiny_bert, vocabulary


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_bert(tmp_path_factory.mktemp("m"), vocabulary()))


def data(*rows):
    """Rows (question, context, answers (text, start))."""
    labels = [Answers(tuple(t for t, _ in answers), tuple(s for _, s in answers)) for _, _, answers in rows]
    classes = ("answer", "no answer") if any(not label.texts for label in labels) else ("answer",)
    return Dataset(
        inputs=[(q, c) for q, c, _ in rows], labels=objects(labels), classes=classes, splits=np.full(len(rows), ""),
        task="question_answering", modality="text",
    )  # fmt: skip


def test_windows_hold_the_question_and_every_letter_of_the_context(tokenizer):
    context = " ".join(f"anna eats {word}." for word in CITIES * 3)
    cut = windows_of([("who eats rome?", context), ("who?", "anna")], TextPreprocessing(tokenizer, 32))
    assert [window.row for window in cut][-1] == 1
    mine = cut[:-1]
    assert len(mine) > 3
    seen = np.zeros(len(context), dtype=int)
    question = tokenizer("who eats rome?", add_special_tokens=False)["input_ids"]
    for window in mine:
        assert len(window) <= 32
        assert window.ids[1 : 1 + len(question)].tolist() == question
        assert (window.types[window.first : window.end] == 1).all()
        for token in range(window.first, window.end):
            start, end = window.places[token]
            assert tokenizer.convert_ids_to_tokens(int(window.ids[token])).removeprefix("##") == context[start:end]
            seen[start:end] += 1
    assert all(seen[i] for i, c in enumerate(context) if c != " ")
    both = [b.places[b.first][0] < a.places[a.end - 1][1] for a, b in itertools.pairwise(mine)]
    assert all(both)  # neighbours overlap


def test_long_questions_and_tiny_windows_leave_room_for_the_context(tokenizer):
    cut = windows_of(
        [("who lives in rome? " * 20, "anna lives in rome and eats fish. " * 3)], TextPreprocessing(tokenizer, 24)
    )
    assert all(window.end - window.first > 24 // 3 for window in cut[:1])
    assert max(len(window) for window in cut) <= 24


def test_a_tokenizer_without_places_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(SourceError, match="does not say where in a text its tokens stand"):
        windows_of(["x"], TextPreprocessing(Slow(), 32))


def test_windows_become_batches(tokenizer):
    preprocessing = TextPreprocessing(tokenizer, 32)
    batch = preprocessing(windows_of([("who?", "anna lives in rome."), ("who?", "bert.")], preprocessing))
    assert batch.dtype == torch.int64
    assert torch.equal(batch, preprocessing([("who?", "anna lives in rome."), ("who?", "bert.")]))
    assert batch[1, MASK].sum() < batch.shape[2]
    assert batch[1, IDS, -1] == tokenizer.pad_token_id
    assert batch[0, TYPES].max() == 1


def test_targets_are_where_the_answer_stands_and_the_first_token_elsewhere(tokenizer):
    context = " ".join(["bert eats fish."] * 8) + " anna lives in rome."
    at = context.index("rome")
    dataset = data(
        ("where?", context, [("rome", at)]), ("where?", context, []), ("who?", "bert, anna eats.", [(" anna ", 5)])
    )
    task = QuestionAnswering.learn(dataset, TaskOptions())
    windows = task.windows(dataset, TextPreprocessing(tokenizer, 24))
    found = 0
    for window, (start, end, first, last) in zip(windows.inputs, windows.labels, strict=True):
        assert (first, last) == (window.first, window.end - 1)
        if (start, end) != (0, 0):
            found += window.row == 0
            text = dataset.inputs[window.row][1][window.places[start][0] : window.places[end][1]]
            assert text == ("rome" if window.row == 0 else "anna")
        else:
            assert window.row != 2
            assert window.row == 1 or window.places[window.end - 1][1] < at + 4 or window.places[window.first][0] > at
    assert found >= 1
    assert task.longest == len(" anna ")


def test_the_loss_is_the_mean_of_two_cross_entropies_over_the_context_and_the_first_token():
    draw = np.random.default_rng(0)
    outputs = draw.normal(size=(2, 7, 2))
    targets = np.array([[3, 4, 2, 5], [0, 0, 3, 6]])
    by_hand = []
    for row, (start, end, first, last) in zip(outputs, targets, strict=True):
        allowed = [0, *range(first, last + 1)]
        for k, at in ((0, start), (1, end)):
            by_hand.append(-row[at, k] + np.log(np.exp(row[allowed, k]).sum()))
    task = QuestionAnswering(("answer",))
    loss = task.loss(torch.tensor(outputs), torch.tensor(targets))
    assert loss.item() == pytest.approx(np.mean(by_hand), abs=1e-6)
    # tokens of the question and padding have no gradient
    free = torch.tensor(outputs, requires_grad=True)
    task.loss(free, torch.tensor(targets)).backward()
    assert (free.grad[0, [1, 6]] == 0).all()
    assert (free.grad[0, [0, 2, 3, 4, 5]] != 0).all()
    # a batch in pieces has the gradient of the whole
    assert task.mass(torch.tensor(targets)) == 2


def test_the_best_span_is_that_of_trying_all():
    draw = np.random.default_rng(1)
    for _ in range(50):
        n = int(draw.integers(1, 12))
        ends = np.cumsum(draw.integers(0, 5, n))
        places = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)  # some tokens stand for no letter
        logits = draw.normal(size=(2, n)).astype(np.float32)
        longest = int(draw.integers(1, 9))
        tried = {}
        for i in range(n):
            for j in range(i, n):
                size = places[j, 1] - places[i, 0]
                if places[i, 1] > places[i, 0] and places[j, 1] > places[j, 0] and size <= longest:
                    tried[places[i, 0], places[j, 1]] = logits[0, i] + logits[1, j]
        found = best_spans(logits, places, longest)
        assert len(found) == min(len(tried), 20)
        if tried:
            assert max(found)[0] == pytest.approx(max(tried.values()), abs=1e-6)


def test_the_best_window_wins_and_the_least_null_score_counts(tokenizer):
    dataset = data(("where?", "anna lives in rome. " * 6, []))
    task = QuestionAnswering(("answer", "no answer"), longest=10)
    windows = task.windows(replace(dataset, labels=None), TextPreprocessing(tokenizer, 24))
    assert len(windows) > 1
    logits = [np.zeros((2, len(window)), dtype=np.float32) for window in windows.inputs]
    window = windows.inputs[1]
    logits[1][0, window.first + 1] = 3
    logits[1][1, window.first + 2] = 4
    logits[0][:, 0] = 10  # sure that the first window has none
    logits[1][:, 0] = 2
    said = task.gathered(logits, windows, dataset)[0]
    start, end = int(window.places[window.first + 1][0]), int(window.places[window.first + 2][1])
    assert (said.start, said.end, said.text) == (start, end, dataset.inputs[0][1][start:end])
    assert said.margin == pytest.approx(min(7 - 4, 7 - 0), abs=1e-5)
    strict = QuestionAnswering(("answer", "no answer"), longest=10, threshold=3.5)
    silent = strict.gathered(logits, windows, dataset)[0]
    assert (silent.text, silent.start, silent.best[0]) == ("", -1, said.text)
    always = QuestionAnswering(("answer",), longest=10, threshold=99.0)
    assert always.gathered(logits, windows, dataset)[0].text == said.text
    # what stands for no answer must be asked for: a model that knows none is not silent


def test_the_threshold_is_the_best_of_all():
    draw = np.random.default_rng(2)
    for _ in range(20):
        n = 12
        labels = objects([Answers(("rome",), (0,)) if draw.random() < 0.6 else Answers((), ()) for _ in range(n)])
        found = objects([
            Answer("x", 0, 1, 0.5, (str(draw.choice(["rome", "oslo", "in rome"])), 0, 4), float(np.round(draw.normal(), 1))) for _ in range(n)
        ])  # fmt: skip
        task = QuestionAnswering(("answer", "no answer"))

        def total(threshold, found=found, labels=labels):
            return sum(
                f1(a.best[0] if a.margin >= threshold else "", label) for a, label in zip(found, labels, strict=True)
            )

        tuned = task.tuned(found, labels)
        best = max(total(t) for t in [*(a.margin for a in found), 99])
        assert total(tuned.threshold) == pytest.approx(best)
        assert QuestionAnswering.restore(tuned.classes, tuned.state()).threshold == tuned.threshold
    plain = QuestionAnswering(("answer",))
    assert plain.tuned(found, labels) is plain
    assert plain.settles == ""
