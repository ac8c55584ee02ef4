"""Head2Toe: finds what an early layer knows, selects inside each fold, and is the probe where everything is kept."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.evaluation.metrics import point_metrics
from headstart.progress import SILENT
from headstart.strategies.grammar import parse_strategy
from headstart.training.head2toe import FRACTIONS, count, fit_head2toe, normalised
from headstart.training.probe import fit_probe
from headstart.training.transfer import Settings, probabilities, transfer

_spec = importlib.util.spec_from_file_location("forgets", Path(__file__).parents[1] / "forgets.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)


def accuracy(strategy, tmp_path, layer="last"):
    source, train, test = made.forgets(), made.reds(90, 0, 3), made.reds(150, 1, 3)
    where = {"device": torch.device("cpu"), "cache_dir": tmp_path, "progress": SILENT}
    moved = transfer(
        source, parse_strategy(strategy), train.classes, train, None, Settings(), seed=0, score=point_metrics,
        layer=layer, **where,
    )  # fmt: skip
    found = probabilities(moved, source, train.classes, test, **where)
    assert not moved.moved and moved.backbone is source.backbone
    return float((found.argmax(1) == test.labels).mean()), moved


def test_what_only_an_early_layer_knows_is_found(tmp_path):
    last, _ = accuracy("probe", tmp_path)
    early, moved = accuracy("probe", tmp_path, layer="early")
    assert last < 0.5 < 0.9 < early and moved.reads.name == "test/forgets at early"
    selected, moved = accuracy("head2toe", tmp_path)
    assert selected > 0.9 and moved.cross_validated > 0.9
    few, moved = accuracy("head2toe(fraction=0.1)", tmp_path)
    taps = moved.reads.backbone.taps
    assert few > 0.9 and moved.reads.width == round(0.1 * 52) == sum(tap.kept for tap in taps)
    kept = {tap.layer: tap.columns for tap in taps}
    assert any(c < 8 for c in kept["early"]), "red is read by the first eight channels"


def noise(n=60, parts=(300, 100), K=2, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, d)).astype(np.float32) * 10**i for i, d in enumerate(parts)], np.arange(n) % K


def test_selection_sees_the_training_folds_only():
    """On noise, features selected with the held-out labels in view would look right on them."""
    parts, y = noise()
    held_out = [fit_head2toe(parts, y, 2, fraction=0.02, seed=s).cross_validated for s in range(3)]
    assert np.mean(held_out) < 0.62
    found = fit_head2toe(parts, y, 2, fraction=0.02)
    flattered = found.probe.cv_accuracy.max()
    assert flattered > 0.75, "which is what the same features say once all labels have chosen them"


def test_everything_kept_is_the_probe_on_all_features():
    parts, y = noise(parts=(9, 5))
    parts[0][:, 2] += 2 * y
    found = fit_head2toe(parts, y, 2, fraction=1.0)
    assert [c.tolist() for c in found.columns] == [list(range(9)), list(range(5))]
    probe = fit_probe(np.concatenate(parts, 1), y, 2)
    np.testing.assert_array_equal(found.probe.weight, probe.weight)


@pytest.mark.parametrize("stage", [0, 1])
def test_a_stage_of_small_numbers_is_not_at_a_disadvantage(stage):
    parts, y = noise(n=120)
    parts[stage][:, 7] += parts[stage].std() * (2.0 * y - 1)
    found = fit_head2toe(parts, y, 2, fraction=0.01)
    assert 7 in found.columns[stage] and sum(map(len, found.columns)) == 4


def test_the_share_is_one_of_those_tried_and_few_rows_take_the_middle():
    parts, y = noise(n=80)
    parts[0][:, :60] += 0.5 * y[:, None]
    found = fit_head2toe(parts, y, 2)
    assert found.fraction in FRACTIONS and sum(map(len, found.columns)) == count(found.fraction, 400)
    lone = fit_head2toe([p[:2] for p in parts], y[:2], 2)
    assert lone.fraction == 0.1 and lone.cross_validated is None
    assert count(0.01, 10) == 1


def test_weights_groups_and_classes_without_an_example():
    parts, y = noise(n=60)
    parts[0][:, 3] += 8 * y
    weight = np.where(np.arange(60) < 40, 1.0, 0.0)
    a = fit_head2toe(parts, y, 3, fraction=0.003, sample_weight=weight)
    assert a.columns[0].tolist() == [3]
    assert a.probe.bias[2] == -1e4 and a.cross_validated > 0.9
    b = fit_head2toe(parts, y, 2, fraction=0.05, groups=np.arange(60) // 4)
    assert 3 in b.columns[0] and b.cross_validated > 0.9


def test_a_constant_stage_stays_finite():
    assert not normalised(np.full((5, 3), 7.3, dtype=np.float32)).any()
    ready = normalised(np.random.default_rng(0).normal(5, 3, (50, 4)).astype(np.float32))
    assert abs(ready.mean(0)).max() < 1e-5 and (ready**2).mean() == pytest.approx(1, rel=1e-5)
