"""What each term is, against a fact of its own on a bound model."""

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.errors import HandshakeError
from headstart.functional.fisher import fisher_diagonal
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.terms.term import Seen
from headstart.training.objective import bind, unbind

_spec = importlib.util.spec_from_file_location("terms_problem", Path(__file__).with_name("terms_problem.py"))
problem = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(problem)
LAYERS = problem.LAYERS
TASK = problem.TASK
IMAGES = problem.IMAGES
LABELS = problem.LABELS
starting = problem.starting
objective = problem.objective
run = problem.run
equal = problem.equal
seen = problem.seen
watched = problem.watched


def test_ewc_is_the_fisher_of_the_source_model_times_the_way_gone():
    bound = objective("ewc(weight=0.7, head_weight=0, normalize=false)")
    start, penalty = bound.start, bound.penalties["ewc"]
    assert all(module.training for module in start.model.modules()), "the model was not left in its mode"
    assert penalty(seen(bound)).item() == 0
    # the same labels, on a network of its own
    W, b = start.source_head
    net = starting().model.backbone.eval()

    def logp(x):
        return torch.log_softmax(net(x) @ W.T + b, 1)

    with torch.no_grad():
        chances = [logp(batch.inputs).exp() for batch in start.batches()]
    drawn = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.multinomial(p, 1, generator=drawn)[:, 0] for p in chances])
    fisher = fisher_diagonal(logp, list(net.parameters()), IMAGES, labels)
    start_weight = bound.model.backbone[3].weight.detach().clone()
    with torch.no_grad():
        for p in bound.model.backbone.parameters():
            p.add_(torch.randn_like(p))
    penalty(seen(bound)).backward()
    weight = bound.model.backbone[3].weight
    expected = 2 * 0.7 * fisher[4] / 24 * (weight.detach() - start_weight)
    torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-7)


def test_ewc_normalized_has_the_scale_of_l2sp():
    fisher = objective("ewc").penalties["ewc"].fisher
    count = sum(f.numel() for f in fisher)
    assert sum(f.sum().item() for f in fisher) / count == pytest.approx(1, rel=1e-5)


def test_delta_attention_is_the_rise_of_the_loss_without_each_channel():
    bound = objective("delta(weight=1, head_weight=0, images=24)")
    found = bound.penalties["delta"].attention["4"]
    start = bound.start
    from headstart.strategies.terms.delta import _solved_head

    X = start.frozen(IMAGES)
    head = _solved_head(start, X, LABELS)
    assert TASK.loss(head(X), LABELS) < 0.9 * np.log(3)
    rises = []
    for j in range(8):
        without = copy.deepcopy(start.frozen)
        with torch.no_grad():
            without[4].weight[j] = 0
            without[4].bias[j] = 0
            rises.append(TASK.loss(head(without(IMAGES)), LABELS) - TASK.loss(head(X), LABELS))
    torch.testing.assert_close(found, torch.softmax(torch.stack(rises), 0), rtol=1e-3, atol=1e-4)


def test_delta_is_zero_where_nothing_moved_and_the_distance_of_the_maps_elsewhere():
    bound = objective("delta(weight=2, head_weight=0, attention=equal, stages=2)")
    bound.model.backbone.eval()
    batch = Batch(IMAGES[:5], LABELS[:5], torch.arange(5))

    def value():
        return bound.penalties["delta"](watched(bound, batch)).item()

    assert value() == 0
    with torch.no_grad():
        bound.model.backbone[3].weight.add_(0.1)
        moved = bound.model.backbone(batch.inputs)
        old, new = bound.start.frozen[:5](batch.inputs), bound.model.backbone[:5](batch.inputs)
    assert moved.shape == (5, 8)
    assert value() == pytest.approx(2 * (new - old).square().mean().item(), rel=1e-4)


def test_delta_reads_the_pass_of_the_labelled_images_whatever_else_passes():
    bound = objective("delta(attention=equal)")
    with torch.no_grad():
        bound.model.backbone[3].weight.add_(0.1)
    alone = bound.penalties["delta"](seen(bound)).item()
    both = seen(bound)
    bound.model(IMAGES[12:])  # another term's views
    assert bound.penalties["delta"](both).item() == pytest.approx(alone)


def test_delta_refuses_stages_that_are_not_there():
    with pytest.raises(HandshakeError, match="reads more stages than this backbone has: got 3; allowed: 1 to 2"):
        objective("delta(stages=3)")


def test_cotuning_targets_are_the_mean_source_probabilities_of_each_class():
    bound = objective("cotuning(weight=1, temperature=2)")
    W, b = bound.start.source_head
    P = torch.softmax((bound.start.frozen(IMAGES) @ W.T + b) / 2, 1)
    expected = torch.stack([P[k == LABELS].mean(0) for k in range(3)])
    torch.testing.assert_close(bound.penalties["cotuning"].given, expected.detach())
    mixed = seen(bound, Batch(IMAGES[:6], torch.eye(3)[LABELS[:6]], torch.arange(6)))
    hard = seen(bound, Batch(IMAGES[:6], LABELS[:6], torch.arange(6)))
    penalty = bound.penalties["cotuning"]
    torch.testing.assert_close(penalty(mixed), penalty(hard))


def test_lwf_and_distillation_are_zero_at_the_start_and_not_after():
    for text in ("lwf", "distill", "distill(distance=squared)"):
        bound = objective(text)
        bound.model.backbone.eval()
        penalty = next(iter(bound.penalties.values()))
        batch = Batch(IMAGES, LABELS, torch.arange(24))

        def value(bound=bound, penalty=penalty, batch=batch):
            features = bound.model.backbone(batch.inputs)
            return penalty(Seen(bound.model, batch, features, features, 0.0, bound.start)).item()

        assert value() == pytest.approx(0, abs=1e-6), text
        with torch.no_grad():
            bound.model.backbone[3].weight.add_(torch.randn_like(bound.model.backbone[3].weight))
        assert value() > 1e-3, text


def test_bituning_compares_with_earlier_batches():
    bound = objective("bituning(queue=20)")
    penalty = bound.penalties["bituning"]
    first = seen(bound)
    penalty(first)
    assert (penalty.labels[:12] == LABELS[:12]).all() and (penalty.labels[12:] == -1).all()
    torch.testing.assert_close(penalty.keys[:12], first.features.detach())
    second = seen(bound, Batch(IMAGES[12:], LABELS[12:], torch.arange(12, 24)))
    penalty(second)
    assert (penalty.labels[:12] == LABELS[12:]).all() and (penalty.labels[12:] == LABELS[:8]).all()
    lone = Batch(IMAGES[:2], torch.tensor([0, 1]), torch.arange(2))
    with_queue = penalty(seen(bound, lone)).item()
    none = objective("bituning(queue=0)")
    assert none.penalties["bituning"](seen(none, lone)).item() != pytest.approx(with_queue)


def test_stochnorm_normalises_each_channel_by_one_of_the_two_statistics():
    bound = objective("stochnorm")
    norm, plain = bound.model.backbone[1], starting().model.backbone[1]
    assert type(norm).__name__ == "StochasticBatchNorm2d" and isinstance(norm, nn.BatchNorm2d)
    bound.begin(0.0)
    x = torch.randn(8, 6, 4, 4) * 2 + 1
    by_moving, by_batch = plain.eval()(x), plain.train()(x)
    out = norm(x)
    chosen = [torch.allclose(out[:, j], by_moving[:, j], atol=1e-5) for j in range(6)]
    other = [torch.allclose(out[:, j], by_batch[:, j], atol=1e-5) for j in range(6)]
    assert [a or b for a, b in zip(chosen, other, strict=True)] == [True] * 6
    assert 0 < sum(chosen) < 6
    torch.testing.assert_close(norm.running_mean, plain.running_mean)  # followed as in any batch norm, once
    torch.testing.assert_close(norm.num_batches_tracked, plain.num_batches_tracked)
    torch.testing.assert_close(norm.eval()(x), plain.eval()(x))


def test_stochnorm_weights_load_into_the_plain_architecture():
    fitted = run("stochnorm")
    unbind(parse_strategy("stochnorm"), fitted.model)
    fresh = starting().model
    fresh.load_state_dict(fitted.model.state_dict())
    torch.testing.assert_close(fresh.eval()(IMAGES), fitted.model.eval()(IMAGES))


@pytest.mark.parametrize("text", ["finetune(bn=frozen)+stochnorm", "stochnorm"])
def test_stochnorm_is_refused_where_no_batch_norm_trains(text):
    how, start = parse_strategy(text), starting()
    if text == "stochnorm":
        start.model.backbone[1], start.model.backbone[4] = nn.Identity(), nn.Identity()
    with pytest.raises(HandshakeError, match="has none that trains on its batches"):
        bind(how, how.tuning.stages(LAYERS), start)
