"""Ask 26: out of memory. The probe runs optimiser and evaluation too; the batch that counts stays the same; work goes on."""

import copy
import gc
import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.preprocessing import Preprocessing
from headstart.errors import OutOfMemory
from headstart.progress import SILENT, Progress
from headstart.sources.source import Layer
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.terms.term import Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model
from headstart.training import update
from headstart.training.device import accelerator
from headstart.training.finetune import predict_batches
from headstart.training.fit_memory import fit_memory
from headstart.training.loop import train
from headstart.training.memory_use import _group_rooms, available_bytes, peak_memory
from headstart.training.objective import bind
from headstart.training.optim import Optimisation
from headstart.training.update import Pieces, batch_gradient, is_out_of_memory

CPU = torch.device("cpu")
MB = 2**20


class Ceiling(nn.Module):
    """Raises as a GPU does above a number of images, in training, in evaluation, or from the k-th call on only."""

    def __init__(self, train=10**9, evaluate=10**9, after=0):
        super().__init__()
        self.most, self.after, self.calls = {True: train, False: evaluate}, after, 0

    def forward(self, x):
        self.calls += 1
        if len(x) > self.most[self.training] and self.calls > self.after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return x


class Lines(Progress):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def problem(n=48):
    rng = np.random.default_rng(0)
    labels = torch.tensor(rng.integers(0, 3, n))
    return torch.tensor(rng.normal(0, 1, (n, 3, 6, 6)), dtype=torch.float32) + labels[:, None, None, None] * 0.5, labels


def network(ceiling=None, norm=True, dropout=0.3):
    torch.manual_seed(3)
    body = [
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4) if norm else nn.Identity(),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    ]
    return Model(nn.Sequential(*body, ceiling or nn.Identity()), nn.Linear(16, 3), dropout)


def fit(ceiling=None, micro_batch=None, size=16, progress=SILENT, weights=None, soft=False, folder=None, **options):
    images, labels = problem()
    task = Classification(("a", "b", "c"), class_weights=weights)
    targets = nn.functional.one_hot(labels, 3).float() * 0.9 + 0.1 / 3 if soft else labels
    norm, dropout = options.pop("norm", True), options.pop("dropout", 0.3)
    given = Optimisation(**{"epochs": 2, "lr": 0.01, **options})
    how = parse_strategy("l2sp(weight=0.1)")
    model = network(ceiling, norm, dropout)
    stages = how.tuning.stages([Layer("all", ("0", "1", "2"))])
    objective = bind(how, stages, Start(model, [Layer("all", ("0", "1", "2"))], task, list, CPU, 0))

    def batches(epoch):
        order = torch.randperm(48, generator=torch.Generator().manual_seed(epoch))
        return [Batch(images[i], targets[i], i) for i in order.split(size)]

    return train(
        objective, batches, -(-48 // size), given, device=CPU, seed=0, folder=folder,
        micro_batch=micro_batch, progress=progress,
    )  # fmt: skip


def weights_of(fitted):
    return dict(fitted.model.state_dict())


def assert_bit_equal(a, b):
    for key, value in weights_of(a).items():
        assert torch.equal(value, weights_of(b)[key]), key


@pytest.mark.parametrize("options", [{}, {"optimizer": "sgd"}, {"accumulate": 2}], ids=str)
def test_ask_26_running_out_of_memory_ends_as_a_run_that_began_small(options):
    """Batch norm and dropout included: statistics and random states of the failed attempt are put back."""
    told = Lines()
    broken = fit(Ceiling(train=4), progress=told, **options)
    assert_bit_equal(broken, fit(micro_batch=4, **options))
    assert broken.micro_batch == 4
    assert len(told.lines) == 2  # 16 -> 8 -> 4
    assert "out of memory with 8 images at once; the same step again with 4 at once, 4 pieces" in told.lines[1]


def test_ask_26_out_of_memory_in_a_later_piece_of_a_step():
    """The first pieces' gradients and statistics of the failed attempt must not count twice."""
    broken = fit(Ceiling(train=4, after=1), micro_batch=8, size=48)
    assert_bit_equal(broken, fit(micro_batch=4, size=48))


@pytest.mark.parametrize("fault", ["gradients", "random states"])
def test_ask_26_the_check_sees_a_recovery_that_forgets(monkeypatch, fault):
    if fault == "gradients":
        monkeypatch.setattr(nn.Module, "zero_grad", lambda self, set_to_none=True: None)
    else:
        monkeypatch.setattr(update.Randomness, "restore", lambda self: None)
    with pytest.raises(AssertionError):
        test_ask_26_out_of_memory_in_a_later_piece_of_a_step()


def test_ask_26_shrinking_survives_an_interruption(tmp_path):
    """A run that went on in pieces of 4 goes on so after a restart, where memory might have been enough for more."""
    whole = fit(Ceiling(train=4), folder=tmp_path / "whole", epochs=3)
    fit(Ceiling(train=4), folder=tmp_path / "parts", epochs=3, schedule="constant", warmup=0)
    state = torch.load(tmp_path / "whole" / "last.pt", weights_only=True)
    assert state["micro_batch"] == 4
    (tmp_path / "again").mkdir()
    fit(micro_batch=4, folder=tmp_path / "again", epochs=3)
    assert_bit_equal(whole, fit(folder=tmp_path / "again", epochs=3))


@pytest.mark.parametrize("micro", [1, 3, 4, 7])
@pytest.mark.parametrize("case", ["plain", "class weights", "soft", "accumulate", "class weights, accumulate"])
def test_ask_26_pieces_have_the_gradient_of_the_whole_batch(case, micro):
    images, labels = (t[:18] for t in problem())
    images, model = images.double(), network(norm=False, dropout=0.0).double()
    weights = np.array([0.2, 1.0, 3.0], dtype=np.float32) if "weights" in case else None
    task = Classification(("a", "b", "c"), label_smoothing=0.1, class_weights=weights)
    targets = nn.functional.one_hot(labels, 3).float() * 0.7 + 0.1 if case == "soft" else labels
    how, start = parse_strategy("l2sp(weight=0.1)"), Start(model, [], task, list, CPU, 0)
    objective = bind(how, how.tuning.stages([Layer("all", ("0",))]), start)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1
    parts = objective.losses(Batch(images, targets), 0.0)
    sum(parts.values()).backward()
    whole = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    cut = [0, 8, 16, 18] if "accumulate" in case else [0, 18]  # batches of 8, 8 and 2 that make one update
    window = [Batch(images[a:b], targets[a:b]) for a, b in itertools.pairwise(cut)]
    values = batch_gradient(objective, window, Pieces(micro, print, "test"), accelerator(CPU, "fp32"))
    for p, expected in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(p.grad, expected, rtol=1e-6, atol=1e-6 * expected.abs().max().item())
    assert values == pytest.approx({k: v.item() for k, v in parts.items()}, rel=1e-6)


def test_ask_26_a_halved_batch_without_accumulation_would_be_seen(monkeypatch):
    """EuroEval 69: the batch was halved, accumulation not doubled; planted, the gradient test fails."""
    monkeypatch.setattr(Classification, "mass", lambda self, targets: 1.0)
    with pytest.raises(AssertionError):
        test_ask_26_pieces_have_the_gradient_of_the_whole_batch("plain", 4)


def test_ask_26_nothing_fits():
    with pytest.raises(OutOfMemory, match="one image at a time does not fit in memory in training.*--image-size"):
        fit(Ceiling(train=0))
    assert OutOfMemory.exit_code == 1


def test_ask_26_an_optimiser_that_does_not_fit_is_named(monkeypatch):
    monkeypatch.setattr(torch.optim.AdamW, "step", out_of_memory)
    with pytest.raises(OutOfMemory, match="the optimiser's step does not fit.*got 'adamw'.*--optimizer sgd"):
        fit()


def out_of_memory(*args, **kwargs):
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_other_errors_are_not_taken_for_memory():
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("CUDA out of memory."))

    def wrong():
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        Pieces(None, print, "test").run(8, wrong)


def test_ask_26_evaluation_goes_on_in_smaller_pieces():
    rng = np.random.default_rng(0)
    data = Dataset(
        [rng.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in range(20)],
        np.arange(20) % 3,
        ("a", "b", "c"),
        np.full(20, "test"),
    )
    prep = Preprocessing(size=6, mean=(0.5,) * 3, std=(0.2,) * 3)
    task = Classification(("a", "b", "c"))
    told = Lines()
    model = network(Ceiling(evaluate=5))
    found = predict_batches(model, task, data, prep, CPU, batch_size=16, say=told.say)
    plain = network()
    np.testing.assert_allclose(found, predict_batches(plain, task, data, prep, CPU), atol=1e-6)
    assert len(told.lines) == 2  # 16 -> 8 -> 4


# the probe


def probe(model=None, batch_size=16, available=10**12, margin=0.0, strategy="finetune", **options):
    model = model or network()
    how = parse_strategy(strategy)
    stages = how.tuning.stages([Layer("all", ("0", "1", "2"))])

    def worst(n):
        return Batch(torch.randn(n, 3, 6, 6), torch.arange(n) % 3)

    objective = bind(how, stages, Start(model, [], Classification(("a", "b", "c")), list, CPU, 0))
    return fit_memory(
        objective, Optimisation(epochs=1, lr=0.01, **options), worst, batch_size, device=CPU, available=available, margin=margin,
    )  # fmt: skip


def test_ask_26_the_probe_finds_what_fits_in_training():
    found = probe(network(Ceiling(train=5)))
    assert (found.micro_batch, found.pieces, found.batch_size) == (4, 4, 16)
    assert [(n, fits) for n, _, fits in found.tried] == [(2, True), (4, True), (8, False)]
    assert "16 images an update, 4 pieces of at most 4 images" in found.why
    assert probe().micro_batch == 16


def test_ask_26_the_probe_runs_an_evaluation():
    assert probe(network(Ceiling(evaluate=5))).micro_batch == 4


def test_ask_26_the_probe_runs_the_optimiser(monkeypatch):
    step = torch.optim.AdamW.step
    batch = []

    def noticed(self, *args, **kwargs):
        if batch[-1] > 5:
            out_of_memory()
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", noticed)
    gradient = update.batch_gradient
    monkeypatch.setattr(update, "batch_gradient", lambda *a, **k: (batch.append(len(a[1][0])), gradient(*a, **k))[1])
    assert probe().micro_batch == 4


def test_ask_26_the_probe_runs_a_step_with_the_optimisers_state_in_place():
    """State is made in the first step: what only the second step sees (its forward is the second call) must be tried."""
    found = probe(network(Ceiling(train=5, after=1)))
    assert found.micro_batch == 4


def test_ask_26_a_probe_without_evaluation_or_second_step_would_be_seen(monkeypatch):
    monkeypatch.setattr(Ceiling, "eval", lambda self: self, raising=False)
    monkeypatch.setattr(Ceiling, "train", lambda self, mode=True: nn.Module.train(self, True), raising=False)
    with pytest.raises(AssertionError):
        test_ask_26_the_probe_runs_an_evaluation()


def test_ask_26_the_probe_leaves_nothing_behind():
    model = network()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    probe(model)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_ask_26_nothing_fits_in_the_probe():
    with pytest.raises(OutOfMemory, match="one image at a time does not fit in memory in the memory probe"):
        probe(network(Ceiling(train=0)))


class Wide(nn.Module):
    """Keeps ``mb`` megabytes an image for the backward pass."""

    def __init__(self, mb):
        super().__init__()
        self.numbers = int(mb * MB) // 4

    def forward(self, x):
        return (x.mean(1, keepdim=True).expand(-1, self.numbers) * 1.0).square().mean(1, keepdim=True) + x


def alone(body):
    """Run code, with this module as ``t``, in a process of its own: from one that has lived long, the kernel takes file
    pages back while a test measures, and what a test holds is lost in what others freed."""
    code = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("tests_of_memory", {__file__!r})
t = importlib.util.module_from_spec(spec)
spec.loader.exec_module(t)
t.torch.set_num_threads(1)
{body}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_the_probes_peak():
    """20 MB an image is what each tensor takes; at the peak there are four to six (product, square, gradients)."""
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(108, 16), Wide(20)), nn.Linear(16, 3))
    found = probe(model, batch_size=32, available=600 * MB)
    peaks = {n: peak for n, peak, _ in found.tried}
    assert 3 * 20 * 4 * MB <= peaks[4] <= 7 * 20 * 4 * MB, peaks
    assert found.micro_batch == 4 and found.pieces == 8
    assert found.peak_bytes == peaks[4] <= found.available_bytes == 600 * MB
    assert [(n, fits) for n, _, fits in found.tried] == [(2, True), (4, True), (8, False)], "8 is foreseen, not tried"
    assert probe(model, batch_size=32, available=600 * MB, margin=0.5).micro_batch == 2


def test_ask_26_on_a_cpu_the_peak_is_measured_against_what_there_is():
    alone("t.check_the_probes_peak()")


def check_the_peak(how):
    gc.collect()
    with peak_memory(CPU) as first:
        pass
    with peak_memory(CPU) as peak:
        held = torch.ones(100 * MB // 4).sum().item()
    assert held and how in peak.how
    assert 90 * MB <= peak.bytes - first.bytes <= 140 * MB, (first, peak)


def test_the_peak_of_a_process_is_that_of_what_ran_inside():
    alone("""
t.check_the_peak("high-water")
import headstart.training.memory_use as m
m._reset_high_water = lambda: False
t.check_the_peak("samples")
""")


def test_available_memory_heeds_the_control_groups(tmp_path):
    assert available_bytes(CPU) > 0
    own = tmp_path / "cgroup"
    own.write_text("4:memory:/host/job\n0::/slice/job\n")
    v1, v2 = tmp_path / "memory", tmp_path / "slice" / "job"
    v1.mkdir(), v2.mkdir(parents=True)
    (v1 / "memory.limit_in_bytes").write_text("1000\n")
    (v1 / "memory.usage_in_bytes").write_text("700\n")
    (v1 / "memory.stat").write_text("cache 5\ntotal_inactive_file 200\n")
    (v2 / "memory.max").write_text("max\n")
    (v2 / "memory.current").write_text("10\n")
    (v2.parent / "memory.max").write_text("90\n")
    (v2.parent / "memory.current").write_text("60\n")
    assert sorted(_group_rooms(own, tmp_path)) == [30, 500]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits its own address space")
def test_ask_26_a_real_allocation_failure_on_a_cpu_is_survived():
    """A process that may not take more than 350 MB more: 16 images at 20 MB a tensor fail, fewer go through."""
    told = alone("""
import resource
t.fit(t.Wide(0.1), epochs=1)  # whatever is allocated once
size = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + 350 * t.MB, size + 350 * t.MB))
told = t.Lines()
found = t.fit(t.Wide(20), epochs=1, progress=told)
print(found.micro_batch, len(told.lines))
""")
    micro, lines = map(int, told.split())
    assert micro < 16 and 2 ** (4 - lines) == micro
