"""The maths of the terms of a strategy, each against a fact of its own: hand-worked numbers, loops, finite differences."""

import numpy as np
import pytest
import torch

from headstart.functional.bituning import contrastive_cross_entropy
from headstart.functional.bss import smallest_singular_values
from headstart.functional.contrastive import supervised_contrastive
from headstart.functional.cotuning import (
    best_temperature,
    held_out_likelihood,
    relationship,
    soft_cross_entropy,
)
from headstart.functional.delta import as_channels, attended_distance, channel_attention
from headstart.functional.distillation import cosine_distance, soft_divergence, squared_difference
from headstart.functional.fisher import fisher_diagonal, weighted_squared_distance
from headstart.functional.stochnorm import drawn_channels


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


# Fisher


def test_fisher_of_a_worked_example():
    """p(1 | x) = sigmoid(w x): the Fisher information is x^2 p (1 - p). At w = ln 3, x = 1: 3/16; at x = 2: 4 * 9/100."""
    w = torch.tensor([np.log(3.0)], dtype=torch.float64, requires_grad=True)
    away = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def logp(x):
        z = w * x
        return torch.cat([torch.nn.functional.logsigmoid(-z), torch.nn.functional.logsigmoid(z)])[None]

    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    found, none = fisher_diagonal(lambda row: logp(row[0]), [w, away], x)
    assert found.item() == pytest.approx(3 / 16 + 4 * 9 / 100)
    assert none.tolist() == [0.0, 0.0]
    # empirical, labels 1 and 0: the gradients are x (1 - p) = 1/4 and -x p = -2 * 9/10
    empirical = fisher_diagonal(lambda row: logp(row[0]), [w], x, torch.tensor([1, 0]))[0]
    assert empirical.item() == pytest.approx(1 / 16 + 3.24)


def test_fisher_of_softmax_regression_is_its_expected_hessian():
    """For a linear softmax the Fisher is the Hessian of -log p, whatever the label: here by autograd, a second way."""
    W, X = normal(3, 4).requires_grad_(), normal(5, 4, seed=1)
    found = fisher_diagonal(lambda x: torch.log_softmax(x @ W.T, 1), [W], X)[0]
    expected = torch.zeros(12, dtype=torch.float64)
    for x in X:
        hessian = torch.autograd.functional.hessian(lambda w, x=x: -torch.log_softmax(w @ x, 0)[0], W.detach())
        expected += hessian.reshape(12, 12).diagonal()
    torch.testing.assert_close(found.flatten(), expected)


def test_drawn_labels_estimate_the_fisher():
    W, X = normal(3, 2).requires_grad_(), normal(1, 2, seed=1).repeat(1500, 1)
    exact = fisher_diagonal(lambda x: torch.log_softmax(x @ W.T, 1), [W], X[:1])[0]
    drawn = torch.multinomial(
        torch.softmax(X @ W.T, 1).detach(), 1, generator=torch.Generator().manual_seed(0)
    ).flatten()
    found = fisher_diagonal(lambda x: torch.log_softmax(x @ W.T, 1), [W], X, drawn)[0] / 1500
    torch.testing.assert_close(found, exact, rtol=0.12, atol=0)


def test_weighted_distance_is_zero_at_the_start_and_its_gradient_is_two_f_times_the_way():
    p, a, f = normal(3, 2).requires_grad_(), normal(3, 2, seed=1), normal(3, 2, seed=2).abs()
    assert weighted_squared_distance([a], [a], [f]).item() == 0
    weighted_squared_distance([p], [a], [f]).backward()
    torch.testing.assert_close(p.grad, 2 * f * (p.detach() - a))


# BSS


@pytest.mark.parametrize(("shape", "k"), [((6, 9), 1), ((6, 9), 3), ((9, 4), 2)])
def test_bss_value_and_gradient_against_finite_differences_of_the_singular_values(shape, k):
    F = normal(*shape).requires_grad_()
    value = smallest_singular_values(F, k)
    start = F.detach().numpy()

    def by_numpy(M):
        return float((np.sort(np.linalg.svd(M, compute_uv=False))[:k] ** 2).sum())

    assert value.item() == pytest.approx(by_numpy(start))
    value.backward()
    step, slope = 1e-6, np.zeros(shape)
    for at in np.ndindex(*shape):
        up, down = start.copy(), start.copy()
        up[at] += step
        down[at] -= step
        slope[at] = (by_numpy(up) - by_numpy(down)) / (2 * step)
    np.testing.assert_allclose(F.grad.numpy(), slope, atol=1e-7)


def test_bss_of_too_few_images_is_zero_and_half_precision_is_widened():
    lone = normal(1, 5).requires_grad_()
    value = smallest_singular_values(lone)
    value.backward()
    assert value.item() == 0 and not lone.grad.any()
    F = normal(5, 8, dtype=torch.float32)
    assert smallest_singular_values(F.bfloat16()).item() == pytest.approx(smallest_singular_values(F).item(), rel=0.1)


# DELTA


def test_channels_of_maps_tokens_and_vectors():
    maps = normal(2, 5, 3, 3)
    torch.testing.assert_close(as_channels(maps)[1, 4], maps[1, :, 1, 1])
    torch.testing.assert_close(as_channels(maps.permute(0, 2, 3, 1)), as_channels(maps))
    assert as_channels(normal(2, 7, 5)).shape == (2, 7, 5) and as_channels(normal(2, 5)).shape == (2, 1, 5)


def test_delta_of_a_worked_example():
    attention = channel_attention(torch.log(torch.tensor([1.0, 3.0])))
    torch.testing.assert_close(attention, torch.tensor([0.25, 0.75]))
    value = torch.tensor([[[1.0, 2.0], [3.0, 2.0]]])  # one image, two positions, two channels
    anchor = torch.tensor([[[0.0, 2.0], [3.0, 0.0]]])
    # channel 0: (1 + 0) / 2, channel 1: (0 + 4) / 2
    assert attended_distance(value, anchor, attention).item() == pytest.approx(0.25 * 0.5 + 0.75 * 2)


# Co-Tuning


def test_relationship_of_a_worked_example():
    P = torch.tensor([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]])
    found = relationship(P, torch.tensor([0, 0, 2]), 3)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.4], P.mean(0).tolist(), [0.1, 0.9]]))


def test_held_out_likelihood_counts_without_the_image_itself():
    rng = np.random.default_rng(0)
    P, y = rng.dirichlet(np.ones(4), 12), rng.integers(0, 3, 12)
    total = 0.0
    for i in range(12):
        others = [j for j in range(12) if j != i]
        joint = np.full((3, 4), 1e-3 / 3)
        for j in others:
            joint[y[j]] += P[j]
        total += np.log((joint[y[i]] / joint.sum(0)) @ P[i])
    assert held_out_likelihood(torch.tensor(P), torch.tensor(y), 3) == pytest.approx(total / 12)


def test_the_temperature_undoes_a_scale_of_the_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (600, 5))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = torch.tensor([rng.choice(5, p=p) for p in chances])
    assert best_temperature(torch.tensor(logits), y, 5) == pytest.approx(1, rel=0.5)
    assert best_temperature(torch.tensor(logits * 4), y, 5) == pytest.approx(4, rel=0.5)


def test_soft_cross_entropy_is_entropy_plus_divergence():
    q = torch.softmax(normal(4, 3), 1)
    assert soft_cross_entropy(q.log(), q).item() == pytest.approx(-(q * q.log()).sum(1).mean().item(), rel=1e-6)
    z = normal(4, 3, seed=1)
    expected = torch.nn.functional.cross_entropy(z, q)
    assert soft_cross_entropy(z, q).item() == pytest.approx(expected.item(), rel=1e-6)


# contrastive


def by_loops(z, y, tau, keys=(), key_labels=()):
    unit = [v / np.linalg.norm(v) for v in [*z, *keys]]
    labels, found = [*y, *key_labels], []
    for i in range(len(z)):
        others = [a for a in range(len(unit)) if a != i]
        total = sum(np.exp(unit[i] @ unit[a] / tau) for a in others)
        same = [a for a in others if labels[a] == y[i]]
        if same:
            found.append(-np.mean([np.log(np.exp(unit[i] @ unit[p] / tau) / total) for p in same]))
    return np.mean(found)


def test_supervised_contrastive_against_its_definition():
    z, y, keys, key_y = normal(6, 4), [0, 1, 0, 2, 1, 0], normal(5, 4, seed=1), [2, 0, 1, 3, 0]
    plain = supervised_contrastive(z, torch.tensor(y), 0.3)
    assert plain.item() == pytest.approx(by_loops(z.numpy(), y, 0.3), rel=1e-5)
    more = supervised_contrastive(z, torch.tensor(y), 0.3, keys, torch.tensor(key_y))
    assert more.item() == pytest.approx(by_loops(z.numpy(), y, 0.3, keys.numpy(), key_y), rel=1e-5)


def test_supervised_contrastive_without_a_pair_is_zero_with_a_gradient_of_zero():
    z = normal(3, 4, dtype=torch.float32).requires_grad_()
    value = supervised_contrastive(z, torch.tensor([0, 1, 2]))
    value.backward()
    assert value.item() == 0 and torch.isfinite(z.grad).all() and not z.grad.any()


def test_supervised_contrastive_pulls_a_class_together():
    z = normal(4, 3, dtype=torch.float32).requires_grad_()
    y = torch.tensor([0, 0, 1, 1])
    supervised_contrastive(z, y, 1.0).backward()
    moved = (z - 0.1 * z.grad).detach()
    assert supervised_contrastive(moved, y, 1.0) < supervised_contrastive(z, y, 1.0)


def test_contrastive_cross_entropy_against_its_definition():
    W, h, y = normal(3, 4, seed=2), normal(5, 4), [0, 1, 0, 2, 1]
    keys, key_y = normal(4, 4, seed=1), [2, 0, 1, 0]
    pool, labels = [v / np.linalg.norm(v) for v in [*h.numpy(), *keys.numpy()]], y + key_y
    each = []
    for i in range(5):
        logits = np.array([W[y[i]].numpy() @ v / 0.5 for v in pool])
        chance = np.exp(logits) / np.exp(logits).sum()
        each.append(-np.mean([np.log(chance[p]) for p in range(9) if labels[p] == y[i]]))
    found = contrastive_cross_entropy(W, h, torch.tensor(y), 0.5, keys, torch.tensor(key_y))
    assert found.item() == pytest.approx(np.mean(each), rel=1e-5)


def test_contrastive_cross_entropy_of_a_head_at_zero_is_finite_in_value_and_gradient():
    W = torch.zeros(3, 4, requires_grad=True)
    value = contrastive_cross_entropy(W, normal(6, 4, dtype=torch.float32), torch.tensor([0, 1, 0, 2, 1, 2]))
    value.backward()
    assert value.item() == pytest.approx(np.log(6), rel=1e-5)
    assert torch.isfinite(W.grad).all() and W.grad.abs().max() < 100


# distillation


def test_soft_divergence_of_a_worked_example_and_its_gradient_at_high_temperature():
    teacher, student = torch.tensor([[np.log(3.0), 0.0]]), torch.zeros(1, 2)
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert soft_divergence(student, teacher, 1.0).item() == pytest.approx(expected, rel=1e-5)
    assert soft_divergence(teacher, teacher, 3.0).item() == pytest.approx(0, abs=1e-7)
    # Hinton et al. 2015, equation 4: for large T and logits of mean zero the gradient is (z - v) / N
    z, v = normal(1, 4).requires_grad_(), normal(1, 4, seed=1)
    soft_divergence(z, v, 1000.0).backward()
    centred = (z - z.mean()) - (v - v.mean())
    torch.testing.assert_close(z.grad, (centred / 4).detach(), atol=1e-3, rtol=0)


def test_feature_distances_of_worked_examples():
    f, g = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[4.0, 3.0], [0.0, 2.0]])
    assert cosine_distance(f, g).item() == pytest.approx(1 - (24 / 25 + 0) / 2, rel=1e-5)
    assert squared_difference(f, g).item() == pytest.approx((1 + 1 + 1 + 4) / 4)


# stochastic normalisation


def test_channels_are_drawn_whole_and_with_their_chance():
    batch, moving = torch.zeros(3, 4000, 2, 2), torch.ones(3, 4000, 2, 2)
    torch.manual_seed(0)
    found = drawn_channels(batch, moving, 0.3)
    per_channel = found.permute(1, 0, 2, 3).flatten(1)
    assert (per_channel == per_channel[:, :1]).all()
    assert per_channel[:, 0].mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(drawn_channels(batch, moving, 0.0), batch)
    assert torch.equal(drawn_channels(batch, moving, 1.0), moving)
