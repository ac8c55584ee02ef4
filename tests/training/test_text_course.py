"""What the loop is given of texts: varied batches, views of unlabelled texts beside them, and nothing that judges the model."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.data.dataset import Dataset
from headstart.data.text_preprocessing import padded
from headstart.errors import HandshakeError
from headstart.progress import Progress
from headstart.sources import load_source
from headstart.strategies.grammar import parse_strategy
from headstart.tasks.classification import Classification
from headstart.training.finetune import Feeding, finetune, set_up
from headstart.training.optim import Optimisation

_spec = importlib.util.spec_from_file_location("tiny_texts", Path(__file__).parents[1] / "tiny_texts.py")
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)
CPU = torch.device("cpu")
CLASSES = ("no", "yes")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return load_source(str(tiny.save_bert(tmp_path_factory.mktemp("bert"))))


def labelled(texts):
    codes = np.arange(len(texts)) % 2
    return Dataset(texts, codes, CLASSES, np.full(len(texts), "train"), modality="text")


def course(source, feeding, strategy="finetune"):
    texts, _ = tiny.reviews(20, 0)
    return set_up(
        source, source.build(), parse_strategy(strategy), Classification(CLASSES), labelled(texts), feeding, pretrained=True, device=CPU, seed=0
    )  # fmt: skip


def test_views_of_unlabelled_texts_come_beside_each_batch(source):
    more = Dataset(tiny.reviews(9, 1)[0], None, (), np.full(9, ""), modality="text")
    made = course(source, Feeding(batch_size=8, unlabelled=more, augment="light"), "finetune+fixmatch(threshold=0)")
    batches = list(made.batches(0))
    assert [len(batch) for batch in batches] == [8, 8, 4] and [len(batch.weak) for batch in batches] == [8, 8, 4]
    assert all(len(batch.strong) == len(batch.weak) and batch.weak.dtype == torch.int64 for batch in batches)
    twin = padded([batches[0].weak, batches[0].strong])
    assert not torch.equal(twin[:8], twin[8:])
    again = list(made.batches(0))
    assert all(
        torch.equal(a.strong, b.strong) and torch.equal(a.inputs, b.inputs) for a, b in zip(batches, again, strict=True)
    )
    plain = list(course(source, Feeding(batch_size=8, augment="none")).batches(0))
    # the same texts in the same order; what is done to them differs
    assert all(torch.equal(a.index, b.index) for a, b in zip(batches, plain, strict=True))
    assert not torch.equal(padded([b.inputs for b in batches]), padded([b.inputs for b in plain]))


def test_copies_come_several_times_each_varied_by_itself(source):
    batch = next(course(source, Feeding(batch_size=8, repeats=2, augment={"delete": 0.4})).batches(0))
    pairs = [torch.nonzero(batch.index == i).flatten() for i in batch.index.unique()]
    assert all(len(pair) == 2 for pair in pairs) and len(pairs) == 4
    assert any(not torch.equal(batch.inputs[a], batch.inputs[b]) for a, b in pairs)
    with pytest.raises(HandshakeError, match="but nothing is augmented"):
        course(source, Feeding(batch_size=8, repeats=2))


def test_no_copy_of_a_training_text_says_what_a_validation_text_says(source):
    """The planted leak: every validation text is a training text but for one word."""
    told: list[str] = []

    class Told(Progress):
        def say(self, text):
            told.append(text)

    train, valid = (
        labelled(["lovely film", "awful meal"] * 6),
        labelled(["Lovely!", "film", "awful", "a meal", "meal", "dull"]),
    )
    seen: list[str] = []
    prep = type(source.preprocessing)
    plain = prep.__call__

    def listens(self, texts):
        seen.extend(texts)
        return plain(self, texts)

    for augment in ("none", {"delete": 0.5}):
        seen.clear()
        told.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(prep, "__call__", listens)
            finetune(
                source, source.build(), parse_strategy("finetune"), Classification(CLASSES), train, valid, Feeding(batch_size=6, augment=augment),
                Optimisation(2, 1e-4), pretrained=True, device=CPU, seed=0, score=lambda p, y: {"accuracy": 0.0, "loss": 1.0}, metric="accuracy",
                progress=Told(),
            )  # fmt: skip
        copies = [text for text in seen if text not in valid.inputs]
        assert set(copies) == {"lovely film", "awful meal"} and len(copies) == 24
        note = [line for line in told if "augmented copies would have said what a validation or test text says" in line]
        assert len(note) == (augment != "none")
