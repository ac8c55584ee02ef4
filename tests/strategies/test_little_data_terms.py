"""The terms for wrong labels and unlabelled images, by hand: values, gradients, memory, batch-norm statistics."""

import math

import pytest
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.errors import HandshakeError, RecipeError
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.terms.early_learning import EarlyLearning
from headstart.strategies.terms.small_loss import SmallLoss
from headstart.strategies.terms.term import Seen, Start
from headstart.strategies.terms.unlabelled import FixMatch, PseudoLabel
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model

TASK = Classification(("a", "b", "c"))


def start(norm: bool = False, n: int = 5) -> Start:
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(12, 4)] + ([nn.BatchNorm1d(4)] if norm else [])
    model = Model(nn.Sequential(*layers), nn.Linear(4, 3))
    return Start(model.train(), [], TASK, lambda: iter(()), torch.device("cpu"), 0, None, (), n)


def images(n: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, 3, 2, 2, generator=torch.Generator().manual_seed(seed))


def seen(begun: Start, batch: Batch, progress: float = 0.0, outputs: torch.Tensor | None = None) -> Seen:
    features = begun.model.backbone(batch.inputs)
    return Seen(
        begun.model, batch, features, begun.model.head(features) if outputs is None else outputs, progress, begun
    )


def test_elr_keeps_one_memory_an_image_and_its_value_is_the_formula():
    begun = start()
    penalty = EarlyLearning(weight=2.0, beta=0.5).bind(begun)
    p = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    batch = Batch(images(2), torch.tensor([0, 1]), torch.tensor([3, 0]))
    value = penalty(seen(begun, batch, outputs=p.log()))
    torch.testing.assert_close(penalty.memory[[3, 0]], 0.5 * p)
    assert penalty.memory[[1, 2, 4]].abs().sum() == 0
    by_hand = [math.log(1 - 0.5 * sum(x * x for x in row)) for row in p.tolist()]
    assert value.item() == pytest.approx(2 * sum(by_hand) / 2)
    q = torch.tensor([[0.1, 0.1, 0.8], [0.6, 0.2, 0.2]])
    value = penalty(seen(begun, batch, outputs=q.log()))
    torch.testing.assert_close(penalty.memory[[3, 0]], 0.25 * p + 0.5 * q)
    by_hand = [math.log(1 - x) for x in (q * (0.25 * p + 0.5 * q)).sum(1).tolist()]
    assert value.item() == pytest.approx(sum(by_hand))


def test_elr_takes_the_mean_of_an_image_that_comes_twice_in_a_batch():
    begun = start()
    penalty = EarlyLearning(beta=0.0).bind(begun)
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    penalty(seen(begun, Batch(images(3), torch.tensor([0, 0, 1]), torch.tensor([2, 2, 4])), outputs=p.log()))
    torch.testing.assert_close(penalty.memory[2], torch.tensor([0.4, 0.2, 0.4]))
    torch.testing.assert_close(penalty.memory[4], p[2])


def test_elr_memory_is_in_the_checkpoint():
    penalty = EarlyLearning().bind(start(n=7))
    assert penalty.state_dict()["memory"].shape == (7, 3)


def test_small_loss_takes_exactly_the_worst_images_out_of_the_loss():
    begun = start()
    penalty = SmallLoss(rate=0.4, warmup=0.5).bind(begun)
    targets = torch.tensor([0, 1, 2, 0, 1])
    batch = Batch(images(5), targets, torch.arange(5))
    for progress, left_out in ((0.0, 0), (0.25, 1), (0.5, 2), (0.9, 2)):
        outputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(2), requires_grad=True)
        whole = TASK.loss(outputs, targets)
        value = whole + penalty(seen(begun, batch, progress, outputs))
        each = TASK.each(outputs, targets).detach()
        assert value.item() == pytest.approx(sum(sorted(each.tolist())[: 5 - left_out]) / (5 - left_out), rel=1e-5)
        value.backward()
        still = outputs.grad.abs().sum(1) < 1e-7
        assert still.nonzero().flatten().tolist() == sorted(each.argsort(descending=True)[:left_out].tolist())


def test_fixmatch_by_hand_and_without_gradient_through_the_weak_view():
    begun = start()
    weak, strong = images(4, 2), images(4, 3)
    with torch.no_grad():
        p = torch.softmax(begun.model(weak), 1)
    threshold = float(p.max(1).values.sort().values[1:3].mean())  # two of four are sure
    weak.requires_grad_()
    penalty = FixMatch(weight=0.5, threshold=threshold).bind(begun)
    value = penalty(seen(begun, Batch(images(2), torch.tensor([0, 1]), torch.arange(2), weak, strong)))
    q = torch.softmax(begun.model(strong), 1)
    rows = [-math.log(q[i, p[i].argmax()].item()) for i in range(4) if p[i].max() >= threshold]
    assert len(rows) == 2
    assert value.item() == pytest.approx(0.5 * sum(rows) / 4)
    value.backward()
    assert weak.grad is None
    assert begun.model.head.weight.grad.abs().sum() > 0


def test_fixmatch_where_nothing_is_sure_is_zero():
    begun = start()
    penalty = FixMatch(threshold=0.9999).bind(begun)
    value = penalty(seen(begun, Batch(images(2), torch.tensor([0, 1]), torch.arange(2), images(4, 2), images(4, 3))))
    value.backward()
    assert value.item() == 0.0
    assert begun.model.head.weight.grad.abs().sum() == 0


def test_running_statistics_follow_the_weak_view_and_not_the_strong_one():
    begun = start(norm=True)
    norm = begun.model.backbone[2]
    batch = Batch(images(3), torch.tensor([0, 1, 2]), torch.arange(3), images(4, 2), 50 * images(4, 3))
    looked_at = seen(begun, batch)
    before = norm.running_mean.clone()
    FixMatch(threshold=0.0).bind(begun)(looked_at)
    moved = norm.running_mean.clone()
    with torch.no_grad():
        weak = begun.model.backbone[1](begun.model.backbone[0](batch.weak)).mean(0)
    torch.testing.assert_close(moved, 0.9 * before + 0.1 * weak)
    assert norm.track_running_stats


def test_pseudo_labels_by_hand_with_the_ramp():
    begun = start()
    weak = images(4, 2)
    batch = Batch(images(2), torch.tensor([0, 1]), torch.arange(2), weak)
    penalty = PseudoLabel(weight=2.0, threshold=0.4, warmup=0.5).bind(begun)
    p = torch.softmax(begun.model(weak), 1).detach()
    rows = [-math.log(row.max()) for row in p if row.max() >= 0.4]
    assert len(rows) > 0
    for progress, alpha in ((0.0, 0.0), (0.25, 0.5), (0.8, 1.0)):
        assert penalty(seen(begun, batch, progress)).item() == pytest.approx(alpha * 2 * sum(rows) / 4, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("elr", EarlyLearning()),
        ("finetune+elr(1, beta=0.9)", EarlyLearning(1, 0.9)),
        ("smallloss(0.4)", SmallLoss(rate=0.4)),
        ("finetune+fixmatch(0.5, 0.8)", FixMatch(0.5, 0.8)),
        ("pseudo(threshold=0)", PseudoLabel(threshold=0)),
    ],
)
def test_their_names(text, term):
    strategy = parse_strategy(text)
    assert strategy.terms == (term,)
    assert parse_strategy(strategy.name) == strategy
    assert term.describe()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("elr(beta=1)", "argument 'beta' of 'elr' is out of range in strategy: got 1; allowed: 0 <= beta < 1"),
        ("smallloss(0)", "argument 'rate' of 'smallloss' is out of range"),
        ("smallloss(0.3, warmup=2)", "argument 'warmup' of 'smallloss' is out of range"),
        ("fixmatch(threshold=1)", "argument 'threshold' of 'fixmatch' is out of range"),
        ("fixmatch(ratio=0)", "argument 'ratio' of 'fixmatch' is out of range"),
        ("pseudo(warmup=3)", "argument 'warmup' of 'pseudo' is out of range"),
    ],
)
def test_arguments_that_cannot_act(text, words):
    with pytest.raises(RecipeError, match=words):
        parse_strategy(text)


def test_elr_is_refused_where_several_processes_would_keep_several_memories(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(
        HandshakeError, match="memory of every image, which several processes do not share: got '2 processes'"
    ):
        EarlyLearning().bind(start())
