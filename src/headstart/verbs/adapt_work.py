"""What `adapt` does between reading and writing: the method, its baselines, the proof."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from headstart.data.feature_tables import FeatureTable
from headstart.progress import Progress
from headstart.verbs.adapt_gap import as_dict, both_sides, facts, flat_map, labels_of, observations
from headstart.verbs.adapt_judge import Judge
from headstart.verbs.adapt_methods import fitted, head, labelled_rows
from headstart.verbs.adapt_question import Question


@dataclass
class Answer:
    """What came of it.

    Attributes:
        model: ``{"scaler", "estimator", "classes", "columns", "task"}``, what predicts elsewhere.
        method: used; for auto the one chosen.
        metrics: of ``metrics.json``.
        predictions: columns of ``predictions.csv``.
        maps: "before" and "after": two (n, 2) arrays each, or none.
    """

    model: dict[str, Any]
    method: str
    metrics: dict[str, Any]
    predictions: dict[str, Any]
    extras: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def answer(question: Question, source: FeatureTable, target: FeatureTable, progress: Progress) -> Answer:
    """Scale, adapt, compare and measure.

    Raises:
        DataError: one class in the source, or too few target labels for what was asked.
    """
    from sklearn.preprocessing import StandardScaler

    from headstart.adapters.catalogue import make_method
    from headstart.adapters.distances import domain_distances
    from headstart.verbs.adapt_check import unusable

    assert source.y is not None
    if question.task == "classification":
        unusable(source.y, source.origin)
    began = time.perf_counter()
    scaler = StandardScaler().fit(source.X)
    Xs, Xt = (scaler.transform(table.X).astype(table.X.dtype, copy=False) for table in (source, target))
    notes = observations(source, target, question)
    few, rest = labelled_rows(target, question)
    progress.start("adapting", 1, "method")
    chosen, model, candidates = fitted(question, Xs, source.y, Xt, few, None if target.y is None else target.y)
    progress.advance(1)
    progress.done()
    seconds = {"adapting": time.perf_counter() - began}
    began = time.perf_counter()
    baseline = make_method("source_only", head(question), task=question.task).fit(Xs, source.y)
    judged = Judge(question, source, target, rest)
    metrics = judged.metrics(Xt, model, baseline, chosen)
    seconds["comparing"] = time.perf_counter() - began
    began = time.perf_counter()
    progress.start("measuring distances", 2, "pair")
    after = both_sides(model, Xs, Xt)
    distances = {"before": as_dict(domain_distances(Xs, Xt, random_state=question.seed))}
    progress.advance(1)
    if after is not None:
        distances["after"] = as_dict(domain_distances(*after, random_state=question.seed))
    progress.advance(1)
    progress.done()
    seconds["distances"] = time.perf_counter() - began
    maps = {"before": flat_map(Xs, Xt, question.seed)}
    if after is not None:
        maps["after"] = flat_map(*after, question.seed)
    extras = {
        "distances": distances,
        "maps": maps,
        "candidates": candidates,
        "facts": facts(model),
        "classes": {"source": labels_of(source, question), "target": labels_of(target, question)},
    }
    saved = {
        "scaler": scaler,
        "estimator": model,
        "columns": source.columns,
        "task": question.task,
        "classes": judged.classes,
    }
    return Answer(saved, chosen, metrics, judged.table(Xt, model, baseline), extras, notes, seconds)
