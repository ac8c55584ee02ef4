"""A metric: whitening within the identities, its shrinkage chosen on identities that were held out."""

from __future__ import annotations

import numpy as np
import torch

from headstart.functional.logistic import rotate, spread
from headstart.functional.margin import unit
from headstart.functional.within_whitening import within_whitening
from headstart.tasks.embedding import Embedding
from headstart.training.heads.solved import Solved, finite

SHRINKAGES = (0.03, 0.1, 0.3, 0.6, 1.0)
FOLDS = 5


def solve_embedding(
    X: np.ndarray, labels: np.ndarray, task: Embedding, *, groups: np.ndarray | None, seed: int
) -> Solved:
    """:func:`headstart.functional.within_whitening.within_whitening` on standardised features.

    The shrinkage has the highest area under the ROC curve of pairs (same identity or not, by cosine) of held-out identities.
    """
    x = torch.from_numpy(np.ascontiguousarray(X)).double()
    design = rotate(x, spread(x))
    rows, y = design.rows[:, :-1], torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    count = int(y.max()) + 1
    fold = np.random.default_rng(seed).permutation(count) % FOLDS
    areas = np.full((len(SHRINKAGES), FOLDS), np.nan)
    for f in range(FOLDS):
        held = torch.from_numpy(fold == f)[y]
        inside = torch.unique(y[~held], return_inverse=True)[1]
        if not len(torch.unique(y[held])) >= 2 or len(inside) == 0 or int(inside.max()) < 1:
            continue
        for s, shrinkage in enumerate(SHRINKAGES):
            weight, bias = within_whitening(rows[~held], inside, shrinkage=shrinkage, dim=task.size)
            areas[s, f] = pair_auc(unit(rows[held] @ weight.T + bias), y[held])
    usable = np.isfinite(areas[0])
    best = int(np.argmax(areas[:, usable].mean(1))) if usable.any() else SHRINKAGES.index(0.3)
    weight, bias = within_whitening(rows, y, shrinkage=SHRINKAGES[best], dim=task.size)
    weight = weight @ design.back.T
    bias = bias - weight @ design.mean
    if len(weight) < task.size:  # fewer axes than numbers asked for: the rest are zero
        spare = task.size - len(weight)
        weight, bias = (
            torch.cat([weight, weight.new_zeros(spare, weight.shape[1])]),
            torch.cat([bias, bias.new_zeros(spare)]),
        )
    value = areas[best, usable].mean() if usable.any() else np.nan
    said = (
        f"whitening within identities, shrinkage {SHRINKAGES[best]:g}, "
        + (f"the best of {len(SHRINKAGES)} on held-out ones among {count} training identities" if usable.any() else "the default: too few identities to hold any out")
    )  # fmt: skip
    return Solved(weight.float().numpy(), bias.float().numpy(), said, finite(value))


def pair_auc(embeddings: torch.Tensor, y: torch.Tensor) -> float:
    """The share of (same identity, other identity) pairs of pairs in the right order by cosine, ties half; nan without either."""
    i, j = torch.triu_indices(len(y), len(y), 1)
    score = (embeddings @ embeddings.T)[i, j].numpy()
    same = (y[i] == y[j]).numpy()
    if same.all() or not same.any():
        return float("nan")
    order = np.argsort(score, kind="stable")
    ordered, own = score[order], same[order]
    below = np.concatenate([[0], np.cumsum(~own)])
    first, last = (np.searchsorted(ordered, ordered[own], side=side) for side in ("left", "right"))
    return float((below[first] + below[last]).sum() / 2 / (own.sum() * (~own).sum()))
