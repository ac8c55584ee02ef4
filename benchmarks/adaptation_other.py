"""Source and target with other columns: what the study runs on the pair of credit tables.

No method of the catalogue takes rows of two widths, so each is spelled out: the rival is ``target_few``, the same labelled
target rows without the source.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from adaptation_pair import Pair

NEEDS = {"coot_unlabelled": "target", "coot": "target_labels", "kema": "target_labels"}


def predict_other(
    method: str, model: Any, pair: Pair, train: np.ndarray, test: np.ndarray, few: np.ndarray
) -> np.ndarray:
    """Classes of the target's test rows by one of :data:`NEEDS`, with ``model`` on top.

    ``coot_unlabelled`` moves the source to the target's training half and learns from it alone. ``coot`` moves it to the few
    labelled rows, and learns from both. ``kema`` finds the common space by the few labelled rows (the other rows of the
    training half shape its graph), and learns there from both.
    """
    from headstart.adapters import CoOptimalTransport, KernelManifoldAlignment

    if method == "coot_unlabelled":
        moved = CoOptimalTransport().fit_transform(pair.Xs, pair.ys, X_target=pair.Xt[train])
        return model.fit(moved, pair.ys).predict(pair.Xt[test])
    labels = np.concatenate([pair.ys, pair.yt[few]])
    if method == "coot":
        moved = CoOptimalTransport().fit_transform(pair.Xs, pair.ys, X_target=pair.Xt[few], y_target=pair.yt[few])
        return model.fit(np.concatenate([moved, pair.Xt[few]]), labels).predict(pair.Xt[test])
    kema, rest = KernelManifoldAlignment(), pair.Xt[np.setdiff1d(train, few)]
    moved = kema.fit_transform(pair.Xs, pair.ys, X_target=pair.Xt[few], y_target=pair.yt[few], X_unlabeled=rest)
    return model.fit(np.concatenate([moved, kema.transform(pair.Xt[few])]), labels).predict(
        kema.transform(pair.Xt[test])
    )
