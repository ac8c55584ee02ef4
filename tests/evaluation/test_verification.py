"""Verification and retrieval by brute force over thresholds, pairs and neighbours."""

import numpy as np
import pytest

from headstart.evaluation.scoring.embedding import EmbeddingScoring
from headstart.evaluation.verification import equal_error_rate, found_among_nearest, make_pairs, true_accepts
from headstart.tasks.embedding import Embedding

TASK = Embedding(("a",), size=6)


def problem(n_ids: int = 7, each: int = 5, spread: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_ids), each)
    e = rng.normal(size=(n_ids, 6))[y] + spread * rng.normal(size=(len(y), 6))
    return (e / np.linalg.norm(e, axis=1, keepdims=True)).astype(np.float32), y


def brute_pairs(e, y):
    genuine, impostor = [], []
    for i in range(len(y)):
        for j in range(i + 1, len(y)):
            (genuine if y[i] == y[j] else impostor).append(float(e[i].astype(float) @ e[j].astype(float)))
    return np.array(genuine), np.array(impostor)


def test_equal_error_rate_and_true_accepts_by_brute_force_over_thresholds():
    e, y = problem()
    genuine, impostor = brute_pairs(e, y)
    pairs = make_pairs(e, y)
    assert pairs.all == (len(genuine), len(impostor)) == (70, 525)
    thresholds = [*sorted({*genuine, *impostor}), np.inf]
    far = np.array([(impostor >= t).mean() for t in thresholds])
    frr = np.array([(genuine < t).mean() for t in thresholds])
    best = np.abs(far - frr).argmin()
    rate, threshold = equal_error_rate(pairs)
    assert rate == pytest.approx((far[best] + frr[best]) / 2)
    assert 0.02 < rate < 0.4
    assert threshold == pytest.approx(thresholds[best])
    for level in (0.1, 0.01, 0.002):
        assert true_accepts(pairs, level) == pytest.approx(
            1 - min(f for f, a in zip(frr, far, strict=True) if a <= level)
        )


def test_ties_are_accepted_together():
    e = np.zeros((4, 6), dtype=np.float32)
    e[:, 0] = 1  # all four are the same picture: every pair has one score
    pairs = make_pairs(e, np.array([0, 0, 1, 1]))
    assert equal_error_rate(pairs)[0] == 0.5
    assert true_accepts(pairs, 0.5) == 0


def test_recall_at_k_by_brute_force():
    e, y = problem(spread=2.0)
    y[-1] = 99  # nobody else has this identity: it asks nothing
    found = found_among_nearest(e, y, (1, 5))
    for k in (1, 5):
        for i in range(len(y)):
            nearest = sorted((j for j in range(len(y)) if j != i), key=lambda j: -float(e[i] @ e[j]))[:k]
            if i == len(y) - 1:
                assert np.isnan(found[k][i])
            else:
                assert found[k][i] == any(y[j] == y[i] for j in nearest)
    assert 0.2 < np.nanmean(found[1]) < np.nanmean(found[5]) < 1


def test_weights_are_repeated_pairs():
    e, y = problem()
    pairs = make_pairs(e, y)
    weights = np.random.default_rng(1).integers(0, 3, len(pairs.score)).astype(float)
    again = np.repeat(np.arange(len(weights)), weights.astype(int))
    repeated = type(pairs)(pairs.score[again], pairs.same[again], pairs.first[again], pairs.second[again], pairs.all)
    assert equal_error_rate(pairs, weights) == pytest.approx(equal_error_rate(repeated))
    assert true_accepts(pairs, 0.01, weights) == pytest.approx(true_accepts(repeated, 0.01))


def test_scores_have_intervals_that_hold_them_and_rates_that_cannot_be_measured_are_left_out():
    scoring, (e, y) = EmbeddingScoring(), problem()
    found = scoring.scores(e, y, TASK)
    assert set(found) == {"equal_error_rate", "tar_at_far_0.01", "recall_at_1", "recall_at_5", "mean_reciprocal_rank", "ndcg_at_10"}  # fmt: skip  # 525 impostor pairs
    for cell in found.values():
        assert cell["ci95"][0] <= cell["value"] <= cell["ci95"][1]
    worse, _ = problem(spread=2.5)
    gain = scoring.gain(e, worse, y, "equal_error_rate", (TASK, TASK))
    assert gain["value"] > 0 and gain["ci95"][0] > 0 and gain["p_value"] < 0.05, "fewer errors are a gain"
    assert scoring.gain(e, e, y, "equal_error_rate", (TASK, TASK))["p_value"] == 1
