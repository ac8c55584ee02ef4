"""Tags of words at their first tokens: alignment, the loss by hand, windows that overlap, spans with their places."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.data.annotations import Span, Spans, objects
from headstart.data.dataset import Dataset
from headstart.data.text_preprocessing import TextPreprocessing
from headstart.data.windows import Window
from headstart.tasks.task import TaskOptions
from headstart.tasks.token_classification import IGNORED, TokenClassification, first_tokens

sys.path.insert(0, str(Path(__file__).parents[1] / "spans"))
pytest.importorskip("transformers")
from tiny_texts import tiny_bert, vocabulary


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_bert(tmp_path_factory.mktemp("m"), vocabulary()))


def data(*rows):
    """Rows (text, spans (start, end, label))."""
    labels = [Spans(tuple(Span(*span) for span in spans)) for _, spans in rows]
    return Dataset(
        inputs=[text for text, _ in rows], labels=objects(labels), classes=("LOC", "PER"), splits=np.full(len(rows), ""),
        task="token_classification", modality="text",
    )  # fmt: skip


def test_a_word_has_its_tag_at_its_first_token_alone(tokenizer):
    text = "annabert eats in new oslo."  # one word of two tokens or more
    dataset = data((text, [(0, 8, "PER"), (17, 25, "LOC")]))
    task = TokenClassification.learn(dataset, TaskOptions())
    assert task.tags == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    windows = task.windows(dataset, TextPreprocessing(tokenizer, 32))
    (window,) = windows.inputs
    pieces = tokenizer.convert_ids_to_tokens(window.ids.tolist())
    assert sum(p.startswith("##") for p in pieces) >= 1
    said = [task.tags[t] if t != IGNORED else None for t in windows.labels[0][: len(window)]]
    words = [tag for tag, piece in zip(said, pieces, strict=True) if tag]
    assert words == ["B-PER", "O", "O", "B-LOC", "I-LOC", "O"]
    for tag, piece in zip(said, pieces, strict=True):
        assert (tag is None) == (piece.startswith("##") or piece in ("[CLS]", "[SEP]"))
    assert (windows.labels[0][len(window) :] == IGNORED).all()


def window(places, first=0):
    n = len(places)
    return Window(np.zeros(n, int), np.zeros(n, int), np.array(places), first, n, 0)


def test_words_without_a_token_of_their_own_and_tokens_of_no_letters():
    words = ((0, 2), (2, 4), (5, 9))
    assert first_tokens(window([(0, 4), (4, 4), (5, 7), (7, 9)]), words) == {0: 0, 2: 2}  # one token for two words
    assert first_tokens(window([(0, 1), (1, 2), (2, 4), (4, 9)]), words) == {
        0: 0,
        1: 2,
        2: 3,
    }  # a space before the word
    assert first_tokens(window([(7, 9)]), words) == {}  # the word began in the window before
    assert first_tokens(window([]), ()) == {}


def test_the_loss_is_the_mean_over_first_tokens_and_masses_are_words():
    draw = np.random.default_rng(0)
    outputs = draw.normal(size=(2, 4, 3))
    targets = np.full((2, 9), IGNORED)
    targets[0, 1], targets[0, 2], targets[1, 3] = 0, 2, 1
    chosen = [(0, 1, 0), (0, 2, 2), (1, 3, 1)]
    by_hand = np.mean([-outputs[b, t, y] + np.log(np.exp(outputs[b, t]).sum()) for b, t, y in chosen])
    task = TokenClassification(("A",))
    task_targets = torch.tensor(targets)
    assert task.loss(torch.tensor(outputs), task_targets).item() == pytest.approx(by_hand, abs=1e-6)
    assert task.mass(task_targets) == 3
    parts = [
        task.loss(torch.tensor(outputs[i : i + 1]), task_targets[i : i + 1]) * task.mass(task_targets[i : i + 1])
        for i in (0, 1)
    ]
    assert (sum(parts) / 3).item() == pytest.approx(by_hand, abs=1e-6)
    none = torch.full((1, 9), IGNORED)
    assert task.loss(torch.tensor(outputs[:1]), none).item() == 0
    assert task.mass(none) > 0


@pytest.mark.parametrize("scheme", ["BIO", "IOBES", "IO", "tags"])
def test_perfect_tags_give_the_spans_back_over_windows_that_overlap(tokenizer, scheme):
    sentence = "anna eats in new oslo. "
    text = (sentence * 8).strip()
    spans = [(k * 23 + a, k * 23 + b, t) for k in range(8) for a, b, t in ((0, 4, "PER"), (13, 21, "LOC"))]
    if scheme == "tags":
        spans = [(a, b, "PER" if a % 2 else "LOC") for a, b in [(k * 23 + x, k * 23 + y) for k in range(8) for x, y in ((0, 4), (5, 9), (10, 12), (13, 16), (17, 21), (21, 22))]]  # fmt: skip
    dataset = data((text, spans), ("bert.", []))
    task = TokenClassification(("LOC", "PER"), scheme=scheme)
    windows = task.windows(dataset, TextPreprocessing(tokenizer, 24))
    assert len(windows) > 3
    decoded = []
    for one, target in zip(windows.inputs, windows.labels, strict=True):
        wrong = (target[: len(one)] == IGNORED).astype(float)  # anything where no word begins
        tags = np.where(wrong, 1, target[: len(one)])
        decoded.append(np.stack([tags, np.full(len(one), 0.9)]).astype(np.float32))
    said = task.gathered(decoded, windows, dataset)
    assert said[0].spans == tuple(Span(*span) for span in spans)
    assert all(text[s.start : s.end] == s.text for s in said[0].spans)
    assert said[0].confidences == pytest.approx([0.9] * len(spans))
    assert task.compared(said).shape == (2, 1)


def test_a_word_in_two_windows_is_read_far_from_their_ends():
    task = TokenClassification(("X",), scheme="IO")
    words = ((0, 1), (2, 3), (4, 5), (6, 7))
    left, right = window([(0, 1), (2, 3), (4, 5)]), window([(2, 3), (4, 5), (6, 7)])
    one, none = 1.0, 0.0
    # word 1 is in the middle of the left window, word 2 in the middle of the right one
    said = task.tagged(
        "a b c d",
        words,
        [(left, np.array([[none, one, none], [0.9] * 3])), (right, np.array([[none, one, none], [0.9] * 3]))],
    )
    assert [(s.start, s.end) for s in said.spans] == [(2, 5)]


def test_decoding_gives_the_best_tag_and_its_probability():
    outputs = torch.tensor([[[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]])
    found = TokenClassification(("X",)).decode(outputs)
    assert found.shape == (1, 2, 2)
    assert found[0, 0].tolist() == [1, 0]
    assert found[0, 1, 0].item() == pytest.approx(np.exp(2) / (np.exp(2) + 2))


def test_the_scheme_is_kept():
    task = TokenClassification(("A", "B"), scheme="IOBES")
    assert task.rows == 9
    again = TokenClassification.restore(("A", "B"), task.state())
    assert again.tags == task.tags
