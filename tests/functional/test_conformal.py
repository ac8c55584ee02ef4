"""Conformal sets: the quantile by hand, the scores by brute force, the coverage against its exact law."""

import numpy as np
import pytest
from scipy import stats

from headstart.functional.conformal import (
    class_scores,
    draws_of,
    prediction_sets,
    rank_of,
    threshold,
    true_scores,
)  # fmt: skip


def test_the_quantile_by_hand():
    scores = np.array([0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8, 0.4, 0.6])  # nine scores: ceil(10 * 0.9) = 9
    assert rank_of(9, 0.9) == 9
    assert threshold(scores, 0.9) == 0.9
    assert threshold(scores, 0.8) == 0.8
    assert threshold(scores, 0.75) == 0.8  # ceil(7.5) = 8
    assert threshold(scores[:8], 0.9) == np.inf  # ceil(8.1) = 9 > 8: only every class at once is enough
    assert rank_of(99, 0.99) == 99
    assert rank_of(98, 0.99) == 99


def test_scores_by_hand():
    p = np.array([[0.2, 0.5, 0.3]])
    assert class_scores(p, "lac")[0] == pytest.approx([0.8, 0.5, 0.7])
    # ranked 0.5 0.3 0.2; with u = 0.4: 0.2, 0.5 + 0.12, 0.8 + 0.08
    assert class_scores(p, "aps", np.array([0.4]))[0] == pytest.approx([0.88, 0.2, 0.62])
    assert true_scores(p, np.array([2]), "aps", np.array([0.4])) == pytest.approx([0.62])
    assert prediction_sets(p, 0.62 + 1e-12, "aps", np.array([0.4]))[0].tolist() == [False, True, True]
    assert prediction_sets(p, np.inf, "lac").all()
    with pytest.raises(ValueError, match="draws"):
        class_scores(p, "aps")


def test_aps_is_the_sum_of_what_is_above():
    rng = np.random.default_rng(0)
    p, u = rng.dirichlet(np.ones(6), 50), rng.random(50)
    found = class_scores(p, "aps", u)
    for i in range(50):
        for k in range(6):
            assert found[i, k] == pytest.approx(p[i][p[i] > p[i, k]].sum() + u[i] * p[i, k])


def world(rng, n, k=4):
    """Exchangeable images of a model that is far too sure: coverage may not rest on honest probabilities."""
    p = rng.dirichlet(np.ones(k), n)
    y = (rng.random((n, 1)) > p.cumsum(1)).sum(1).clip(0, k - 1)
    return p**3 / (p**3).sum(1, keepdims=True), y, rng.random(n)


def covered(method, n, coverage, rounds, rank=rank_of):
    """Share of ``rounds`` calibrations of n images after which one new image's set holds its class."""
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(rounds):
        p, y, u = world(rng, n + 1)
        scores = true_scores(p, y, method, u)
        hits += scores[-1] <= np.sort(scores[:-1])[rank(n, coverage) - 1]
    return hits


@pytest.mark.parametrize("method", ["lac", "aps"])
@pytest.mark.parametrize(("n", "coverage"), [(19, 0.9), (33, 0.8)])
def test_coverage_has_its_exact_law(method, n, coverage):
    """The new score is no larger than the k-th of n with probability k / (n + 1): a binomial count over the rounds."""
    rounds = 4000
    k = rank_of(n, coverage)
    hits = covered(method, n, coverage, rounds)
    assert stats.binomtest(hits, rounds, k / (n + 1)).pvalue > 1e-3
    assert k / (n + 1) >= coverage


def test_the_planted_quantile_without_the_correction_is_caught():
    rounds = 4000
    hits = covered("lac", 19, 0.9, rounds, rank=lambda n, c: int(np.floor(n * c)))
    assert stats.binomtest(hits, rounds, rank_of(19, 0.9) / 20).pvalue < 1e-6


def test_coverage_after_one_calibration_follows_the_beta_law():
    """Given the held-out images, coverage of the next ones is Beta(k, n + 1 - k) (Vovk 2012)."""
    rng = np.random.default_rng(0)
    n, k = 50, rank_of(50, 0.9)
    p, y, u = world(rng, 20000)
    scores = np.sort(true_scores(p, y, "aps", u))
    found = []
    for _ in range(400):
        q = np.sort(rng.choice(scores, n))[k - 1]
        found.append(np.searchsorted(scores, q, side="right") / len(scores))
    assert stats.kstest(found, stats.beta(k, n + 1 - k).cdf).pvalue > 1e-3


def test_draws_belong_to_the_content_and_are_even():
    import hashlib

    digests = np.array([hashlib.sha256(str(i).encode()).hexdigest()[:24] for i in range(2000)])
    draws = draws_of(digests)
    assert stats.kstest(draws, "uniform").pvalue > 1e-3
    assert draws_of(digests[5:6])[0] == draws[5]
    assert draws_of(np.array(["f" * 24]))[0] < 1
