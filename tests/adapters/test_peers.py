"""Objectives against those that skada 0.6 and ADAPT 0.4.5 reach, and embeddings of theirs (golden/make_golden.py made the files)."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from headstart.adapters import CORAL, KLIEP, KMM, SubspaceAlignment
from headstart.adapters.monge import divisor_n
from headstart.functional.covariance import spectrum

GOLDEN = Path(__file__).parent / "golden"
spec = importlib.util.spec_from_file_location("make_golden", GOLDEN / "make_golden.py")
assert spec is not None
make = importlib.util.module_from_spec(spec)
assert spec.loader is not None
spec.loader.exec_module(make)
PEERS = {name: json.loads((GOLDEN / f"{name}.json").read_text()) for name in ("skada", "adapt")}


@pytest.mark.parametrize("i", range(10))
def test_kmm_is_not_above_the_peers(i):
    Xs, Xt, gamma = make.problem(i)
    b = KMM(gamma=gamma, B=1000.0, eps=0.5).fit(Xs, X_target=Xt).weights_
    assert 75 - 1e-6 <= b.sum() <= 225 + 1e-6
    ours = make.kmm_objective(Xs, Xt, gamma, b)
    for name, golden in PEERS.items():
        assert ours <= golden["kmm"][i] + 1e-6 * abs(golden["kmm"][i]), name


@pytest.mark.parametrize("i", range(10))
def test_kliep_is_not_above_the_peers(i):
    Xs, Xt, gamma = make.problem(i)
    model = KLIEP(gamma=gamma, n_centers=100).fit(Xs, X_target=Xt)
    ours = make.kliep_objective(Xs, Xt, gamma, model.alpha_, model.centers_)
    for name, golden in PEERS.items():
        assert ours <= golden["kliep"][i] + 1e-6, name


@pytest.mark.parametrize("i", range(10))
def test_coral_and_subspace_alignment_are_those_of_skada(i):
    Xs, Xt, _ = make.problem(i)
    # skada centres, has divisor n, and shrinks: 0.9 C + 0.1 m I with m the mean variance, which is C + m / 9 I up to a factor
    # that the two powers cancel
    source, target = (divisor_n(spectrum(X)) for X in (Xs, Xt))
    reg = [found.values.sum() / Xs.shape[1] / 9 for found in (source, target)]
    moved = (Xs - source.mean) @ source.power(-0.5, reg[0]) @ target.power(0.5, reg[1])
    np.testing.assert_allclose(moved[:3].ravel(), PEERS["skada"]["coral"][i], rtol=1e-6, atol=1e-9)
    found = CORAL(reg=0.1).fit_transform(Xs, X_target=Xt)[:3].ravel()
    adapt = np.array(PEERS["adapt"]["coral"][i])
    np.testing.assert_allclose(found, adapt, rtol=1e-5, atol=1e-6)
    sa = SubspaceAlignment(2).fit_transform(Xs, X_target=Xt)[:3]
    want = np.array(PEERS["skada"]["sa"][i]).reshape(3, 2)
    np.testing.assert_allclose(sa * np.sign((sa * want).sum(0)), want, rtol=1e-6, atol=1e-8)
