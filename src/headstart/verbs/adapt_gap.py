"""How far apart two domains are, before and after, to measure and to look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.data.feature_tables import FeatureTable
from headstart.verbs.adapt_question import Question

MAP_ROWS = 400


def observations(source: FeatureTable, target: FeatureTable, question: Question) -> list[str]:
    """What a person should know of these two domains before reading any figure."""
    notes = []
    constant = [name for name, spread in zip(source.columns, source.X.std(0), strict=True) if spread == 0]
    if constant:
        notes.append(
            f"{len(constant)} of {len(source.columns)} columns are constant in the source ({', '.join(constant[:3])}) and say nothing."
        )
    if question.task == "classification" and target.y is not None and source.y is not None:
        unknown = sorted(set(target.y) - set(source.y))
        if unknown:
            share = float(np.isin(target.y, unknown).mean())
            notes.append(
                f"The source has no rows of class {', '.join(unknown[:5])}, {share:.1%} of the target: they can never be predicted."
            )
        gone = sorted(set(source.y) - set(target.y))
        if gone:
            notes.append(
                f"The target has no rows of class {', '.join(gone[:5])}: methods that match whole domains may be misled by it."
            )
    return notes


def both_sides(model: Any, Xs: np.ndarray, Xt: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Source and target as the adapted classifier sees them; ``None`` for methods that leave the features as they are."""
    steps = getattr(model, "steps", None)
    if not steps or not hasattr(steps[0][1], "transform_source"):
        return None
    mover = steps[0][1]
    return np.asarray(mover.transform_source(Xs)), np.asarray(mover.transform(Xt))


def as_dict(distances: dict[str, Any]) -> dict[str, Any]:
    """Of distances, for JSON."""
    return {name: {"value": d.value, "p_value": d.p_value, "null95": d.null95} for name, d in distances.items()}


def flat_map(Xs: np.ndarray, Xt: np.ndarray, seed: int) -> dict[str, Any]:
    """Two principal components of both domains together, of at most 400 rows each, and which rows they are."""
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(seed)
    use = [np.sort(rng.permutation(len(X))[:MAP_ROWS]) for X in (Xs, Xt)]
    rows = np.concatenate([Xs[use[0]], Xt[use[1]]]).astype(np.float64)
    flat = PCA(min(2, *rows.shape), svd_solver="full").fit_transform(rows)
    if flat.shape[1] == 1:
        flat = np.column_stack([flat, np.zeros(len(flat))])
    # one far row would leave the rest a speck: rows beyond the outer half percent are drawn at the edge
    low, high = np.percentile(flat, [0.5, 99.5], axis=0)
    flat = np.clip(flat, low - 0.1 * (high - low), high + 0.1 * (high - low))
    cut = len(use[0])
    return {
        "source": flat[:cut].round(4).tolist(),
        "target": flat[cut:].round(4).tolist(),
        "rows": [u.tolist() for u in use],
    }


def facts(model: Any) -> dict[str, Any]:
    """What the method learned that a person can read: effective sample size, the target's prior, what was kept."""
    found: dict[str, Any] = {}
    for part in (model, *(step for _, step in getattr(model, "steps", ()))):
        if hasattr(part, "effective_sample_size_"):
            found["effective_sample_size"] = float(part.effective_sample_size_)
        if hasattr(part, "target_prior_") and hasattr(part, "classes_"):
            found["target_prior"] = {
                str(c): {
                    "value": float(p),
                    "ci95": [float(v) for v in getattr(part, "target_prior_interval_", np.full((99, 2), np.nan))[i]],
                }
                for i, (c, p) in enumerate(zip(part.classes_, part.target_prior_, strict=True))
            }
            if not hasattr(part, "target_prior_interval_"):
                for cell in found["target_prior"].values():
                    cell["ci95"] = None
        if hasattr(part, "n_features_") and hasattr(part, "get_support"):
            found["columns_kept"] = int(part.n_features_)
        if hasattr(part, "eigenvalues_") or hasattr(part, "angles_"):
            found["components"] = int(part._n_features_out)
    return found


def labels_of(table: FeatureTable, question: Question) -> list[str] | None:
    """Labels as text for the map's markers; ``None`` for values."""
    return None if table.y is None or question.task == "regression" else table.y.tolist()
