"""How far apart two domains are, before and after, to measure and to look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.data.feature_tables import FeatureTable
from headstart.progress import Progress
from headstart.verbs.adapt_methods import Adapted
from headstart.verbs.adapt_names import answers_unknown
from headstart.verbs.adapt_question import Question

MAP_ROWS = 400
FAR = 20
"""Deviations of a column in the source beyond which nothing of it was seen."""
ROWS, ROWS_OF_IMAGES = 2000, 500
"""Of a domain, that distances are measured on."""


def observations(source: FeatureTable, target: FeatureTable, question: Question) -> list[str]:
    """What a person should know of these two domains before reading any figure."""
    notes = []
    constant = [name for name, spread in zip(source.columns, source.X.std(0), strict=True) if spread == 0]
    if constant:
        notes.append(
            f"{len(constant)} of {len(source.columns)} columns are constant in the source ({', '.join(constant[:3])}) and say nothing."
        )
    away = far_columns(source, target)
    if away:
        notes.append(
            f"In {len(away)} columns ({', '.join(away[:3])}) target rows lie beyond {FAR} of the source's deviations: they hardly vary in the source, "
            "and its model was never told what they mean. Leave them out, or scale the columns yourself."
        )
    if question.task == "classification" and target.y is not None and source.y is not None:
        unknown = sorted(set(target.y) - set(source.y))
        if unknown:
            share = float(np.isin(target.y, unknown).mean())
            open_set = question.open_set is not None or answers_unknown(question.method)
            right = (
                "they are right where they are predicted as unknown"
                if open_set
                else "they can never be predicted, unless as unknown (--open-set, or --method osbp)"
            )
            notes.append(
                f"The source has no rows of class {', '.join(unknown[:5])}, {share:.1%} of the target: {right}."
            )
        gone = sorted(set(source.y) - set(target.y))
        if gone:
            notes.append(
                f"The target has no rows of class {', '.join(gone[:5])}: methods that match whole domains may be misled by it."
            )
    return notes


def far_columns(source: FeatureTable, target: FeatureTable) -> list[str]:
    """Columns in which more than one target row in a hundred is beyond :data:`FAR` deviations of the source, which are not 0 there."""
    mean, spread = source.X.mean(0, dtype=np.float64), source.X.std(0, dtype=np.float64)
    off = np.abs(target.X - mean) > FAR * spread
    return [source.columns[j] for j in np.flatnonzero((off.mean(0) > 0.01) & (spread > 0))]


def both_sides(
    model: Any, inputs: tuple[Any, Any], rows: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Source and target, at ``rows``, as the adapted classifier sees them; ``None`` for methods that leave the features as they are."""
    Xs, Xt = (part[of] for part, of in zip(inputs, rows, strict=True))
    model = model.estimator_ if hasattr(model, "threshold_") else model  # an open set's, around what answers
    mover = getattr(model, "steps", [(None, model)])[0][1]
    if not hasattr(mover, "transform_source"):
        return None
    return np.asarray(mover.transform_source(Xs)), np.asarray(mover.transform(Xt))


def gap(
    adapted: Adapted, features: tuple[np.ndarray, np.ndarray], seed: int, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Distances and maps, each "before" and, where the method moves the features, "after".

    Before is what the classifier of the source sees: the deep features of the network trained without the target, or the
    scaled ``features`` of the two domains.
    """
    from headstart.adapters.distances import domain_distances

    rng = np.random.default_rng([seed, 13])
    images = not isinstance(adapted.inputs[0], np.ndarray)
    most = ROWS_OF_IMAGES if images else ROWS
    rows = tuple(np.sort(rng.permutation(len(part))[:most]) for part in adapted.inputs)
    pair = (rows[0], rows[1])
    sides = {
        "before": both_sides(adapted.baseline, adapted.inputs, pair) or (features[0][pair[0]], features[1][pair[1]]),
        "after": both_sides(adapted.model, adapted.inputs, pair),
    }
    distances, maps = {}, {}
    progress.start("measuring distances", len(sides), "pair")
    for name, side in sides.items():
        if side is not None:
            distances[name] = as_dict(domain_distances(*side, random_state=seed))
            maps[name] = flat_map(*side, seed, pair)
        progress.advance(1)
    progress.done()
    return distances, maps


def as_dict(distances: dict[str, Any]) -> dict[str, Any]:
    """Of distances, for JSON."""
    return {name: {"value": d.value, "p_value": d.p_value, "null95": d.null95} for name, d in distances.items()}


def flat_map(Xs: np.ndarray, Xt: np.ndarray, seed: int, rows: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """Two principal components of both domains together, of at most 400 rows each, and which of ``rows`` they are."""
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(seed)
    use = [np.sort(rng.permutation(len(X))[:MAP_ROWS]) for X in (Xs, Xt)]
    both = np.concatenate([Xs[use[0]], Xt[use[1]]]).astype(np.float64)
    flat = PCA(min(2, *both.shape), svd_solver="full").fit_transform(both)
    if flat.shape[1] == 1:
        flat = np.column_stack([flat, np.zeros(len(flat))])
    # one far row would leave the rest a speck: rows beyond the outer half percent are drawn at the edge
    low, high = np.percentile(flat, [0.5, 99.5], axis=0)
    flat = np.clip(flat, low - 0.1 * (high - low), high + 0.1 * (high - low))
    cut = len(use[0])
    return {
        "source": flat[:cut].round(4).tolist(),
        "target": flat[cut:].round(4).tolist(),
        "rows": [of[u].tolist() for of, u in zip(rows, use, strict=True)],
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
