"""Ask 7: two processes train as one, and unfreezing works under it (lightning #20340, #17212; rf-detr #1093).

The two are forked from one small process, so that torch is imported once; they meet by gloo through a file.
"""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import peft  # before the fork: imported once
import torch, torch.distributed as dist
from torch import nn
from headstart.data.batch import Batch
from headstart.progress import SILENT
from headstart.sources.source import Layer
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.terms.term import Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model
from headstart.training.loop import train
from headstart.training.objective import bind, unbind
from headstart.training.optim import Optimisation

TASK = Classification(("a", "b", "c"), class_weights=torch.tensor([1.0, 2.0, 0.5]).numpy())
LAYERS = [Layer("0", ("0", "1")), Layer("1", ("3",)), Layer("2", ("5",))]

def run(strategy, folder=None):
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(64, 6), nn.Tanh()
    )
    how = parse_strategy(strategy)
    start = Start(Model(net, TASK.head(6)), LAYERS, TASK, list, torch.device("cpu"), 0, size=6)
    first = {k: v.flatten().tolist() for k, v in net.state_dict().items() if v.is_floating_point()}
    objective = bind(how, how.tuning.stages(LAYERS), start)
    images = torch.randn(21, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(21) % 3

    def batches(epoch):
        order = torch.randperm(21, generator=torch.Generator().manual_seed(epoch))
        return [Batch(images[i], labels[i], i) for i in order.split(9)]  # 9, 9 and 3: the shares are of unlike size

    def validate(m):
        with torch.no_grad():
            out = m(images)
        return {"accuracy": (out.argmax(1) == labels).float().mean().item(), "loss": TASK.loss(out, labels).item()}

    fitted = train(
        objective, batches, 3, Optimisation(epochs=4, lr=0.02, accumulate=2, patience=9), device=torch.device("cpu"),
        seed=0, validate=validate, folder=folder, progress=SILENT,
    )
    unbind(how, fitted.model)
    return {
        "losses": [row["train_loss"] for row in fitted.history], "valid": [row["valid_loss"] for row in fitted.history],
        "l2sp": [row.get("l2sp", 0.0) for row in fitted.history],
        "start": first,
        "weights": {k: v.flatten().tolist() for k, v in fitted.model.state_dict().items() if v.is_floating_point()},
    }

def one_of_two(rank, folder, strategies):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = [run(strategy, __import__("pathlib").Path(folder) / str(i)) for i, strategy in enumerate(strategies)]
    with open(f"{folder}/two-{rank}.json", "w") as file:
        json.dump(found, file)
    dist.destroy_process_group()

if __name__ == "__main__":
    folder, strategies = sys.argv[1], sys.argv[2:]
    context = torch.multiprocessing.get_context("fork")
    both = [context.Process(target=one_of_two, args=(rank, folder, strategies)) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    with open(f"{folder}/one.json", "w") as file:
        json.dump([run(strategy) for strategy in strategies], file)
    sys.exit(max(process.exitcode for process in both))
"""
STRATEGIES = [
    "finetune(bn=frozen)", "gradual(until=0.75, layer_decay=0.5, bn=frozen)", "last(1)>finetune(bn=frozen)+l2sp", "lora(rank=2)",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), *STRATEGIES],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, [json.loads((folder / f"{name}.json").read_text()) for name in ("one", "two-0", "two-1")]


@pytest.mark.parametrize("i", range(len(STRATEGIES)), ids=STRATEGIES)
def test_two_processes_give_the_losses_and_weights_of_one(runs, i):
    one, first, second = (found[i] for found in runs[1])
    for key in ("losses", "valid", "l2sp"):
        assert first[key] == pytest.approx(one[key], rel=1e-4, abs=1e-6), key
        assert first[key] == second[key], "both processes know the same"
    assert first["weights"] == second["weights"], "the weights do not drift apart"
    for name, values in one["weights"].items():
        assert first["weights"][name] == pytest.approx(values, rel=1e-3, abs=1e-5), name


def test_terms_count_once_whatever_the_number_of_processes(runs):
    assert runs[1][1][2]["l2sp"][-1] > 0


def test_layers_opened_in_the_middle_move_under_two_processes(runs):
    """gradual(until=0.75) of three layers in 4 epochs: each of them has moved at the end, in both processes alike."""
    gradual = runs[1][1][1]
    for name in ("0.weight", "3.weight", "5.weight"):
        assert gradual["weights"][f"backbone.{name}"] != gradual["start"][name]


def test_only_the_first_process_writes(runs):
    folder, _ = runs
    assert sorted(path.name for path in (folder / "0").iterdir()) == ["best.safetensors", "last.pt"]


def test_fit_under_torchrun_is_refused_in_words(monkeypatch, tmp_path):
    import headstart as hs
    from headstart.errors import RecipeError

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        RecipeError, match="fit is one process, and every one of them would write the same run.*got '2'"
    ):
        hs.fit("anything", out=tmp_path / "run")
