"""Objectives that peers reach on ten small problems, and embeddings that they give; run in an environment of theirs.

    python make_golden.py skada      with skada 0.6 and POT 0.9.7: writes skada.json
    python make_golden.py adapt      with adapt 0.4.5: writes adapt.json

The problems are made by numpy's default_rng from their number alone, so that the tests make the same ones.
"""

import json
import sys
from pathlib import Path

import numpy as np


def problem(i):
    """Source (150, d), target (100, d), gamma."""
    rng = np.random.default_rng(100 + i)
    d = [2, 3, 5, 8, 12][i % 5]
    return rng.standard_normal((150, d)), rng.standard_normal((100, d)) * 0.8 + 0.5, [0.05, 0.2, 0.5][i % 3]


def rbf(A, B, gamma):
    return np.exp(-gamma * ((A[:, None] - B[None]) ** 2).sum(2))


def kmm_objective(Xs, Xt, gamma, b):
    K, kappa = rbf(Xs, Xs, gamma), len(Xs) * rbf(Xs, Xt, gamma).mean(1)
    return float(b @ K @ b / 2 - kappa @ b)


def kliep_objective(Xs, Xt, gamma, alpha, centres):
    """-mean log w over the target, with w scaled to mean 1 over the source."""
    w = rbf(Xt, centres, gamma) @ alpha / (rbf(Xs, centres, gamma) @ alpha).mean()
    return float(-np.log(np.maximum(w, 1e-300)).mean())


def skada():
    from skada._mapping import CORALAdapter
    from skada._reweight import KLIEPReweightAdapter, KMMReweightAdapter
    from skada._subspace import SubspaceAlignmentAdapter

    out = {"kmm": [], "kliep": [], "coral": [], "sa": []}
    for i in range(10):
        Xs, Xt, gamma = problem(i)
        both, domain = np.r_[Xs, Xt], np.r_[np.ones(150), -2 * np.ones(100)]
        kmm = KMMReweightAdapter(kernel="rbf", gamma=gamma, B=1000.0, eps=0.5).fit(both, sample_domain=domain)
        out["kmm"].append(kmm_objective(Xs, Xt, gamma, np.asarray(kmm.source_weights_)))
        kliep = KLIEPReweightAdapter(gamma=gamma, n_centers=100, random_state=0).fit(both, sample_domain=domain)
        alpha, centres = np.asarray(kliep.alpha_).ravel(), np.asarray(kliep.centers_)
        out["kliep"].append(kliep_objective(Xs, Xt, gamma, alpha, centres))
        coral = CORALAdapter(reg=0.1).fit_transform(both, sample_domain=domain)
        out["coral"].append(np.asarray(coral)[:3].ravel().tolist())
        sa = SubspaceAlignmentAdapter(n_components=2).fit_transform(both, sample_domain=domain)
        out["sa"].append(np.asarray(sa)[:3].ravel().tolist())
    return out


def adapt():
    from adapt.feature_based import CORAL
    from adapt.instance_based import KLIEP, KMM

    out = {"kmm": [], "kliep": [], "coral": []}
    for i in range(10):
        Xs, Xt, gamma = problem(i)
        kmm = KMM(kernel="rbf", gamma=gamma, B=1000, eps=0.5, verbose=0, random_state=0)
        out["kmm"].append(kmm_objective(Xs, Xt, gamma, np.asarray(kmm.fit_weights(Xs, Xt)).ravel()))
        kliep = KLIEP(kernel="rbf", gamma=gamma, verbose=0, max_centers=100, random_state=0)
        kliep.fit_weights(Xs, Xt)
        out["kliep"].append(
            kliep_objective(Xs, Xt, gamma, np.asarray(kliep.alphas_).ravel(), np.asarray(kliep.centers_))
        )
        coral = CORAL(lambda_=0.1, verbose=0, random_state=0).fit_transform(Xs, Xt)
        out["coral"].append(np.asarray(coral)[:3].ravel().tolist())
    return out


if __name__ == "__main__":
    which = sys.argv[1]
    found = {"skada": skada, "adapt": adapt}[which]()
    (Path(__file__).parent / f"{which}.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
