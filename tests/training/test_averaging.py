"""EMA and SWA against recursions by hand; batch-norm statistics; the words of the option."""

import pytest
import torch
from torch import nn

from headstart.errors import RecipeError
from headstart.tasks.task import Model
from headstart.training.averaging import Average, Averager, parse_average, refresh_batch_norm


def walk(how, updates=10):
    """Move one weight along 1, 4, 9, ... and average."""
    model = Model(nn.Identity(), nn.Linear(1, 1, bias=False))
    averager = Averager(how, model, updates)
    path = []
    for i in range(updates):
        with torch.no_grad():
            model.head.weight.fill_((i + 1.0) ** 2)
        path.append((i + 1.0) ** 2)
        averager.after(i, model)
    return averager, path


def test_ema_is_the_recursion_from_the_first_update_on():
    averager, path = walk(Average("ema", 0.3))  # reached at t = 3: 4 / 13 > 0.3
    m = path[0]
    for t, theta in enumerate(path[1:], 1):
        d = min(0.3, (1 + t) / (10 + t))
        m = d * m + (1 - d) * theta
    assert averager.model.head.weight.item() == pytest.approx(m, rel=1e-6)
    assert averager.count == 10


def test_swa_is_the_mean_of_the_last_quarter():
    averager, path = walk(Average("swa", 0.25))
    assert averager.count == 3  # updates 7, 8, 9 of 0..9
    assert averager.model.head.weight.item() == pytest.approx(sum(path[7:]) / 3, rel=1e-6)
    assert [averager.held(i) for i in (0, 6, 7, 9)] == [0, 6, 7, 7]
    assert walk(Average("ema", 0.8))[0].held(9) == 9


def test_there_is_always_one_update_in_the_average():
    assert walk(Average("swa", 0.01), updates=3)[0].count == 1


def test_the_state_goes_on_where_it_was():
    whole, path = walk(Average("ema", 0.7))
    half = Averager(Average("ema", 0.7), Model(nn.Identity(), nn.Linear(1, 1, bias=False)), 10)
    model = Model(nn.Identity(), nn.Linear(1, 1, bias=False))
    for i, theta in enumerate(path):
        if i == 4:
            again = Averager(Average("ema", 0.7), Model(nn.Identity(), nn.Linear(1, 1, bias=False)), 10)
            again.load_state_dict(half.state_dict())
            half = again
        with torch.no_grad():
            model.head.weight.fill_(theta)
        half.after(i, model)
    assert torch.equal(half.model.head.weight, whole.model.head.weight)


def test_swa_of_a_longer_training_begins_anew_and_ema_goes_on():
    for kind, count in (("swa", 0), ("ema", 10)):
        done, _ = walk(Average(kind, 0.25))
        longer = Averager(Average(kind, 0.25), Model(nn.Identity(), nn.Linear(1, 1, bias=False)), 40)
        longer.load_state_dict(done.state_dict())
        assert longer.count == count


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5))


def test_refreshed_statistics_are_torchs_own():
    torch.manual_seed(1)
    images = [torch.randn(6, 3, 8, 8) for _ in range(4)]
    one, two = network().train(), network().train()
    for net in (one, two):
        net(images[0] + 3)  # statistics of something else, to be forgotten
    torch.optim.swa_utils.update_bn(images, one)
    assert refresh_batch_norm(two, images, two.modules()) == 2
    for a, b in zip(one.buffers(), two.buffers(), strict=True):
        assert torch.equal(a, b)
    assert not two.training and not two[1].training and two[1].momentum == 0.1
    first = images[0]
    with torch.no_grad():
        by_hand = torch.stack([two[0](x).mean((0, 2, 3)) for x in images]).mean(0)
    torch.testing.assert_close(two[1].running_mean, by_hand)
    assert first.shape == (6, 3, 8, 8)


def test_frozen_statistics_stay():
    net = network()
    before = net[1].running_mean.clone(), net[1].running_var.clone()
    assert refresh_batch_norm(net, [torch.randn(6, 3, 8, 8) + 2], net[3:].modules()) == 1
    assert torch.equal(net[1].running_mean, before[0]) and torch.equal(net[1].running_var, before[1])
    assert net[4].running_mean.abs().sum() > 0
    assert refresh_batch_norm(nn.Linear(2, 2), [], []) == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [("ema", Average("ema", 0.99)), ("ema(0.9)", Average("ema", 0.9)), ("swa( 0.5 )", Average("swa", 0.5))],
)
def test_words(text, found):
    assert parse_average(text) == found
    assert parse_average(str(found)) == found


@pytest.mark.parametrize("text", ["emma", "ema(1)", "swa(0)", "ema()", "swa(1e)", "swa(-0.5)"])
def test_other_words_are_refused(text):
    with pytest.raises(RecipeError, match="bad value of average.*allowed.*ema"):
        parse_average(text)
    assert parse_average("none") is None


def trained(average, epochs=4, patience=None, valid=True):
    from headstart.data.batch import Batch
    from headstart.progress import SILENT
    from headstart.sources.source import Layer
    from headstart.strategies.grammar import parse_strategy
    from headstart.strategies.terms.term import Start
    from headstart.tasks.classification import Classification
    from headstart.training.loop import train
    from headstart.training.objective import bind
    from headstart.training.optim import Optimisation

    torch.manual_seed(3)
    task, layers = Classification(("a", "b")), [Layer("one", ("0", "1"))]
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model, how = Model(net, task.head(4)), parse_strategy("finetune")
    objective = bind(how, how.tuning.stages(layers), Start(model, layers, task, list, torch.device("cpu"), 0))
    images, labels = torch.randn(24, 3, 6, 6) + 0.5, torch.arange(24) % 2

    def batches(epoch):
        return [Batch(images[i], labels[i], i) for i in torch.arange(24).split(8)]

    def validate(m):
        with torch.no_grad():
            out = m(images)
        return {"accuracy": 0.5, "loss": task.loss(out, labels).item()}

    fitted = train(
        objective, batches, 3, Optimisation(epochs=epochs, lr=0.05, average=average, patience=patience),
        device=torch.device("cpu"), seed=0, validate=validate if valid else None, progress=SILENT,
    )  # fmt: skip
    return fitted, images


def test_in_the_loop_the_average_is_validated_and_its_batch_norms_are_its_own():
    fitted, images = trained("ema(0.8)")
    assert "ema(0.8) of the weights" in fitted.criterion
    net = fitted.model.backbone
    with torch.no_grad():
        seen = torch.stack([net[0](part).mean((0, 2, 3)) for part in images.split(8)]).mean(0)
    torch.testing.assert_close(net[1].running_mean, seen, rtol=1e-4, atol=1e-5)
    plain, _ = trained("none")
    with torch.no_grad():
        lag = torch.stack([plain.model.backbone[0](part).mean((0, 2, 3)) for part in images.split(8)]).mean(0)
    assert not torch.allclose(plain.model.backbone[1].running_mean, lag, atol=1e-3)  # the fault that this would catch


@pytest.mark.parametrize("average", ["swa(0.5)", "ema(0.7)"])
def test_in_the_loop_it_is_the_average_of_what_the_updates_left(monkeypatch, average):
    from headstart.training import update

    path, step = [], update.apply_gradient

    def watched(optimizer, objective, *rest):
        step(optimizer, objective, *rest)
        path.append(objective.model.head.weight.detach().clone())

    monkeypatch.setattr(update, "apply_gradient", watched)
    fitted, _ = trained(average, epochs=6, valid=False)
    assert len(path) == 18
    by_hand = torch.stack(path[9:]).mean(0) if average.startswith("swa") else path[0]
    if average.startswith("ema"):
        for t, weights in enumerate(path[1:], 1):
            d = min(0.7, (1 + t) / (10 + t))
            by_hand = d * by_hand + (1 - d) * weights
    torch.testing.assert_close(fitted.model.head.weight, by_hand)
    rates = [row["lr"] for row in fitted.history]
    assert (rates[3] == rates[4] == rates[5]) == average.startswith("swa")


def test_early_stopping_waits_for_the_average():
    fitted, _ = trained("swa(0.25)", epochs=12, patience=1)
    assert len(fitted.history) > 9 and fitted.best_epoch > 9  # an epoch before the average is not what was asked for
    assert "swa(0.25) of the weights" in fitted.criterion
