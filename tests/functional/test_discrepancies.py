"""Distances between two domains' features, each against a fact of its own: loops over pairs, closed forms, scipy, repeated rows."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import moment, wasserstein_distance
from sklearn.metrics.pairwise import rbf_kernel

from headstart.functional import kernels
from headstart.functional.adaptation_ramp import adaptation_ramp
from headstart.functional.bsp import largest_singular_values
from headstart.functional.central_moments import central_moment_discrepancy
from headstart.functional.class_alignment import contrastive_discrepancy
from headstart.functional.deep_coral import coral_loss
from headstart.functional.feature_norm import hard_feature_norm, stepwise_feature_norm
from headstart.functional.gaussian_mixture_kernel import gaussian_kernels, median_width, pair_distances
from headstart.functional.joint_mmd import joint_kernel
from headstart.functional.mmd import kernel_discrepancy
from headstart.functional.shares import shares
from headstart.functional.sliced_wasserstein import random_directions, sliced_wasserstein


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


S, T = normal(7, 3), 0.5 * normal(5, 3, seed=1) + 0.7
W = torch.tensor([1.0, 2.0, 0.0, 3.0, 1.0, 1.0, 2.0], dtype=torch.float64)
LABELS_S, LABELS_T = torch.tensor([0, 1, 2, 0, 1, 2, 0]), torch.tensor([1, 0, -1, 0, 2])
LINES = random_directions(3, 16, S)
P = torch.softmax(normal(12, 4, seed=2), 1)


def mmd(Xs, Xt, a, b, unbiased=True, widths=5, width=2.0):
    return kernel_discrepancy(gaussian_kernels(pair_distances(torch.cat([Xs, Xt])), widths, width), a, b, unbiased)


def jmmd(Xs, Xt, a, b):
    p = torch.softmax(torch.cat([Xs, Xt]), 1)
    return kernel_discrepancy(joint_kernel(torch.cat([Xs, Xt]), p, width=2.0), a, b)


def classes(Xs, Xt, a, b, labels=LABELS_S):
    ys = labels[: len(Xs)] if len(Xs) < len(labels) else labels
    return contrastive_discrepancy(Xs, Xt, ys, LABELS_T[: len(Xt)], a, b, 3, width=2.0)


METHODS = {
    "dan": mmd,
    "dan-v": lambda *x: mmd(*x, unbiased=False),
    "jan": jmmd,
    "deepcoral": coral_loss,
    "cmd": lambda *x: central_moment_discrepancy(*x, span=4.0),
    "swd": lambda Xs, Xt, a, b: sliced_wasserstein(Xs, Xt, LINES[: Xs.shape[1]], a, b),
    "hafn": lambda *x: hard_feature_norm(*x, radius=3.0),
    "safn": stepwise_feature_norm,
    "bsp": lambda *x: largest_singular_values(*x, k=2),
    "alignment": classes,
}
"""(Xs, Xt, shares, shares) -> a scalar, what else there is held fixed."""
EVEN = (shares(S), shares(T))


# kernels


def test_the_kernel_and_its_width_are_those_of_the_arrays():
    rows = torch.cat([S, T])
    distances = pair_distances(rows)
    np.testing.assert_allclose(distances, kernels.squared_distances(rows.numpy()), atol=1e-12)
    assert not distances.diagonal().any() and torch.equal(distances, distances.T)
    odd = pair_distances(rows[:11])  # 55 pairs, so that there is one in the middle
    assert median_width(odd) == pytest.approx(1 / kernels.median_gamma(rows[:11].numpy()))
    expected = np.mean([rbf_kernel(rows.numpy(), gamma=1 / (2.0**k * 1.7)) for k in (-2, -1, 0, 1, 2)], axis=0)
    np.testing.assert_allclose(gaussian_kernels(distances, 5, 1.7), expected)
    one = gaussian_kernels(distances, 1)
    np.testing.assert_allclose(one, rbf_kernel(rows.numpy(), gamma=1 / median_width(distances)))


def test_far_from_the_origin_float32_distances_keep_their_digits():
    rows = normal(6, 4, dtype=torch.float32)
    torch.testing.assert_close(pair_distances(rows + 1000), pair_distances(rows), rtol=2e-3, atol=1e-3)


def test_the_width_of_rows_that_are_nearly_all_equal_and_of_none():
    most = torch.zeros(6, 2)
    most[0] = 3.0
    assert median_width(pair_distances(most)) == pytest.approx(18 * 5 / 15)
    assert median_width(pair_distances(torch.ones(4, 2))) == 1
    assert median_width(pair_distances(torch.ones(0, 2))) == median_width(pair_distances(torch.ones(1, 2))) == 1


# MMD


def looped_mmd(kernel, a, b, unbiased):
    """Over pairs of rows, one kernel value at a time."""

    def within(rows, side):
        total = mass = 0.0
        for i in range(len(rows)):
            for j in range(len(rows)):
                if unbiased and i == j:
                    continue
                total += side[i] * side[j] * kernel(rows[i], rows[j])
                mass += side[i] * side[j]
        return total / mass

    def loop(Xs, Xt):
        cross = sum(a[i] * b[j] * kernel(Xs[i], Xt[j]) for i in range(len(Xs)) for j in range(len(Xt)))
        return within(Xs, a) + within(Xt, b) - 2 * cross / (sum(a) * sum(b))

    return loop


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("weights", [None, W])
def test_mk_mmd_is_a_double_loop_over_pairs_and_kernels(unbiased, weights):
    widths = [1.5 * 2.0**k for k in (-1, 0, 1)]

    def kernel(x, y):
        return sum(math.exp(-sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) / w) for w in widths) / 3

    a = [1.0] * 7 if weights is None else weights.tolist()
    expected = looped_mmd(kernel, a, [1.0] * 5, unbiased)(S.tolist(), T.tolist())
    found = mmd(S, T, shares(S, weights), shares(T), unbiased, widths=3, width=1.5)
    assert found.item() == pytest.approx(expected, abs=1e-12)


def test_jmmd_of_a_worked_example():
    """Two source rows with features 0 and 1, one target row at 0; one width of 1; probabilities (1, 0), (1, 0) and (0, 1).

    Kernels on features: e^-1 between 0 and 1; on probabilities e^(-2 / 1.68) between (1, 0) and (0, 1).
    """
    f = torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64)
    p = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    K = joint_kernel(f, p, widths=1, width=1.0)
    near, apart = math.exp(-1), math.exp(-2 / 1.68)
    expected = torch.tensor([[1, near, apart], [near, 1, near * apart], [apart, near * apart, 1]], dtype=torch.float64)
    torch.testing.assert_close(K, expected)
    found = kernel_discrepancy(K, shares(f[:2]), shares(f[2:]), unbiased=False)
    # 1/4 (2 + 2 e^-1) + 1 - 2 1/2 (apart + e^-1 apart)
    assert found.item() == pytest.approx(0.5 + near / 2 + 1 - apart - near * apart)
    # the features alone do not tell it from a target row that is classified like the source
    alone = kernel_discrepancy(gaussian_kernels(pair_distances(f), 1, 1.0), shares(f[:2]), shares(f[2:]), False)
    assert found.item() > alone.item()


def test_the_unbiased_statistic_is_zero_on_average_and_the_other_is_not():
    """Over every split of six rows into three and three that are drawn from the six: the permutation mean of the U-statistic."""
    from itertools import permutations

    rows = normal(4, 2)
    found = {True: [], False: []}
    for order in permutations(range(4)):
        X = rows[list(order)]
        for unbiased in found:
            found[unbiased].append(mmd(X[:2], X[2:], shares(X[:2]), shares(X[2:]), unbiased).item())
    assert np.mean(found[True]) == pytest.approx(0, abs=1e-12)
    assert np.mean(found[False]) > 0.05


def test_one_row_a_domain_says_nothing_without_bias_and_something_with():
    a, b = S[:1].clone().requires_grad_(), T
    value = mmd(a, b, shares(a), shares(b))
    value.backward()
    assert value.item() == 0 and not a.grad.any()
    expected = looped_mmd(lambda x, y: np.mean([math.exp(-sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) / (2 * 2.0**k)) for k in range(-2, 3)]), [1.0], [1.0] * 5, False)  # fmt: skip
    assert mmd(a, b, shares(a), shares(b), False).item() == pytest.approx(expected(a.tolist(), b.tolist()))


# Deep CORAL


@pytest.mark.parametrize("d", [3, 20])
@pytest.mark.parametrize("weights", [None, W])
def test_coral_is_the_distance_of_numpys_covariances_wide_or_narrow(d, weights):
    Xs, Xt = normal(7, d), normal(5, d, seed=1) * 2 + 1
    aweights = None if weights is None else weights.numpy()
    Cs, Ct = np.cov(Xs.numpy().T, aweights=aweights), np.cov(Xt.numpy().T)
    expected = ((Cs - Ct) ** 2).sum() / (4 * d * d)
    assert coral_loss(Xs, Xt, shares(Xs, weights), shares(Xt)).item() == pytest.approx(expected)


# CMD


def test_cmd_is_the_sum_over_moments_of_scipy():
    for K in (1, 2, 5):
        expected = np.linalg.norm((S.mean(0) - T.mean(0)).numpy() / 3.0)
        for k in range(2, K + 1):
            gap = moment(S.numpy(), k, axis=0) - moment(T.numpy(), k, axis=0)
            expected += np.linalg.norm(gap) / 3.0**k
        found = central_moment_discrepancy(S, T, *EVEN, moments=K, span=3.0)
        assert found.item() == pytest.approx(expected)


def test_cmd_with_a_measured_span_does_not_depend_on_units():
    one, other = (central_moment_discrepancy(c * S, c * T, *EVEN).item() for c in (1.0, 100.0))
    assert one == pytest.approx(other)
    rows = torch.cat([S, T])
    span = (rows.amax(0) - rows.amin(0)).max().item()
    assert one == pytest.approx(central_moment_discrepancy(S, T, *EVEN, span=span).item())


# sliced Wasserstein


@pytest.mark.parametrize("weights", [None, W])
@pytest.mark.parametrize("p", [1, 2])
def test_sliced_wasserstein_is_the_mean_of_the_distances_on_lines(p, weights):
    """Against scipy (p = 1), and against sorted rows repeated until both samples have as many (p = 2)."""
    times = np.ones(7, dtype=int) if weights is None else weights.numpy().astype(int)
    n, expected = times.sum(), []
    for line in LINES.numpy().T:
        x, y = S.numpy() @ line, T.numpy() @ line
        if p == 1:
            expected.append(wasserstein_distance(x, y, times))
        else:
            gap = np.sort(np.repeat(x, 5 * times)) - np.sort(np.repeat(y, n))
            expected.append((gap**2).mean())
    found = sliced_wasserstein(S, T, LINES, shares(S, weights), shares(T), p)
    assert found.item() == pytest.approx(np.mean(expected))


def test_sliced_wasserstein_of_equal_sizes_matches_sorted_rows_and_a_shift_is_its_length():
    X = normal(6, 3, seed=3)
    expected = (((S[:6] @ LINES).sort(0).values - (X @ LINES).sort(0).values) ** 2).mean()
    assert sliced_wasserstein(S[:6], X, LINES, shares(X), shares(X)).item() == pytest.approx(expected.item())
    away = torch.tensor([1.0, -2.0, 2.0], dtype=torch.float64)
    moved = sliced_wasserstein(X, X + away, LINES, shares(X), shares(X))
    assert moved.item() == pytest.approx((away @ LINES).square().mean().item())
    lengths = torch.linalg.vector_norm(random_directions(5, 9, X), dim=0)
    torch.testing.assert_close(lengths, torch.ones(9, dtype=torch.float64))


# AFN


def test_feature_norms_of_worked_examples():
    s, t = torch.tensor([[3.0, 4.0], [0.0, 1.0]]).requires_grad_(), torch.tensor([[0.0, 2.0]]).requires_grad_()
    value = hard_feature_norm(s, t, shares(s), shares(t), radius=4.0)
    assert value.item() == pytest.approx((3 - 4) ** 2 + (2 - 4) ** 2)
    value.backward()
    torch.testing.assert_close(s.grad[0], 2 * (3 - 4) * 0.5 * torch.tensor([0.6, 0.8]))
    s.grad = t.grad = None
    value = stepwise_feature_norm(s, t, shares(s), shares(t), step=0.5)
    assert value.item() == pytest.approx(2 * 0.25)
    value.backward()
    torch.testing.assert_close(s.grad[0], -2 * 0.5 * 0.5 * torch.tensor([0.6, 0.8]))
    torch.testing.assert_close(t.grad[0], torch.tensor([0.0, -1.0]))
    s.grad = None
    stepwise_feature_norm(s, t, shares(s, torch.tensor([3.0, 1.0])), shares(t)).backward()
    torch.testing.assert_close(s.grad, torch.tensor([[-1.5 * 0.6, -1.5 * 0.8], [0.0, -0.5]]))


# BSP


def test_bsp_is_the_largest_eigenvalues_of_each_domains_second_moments():
    def top(X, w, k):
        return np.linalg.eigvalsh((X * w[:, None]).T @ X)[::-1][:k].sum()

    for k in (1, 2, 9):
        expected = top(S.numpy(), np.ones(7), k) + top(T.numpy(), np.ones(5), k)
        assert largest_singular_values(S, T, *EVEN, k=k).item() == pytest.approx(expected)
        weighed = top(S.numpy(), (W / W.mean()).numpy(), k) + top(T.numpy(), np.ones(5), k)
        assert largest_singular_values(S, T, shares(S, W), shares(T), k=k).item() == pytest.approx(weighed)
    # of the two domains put together it would be another number
    both = np.linalg.svd(torch.cat([S, T]).numpy(), compute_uv=False)[0] ** 2
    assert largest_singular_values(S, T, *EVEN).item() != pytest.approx(both)


# alignment of classes


@pytest.mark.parametrize("weights", [None, W])
def test_contrastive_discrepancy_is_a_loop_over_pairs_of_classes(weights):
    w = torch.ones(7, dtype=torch.float64) if weights is None else weights
    present = [0, 1, 2]  # row 2 has no weight, and class 2 has another row

    def gap(c, other):
        rows, columns = (c == LABELS_S) & (w > 0), other == LABELS_T
        return mmd(S[rows], T[columns], shares(S[rows], w[rows]), shares(T[columns]), unbiased=False).item()

    same = np.mean([gap(c, c) for c in present])
    apart = np.mean([gap(c, e) for c in present for e in present if c != e])
    for between in (1.0, 0.3):
        found = contrastive_discrepancy(
            S, T, LABELS_S, LABELS_T, shares(S, w), shares(T), 3, between=between, width=2.0
        )
        assert found.item() == pytest.approx(same - between * apart)


def test_alignment_of_one_shared_class_of_none_and_of_no_sure_row():
    even = shares(S), shares(T)
    one = contrastive_discrepancy(S, T, LABELS_S, torch.tensor([1, 1, -1, -1, 3]), *even, 4, width=2.0)
    b = T[:2]
    expected = mmd(S[LABELS_S == 1], b, shares(S[LABELS_S == 1]), shares(b), unbiased=False)
    assert one.item() == pytest.approx(expected.item())
    for labels in (torch.full((5,), 3), torch.full((5,), -1)):
        x = S.clone().requires_grad_()
        value = contrastive_discrepancy(x, T, LABELS_S, labels, *even, 4)
        value.backward()
        assert value.item() == 0 and not x.grad.any()


# all of them


def slope(value, X, step=1e-6):
    """By central differences."""
    found = torch.zeros_like(X)
    for at in np.ndindex(*X.shape):
        up, down = X.clone(), X.clone()
        up[at] += step
        down[at] -= step
        found[at] = (value(up) - value(down)) / (2 * step)
    return found


def broken_by(fault, value):
    """The method with a planted fault."""
    if fault == "detached":
        return lambda s, t, a, b: value(s, t.detach(), a, b)
    return lambda s, t, a, b: value(s, t, a, b) - 2 * (value(s, t, a, b) - value(s, t, a, b).detach())


def gradient_error(value, truth, a, b):
    s, t = S.clone().requires_grad_(), T.clone().requires_grad_()
    value(s, t, a, b).backward()
    s_grad = torch.zeros_like(S) if s.grad is None else s.grad
    t_grad = torch.zeros_like(T) if t.grad is None else t.grad
    wrong = [s_grad - slope(lambda X: truth(X, T, a, b), S), t_grad - slope(lambda X: truth(S, X, a, b), T)]
    return max(each.abs().max().item() for each in wrong)


@pytest.mark.parametrize("weights", [None, W])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "safn"])
def test_gradients_are_finite_differences_and_faults_show(name, weights):
    a, b = shares(S, weights), shares(T)
    value = METHODS[name]
    assert gradient_error(value, value, a, b) < 1e-7
    assert gradient_error(broken_by("detached", value), value, a, b) > 1e-3
    assert gradient_error(broken_by("sign", value), value, a, b) > 1e-3


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("dan", "jan", "deepcoral", "safn", "bsp")])
def test_a_weight_is_a_repeated_row(name):
    """Exact for means and V-statistics; a U-statistic and an unbiased covariance know a repeated row from a heavy one, and
    BSP is a sum, not a mean."""
    value, again = METHODS[name], torch.repeat_interleave(torch.arange(7), W.long())
    weighed, b = value(S, T, shares(S, W), shares(T)).item(), shares(T)
    if name == "alignment":
        repeated = classes(S[again], T, shares(S[again]), b, LABELS_S[again]).item()
    else:
        repeated = value(S[again], T, shares(S[again]), b).item()
    assert weighed == pytest.approx(repeated)
    assert weighed != pytest.approx(value(S, T, *EVEN).item())


@pytest.mark.parametrize("name", list(METHODS))
def test_weights_know_no_scale_and_the_order_of_rows_says_nothing(name):
    value, b = METHODS[name], shares(T)
    found = value(S, T, shares(S, W), b).item()
    assert value(S, T, shares(S, 100 * W), b).item() == pytest.approx(found)
    order = torch.tensor([3, 1, 6, 0, 5, 2, 4])
    if name == "alignment":
        assert classes(S[order], T, shares(S, W[order]), b, LABELS_S[order]).item() == pytest.approx(found)
    else:
        assert value(S[order], T, shares(S, W[order]), b).item() == pytest.approx(found)


@pytest.mark.parametrize(
    "name", [name for name in METHODS if name not in ("dan", "jan", "hafn", "safn", "bsp", "alignment")]
)
def test_a_distance_is_symmetric_zero_to_itself_and_positive_to_another(name):
    value = METHODS[name]
    there, back = value(S, T, *EVEN).item(), value(T, S, *EVEN[::-1]).item()
    assert there == pytest.approx(back) and there > 0
    assert value(S, S, shares(S), shares(S)).item() == pytest.approx(0, abs=1e-12)


HARD = {
    "equal rows": (torch.ones(4, 3), torch.ones(3, 3)),
    "equal domains": (normal(4, 3).float(), normal(4, 3).float()),
    "zeros": (torch.zeros(4, 3), torch.zeros(3, 3)),
    "more columns than rows": (normal(3, 9).float(), normal(2, 9, seed=1).float()),
    "equal singular values": (torch.eye(3), 2 * torch.eye(3)),
    "two rows": (normal(2, 3).float(), normal(2, 3, seed=1).float()),
    "one row": (normal(1, 3).float(), normal(1, 3, seed=1).float()),
    "far away": (normal(4, 3).float() * 1e4, normal(3, 3, seed=1).float() * 1e4 - 1e5),
}


@pytest.mark.parametrize("case", list(HARD))
@pytest.mark.parametrize("name", list(METHODS))
def test_values_and_gradients_are_finite(name, case):
    s, t = (X.clone().requires_grad_() for X in HARD[case])
    lines = random_directions(s.shape[1], 8, s)
    value = METHODS[name] if name != "swd" else lambda *x: sliced_wasserstein(*x[:2], lines, *x[2:])
    if name == "cmd":
        value = central_moment_discrepancy
    found = value(s, t, shares(s), shares(t))
    found.backward()
    assert found.isfinite()
    for X in (s, t):
        assert X.grad is not None and X.grad.isfinite().all()


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("missing", ["target", "source", "weights"])
def test_a_domain_without_rows_gives_nothing_with_its_gradient_intact(name, missing):
    s, t = S.clone(), T.clone()
    s, t = s[: 0 if missing == "source" else 7], t[: 0 if missing == "target" else 5]
    s.requires_grad_(), t.requires_grad_()
    found = METHODS[name](s, t, shares(s, 0 * W if missing == "weights" else None), shares(t))
    found.backward()
    for X in (s, t):
        assert X.grad is not None and X.grad.isfinite().all()
    if name not in ("hafn", "safn", "bsp"):  # these ask something of each domain alone
        assert found.item() == 0


# the ramp


def test_the_ramp_is_the_papers():
    assert adaptation_ramp(0.0) == 0
    assert adaptation_ramp(0.5) == pytest.approx(math.tanh(2.5))  # 2 sigmoid(x) - 1 = tanh(x / 2)
    assert adaptation_ramp(1.0, 4) == pytest.approx(math.tanh(2.0))
    assert adaptation_ramp(0.0, 0) == 1
