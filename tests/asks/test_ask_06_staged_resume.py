"""Ask 6: a staged unfreeze that was interrupted, at whatever stage, resumes and ends in the weights of one that was not.

lightning #6891, #8502, #6551, #21901: the resumed backbone silently stays frozen. Here a stage is a function of the epoch, and
all parameter groups are there from the first step.
"""

import functools

import pytest
import torch
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
from headstart.training.optim import Optimisation, parameter_groups

LAYERS = [Layer(str(i), (str(i),)) for i in range(3)]
TASK = Classification(("a", "b"))
EPOCHS = 6


def set_up(strategy):
    def block(a, b):
        return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())

    torch.manual_seed(3)
    net = nn.Sequential(block(3, 4), block(4, 4), block(4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    how = parse_strategy(strategy)
    start = Start(Model(net, TASK.head(4), 0.1), LAYERS, TASK, list, torch.device("cpu"), 0, size=6)
    return how, bind(how, how.tuning.stages(LAYERS), start)


def run(strategy, folder=None, stop_after=None, watch=None, epochs=EPOCHS, **options):
    how, objective = set_up(strategy)
    net = objective.model.backbone
    images = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    labels = (images.mean((1, 2, 3)) > 0).long()

    def batches(epoch):
        order = torch.randperm(16, generator=torch.Generator().manual_seed(epoch))
        if watch is not None:  # after `begin`: what this epoch trains
            watch.append([i for i in range(3) if any(p.requires_grad for p in net[i].parameters())])
        return [Batch(images[i], labels[i], i) for i in order.split(8)]

    def validate(m):
        with torch.no_grad():
            out = m(images)
        return {"accuracy": (out.argmax(1) == labels).float().mean().item(), "loss": TASK.loss(out, labels).item()}

    def stop(row):
        if row["epoch"] == stop_after:
            raise KeyboardInterrupt

    fitted = train(
        objective, batches, 2, Optimisation(epochs=epochs, lr=0.01, **options), device=torch.device("cpu"), seed=0,
        validate=validate, folder=folder, progress=SILENT, on_epoch=stop,
    )  # fmt: skip
    unbind(how, fitted.model)
    return {key: value.clone() for key, value in fitted.model.state_dict().items()}


@functools.cache
def left_alone(strategy):
    opened = []
    return run(strategy, watch=opened), opened


@pytest.mark.parametrize("stop_after", range(1, EPOCHS + 1))
@pytest.mark.parametrize("strategy", ["gradual(layer_decay=0.5)", "last(1)>last(2)>finetune"])
def test_interrupted_at_each_stage_ends_in_identical_weights(tmp_path, strategy, stop_after):
    whole, opened = left_alone(strategy)
    assert len(set(map(tuple, opened))) >= 3, "there are stages to be interrupted at"
    with pytest.raises(KeyboardInterrupt):  # after the epoch and before its checkpoint: that epoch is run again
        run(strategy, tmp_path, stop_after=stop_after)
    again = []
    resumed = run(strategy, tmp_path, watch=again)
    assert again == opened[stop_after - 1 :]
    assert list(whole) == list(resumed)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.parametrize("strategy", ["lora(rank=2)", "dora(rank=2)", "ia3"])
def test_adapters_resume_too_and_are_merged_at_the_end(tmp_path, strategy):
    whole, _ = left_alone(strategy)
    with pytest.raises(KeyboardInterrupt):
        run(strategy, tmp_path, stop_after=3)
    resumed = run(strategy, tmp_path)
    assert not any("lora" in key or "ia3" in key or "base_layer" in key for key in whole)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.parametrize("strategy", ["gradual", "last(1)>finetune"])
def test_a_layer_that_is_not_open_is_bit_equal_with_its_statistics(tmp_path, strategy):
    _, fresh = set_up(strategy)
    start = {key: value.clone() for key, value in fresh.model.backbone.state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        run(strategy, tmp_path, stop_after=2)
    state = torch.load(tmp_path / "last.pt", weights_only=True)["model"]  # of epoch 1
    for key, value in start.items():
        if key.startswith("0."):
            assert torch.equal(state[f"backbone.{key}"], value), key


def test_a_run_made_longer_closes_no_layer_again(tmp_path):
    opened = []
    run("gradual(until=0.5)", tmp_path)
    run("gradual(until=0.5)", tmp_path, watch=opened, epochs=60)  # epoch 7 of 60 is before the first opening
    assert opened == [[0, 1, 2]] * 54


def test_patience_counts_from_the_last_opening():
    """A score that never improves: with patience 1, training goes on until all layers have been open for an epoch more."""
    _, objective = set_up("gradual(until=0.5)")
    images, labels = torch.randn(8, 3, 6, 6), torch.arange(8) % 2
    fitted = train(
        objective, lambda epoch: [Batch(images, labels)], 1, Optimisation(epochs=12, lr=1e-3, patience=1),
        device=torch.device("cpu"), seed=0, validate=lambda m: {"accuracy": 0.5, "loss": 1.0}, progress=SILENT,
    )  # fmt: skip
    # layers open after 2/12, 4/12 and 6/12 of the epochs: the last one in epoch 7, which resets the count
    assert fitted.stopped_early
    assert len(fitted.history) == 7


def test_rates_by_hand_from_depth():
    _, objective = set_up("gradual(layer_decay=0.5)")
    groups = parameter_groups(objective, Optimisation(epochs=6, lr=0.008, weight_decay=0.1))
    assert {g["name"]: round(g["lr"], 9) for g in groups if "(" not in g["name"]} == {
        "0": 0.002, "1": 0.004, "2": 0.008, "head": 0.08,
    }  # fmt: skip
    assert sum(len(g["params"]) for g in groups) == len(list(objective.model.parameters()))


@pytest.mark.parametrize("strategy", ["ia3", "dora(rank=2)"])
def test_vectors_of_adapters_are_not_decayed(strategy):
    _, objective = set_up(strategy)
    groups = parameter_groups(objective, Optimisation(epochs=6, lr=0.001, weight_decay=0.1))
    names = {id(p): name for name, p in objective.model.named_parameters()}
    decayed = {names[id(p)] for g in groups if g["weight_decay"] for p in g["params"]}
    assert decayed - {"head.weight"} == {name for name in names.values() if "lora_A" in name or "lora_B" in name}
    assert {round(g["lr"], 9) for g in groups} == {0.01}, "ten times the rate, as the head"


@pytest.mark.parametrize(("epochs", "fix"), [(1, "--epochs 2"), (2, None)])
def test_layers_that_would_never_open_are_refused(epochs, fix):
    from headstart.errors import HandshakeError
    from headstart.strategies.tuning.tuning import refuse_unopened

    stages = parse_strategy("gradual(until=0.5)").tuning.stages(LAYERS)
    if fix is None:
        refuse_unopened(stages, epochs)
    else:
        with pytest.raises(HandshakeError, match=f"never be unfrozen within the epochs.*{fix} or more"):
            refuse_unopened(stages, epochs)
