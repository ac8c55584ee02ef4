"""Scores against scikit-learn and SciPy, intervals against simulation, gains against exact tests."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as theirs

from headstart.errors import QuestionError
from headstart.evaluation.calibration import calibration
from headstart.evaluation.compare import holm
from headstart.evaluation.gain import beyond_noise, mcnemar, paired_gain
from headstart.evaluation.intervals import bootstrap_blocks, wilson
from headstart.evaluation.metrics import classification_metrics, point_metrics, roc_auc, weighted_auc
from headstart.evaluation.verdict import examples_needed, verdict
from headstart.functional.temperature import at_temperature, fit_temperature
from headstart.tasks.catalogue import TASKS, by_vector

RNG = np.random.default_rng(0)


def problem(n=200, k=4, skill=1.5, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    logits = rng.normal(0, 1, (n, k))
    logits[np.arange(n), labels] += skill
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), labels


def test_scores_equal_scikit_learn():
    p, y = problem()
    found = {k: v["value"] for k, v in classification_metrics(p, y, ("a", "b", "c", "d"), n_boot=10).items()}
    said = p.argmax(1)
    assert found["accuracy"] == pytest.approx(theirs.accuracy_score(y, said))
    assert found["balanced_accuracy"] == pytest.approx(theirs.balanced_accuracy_score(y, said))
    assert found["macro_f1"] == pytest.approx(theirs.f1_score(y, said, average="macro"))
    assert found["log_loss"] == pytest.approx(theirs.log_loss(y, p))
    assert found["roc_auc"] == pytest.approx(theirs.roc_auc_score(y, p, multi_class="ovr"))
    assert point_metrics(p, y)["loss"] == pytest.approx(found["log_loss"])


def test_calibration_error_by_hand():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    y = np.array([0, 1, 0, 1])
    # bin of 0.9: confidence 0.9, accuracy 0.5, 2 of 4; bin of 0.6: confidence 0.6, accuracy 1, 2 of 4
    assert classification_metrics(p, y, ("a", "b"), n_boot=5)["ece"]["value"] == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    found = calibration(p, y)
    assert [(b["n"], b["accuracy"]) for b in found["bins"]] == [(2, 1.0), (2, 0.5)]


def test_roc_auc_is_none_without_every_class():
    p, y = problem(k=3)
    assert roc_auc(p, np.zeros(len(y), dtype=int)) is None


def test_weighted_scores_equal_scikit_learn_on_the_resample():
    """A weight of 2 is an example that is there twice; ties and lost classes included."""
    p, y = problem(60, 3)
    p = p.round(1)  # many ties
    weights = next(iter(bootstrap_blocks(60, 5, 0)))
    drawn = [np.repeat(np.arange(60), row.astype(int)) for row in weights]
    expected = [np.mean([theirs.roc_auc_score(y[i] == c, p[i, c]) for c in range(3)]) for i in drawn]
    assert weighted_auc(p, y, weights) == pytest.approx(expected)
    lost = np.where(y == 0, 0.0, 1.0)[None]
    kept = np.flatnonzero(y != 0)
    assert weighted_auc(p, y, lost)[0] == pytest.approx(
        np.mean([theirs.roc_auc_score(y[kept] == c, p[kept, c]) for c in (1, 2)])
    )


@pytest.mark.filterwarnings("error")
def test_very_small_test_sets_have_scores_and_no_warnings():
    """With two images most resamples hold one class only."""
    found = classification_metrics(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]), ("a", "b"), n_boot=50)
    assert found["roc_auc"]["value"] == 1
    assert all(np.isfinite([v["value"], *v["ci95"]]).all() for v in found.values())
    one = classification_metrics(np.array([[0.9, 0.1]]), np.array([0]), ("a", "b"), n_boot=50)
    assert "roc_auc" not in one
    assert one["accuracy"]["ci95"] == pytest.approx([0.2065, 1], abs=1e-3)


def test_the_resamples_do_not_depend_on_the_size_of_a_block(monkeypatch):
    whole = np.concatenate(list(bootstrap_blocks(50, 40, 7)))
    monkeypatch.setattr("headstart.evaluation.intervals.BLOCK_BYTES", 50 * 8 * 3)
    parts = list(bootstrap_blocks(50, 40, 7))
    assert len(parts) == 14
    assert (np.concatenate(parts) == whole).all()
    assert (whole.sum(1) == 50).all()


def test_many_classes_need_little_memory():
    import tracemalloc

    y = np.arange(1000) % 250
    p = np.full((1000, 250), 1e-3)
    p[np.arange(1000), y] = 1 - 0.249
    tracemalloc.start()
    classification_metrics(p, y, tuple(map(str, range(250))), n_boot=1000)
    paired_gain(p, p[::-1], y)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert peak < 200, f"{peak:.0f} MB"  # a K x K table a resample would take 500


def test_temperature_recovers_the_one_that_was_planted():
    p, _ = problem(4000, skill=2)
    y = np.array(
        [np.random.default_rng(i).choice(4, p=row) for i, row in enumerate(p)]
    )  # labels drawn from p: calibrated
    assert fit_temperature(np.log(p), y) == pytest.approx(1, abs=0.07)
    assert fit_temperature(np.log(at_temperature(np.log(p), 0.5)), y) == pytest.approx(2, rel=0.07)


def test_a_temperature_above_one_makes_less_sure():
    p = np.array([[0.8, 0.2], [0.5, 0.5]])
    assert at_temperature(np.log(p), 1) == pytest.approx(p)
    assert at_temperature(np.log(p), 2)[0] == pytest.approx([2 / 3, 1 / 3])  # sqrt(0.8) : sqrt(0.2) = 2 : 1


def test_bootstrap_interval_covers_the_truth():
    """The 95 % interval of accuracy must hold the true accuracy in about 95 of 100 samples."""
    hits = 0
    for i in range(300):
        right = np.random.default_rng(i).random(120) < 0.8
        p = np.stack([np.where(right, 0.9, 0.1), np.where(right, 0.1, 0.9)], 1)
        low, high = classification_metrics(p, np.zeros(120, dtype=int), ("a", "b"), n_boot=300, seed=i)["accuracy"][
            "ci95"
        ]
        hits += low <= 0.8 <= high
    assert 0.91 <= hits / 300 <= 0.98


def test_wilson_equals_scipy():
    for right, n in [(0, 5), (3, 7), (50, 50), (80, 100)]:
        theirs_ = binomtest(right, n).proportion_ci(method="wilson")
        assert wilson(right, n) == pytest.approx([theirs_.low, theirs_.high], abs=1e-9)
    assert wilson(0, 0) == [0.0, 1.0]


def test_mcnemar_by_hand():
    a = np.array([1] * 10 + [0] * 2 + [1] * 50, dtype=bool)
    b = np.array([0] * 10 + [1] * 2 + [1] * 50, dtype=bool)
    assert mcnemar(a, b) == pytest.approx(binomtest(10, 12, 0.5).pvalue)
    assert mcnemar(a, a) == 1.0


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_permutation_equals_all_swaps(metric):
    """Against the p-value over all 2^10 ways to swap the two predictions of ten examples, scored by scikit-learn."""
    y, a, b = np.array([[0, 0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1, 1, 2, 0, 2], [0, 1, 2, 0, 1, 0, 2, 1, 2, 2]])
    score = {
        "balanced_accuracy": theirs.balanced_accuracy_score,
        "macro_f1": lambda t, s: theirs.f1_score(t, s, average="macro", labels=np.unique([*t, *s])),
    }[metric]
    size = abs(score(y, a) - score(y, b))
    hits = 0
    for bits in range(1024):
        swap = (bits >> np.arange(10) & 1).astype(bool)
        hits += abs(score(y, np.where(swap, b, a)) - score(y, np.where(swap, a, b))) >= size - 1e-9
    assert paired_gain(a, b, y, metric=metric)["p_value"] == pytest.approx(hits / 1024, abs=0.03)


def test_gain_is_the_difference_paired():
    p, y = problem(skill=1)
    q = problem(skill=1)[0].copy()
    q[:30] = np.eye(4)[y[:30]]
    found = paired_gain(q, p, y)
    assert found["value"] == pytest.approx((q.argmax(1) == y).mean() - (p.argmax(1) == y).mean())
    assert found["ci95"][0] > 0
    assert found["p_value"] < 0.01
    back = paired_gain(p, q, y)
    assert back["value"] == -found["value"]
    same = paired_gain(p, p, y)
    assert same["ci95"] == pytest.approx([-0.0188, 0.0188], abs=1e-4)  # 1.96^2 / (200 + 1.96^2)
    assert same["p_value"] == 1


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1"])
def test_under_no_difference_few_p_values_are_small(metric):
    small = 0
    for i in range(60):
        y = np.random.default_rng(i).integers(0, 3, 60)
        a, b = (problem(60, 3, 0.8, seed=1000 + 2 * i + j)[0] for j in (0, 1))
        small += paired_gain(a, b, y, metric=metric, n_boot=50)["p_value"] < 0.05
    assert small <= 8


def test_gain_refuses_what_is_not_paired():
    p, y = problem()
    with pytest.raises(QuestionError, match="paired models need the same examples"):
        paired_gain(p[:5], p, y)
    with pytest.raises(QuestionError, match="unknown metric of a gain: got 'auc'"):
        paired_gain(p, p, y, metric="auc")


def gain(value, low, high, n=100):
    return {"value": value, "ci95": [low, high], "p_value": 0.03, "n": n}


def test_ask16_nothing_is_called_better_inside_the_noise():
    found = verdict({"scratch": gain(0.03, -0.01, 0.07), "raw_pixels": gain(0.2, 0.1, 0.3)})
    assert found["level"] == "no_evidence"
    assert found["negative_transfer"] is None
    assert "inside the noise" in found["why"]
    assert "better" not in found["why"]
    assert "About 364 test images" in found["try"][0]  # 100 * (0.04 / 1.96 * (1.96 + 0.84) / 0.03)^2 = 363.2
    assert examples_needed(gain(0.0, -0.1, 0.1)) is None


def test_ask16_four_images_are_no_proof():
    """With 4 of 100 images between them the percentile interval excludes zero; the exact test (p = 0.125) does not."""
    labels = np.zeros(100, dtype=int)
    other = labels.copy()
    other[:4] = 1
    found = paired_gain(labels, other, labels)
    assert found["ci95"][0] > 0
    assert found["p_value"] == pytest.approx(0.125)
    assert beyond_noise(found) == 0
    judged = verdict({"scratch": found})
    assert judged["level"] == "no_evidence"
    assert "+4.0 points" in judged["why"]
    back = verdict({"scratch": paired_gain(other, labels, labels)})
    assert back["negative_transfer"] is None


def test_ask16_fifteen_of_fifteen_is_no_certainty():
    """Every resample of a perfect score is perfect; the interval must not be [1, 1]."""
    y = np.arange(15) % 3
    found = classification_metrics(np.eye(3)[y] * 0.7 + 0.1, y, ("a", "b", "c"), n_boot=50)
    theirs_ = binomtest(15, 15).proportion_ci(method="wilson")
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert found[name]["value"] == 1
        assert found[name]["ci95"] == pytest.approx([theirs_.low, theirs_.high])
    wrong = classification_metrics(np.eye(3)[(y + 1) % 3], y, ("a", "b", "c"), n_boot=50)["accuracy"]
    assert wrong["ci95"] == pytest.approx([0, 1 - theirs_.low])


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1"])
def test_ask16_two_equal_models_may_still_differ(metric):
    """No discordant pair among n: Tango's score interval solves n D / (1 - D) = z^2."""
    y = np.arange(15) % 3
    low, high = paired_gain(y, y, y, metric=metric, n_boot=50)["ci95"]
    assert low == -high
    assert 15 * high / (1 - high) == pytest.approx(1.959964**2)


def test_ask16_false_alarms_are_rare():
    """Two models that differ by nothing but chance: at most 2.5 % of verdicts say that the transfer helped."""
    helped = hurt = 0
    for i in range(400):
        rng = np.random.default_rng(i)
        right = rng.random(60) < 0.85
        a, b = (np.where(rng.random(60) < 0.1, ~right, right).astype(int) for _ in range(2))
        level = verdict({"scratch": paired_gain(1 - a, 1 - b, np.zeros(60, dtype=int), n_boot=300, seed=i)})["level"]
        helped += level == "helped"
        hurt += level == "hurt"
    assert helped / 400 <= 0.03
    assert hurt / 400 <= 0.03


def test_examples_needed_has_the_power_that_it_promises():
    """Simulated: at the number of images that it names, a true gain is found in about 80 of 100 samples."""
    true_gain, discordant, n = 0.1, 0.3, 60
    se = (discordant - true_gain**2) ** 0.5 / n**0.5
    need = examples_needed(gain(true_gain, true_gain - 1.96 * se, true_gain + 1.96 * se, n))
    rng, found = np.random.default_rng(0), 0
    for i in range(200):
        kind = rng.choice(3, size=need, p=[(discordant + true_gain) / 2, (discordant - true_gain) / 2, 1 - discordant])
        y = np.zeros(need, dtype=int)
        found += beyond_noise(paired_gain((kind == 1).astype(int), (kind == 0).astype(int), y, n_boot=300, seed=i)) == 1
    assert 0.68 <= found / 200 <= 0.9


def test_the_sentence_names_the_strongest_baseline():
    near_but_sure, far = gain(0.05, 0.03, 0.07), gain(0.06, 0.01, 0.11)
    assert (
        "5.0 points of accuracy above training from scratch"
        in verdict({"scratch": near_but_sure, "raw_pixels": far})["why"]
    )
    unsure = {**far, "ci95": [-0.01, 0.13]}
    judged = verdict({"scratch": near_but_sure, "raw_pixels": unsure})
    assert judged["level"] == "no_evidence"
    assert "raw pixels" in judged["why"]


def test_verdicts():
    helped = verdict(
        {"scratch": gain(0.1, 0.05, 0.15), "raw_pixels": gain(0.2, 0.1, 0.3), "probe": gain(-0.2, -0.3, -0.1)}
    )
    assert helped["negative_transfer"] is False
    assert "10.0 points of accuracy above training from scratch" in helped["why"]
    hurt = verdict({"scratch": gain(0.1, 0.05, 0.15), "raw_pixels": gain(-0.08, -0.12, -0.03)})
    assert hurt["negative_transfer"] is True
    assert "8.0 points of accuracy below logistic regression on raw pixels" in hurt["why"]
    assert hurt["try"]
    assert verdict({"probe": gain(0.1, 0.05, 0.15)})["level"] == "not_measured"
    assert all(v["why_zh"] and len(v["try"]) == len(v["try_zh"]) for v in (helped, hurt))


def test_from_random_weights_nothing_is_said_to_help():
    for low, high, words in ((0.05, 0.15, "10.0 points of accuracy above"), (-0.05, 0.25, "inside the noise")):
        found = verdict({"scratch": gain(0.1, low, high), "classical": gain(0.3, 0.2, 0.4)}, pretrained=False)
        assert found["level"] == "nothing_transferred" and found["negative_transfer"] is None
        assert (
            found["why"].startswith("Nothing was transferred: the source has random weights.") and words in found["why"]
        )
        assert "helped" not in found["why"] and "有帮助" not in found["why_zh"] and "--source NAME" in found["try"][0]
    assert verdict({}, pretrained=False)["why"].endswith("random weights.")


def test_a_task_that_rank_refuses_has_no_hint_at_it():
    for cell in (gain(-0.1, -0.15, -0.05), gain(0.03, -0.01, 0.07)):
        asked, other = verdict({"scratch": cell}), verdict({"scratch": cell}, ranks=False)
        for key in ("try", "try_zh"):
            assert any("headstart rank" in line for line in asked[key])
            assert not any("headstart rank" in line for line in other[key]) and any(
                "--source" in line for line in other[key]
            )
    assert [name for name in TASKS if not by_vector(name)] == [
        "token_classification", "question_answering", "translation", "summarization",
    ]  # fmt: skip


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
