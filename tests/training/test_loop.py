"""The loop: the same seed gives the same weights, interruption changes nothing, frozen stays bit-equal, terms act."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.errors import Diverged
from headstart.progress import SILENT
from headstart.sources.source import Layer
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.terms.term import Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model
from headstart.training import checkpoint, loop
from headstart.training.loop import train
from headstart.training.objective import Objective, bind
from headstart.training.optim import Optimisation

LAYERS = [Layer("one", ("0", "1")), Layer("two", ("3",))]
TASK = Classification(("a", "b"))


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 24)
    images = rng.normal(0, 1, (24, 3, 6, 6)) + labels[:, None, None, None] * 0.8
    return torch.tensor(images, dtype=torch.float32), torch.tensor(labels)


def run(strategy="finetune", epochs=4, folder=None, stop_after=None, valid=True, **options):
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    how = parse_strategy(strategy)
    stages = how.tuning.stages(LAYERS)
    model = Model(net, TASK.head(4), dropout=0.2)
    objective = bind(how, stages, Start(model, LAYERS, TASK, list, torch.device("cpu"), 0))
    start = {k: v.clone() for k, v in net.state_dict().items()}
    images, labels = problem()

    def batches(epoch):
        order = torch.randperm(24, generator=torch.Generator().manual_seed(epoch))
        return [Batch(images[i], labels[i], i) for i in order.split(8)]

    def validate(m):
        with torch.no_grad():
            out = m(images)
        return {"accuracy": (out.argmax(1) == labels).float().mean().item(), "loss": TASK.loss(out, labels).item()}

    def stop(row):
        if row["epoch"] == stop_after:
            raise KeyboardInterrupt

    fitted = train(
        objective, batches, 3, Optimisation(epochs=epochs, lr=0.01, **options),
        device=torch.device("cpu"), seed=0, validate=validate if valid else None, folder=folder, progress=SILENT, on_epoch=stop,
    )  # fmt: skip
    return fitted, start


def weights(fitted):
    return {k: v.clone() for k, v in fitted.model.state_dict().items()}


def test_same_seed_same_weights():
    a, b = weights(run()[0]), weights(run()[0])
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("options", [{}, {"optimizer": "sgd", "schedule": "onecycle"}, {"accumulate": 2}])
@pytest.mark.parametrize("stop_after", [1, 3])
def test_interrupted_and_resumed_equals_left_alone(tmp_path, stop_after, options):
    whole, _ = run(folder=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):  # raised after the epoch, before its checkpoint: that epoch is run again
        run(folder=tmp_path / "parts", stop_after=stop_after, **options)
    again, _ = run(folder=tmp_path / "parts", **options)
    a, b = weights(whole), weights(again)
    assert all(torch.equal(a[k], b[k]) for k in a)
    keep = ("epoch", "train_loss", "valid_accuracy", "lr")
    assert [[r[k] for k in keep] for r in whole.history] == [[r[k] for k in keep] for r in again.history]


def test_frozen_backbone_stays_bit_equal():
    fitted, start = run("head")
    assert all(torch.equal(start[k], v) for k, v in fitted.model.backbone.state_dict().items())
    assert fitted.model.head.weight.abs().sum() > 0


def test_last_layer_only():
    fitted, start = run("last(1)")
    changed = {k for k, v in fitted.model.backbone.state_dict().items() if not torch.equal(start[k], v)}
    assert changed == {"3.weight", "3.bias"}


def test_l2sp_acts_and_its_value_is_in_the_history():
    plain, start = run()
    held, _ = run("l2sp(weight=3)")

    def way(fitted):
        return sum((v - start[k]).square().sum().item() for k, v in fitted.model.backbone.named_parameters())

    assert way(held) < 0.5 * way(plain)
    assert held.history[-1]["l2sp"] > 0


def test_best_epoch_is_kept_by_validation_score(tmp_path):
    fitted, _ = run(epochs=6)
    best = max(fitted.history, key=lambda r: (r["valid_accuracy"], -r["valid_loss"]))
    assert fitted.best_epoch == best["epoch"]
    assert "best validation accuracy" in fitted.criterion
    last, _ = run(epochs=6, valid=False)
    assert last.best_epoch == 6
    assert "no validation images" in last.criterion


def test_ask28_best_and_last_are_always_there(tmp_path):
    run(folder=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.safetensors", "last.pt"]


def test_early_stopping_after_patience():
    fitted, _ = run(epochs=30, patience=2)
    assert fitted.stopped_early
    assert len(fitted.history) == fitted.best_epoch + 2


def test_accumulating_equals_one_large_batch():
    """Two batches of 4 added up give the step of one batch of 8 (no dropout, no batch norm in the way)."""
    images, labels = problem()

    def fit(size, accumulate):
        torch.manual_seed(0)
        model = Model(nn.Sequential(nn.Flatten(), nn.Linear(108, 4)), TASK.head(4))
        how, start = parse_strategy("finetune"), Start(model, [], TASK, list, torch.device("cpu"), 0)
        pieces = [Batch(a, b) for a, b in zip(images.split(size), labels.split(size), strict=True)]
        return train(
            bind(how, how.tuning.stages([Layer("l", ("1",))]), start), lambda e: pieces, len(pieces),
            Optimisation(epochs=2, lr=0.01, optimizer="sgd", accumulate=accumulate, grad_clip=None),
            device=torch.device("cpu"), seed=0, progress=SILENT,
        ).model  # fmt: skip

    one, two = fit(8, 1), fit(4, 2)
    torch.testing.assert_close(one.head.weight, two.head.weight)
    torch.testing.assert_close(one.backbone[1].weight, two.backbone[1].weight)


def test_a_loss_that_is_not_finite_stops_with_advice():
    with pytest.raises(Diverged, match="no longer a finite number in training, epoch 1.*--lr"):
        run(optimizer="sgd", grad_clip=None, momentum=0.0, head_lr_scale=1e38)


@pytest.mark.parametrize(("share", "saves"), [(float("inf"), [1, 2, 3, 4, 5, 6]), (0.5, [1, 3, 5, 6]), (1e-9, [1, 6])])
def test_checkpoints_take_at_most_their_share_of_the_time(tmp_path, monkeypatch, share, saves):
    """An epoch takes 10 s and a checkpoint 8 s on a clock turned by hand: at a half, 16 s lie between two of them."""
    now, written, save = [0.0], [], checkpoint.save_last

    def slowly(folder, state):
        written.append(state["epoch"])
        now[0] += 8
        save(folder, state)

    monkeypatch.setattr(loop, "SAVE_SHARE", share)
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now[0] + 1e-3))
    monkeypatch.setattr(checkpoint, "save_last", slowly)
    begin = Objective.begin
    monkeypatch.setattr(
        Objective, "begin", lambda self, progress: (now.__setitem__(0, now[0] + 10), begin(self, progress))[1]
    )
    fitted, _ = run(folder=tmp_path, epochs=6)
    assert written == saves
    best = checkpoint.load_best(tmp_path)
    assert all(torch.equal(v, best[k]) for k, v in fitted.model.state_dict().items())


def test_a_resume_after_an_epoch_that_was_not_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SHARE", 1e-9)
    whole, _ = run(epochs=5)
    with pytest.raises(KeyboardInterrupt):
        run(epochs=5, folder=tmp_path, stop_after=4)
    assert checkpoint.load_last(tmp_path)["epoch"] == 1
    a, b = weights(whole), weights(run(epochs=5, folder=tmp_path)[0])
    assert all(torch.equal(a[k], b[k]) for k in a)
