"""The terms dann, cdan, mdd, mcc, entropy and infomax against independent facts; planted faults are caught."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch.nn.functional import one_hot

from headstart.errors import HandshakeError, RecipeError
from headstart.functional.class_confusion import class_confusion
from headstart.functional.domain_classifier import domain_loss
from headstart.functional.entropies import certainty_weights, entropy, information
from headstart.functional.gradient_reversal import adversarial_schedule, reverse_gradient
from headstart.functional.margin_disparity import margin_disparity
from headstart.functional.multilinear import multilinear, randomized_multilinear
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.terms import cdan, dann, mdd
from headstart.tasks.classification import Classification
from headstart.tasks.regression import Regression
from headstart.training import loop
from headstart.training.deep_adapter import DeepAdapter

_spec = importlib.util.spec_from_file_location(
    "adversarial_problem", Path(__file__).with_name("adversarial_problem.py")
)
problem = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(problem)
objective, forward, gradients, handmade = problem.objective, problem.forward, problem.gradients, problem.handmade

ADVERSARIES = {"dann": (dann, "discriminator", 1.0), "cdan": (cdan, "discriminator", 1.0), "mdd": (mdd, "second", 0.1)}
WITH_CLASSES = ["cdan", "mdd", "mcc", "entropy", "infomax", "mcd"]
ALL = ["dann", "cdan", "cdan(entropy=true)", "mdd", "mcc", "entropy", "infomax", "mcd", "adda"]


def plain(name, penalty, seen):
    """The value of a term with weight 1, without reversal, from the formula."""
    both, n = torch.cat([seen.features, seen.target_features]), len(seen.features)
    outputs = torch.cat([seen.outputs, seen.target_outputs]).detach()
    if name == "mdd":
        found, y = penalty.second(both), outputs.argmax(1)
        return margin_disparity(found[:n], y[:n], found[n:], y[n:], 4.0, seen.weights)
    read = multilinear(both, outputs.softmax(1)) if name == "cdan" else both
    found = penalty.discriminator(read)
    return domain_loss(found[:n], found[n:], seen.weights)


def check_gradients(name, progress=0.2):
    """Of the backbone minus the plain one times the schedule, of the adversary the plain one, of the head none."""
    _, adversary, eta = ADVERSARIES[name]
    bound = objective(f"{name}(0.7)")
    penalty = bound.penalties[name]
    seen = forward(bound, progress, problem.batch(weights=torch.linspace(0, 2, 12)))
    value, expected = penalty(seen), 0.7 * plain(name, penalty, seen)
    torch.testing.assert_close(value, expected)
    factor = -eta * adversarial_schedule(progress)
    for module, scale in ((bound.model.backbone, factor), (getattr(penalty, adversary), 1.0)):
        wanted = gradients(expected, module)
        for key, found in gradients(value, module).items():
            assert found is not None and wanted[key].abs().max() > 0 if key.endswith("weight") else found is not None
            torch.testing.assert_close(found, scale * wanted[key], atol=1e-7, rtol=1e-4)
    assert all(found is None for found in gradients(value, bound.model.head).values())


@pytest.mark.parametrize("name", ADVERSARIES)
def test_the_backbone_gets_minus_the_plain_gradient_times_the_schedule(name):
    check_gradients(name)


@pytest.mark.parametrize("name", ADVERSARIES)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda x, c: x, id="not reversed"),
        pytest.param(lambda x, c: reverse_gradient(x, 1.0), id="no schedule"),
        pytest.param(lambda x, c: reverse_gradient(x, -c), id="sign"),
        pytest.param(lambda x, c: x.detach(), id="detached"),
    ],
)
def test_a_planted_fault_in_the_reversal_is_caught(name, fault, monkeypatch):
    monkeypatch.setattr(ADVERSARIES[name][0], "reverse_gradient", fault)
    with pytest.raises(AssertionError):
        check_gradients(name)


def test_at_the_first_step_the_backbone_does_not_listen():
    bound = objective("dann")
    found = gradients(bound.penalties["dann"](forward(bound, progress=0.0)), bound.model.backbone)
    assert all(g.abs().max() == 0 for g in found.values())


def test_cdan_reads_the_outer_product_and_weighs_certain_ones():
    bound = objective("cdan(entropy=true)", Classification(("a", "b")), width=3)
    penalty = bound.penalties["cdan"]
    f, t = torch.tensor([[1.0, 2, 3], [0, 1, 0]]), torch.tensor([[-1.0, 0, 2]])
    g, h = torch.tensor([[0.25, 0.75], [0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
    read = []
    penalty.discriminator.register_forward_pre_hook(lambda module, given: read.append(given[0]))
    weights = torch.tensor([0.5, 1.5])
    value = penalty(handmade(bound, f, g.log(), t, h.log(), weights=weights))
    by_hand = torch.tensor([[0.25, 0.5, 0.75, 0.75, 1.5, 2.25], [0, 0.5, 0, 0, 0.5, 0], [-0.9, 0, 1.8, -0.1, 0, 0.2]])
    torch.testing.assert_close(read[0], by_hand)
    judged = penalty.discriminator(by_hand)
    expected = domain_loss(judged[:2], judged[2:], weights * certainty_weights(g.log()), torch.ones(1))
    torch.testing.assert_close(value, expected)
    without = objective("cdan", Classification(("a", "b")), width=3).penalties["cdan"]
    torch.testing.assert_close(without(handmade(bound, f, g.log(), t, h.log(), weights=weights)), domain_loss(judged[:2], judged[2:], weights))  # fmt: skip


def test_cdan_is_randomized_above_a_size_with_matrices_in_the_checkpoint():
    penalty = objective("cdan", Classification(tuple("abcdefghijkl")), width=400).penalties["cdan"]
    f, g = torch.randn(2, 400), torch.randn(2, 12).softmax(1)
    assert penalty.joined(f, g).shape == (2, 1024)
    torch.testing.assert_close(
        penalty.joined(f, g), randomized_multilinear(f, g, penalty.on_features, penalty.on_probabilities)
    )
    assert {"on_features", "on_probabilities"} <= set(penalty.state_dict())
    assert objective("cdan", Classification(tuple("abcdefghij")), width=400).penalties["cdan"].whole


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_a_head_of_one_class_is_refused(name):
    with pytest.raises(HandshakeError, match=f"term '{name}' needs two classes or more.*got 'one class'"):
        objective(name, Classification(("a",)))


def test_cdan_on_one_class_would_be_dann_to_the_bit():
    with pytest.raises(HandshakeError, match="it would be DANN.*Try: dann"):
        objective("cdan", Classification(("a",)))
    bound = objective("dann", Classification(("a",)))
    seen = forward(bound)
    value = bound.penalties["dann"](seen)
    one = torch.ones(22, 1)
    both = multilinear(torch.cat([seen.features, seen.target_features]), one)
    judged = bound.penalties["dann"].discriminator(both)
    assert torch.equal(value, domain_loss(judged[:12], judged[12:]))


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_terms_on_probabilities_are_refused_over_a_regression(name):
    with pytest.raises(HandshakeError, match=f"term '{name}' needs class probabilities, but the task gives none"):
        objective(name, Regression(("value",)))


@pytest.mark.parametrize("name", ["dann", "adda"])
def test_features_alone_go_with_a_regression(name):
    X, _ = problem.domain()
    model = DeepAdapter(name, hidden=(6,), task="regression", epochs=2).fit(X, X[:, 0] * 2, X_target=X + 1)
    assert model.predict(X).shape == (24,)


@pytest.mark.parametrize("name", ADVERSARIES)
def test_weights_count_and_labelled_inputs_of_the_target_are_not_of_the_source(name):
    bound = objective(name)
    f, t, o, p = torch.randn(4, 6), torch.randn(3, 6), torch.randn(4, 3), torch.randn(3, 3)
    weights = torch.tensor([1.0, 2, 0, 1])
    value = bound.penalties[name](handmade(bound, f, o, t, p, weights=weights))
    other = f.clone()
    other[2] += 5  # counts nothing
    torch.testing.assert_close(bound.penalties[name](handmade(bound, other, o, t, p, weights=weights)), value)
    few = torch.tensor([0, 0, 1, 0])  # the third is of the target
    mine = [0, 1, 3]
    found = bound.penalties[name](handmade(bound, f, o, t, p, weights=weights, domain=few))
    alone = bound.penalties[name](handmade(bound, f[mine], o[mine], t, p, weights=weights[mine]))
    torch.testing.assert_close(found, alone)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("mcc(0.3)", lambda z: 0.3 * class_confusion(z, 2.5)),
        ("mcc(temperature=1)", lambda z: class_confusion(z, 1.0)),
        ("entropy(0.3)", lambda z: 0.3 * entropy(z).mean()),
        ("infomax(0.3)", lambda z: -0.3 * information(z)),
    ],
)
def test_terms_on_outputs_read_the_target_alone(text, value):
    bound = objective(text)
    (penalty,) = bound.penalties.values()
    seen = forward(bound)
    torch.testing.assert_close(penalty(seen), value(seen.target_outputs))
    found = gradients(penalty(seen), bound.model)
    wanted = gradients(value(seen.target_outputs), bound.model)
    for key, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[key])
    assert found["head.weight"].abs().max() > 0 and found["backbone.0.weight"].abs().max() > 0


def test_descent_on_outputs_goes_where_it_should():
    """From one start: entropy ends on one class, information on all of them, both certain; confusion falls."""
    start = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)) * 0.1 + torch.tensor([0.3, 0.0, 0.0])
    ends = {}
    for name, value in {"entropy": lambda z: entropy(z).mean(), "infomax": lambda z: -information(z), "mcc": lambda z: class_confusion(z, 1.0)}.items():  # fmt: skip
        logits = start.clone().requires_grad_()
        optimizer = torch.optim.SGD([logits], lr=30.0)
        for _ in range(200):
            optimizer.zero_grad()
            value(logits).backward()
            optimizer.step()
        ends[name] = logits.detach()
    assert all(entropy(end).mean() < 0.1 for end in ends.values())
    used = {name: one_hot(end.argmax(1), 3).float().mean(0) for name, end in ends.items()}
    assert used["infomax"].min() > 0.25 and used["entropy"].min() < 0.25


@pytest.mark.parametrize("name", [*ADVERSARIES, "mcc", "entropy", "infomax"])
def test_a_piece_with_one_domain_alone_adds_nothing(name):
    bound = objective(name)
    f, o = torch.randn(4, 6), torch.randn(4, 3, requires_grad=True)
    value = bound.penalties[name](handmade(bound, f, o, torch.randn(0, 6), torch.randn(0, 3)))
    value.backward()
    assert value == 0 and o.grad.abs().max() == 0


@pytest.mark.parametrize("text", ALL)
def test_interrupted_and_resumed_equals_left_alone(text, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SHARE", 1e9)  # a checkpoint after every epoch
    whole = problem.run(text)
    for stop in (1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            problem.run(text, tmp_path / str(stop), stop_after=stop)
        # the row is told before its checkpoint is written: the last one is that of the epoch before
        again = problem.run(text, tmp_path / str(stop))
        assert again.extra["said"] == ([f"training: going on after epoch {stop - 1}"] if stop > 1 else [])
        assert problem.equal(problem.state(whole.model), problem.state(again.model))
        assert problem.equal(*(problem.state(r.extra["objective"].penalties) for r in (whole, again)))


@pytest.mark.parametrize("text", ALL)
def test_without_a_target_each_is_refused(text):
    X, y = problem.domain()
    with pytest.raises(HandshakeError, match="compares the source with a second domain, but there is none"):
        DeepAdapter(text, epochs=1).fit(X, y)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dann(gamma=0)", "'gamma' of 'dann' is out of range.*allowed: > 0"),
        ("dann(hidden=2.5)", "'hidden' of 'dann'.*a whole number from 1 on"),
        ("cdan(gamma=0)", "'gamma' of 'cdan'"),
        ("cdan(entropy=1)", "must be true or false"),
        ("mdd(margin=0.5)", "'margin' of 'mdd'.*1 or more"),
        ("mdd(eta=0)", "'eta' of 'mdd'"),
        ("mcc(temperature=0)", "'temperature' of 'mcc'"),
        ("mcd(steps=0)", "'steps' of 'mcd'.*a whole number from 1 on"),
        ("adda(share=1)", "'share' of 'adda'.*above 0 and below 1"),
        ("mcd+adda", "'mcd' and 'adda' each ask for an update of their own kind"),
    ],
)
def test_arguments_out_of_range(text, words):
    with pytest.raises(RecipeError, match=words):
        parse_strategy(text)


@pytest.mark.parametrize("name", ["dann", "cdan", "mdd", "mcd", "adda"])
@pytest.mark.parametrize("tuning", ["head", "probe"])
def test_a_backbone_that_is_frozen_cannot_follow(name, tuning):
    with pytest.raises(HandshakeError, match=f"term '{name}' moves parameters of the backbone, but the tuning"):
        objective(f"{tuning}+{name}")
