"""Embeddings: verification of pairs (equal error rate, true accepts at a false accept rate) and retrieval (recall at k, mean reciprocal rank, nDCG)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import DataError, sentence
from headstart.evaluation.intervals import percentile_interval
from headstart.evaluation.paired import gain_of_resamples
from headstart.evaluation.scoring.scoring import Metric, Scoring, Worst
from headstart.evaluation.verification import (
    Pairs,
    equal_error_rate,
    found_among_nearest,
    make_pairs,
    nearest_other,
    places_of_own,
    true_accepts,
)
from headstart.tasks.task import Task

FARS = {"tar_at_far_0.01": 0.01, "tar_at_far_0.001": 0.001}
KS = {"recall_at_1": 1, "recall_at_5": 5}
RANKED = ("mean_reciprocal_rank", "ndcg_at_10")
RESAMPLES = 500


class EmbeddingScoring(Scoring):
    """Of embeddings (n, D) of length 1 and identities (n,).

    Pairs of one identity depend on each other, so the bootstrap draws identities, not images (Bolle et al. 2004): an
    identity drawn c times gives its genuine pairs c times, and pairs with one drawn c' times c c' times.
    """

    name = "embedding"
    headline = "equal_error_rate"

    def metrics(self, classes: tuple[str, ...]) -> dict[str, Metric]:
        return {"equal_error_rate": Metric(larger=False), **{name: Metric() for name in (*FARS, *KS, *RANKED)}}

    def points(self, found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
        values = _Judged(found, labels).values()
        return values | {"loss": values["equal_error_rate"]}

    def scores(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, dict[str, Any]]:
        """A true accept rate is left out where fewer impostor pairs than 1 / rate cannot measure it."""
        judged = _Judged(found, labels)
        values = judged.values()
        drawn = [judged.values(w) for w in _identity_draws(labels, RESAMPLES, 0)]
        return {
            name: {"value": value, "ci95": percentile_interval(np.array([d[name] for d in drawn]), value)}
            for name, value in values.items()
        }

    def gain(
        self, a: np.ndarray, b: np.ndarray, labels: np.ndarray, metric: str, tasks: tuple[Task, Task]
    ) -> dict[str, Any]:
        one, other = _Judged(a, labels), _Judged(b, labels)
        sign = 1.0 if self.metrics(())[metric].larger else -1.0
        value = sign * (one.value(metric) - other.value(metric))
        samples = [
            sign * (one.value(metric, w) - other.value(metric, w)) for w in _identity_draws(labels, RESAMPLES, 0)
        ]
        return gain_of_resamples(value, np.array(samples), len(labels))

    def read(self, table: pd.DataFrame, task: Task) -> tuple[np.ndarray, np.ndarray]:
        found = table[[name for name in table.columns if name[:1] == "e" and name[1:].isdigit()]].to_numpy(np.float64)
        names = table["label"].astype(str)
        return found, np.unique(names, return_inverse=True)[1]

    def worst(self, found: np.ndarray, labels: np.ndarray, task: Task, names: tuple[str, ...]) -> list[Worst]:
        """Those whose nearest other image is of another identity, the most alike first."""
        nearest, cosine = nearest_other(found)
        wrong = np.flatnonzero(labels[nearest] != labels)
        return [
            Worst(int(i), names[labels[i]], names[labels[nearest[i]]], note=f"cosine {cosine[i]:.2f}")
            for i in wrong[np.argsort(-cosine[wrong], kind="stable")]
        ]

    def columns(
        self, found: np.ndarray, labels: np.ndarray | None, task: Task, names: tuple[str, ...]
    ) -> dict[str, Any]:
        """Where identities are known: that of each image and of its nearest other image, and their cosine; then the embedding."""
        table: dict[str, Any] = {}
        if labels is not None and len(labels) > 1:
            nearest, cosine = nearest_other(found)
            own = [names[label] for label in labels]
            table = {"label": own, "predicted": [own[i] for i in nearest], "confidence": cosine}
        return table | {f"e{j}": found[:, j] for j in range(found.shape[1])}

    def details(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, Any]:
        pairs = make_pairs(found, labels)
        _, threshold = equal_error_rate(pairs)
        return {
            "verification": {
                "identities": len(set(labels.tolist())), "genuine_pairs": pairs.all[0], "impostor_pairs": pairs.all[1],
                "pairs_used": len(pairs.score), "equal_error_threshold": threshold,
                "histogram": _histogram(pairs),
            }
        }  # fmt: skip

    def missing(self, labels: np.ndarray, classes: tuple[str, ...]) -> list[str]:
        return []


class _Judged:
    """The pairs of some embeddings and the hits among their neighbours, ready to be weighed by identity."""

    def __init__(self, found: np.ndarray, labels: np.ndarray) -> None:
        self.labels, self.pairs = labels, make_pairs(found, labels)
        if 0 in self.pairs.all:
            raise DataError(
                sentence(
                    "verification needs two images of one identity, and two identities",
                    got=f"{self.pairs.all[0]} genuine and {self.pairs.all[1]} impostor pairs",
                )
            )  # fmt: skip
        self.hits = {name: found_among_nearest(found, labels, (k,))[k] for name, k in KS.items()}
        self.hits |= dict(zip(RANKED, places_of_own(found, labels), strict=True))

    def names(self) -> list[str]:
        impostors = self.pairs.all[1]
        return ["equal_error_rate", *(name for name, far in FARS.items() if impostors * far >= 1), *self.hits]

    def value(self, metric: str, draws: np.ndarray | None = None) -> float:
        if metric in self.hits:
            hit = self.hits[metric]
            w = np.isfinite(hit) * (1.0 if draws is None else draws[self.labels])
            return float((w * np.nan_to_num(hit)).sum() / w.sum()) if w.sum() else float("nan")
        p = self.pairs
        weights = None if draws is None else np.where(p.same, draws[p.first], draws[p.first] * draws[p.second])
        if metric == "equal_error_rate":
            return equal_error_rate(p, weights)[0]
        return true_accepts(p, FARS[metric], weights)

    def values(self, draws: np.ndarray | None = None) -> dict[str, float]:
        return {name: self.value(name, draws) for name in self.names()}


def _identity_draws(labels: np.ndarray, n_boot: int, seed: int) -> list[np.ndarray]:
    """How often each identity is drawn, float (largest label + 1,), in each resample; at least two are."""
    there = np.unique(labels)
    rng, found = np.random.default_rng(seed), []
    for _ in range(n_boot):
        draws = np.zeros(int(there.max()) + 1)
        draws[there] = rng.multinomial(len(there), np.full(len(there), 1 / len(there)))
        if (draws > 0).sum() > 1:
            found.append(draws)
    return found


def _histogram(pairs: Pairs, bins: int = 40) -> dict[str, list[float]]:
    """Shares of genuine and impostor pairs by similarity, and the edges."""
    edges = np.linspace(min(-0.2, float(pairs.score.min())), 1.0, bins + 1)
    parts = [np.histogram(pairs.score[own], edges)[0] / max(own.sum(), 1) for own in (pairs.same, ~pairs.same)]
    return {"edges": edges.tolist(), "genuine": parts[0].tolist(), "impostor": parts[1].tolist()}
