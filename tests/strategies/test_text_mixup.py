"""Mixup of texts: sentence vectors and labels are mixed alike, by hand; texts themselves stay whole."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.errors import HandshakeError
from headstart.strategies.procedures.standard import Standard
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model
from headstart.training.finetune import Feeding, set_up
from headstart.training.transfer import Settings, task_of

_spec = importlib.util.spec_from_file_location("text_problem", Path(__file__).with_name("text_problem.py"))
problem = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(problem)
DATA = problem.sentences(12)


def test_the_loss_is_that_of_mixed_vectors_and_labels_written_out():
    torch.manual_seed(0)
    task, x, labels, lam = Classification(("a", "b", "c")), torch.randn(4, 6), torch.tensor([0, 2, 1, 1]), 0.3
    model = Model(nn.Linear(6, 5), nn.Linear(5, 3))
    batch = Batch(x, torch.eye(3)[labels], torch.arange(4), mixing=torch.full((4,), lam))
    found = Standard().losses(model, task, batch, {}, None, 0.0)["loss"]
    features, total = model.backbone(x), torch.zeros(())
    for i in range(4):
        j = (i - 1) % 4
        logits = model.head(lam * features[i] + (1 - lam) * features[j])
        log = logits.log_softmax(0)
        total = total - lam * log[labels[i]] - (1 - lam) * log[labels[j]]
    torch.testing.assert_close(found, total / 4)
    plain = Standard().losses(model, task, Batch(x, labels, torch.arange(4)), {}, None, 0.0)["loss"]
    alone = Batch(x, torch.eye(3)[labels], torch.arange(4), mixing=torch.ones(4))
    torch.testing.assert_close(Standard().losses(model, task, alone, {}, None, 0.0)["loss"], plain)
    assert (found - plain).abs() > 1e-3


def course(home, **feeding):
    source = problem.tiny(home / "bert")
    return set_up(
        source, source.build(), problem.parse_strategy("finetune"), task_of(DATA, Settings()), DATA, Feeding(batch_size=6, **feeding),
        pretrained=False, device=torch.device("cpu"), seed=0,
    )  # fmt: skip


def test_batches_of_texts_carry_their_share_and_whole_tokens(tmp_path):
    mixed, plain = list(course(tmp_path, mixup=0.4).batches(0)), list(course(tmp_path).batches(0))
    for a, b in zip(mixed, plain, strict=True):
        assert torch.equal(a.inputs, b.inputs) and a.inputs.dtype == torch.int64
        assert torch.equal(a.targets.argmax(1), b.targets) and b.mixing is None
        assert a.mixing.shape == (len(a),) and 0 <= a.mixing[0] <= 1 and (a.mixing == a.mixing[0]).all()
    assert mixed[0].mixing[0] != mixed[1].mixing[0]
    halves = mixed[0].split(2)
    assert [len(half.mixing) for half in halves] == [3, 3]


def test_texts_train_with_mixup_and_refuse_cutmix_and_terms_that_need_one_label(tmp_path):
    source = problem.tiny(tmp_path / "bert")
    moved = problem.move(source, "finetune", DATA, feeding=Feeding(batch_size=6, mixup=0.2))
    assert torch.isfinite(moved.head[0]).all()
    with pytest.raises(HandshakeError, match="CutMix pastes a part of one image.*--mixup"):
        problem.move(source, "finetune", DATA, feeding=Feeding(batch_size=6, cutmix=0.2))
    with pytest.raises(HandshakeError, match="needs one label"):
        problem.move(source, "finetune+contrastive", DATA, feeding=Feeding(batch_size=6, mixup=0.2))
