"""Partial, open-set, few labels, weights: each term against a fact of its own, and faults that the facts catch."""

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import cross_entropy

from headstart.adapters import BBSE, KMM, ConditionalWeights
from headstart.data.batch import Batch
from headstart.errors import HandshakeError, RecipeError
from headstart.functional.domain_classifier import domain_loss as right
from headstart.functional.gradient_reversal import adversarial_schedule
from headstart.functional.open_set import boundary_loss
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import WORDS, handshake
from headstart.strategies.procedures.procedure import Procedure, task_loss
from headstart.strategies.terms import adversary, iwan, mme, osbp, pada
from headstart.strategies.terms.term import Start
from headstart.strategies.terms.weights import reweighters
from headstart.tasks.classification import Classification
from headstart.tasks.open_set import OpenSet
from headstart.tasks.regression import Regression
from headstart.tasks.task import Model

N, U, CPU = 40, 30, torch.device("cpu")
FACTS = (
    set(WORDS)
    - Classification.gives
    - {"trainable_backbone", "frozen_backbone", "pretrained_backbone", "unknown_output"}
)


def rows():
    rng = np.random.default_rng(0)
    y = np.arange(N) % 3
    X = rng.normal(0, 0.8, (N, 4)) + 2 * np.eye(3, 4)[y]
    yt = np.repeat([0, 1, 2], [20, 8, 2])
    Xt = rng.normal(0, 0.8, (U, 4)) + 2 * np.eye(3, 4)[yt] + 0.2
    return (torch.tensor(v, dtype=torch.float32) for v in (X, Xt)), torch.tensor(y)


(X, XT), Y = rows()
DOMAIN = (torch.arange(N) >= 36).long()  # the last four are labelled rows of the target


def starting(task=None, domain=None) -> Start:
    torch.manual_seed(3)
    task = task or Classification(("a", "b", "c"))
    head = nn.Linear(6, task.rows)
    with torch.no_grad():
        head.weight.mul_(3)
    model = Model(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU()), head)

    def passing():
        return [Batch(X[i], Y[i], i, domain=None if domain is None else domain[i]) for i in torch.arange(N).split(16)]

    def target():
        return [Batch(XT[i], index=i) for i in torch.arange(U).split(16)]

    return Start(model, [], task, passing, CPU, 0, total=N, target_batches=target, target_total=U)


def bound(text, **start):
    (term,) = parse_strategy(text).terms
    start = starting(**start)
    return term.bind(start).eval(), start  # no dropout in a discriminator


def joint(penalty, start, progress=0.5, domain=None, rows=slice(None)):
    batch = Batch(X[rows], Y[rows], torch.arange(N)[rows], target=XT, domain=None if domain is None else domain[rows])
    return Procedure().forward(start.model, batch, {"it": penalty}, start, progress)


def slopes(value, *modules):
    """Gradients of a scalar, one flat vector a module; zero where none arrives."""
    found = []
    for module in modules:
        parameters = list(module.parameters())
        grads = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        found.append(
            torch.cat(
                [torch.zeros(p.numel()) if g is None else g.flatten() for g, p in zip(grads, parameters, strict=True)]
            )
        )
    return found


# weights


def test_weighing_equals_repeating_rows():
    """A row of weight 3 pulls as three rows of weight 1, in the task's loss and in a domain adversary."""
    penalty, start = bound("weights(by=bbse)")
    model, task = start.model.eval(), start.task
    times = torch.tensor([1, 3, 2, 1, 4, 1, 2, 2])
    mean = times.float().mean()
    penalty.factors[:8] = times / mean
    weighed = task_loss(task, joint(penalty, start, rows=slice(8)))
    repeated = torch.arange(8).repeat_interleave(times)
    plain = task.loss(model(X[repeated]), Y[repeated])
    torch.testing.assert_close(weighed, plain)
    for a, b in zip(
        slopes(weighed, model.backbone, model.head), slopes(plain, model.backbone, model.head), strict=True
    ):
        torch.testing.assert_close(a, b)
    unweighed = task.loss(model(X[:8]), Y[:8])
    assert not torch.allclose(weighed, unweighed), "the fact would hold without weights"
    adversary = nn.Linear(6, 1)
    seen = joint(penalty, start, rows=slice(8))
    many = replace(seen, features=seen.features[repeated], weights=None)
    torch.testing.assert_close(pada.adversary(adversary, seen, 1.0), pada.adversary(adversary, many, 1.0))


def standardised():
    center, spread = X.numpy().astype(float).mean(0), X.numpy().astype(float).std(0)
    return (X.numpy() - center) / spread, (XT.numpy() - center) / spread


def test_weights_are_those_of_the_adapter():
    A, B = standardised()
    y = Y.numpy()
    kmm = KMM().fit(A, X_target=B)
    label = BBSE(n_boot=0).fit(A, y, X_target=B)
    expected = {
        "kmm": kmm.weights_, "bbse": label.class_weight_[y], "conditional_weights": ConditionalWeights().fit(A, y, X_target=B).sample_weight_,
    }  # fmt: skip
    for by, w in expected.items():
        penalty, _ = bound(f"weights(by={by})")
        np.testing.assert_allclose(penalty.factors.numpy(), w / w.mean(), rtol=1e-4, atol=1e-6)
        told = penalty.said()
        assert told["effective_sample_size"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-5)
        assert told["rows"] == N and told["largest"] == pytest.approx((w / w.mean()).max(), rel=1e-5)
    assert label.class_weight_[0] > 1 > label.class_weight_[2], "the target has more of class a"


def test_a_batch_looks_its_weights_up_by_index():
    penalty, start = bound("weights(by=bbse)")
    shuffled = torch.tensor([7, 3, 30, 12])
    found = joint(penalty, start, rows=shuffled)
    torch.testing.assert_close(found.weights, penalty.factors[shuffled])


@pytest.mark.parametrize("by", list(reweighters()))
def test_every_reweighter_gives_weights_of_mean_one(by):
    penalty, _ = bound(f"weights(by={by}, clip=20)")
    assert penalty.factors.mean().item() == pytest.approx(1, abs=1e-5)
    assert (penalty.factors >= 0).all() and penalty.factors.std() > 0
    assert ("classes" in penalty.said()) == (by in ("bbse", "rlls", "em"))


def test_labelled_rows_of_the_target_count_one_and_are_not_of_the_source():
    penalty, _ = bound("weights(by=bbse)", domain=DOMAIN)
    A, B = X[:36].double().numpy(), XT.double().numpy()
    center, spread = A.mean(0), A.std(0)
    w = BBSE(n_boot=0).fit((A - center) / spread, Y[:36].numpy(), X_target=(B - center) / spread).class_weight_
    assert penalty.factors[36:].tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(penalty.factors[:36].numpy(), w[Y[:36]] / w[Y[:36]].mean(), rtol=1e-4)
    everything, _ = bound("weights(by=bbse)")
    assert not torch.allclose(penalty.factors[:36], everything.factors[:36])


def test_weights_on_deep_features_follow_the_model_at_the_chosen_epochs():
    penalty, start = bound("weights(by=logistic_ratio, on=features, every=2)")
    assert penalty.factors.eq(1).all(), "nothing is known before the first epoch"
    model, found = start.model.train(), []
    before = copy.deepcopy(model.state_dict())
    for epoch in range(4):
        penalty.begin(model, epoch / 4)
        assert all(module.training for module in model.modules())
        found.append(penalty.factors.clone())
        with torch.no_grad():
            model.backbone[0].weight.add_(torch.randn_like(model.backbone[0].weight))
    same = [torch.equal(a, b) for a, b in pairwise(found)]
    assert same == [True, False, True]
    torch.testing.assert_close(model.state_dict()["backbone.1.running_mean"], before["backbone.1.running_mean"])
    again, _ = bound("weights(by=logistic_ratio, on=features, every=2)")
    again.load_state_dict(penalty.state_dict())
    assert torch.equal(again.factors, penalty.factors) and int(again.begun) == 4


def test_images_are_weighed_by_what_the_starting_backbone_sees():
    start = starting()
    images = X[:, :, None, None].expand(-1, -1, 2, 2)
    start.batches = lambda: [Batch(images, Y, torch.arange(N))]
    start.target_batches = lambda: [Batch(XT[:, :, None, None].expand(-1, -1, 2, 2), index=torch.arange(U))]
    start.model.backbone = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 6))
    (term,) = parse_strategy("weights(by=kmm)").terms
    found = term.bind(start).factors
    with torch.no_grad():
        A, B = (start.model.backbone[2](x).double().numpy() for x in (X, XT))
    w = KMM().fit((A - A.mean(0)) / A.std(0), X_target=(B - A.mean(0)) / A.std(0)).weights_
    np.testing.assert_allclose(found, w / w.mean(), rtol=2e-2, atol=1e-3)


# partial


def test_pada_takes_its_class_weights_from_the_target_before_each_epoch():
    penalty, start = bound("pada", domain=DOMAIN)
    assert joint(penalty, start, domain=DOMAIN).weights.eq(1).all(), "no weights before the first epoch"
    model = start.model.train()
    running = model.backbone[1].running_mean.clone()
    penalty.begin(model, 0.0)
    assert all(module.training for module in model.modules())
    torch.testing.assert_close(model.backbone[1].running_mean, running)
    with torch.no_grad():
        gamma = torch.softmax(copy.deepcopy(model).eval()(XT), 1).mean(0)
    torch.testing.assert_close(penalty.shares, gamma)
    source = gamma[Y[:36]]
    expected = torch.cat([source / source.mean(), torch.ones(4)])
    torch.testing.assert_close(joint(penalty, start, domain=DOMAIN).weights, expected)
    assert penalty.said()["classes"] == pytest.approx(dict(zip("abc", gamma.tolist(), strict=True)))


def fact_adversary(name, progress=0.3):
    """The value is the weighted domain loss; the discriminator descends it, the backbone climbs it by the ramp."""
    penalty, start = bound(f"{name}(weight=0.7)", domain=DOMAIN)
    penalty.begin(start.model, 0.0)
    start.model.train()
    seen = joint(penalty, start, progress, DOMAIN)
    value = penalty(seen)
    body = start.model.backbone
    f, g = seen.features[:36], seen.target_features
    if name == "pada":
        adversary, first, w = penalty.discriminator, None, seen.weights[:36]
    else:
        adversary, first = penalty.second, penalty.first
        away = torch.sigmoid(-first(f)[:, 0]).detach()
        w = away / away.mean()
    ours, theirs = adversary(f)[:, 0], adversary(g)[:, 0]
    plain = 0.5 * ((w * bce(ours, torch.ones(36), reduction="none")).mean() + bce(theirs, torch.zeros(U)))
    telling = torch.zeros(())
    if first is not None:
        told = torch.cat([first(f.detach()), first(g.detach())])[:, 0]
        telling = 0.5 * (bce(told[:36], torch.ones(36)) + bce(told[36:], torch.zeros(U)))
        torch.testing.assert_close(slopes(value, first)[0], slopes(0.7 * telling, first)[0])
    torch.testing.assert_close(value, 0.7 * (plain + telling))
    of_body, of_adversary = slopes(plain, body, adversary)
    found_body, found_adversary = slopes(value, body, adversary)
    assert of_body.norm() > 0
    torch.testing.assert_close(found_adversary, 0.7 * of_adversary)
    torch.testing.assert_close(found_body, -0.7 * adversarial_schedule(progress) * of_body, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ["pada", "iwan"])
def test_the_adversary_turns_the_gradient_of_the_weighted_domain_loss(name):
    fact_adversary(name)


FAULTS = {
    "sign": ("reverse_gradient", lambda x, c: x * c + (1 - c) * x.detach()),
    "detached": ("reverse_gradient", lambda x, c: x.detach()),
    "unweighted": ("domain_loss", lambda s, t, w: right(s, t)),
    "domains swapped": ("domain_loss", lambda s, t, w: right(-s, -t, w)),
}


@pytest.mark.parametrize("name", ["pada", "iwan"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_adversary_is_caught(name, fault, monkeypatch):
    monkeypatch.setattr(pada, *FAULTS[fault])
    with pytest.raises(AssertionError):
        fact_adversary(name)


def test_a_first_discriminator_that_moves_the_features_is_caught(monkeypatch):
    monkeypatch.setattr(iwan, "replace", lambda seen, **parts: seen)
    with pytest.raises(AssertionError):
        fact_adversary("iwan")


@pytest.mark.parametrize("name", ["pada", "iwan", "osbp", "mme"])
def test_a_piece_of_a_batch_without_the_target_adds_nothing(name):
    penalty, start = bound(name, task=CASES[name][3] if name in CASES else None)
    seen = joint(penalty, start, rows=slice(4))
    assert penalty(replace(seen, target_features=seen.target_features[:0], target_outputs=seen.target_outputs[:0])) == 0


def test_iwan_tells_what_each_class_counts():
    penalty, start = bound("iwan")
    for p in penalty.first.parameters():
        nn.init.zeros_(p)
    penalty(joint(penalty, start))
    assert penalty.said()["classes"] == pytest.approx({"a": 1, "b": 1, "c": 1}, abs=1e-5)
    penalty.begin(start.model, 0.1)
    assert penalty.said()["classes"] == {}


# open set and few labels


def fact_reversed(module, text, plain, task):
    """The head descends what the term says, the backbone climbs it."""
    penalty, start = bound(text, task=task)
    start.model.eval()  # dropout and batch statistics out of the way
    seen = joint(penalty, start)
    value = penalty(seen)
    expected = plain(seen.target_outputs)
    torch.testing.assert_close(value, expected)
    for part, sign in ((start.model.head, 1.0), (start.model.backbone, -1.0)):
        found, wanted = slopes(value, part)[0], slopes(expected, part)[0]
        assert wanted.norm() > 0
        torch.testing.assert_close(found, sign * wanted)


CASES = {
    "osbp": (osbp, "osbp(weight=0.6, t=0.4)", lambda z: 0.6 * boundary_loss(z, 0.4), OpenSet(("a", "b", "c"))),
    "mme": (
        mme,
        "mme(weight=0.3)",
        lambda z: 0.3 * (torch.softmax(z, 1) * torch.log_softmax(z, 1)).sum(1).mean(),
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_head_and_backbone_pull_in_opposite_directions(name):
    fact_reversed(*CASES[name])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("fault", [lambda x: x, torch.Tensor.detach], ids=["not reversed", "detached"])
def test_a_lost_reversal_is_caught(name, fault, monkeypatch):
    monkeypatch.setattr(adversary, "reverse_gradient", fault)
    with pytest.raises(AssertionError):
        fact_reversed(*CASES[name])


@pytest.mark.parametrize(("part", "way"), [("head", 1), ("backbone", -1)])
def test_a_step_of_mme_raises_the_entropy_by_the_head_and_lowers_it_by_the_backbone(part, way):
    penalty, start = bound("mme(weight=1)")
    model = start.model.eval()

    def entropy():
        p = torch.softmax(model(XT), 1)
        return -(p * p.log()).sum(1).mean().item()

    before, value = entropy(), penalty(joint(penalty, start))
    module = getattr(model, part)
    gradients = torch.autograd.grad(value, list(module.parameters()))
    with torch.no_grad():
        for p, g in zip(module.parameters(), gradients, strict=True):
            p.sub_(1e-3 * g)
    assert way * (entropy() - before) > 0


def test_an_open_set_has_one_output_more_and_learns_known_rows_not_to_be_unknown():
    task = OpenSet(("a", "b"), counts=np.array([3, 1]), class_weights=np.array([1.0, 2.0]))
    assert task.classes == ("a", "b", "unknown") and task.rows == 3 and task.known == ("a", "b")
    outputs, y = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 0, 1])
    weights = torch.tensor([1.0, 2.0, 1.0])
    torch.testing.assert_close(task.loss(outputs, y), cross_entropy(outputs, y, weight=weights))
    outputs.requires_grad_()
    task.loss(outputs, y).backward()
    assert (outputs.grad[:, 2] > 0).all()
    with pytest.raises(RecipeError, match="a class of the source has the name"):
        OpenSet(("a", "unknown"))


# what cannot act together


@pytest.mark.parametrize("name", ["pada", "iwan", "osbp", "mme", "weights"])
def test_values_are_refused(name):
    with pytest.raises(HandshakeError, match=f"term '{name}' .*but the task"):
        handshake(parse_strategy(name), _layers(), Regression(("value",)), pretrained=False, has=FACTS)


@pytest.mark.parametrize(
    ("name", "fact", "words"),
    [
        ("osbp", "unknown_output", "needs an output for unknown classes, but the task has none.*--method osbp"),
        (
            "mme",
            "labelled_target",
            "learns from a few labelled inputs of the target, but there are none.*--target-labels",
        ),
        ("weights", "hard_labels", "one label an image"),
        ("pada", "target_stream", "second domain, but there is none"),
    ],
)
def test_what_is_missing_is_named(name, fact, words):
    task = Classification(("a", "b"))
    with pytest.raises(HandshakeError, match=words):
        handshake(parse_strategy(name), _layers(), task, pretrained=False, has=FACTS - {fact})
    handshake(
        parse_strategy(name), _layers(), OpenSet(("a", "b")) if name == "osbp" else task, pretrained=False, has=FACTS
    )


def _layers():
    from headstart.sources.bottleneck import on_rows

    return on_rows(4, (6,)).layers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("weights(by=mmd)", "'by' of 'weights' is out of range in strategy: got 'mmd'; allowed: kmm, kliep"),
        ("weights(on=outputs)", "allowed: inputs, features"),
        ("weights(every=2)", "a whole number of epochs, with on=features"),
        ("weights(on=features, every=0.5)", "a whole number of epochs"),
        ("weights(clip=0.5)", "above 1, or 0 for none"),
        ("osbp(t=1)", "'t' of 'osbp' .*0 < t < 1"),
        ("pada(hidden=0)", "'hidden' of 'pada'"),
        ("iwan(hidden=1.5)", "'hidden' of 'iwan'"),
    ],
)
def test_arguments_out_of_range_are_refused(text, words):
    with pytest.raises(RecipeError, match=words):
        parse_strategy(text)


@pytest.mark.parametrize(("by", "least"), [("kmm", 10), ("bbse", 10)])
def test_a_target_of_three_rows_estimates_no_weights(by, least):
    start = replace(starting(), target_total=3)
    (term,) = parse_strategy(f"weights(by={by})").terms
    with pytest.raises(
        HandshakeError, match=f"so few rows show none in the target: got '3 rows'; allowed: {least} or more"
    ):
        term.bind(start)


def test_weights_that_are_all_zero_are_refused(monkeypatch):
    from headstart.strategies.terms import weights

    monkeypatch.setattr(weights, "estimated", lambda by, s, y, t, seed: (np.zeros(len(s)), {}))
    with pytest.raises(HandshakeError, match=r"all weights are zero.*weights\(by=rulsif\)"):
        bound("weights")
