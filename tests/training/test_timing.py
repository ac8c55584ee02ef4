"""Step times: the parts add up to what training takes, on a clock that the tests turn by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from headstart.data import loader
from headstart.data.dataset import Dataset
from headstart.data.preprocessing import Preprocessing
from headstart.progress import SILENT
from headstart.sources.source import Layer, LoadReport, Source
from headstart.strategies.grammar import parse_strategy
from headstart.tasks.classification import Classification
from headstart.training import checkpoint, loop, timing
from headstart.training.finetune import Feeding, finetune
from headstart.training.optim import Optimisation
from headstart.training.preparing import prepared
from headstart.training.timing import Loading, PhaseTime, StepTimes, measure_phase, measure_times

TASK = Classification(("a", "b", "c"))
PREP = Preprocessing(size=8, mean=(0.5,) * 3, std=(0.2,) * 3)


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now

    def __deepcopy__(self, memo):
        return self  # a copied network runs on the same clock


class Body(nn.Module):
    """Takes 10 ms an image in training, 4 ms in evaluation."""

    def __init__(self, clock):
        super().__init__()
        self.layer, self.clock = nn.Linear(192, 4), clock

    def forward(self, x):
        self.clock.now += len(x) * (0.010 if self.training else 0.004)
        return self.layer(x.flatten(1))


def images(n):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in range(n)]
    digests = np.array([f"{i}" for i in range(n)])
    return Dataset(pictures, np.arange(n) % 3, TASK.classes, np.full(n, "train"), digests=digests)


@pytest.fixture
def clock(monkeypatch):
    """Decoding takes 30 ms an image, a batch 80 ms more, the optimiser 50 ms, a checkpoint 200 ms."""
    clock = Clock()

    def costly(owner, name, seconds):
        real = getattr(owner, name)

        def slower(*args, **kwargs):
            clock.now += seconds
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, slower)

    costly(loader, "read_image", 0.030)
    costly(torch.optim.AdamW, "step", 0.050)
    costly(checkpoint, "_replace", 0.1)
    costly(Preprocessing, "normalize", 0.080)
    monkeypatch.setattr(timing, "time", clock)
    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(loop, "SAVE_SHARE", 0.05)
    return clock


@pytest.mark.parametrize(("n", "epochs", "batch"), [(96, 3, 16), (130, 7, 32), (20, 2, 32)])
@pytest.mark.parametrize("room", [10**9, 64 * 192])  # room for every decoded image, and for 64
def test_the_prediction_is_what_training_takes(clock, monkeypatch, tmp_path, n, epochs, batch, room):
    monkeypatch.setattr("headstart.training.finetune.DECODED_BYTES", room)
    monkeypatch.setattr(timing, "DECODED_BYTES", room)
    train_set, valid_set = images(n), images(40)
    how, options = parse_strategy("finetune"), Optimisation(epochs=epochs, lr=0.01)
    feeding = Feeding(batch_size=batch, workers=1)
    body = Body(clock)
    source = Source(
        "a", "", "", {}, body, PREP, [Layer("all", ("layer",))], 4, "", "", "", LoadReport(0, (), (), 0), lambda: body
    )
    args = (how, TASK, train_set, valid_set, feeding, options)
    before = {k: v.clone() for k, v in body.state_dict().items()}
    times = measure_times(source, *args, pretrained=True, device=torch.device("cpu"), seed=0, steps=2)
    assert all(torch.equal(v, before[k]) for k, v in body.state_dict().items())
    predicted = times.training(epochs, n, 40)
    start = clock.now
    finetune(
        source, body, *args, pretrained=True, device=torch.device("cpu"), seed=0, metric="accuracy", folder=tmp_path, progress=SILENT,
        score=lambda p, y: {"accuracy": float((p.argmax(1) == y).mean()), "loss": 1.0},
    )  # fmt: skip
    actual = clock.now - start
    assert predicted == pytest.approx(actual, rel=0.05), times


@pytest.mark.parametrize("n", [24, 64])
def test_the_prediction_is_what_a_phase_before_the_strategy_takes(clock, tmp_path, n):
    body, data = Body(clock), images(n)
    source = Source(
        "a", "", "", {}, body, PREP, [Layer("all", ("layer",))], 4, "", "", "", LoadReport(0, (), (), 0), lambda: body
    )
    phase, given = parse_strategy("setfit(batch_size=8)").before[0], {"device": torch.device("cpu"), "seed": 0}
    state = torch.get_rng_state()
    found = measure_phase(source, phase, data, None, steps=2, **given)
    assert torch.equal(torch.get_rng_state(), state)
    start = clock.now
    _, told = prepared(source, phase, data, None, folder=tmp_path, progress=SILENT, **given)
    assert found.steps * found.epochs == told["steps"], "the very course"
    assert found.seconds == pytest.approx(clock.now - start, rel=0.05), found
    assert PhaseTime("x", 0.25, 0.05, 0.6, steps=4, epochs=12, peak_bytes=0).seconds == pytest.approx(
        14.4 + 3 * 0.6  # a checkpoint after the first pass of 1.2 s, one after every tenth, one at the end
    )


def test_the_parts_by_hand(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SHARE", 0.05)
    times = StepTimes(2.0, 0.1, Loading(0.5, 0.25, 100), Loading(0.4, 0.05, 100), 3.0, 32, 1)
    # 70 / 32 updates, 70 images, 10 evaluated, a checkpoint; the first epoch decodes
    first, later = 70 / 32 * 2 + 70 * 0.5 + 10 * (0.1 + 0.4), 70 / 32 * 2 + 70 * 0.25 + 10 * (0.1 + 0.05)
    # a checkpoint of 3 s at most every 60 s of work: after the first epoch, after every third one (later is 23 s), at the end
    assert [round((times.training(e, 70, 10) - first - (e - 1) * later) / 3) for e in range(1, 9)] == [
        1,
        2,
        2,
        2,
        3,
        3,
        3,
        4,
    ]
    swept = times.training(2, 70, 10, find_lr=True) - times.training(2, 70, 10)
    assert swept == pytest.approx(0.75 * 3 * 40 * (2.0 + 32 * 0.25))
    assert Loading(0.5, 0.25, 100).epochs(8, room=400) == (4.0, 4 * 0.25 + 4 * 0.5)


@pytest.mark.parametrize("seconds", [1, 60, 100, 250, 1000])
def test_the_epochs_that_fit_do_fit(seconds):
    times = StepTimes(2.0, 0.1, Loading(0.5, 0.25, 100), Loading(0.5, 0.05, 100), 3.0, 32, 1)
    epochs = times.epochs_within(seconds, 70, 10)
    assert epochs == 0 or times.training(epochs, 70, 10) <= seconds
    assert times.training(epochs + 1, 70, 10) > seconds
