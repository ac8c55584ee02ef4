"""Several sources and no target: each function against a loop, a closed form or finite differences."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from headstart.functional.domain_risks import domain_risks, row_factors
from headstart.functional.group_dro import exponentiated_shares
from headstart.functional.irm import irm_penalty, scale_slopes
from headstart.functional.mixstyle import mix_style, partners
from headstart.functional.moment_matching import moment_distances, moments
from headstart.functional.source_weights import best_case_shares, worst_case_shares
from headstart.functional.vrex import risk_variance

DOMAIN = torch.tensor([0, 1, 2, 0, 1, 0, 3])  # 3: labelled rows of a target, of three sources
LOSSES = torch.tensor([1.0, 2.0, 5.0, 3.0, 4.0, 2.0, 9.0])


def each(outputs, targets):
    return cross_entropy(outputs, targets, reduction="none")


def test_the_risk_of_a_domain_is_the_mean_of_its_rows():
    risks, there = domain_risks(LOSSES, DOMAIN, 3)
    torch.testing.assert_close(risks, torch.tensor([2.0, 3.0, 5.0]))
    weights = torch.tensor([2.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    torch.testing.assert_close(domain_risks(LOSSES, DOMAIN, 3, weights)[0], torch.tensor([4 / 3, 3.0, 5.0]))
    risks, there = domain_risks(LOSSES[:2], torch.tensor([0, 2]), 3)
    assert there.tolist() == [True, False, True] and risks.tolist() == [1.0, 0.0, 2.0]


def test_factors_make_the_mean_over_rows_the_weighted_sum_of_risks():
    shares = torch.tensor([0.2, 0.3, 0.5])
    factors = row_factors(shares, DOMAIN)
    mine = DOMAIN < 3
    risks = domain_risks(LOSSES, DOMAIN, 3)[0]
    assert (factors * LOSSES)[mine].mean() == pytest.approx(float((shares * risks).sum()))
    assert factors[-1] == 1
    balanced = torch.arange(6) % 3
    torch.testing.assert_close(row_factors(torch.full((3,), 1 / 3), balanced), torch.ones(6))
    lone = row_factors(shares, torch.tensor([0, 1, 1]))  # nothing of the third: the first two have all
    torch.testing.assert_close(lone, torch.tensor([0.4 * 3, 0.6 * 1.5, 0.6 * 1.5]))


def test_group_dro_by_hand():
    q = exponentiated_shares(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 2.0]), math.log(2))
    torch.testing.assert_close(q, torch.tensor([1 / 3, 2 / 3]))  # 0.5 * 2 against 0.5 * 4
    q = exponentiated_shares(q, torch.tensor([3.0, 1.0]), math.log(2))
    torch.testing.assert_close(q, torch.tensor([2 / 3, 1 / 3]))  # 1/3 * 8 against 2/3 * 2


def irm_by_differences(outputs, targets, domain, count, sign=1.0):
    """The slope of each half's risk along a scale, by central differences of the losses."""
    h, found = 1e-5, []
    for e in range(count):
        mine = domain == e
        f, y = outputs[mine], targets[mine]
        slope = (each((1 + h) * f, y) - each((1 - h) * f, y)) / (2 * h)
        found.append(slope[::2].mean() * sign * slope[1::2].mean())
    return torch.stack(found).mean()


def irm_problem():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(12, 3, dtype=torch.float64, generator=generator)
    return outputs.requires_grad_(), torch.arange(12) % 3, torch.arange(12) % 2


def test_irms_slopes_are_finite_differences_of_the_scale():
    outputs, targets, domain = irm_problem()
    value = irm_penalty(scale_slopes(outputs, targets, each), domain, 2)
    expected = irm_by_differences(outputs.detach(), targets, domain, 2)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert abs(float(irm_by_differences(outputs.detach(), targets, domain, 2, -1.0)) - value.item()) > 1e-3


def test_irms_gradient_reaches_the_outputs_through_both_halves():
    outputs, targets, domain = irm_problem()

    def value(x):
        return irm_penalty(scale_slopes(x, targets, each), domain, 2)

    assert torch.autograd.gradcheck(value, (outputs,))

    def detached(x):
        return irm_penalty(scale_slopes(x, targets, each).detach(), domain, 2) + 0 * x.sum()

    with pytest.raises(Exception, match="Jacobian mismatch"):
        torch.autograd.gradcheck(detached, (outputs,))


def test_irms_penalty_has_no_bias_and_passes_by_single_rows():
    """Slopes that are noise around 0: the product of two halves is 0 on average, the square of the mean is not."""
    noise = torch.randn(4000, 8, generator=torch.Generator().manual_seed(1))
    products = torch.stack([irm_penalty(row, torch.zeros(8, dtype=torch.long), 1) for row in noise])
    assert abs(products.mean()) < 0.02 < noise.mean(1).square().mean()
    alone = irm_penalty(noise[0, :3], torch.tensor([0, 0, 1]), 2)
    assert alone == noise[0, 0] * noise[0, 1]


def test_vrex_is_the_variance():
    risks = torch.tensor([1.0, 2.0, 6.0], requires_grad=True)
    value = risk_variance(risks)
    assert value.item() == pytest.approx(np.var([1.0, 2.0, 6.0]))
    value.backward()
    torch.testing.assert_close(risks.grad, 2 / 3 * (risks.detach() - 3))
    assert risk_variance(torch.tensor([4.0])) == 0


def test_moments_and_their_distances_by_loops():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(n, 4, generator=generator) + i for i, n in enumerate((5, 7, 6))]
    target = torch.randn(9, 4, generator=generator)
    found = [moments(part, 3) for part in parts]
    to_target, pairs = moment_distances(found, moments(target, 3))

    def far(a, b):
        total = 0.0
        for k in (1, 2, 3):
            square = 0.0
            for j in range(a.shape[1]):
                square += float((a[:, j] ** k).mean() - (b[:, j] ** k).mean()) ** 2
            total += math.sqrt(square)
        return total

    for i, part in enumerate(parts):
        assert float(to_target[i]) == pytest.approx(far(part, target), rel=1e-5)
    by_pair = [far(parts[0], parts[1]), far(parts[0], parts[2]), far(parts[1], parts[2])]
    assert float(pairs) == pytest.approx(sum(by_pair) / 3, rel=1e-5)
    shares = torch.tensor([0.5, 0.5, 0.0])  # a source that counts nothing is in no pair
    assert float(moment_distances(found, moments(target, 3), shares)[1]) == pytest.approx(by_pair[0], rel=1e-5)
    weights = torch.tensor([2.0, 1, 0, 0, 1])
    torch.testing.assert_close(moments(parts[0], 2, weights)[0], (2 * parts[0][0] + parts[0][1] + parts[0][4]) / 4)
    same = moments(target, 2).requires_grad_()
    moment_distances([same], moments(target, 2))[0].sum().backward()
    assert torch.isfinite(same.grad).all(), "equal moments have a gradient"


def test_the_worst_source_counts_most():
    costs = torch.tensor([0.1, 0.7, 0.4], requires_grad=True)
    gamma = 3.0
    (torch.logsumexp(gamma * costs, 0) / gamma).backward()
    torch.testing.assert_close(worst_case_shares(costs.detach(), gamma), costs.grad)
    by_hand = np.exp([0.3, 2.1, 1.2]) / np.exp([0.3, 2.1, 1.2]).sum()
    np.testing.assert_allclose(worst_case_shares(costs.detach(), gamma), by_hand, rtol=1e-5)
    assert worst_case_shares(costs.detach(), math.inf).tolist() == [0, 1, 0]


def test_darns_shares_are_the_best_on_the_simplex():
    costs, tau = torch.tensor([0.2, 0.5, 1.4], dtype=torch.float64), 0.6
    alpha = best_case_shares(costs, tau)

    a, b = np.meshgrid(np.linspace(0, 1, 401), np.linspace(0, 1, 401))
    some = np.stack([a, b, 1 - a - b], -1)[a + b <= 1]
    brute = (some @ costs.numpy() + tau * np.linalg.norm(some, axis=1)).min()
    value = float(alpha @ costs + tau * alpha.norm())
    assert value <= brute + 1e-9 and value == pytest.approx(brute, abs=1e-4)
    assert alpha.sum() == pytest.approx(1) and alpha[0] > alpha[1] > 0 and alpha[2] == 0
    np.testing.assert_allclose(best_case_shares(costs, 1e6), 1 / 3, atol=1e-5)
    torch.testing.assert_close(best_case_shares(costs, 0.1), torch.tensor([1.0, 0, 0], dtype=torch.float64))


def test_mixstyle_gives_the_statistics_between_the_two():
    x = torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(0)).double() * 3 + 2
    partner, share = torch.tensor([1, 2, 0]), torch.tensor([0.25, 1.0, 0.0], dtype=torch.float64)
    found = mix_style(x, partner, share)
    mean, spread = x.mean((2, 3)), x.std((2, 3), correction=0)
    for i in range(3):
        s, p = float(share[i]), int(partner[i])
        torch.testing.assert_close(found[i].mean((1, 2)), s * mean[i] + (1 - s) * mean[p])
        torch.testing.assert_close(
            found[i].std((1, 2), correction=0), s * spread[i] + (1 - s) * spread[p], rtol=1e-5, atol=0
        )
        inside = (x[i] - mean[i][:, None, None]) / spread[i][:, None, None]
        now = found[i].std((1, 2), correction=0)[:, None, None]
        torch.testing.assert_close(
            (found[i] - found[i].mean((1, 2))[:, None, None]) / now, inside, rtol=1e-4, atol=1e-6
        )
    torch.testing.assert_close(found[1], x[1])  # lambda 1: itself


def test_mixstyles_statistics_have_no_gradient():
    x = torch.randn(2, 1, 3, 3).requires_grad_()
    mix_style(x, torch.tensor([1, 0]), torch.tensor([0.5, 0.5])).sum().backward()
    spread = (x.detach().var((2, 3), correction=0) + 1e-6).sqrt()
    expected = (spread + spread.flip(0)) / 2 / spread  # sigma_mix / sigma, constant over the map
    torch.testing.assert_close(x.grad, expected[..., None, None].expand_as(x))


def test_partners_are_of_other_domains():
    domain = torch.tensor([0, 0, 0, 1, 2])
    torch.manual_seed(0)
    for _ in range(20):
        assert (domain[partners(domain, 5, domain.device)] != domain).all()
    assert sorted(partners(None, 5, domain.device).tolist()) == list(range(5))
    assert sorted(partners(torch.zeros(5), 5, domain.device).tolist()) == list(range(5))
