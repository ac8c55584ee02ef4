"""What `adapt` does between reading and writing: the method, its baselines, the proof."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from headstart.progress import Progress
from headstart.verbs.adapt_gap import facts, gap, labels_of, observations
from headstart.verbs.adapt_judge import Judge
from headstart.verbs.adapt_methods import Adapted, fewer_than_asked, fitted, labelled_rows
from headstart.verbs.adapt_names import is_deep, whole_network
from headstart.verbs.adapt_question import Question
from headstart.verbs.domains import Domains


@dataclass
class Answer:
    """What came of it.

    Attributes:
        adapted: the models.
        saved: what predicts elsewhere: ``{"scaler", "estimator", "classes", "columns", "task", "kind", "backbone"}``.
        metrics: of ``metrics.json``.
        predictions: columns of ``predictions.csv``.
        extras: of ``adaptation.json``: distances, maps, candidates, choices, curves, what the terms say.
        probabilities: (n_t, C) of the target, or values (n_t,).
    """

    adapted: Adapted
    saved: dict[str, Any]
    metrics: dict[str, Any]
    predictions: dict[str, Any]
    extras: dict[str, Any]
    probabilities: Any
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def answer(question: Question, domains: Domains, progress: Progress) -> Answer:
    """Scale, adapt, compare and measure.

    Raises:
        DataError: one class in the source, a target too small, or too few target labels for what was asked.
    """
    from sklearn.preprocessing import StandardScaler

    from headstart.verbs.adapt_check import too_few, unusable

    source, target = domains.source, domains.target
    assert source.y is not None
    if question.task == "classification":
        unusable(source.y, source.origin)
    too_few(len(target.X), target.origin)
    began = time.perf_counter()
    scaler = StandardScaler().fit(source.X)
    Xs, Xt = (scaler.transform(table.X).astype(table.X.dtype, copy=False) for table in (source, target))
    notes = [*domains.notes, *observations(source, target, question)]
    few, rest = labelled_rows(target, question)
    if len(few) and (told := fewer_than_asked(target.y, few, question)):
        notes.append(told)
    if is_deep(question.method):
        from headstart.verbs.adapt_deep import deep, whole_rows

        whole = whole_network(question.method) and domains.kind != "rows"
        adapted = deep(question, domains, whole_rows(domains, question) if whole else (Xs, Xt), few, progress)
    else:
        adapted = fitted(question, Xs, source.y, Xt, few, target.y, progress)
    seconds = {"adapting": time.perf_counter() - began}
    began = time.perf_counter()
    judged = Judge(question, source, target, rest, adapted, progress)
    metrics = judged.metrics()
    seconds["comparing"] = time.perf_counter() - began
    began = time.perf_counter()
    distances, maps = gap(adapted, (Xs, Xt), question.seed, progress)
    seconds["distances"] = time.perf_counter() - began
    # only now, with every choice made, do the target's labels say what the choices cost
    choices = [choice.told(target.y, rest, question.task == "regression") for choice in adapted.choices]
    worth = {
        n: w for c in choices if c["what"] == "method" for n, w in zip(c["names"], c.get("worth", ()), strict=False)
    }
    for row in adapted.candidates:
        row["worth"] = worth.get(row["method"])
    network = getattr(adapted.model, "estimator_", adapted.model) if question.open_set else adapted.model
    metrics["choices"] = [{k: c[k] for k in ("what", "criterion", "taken", "cautious", "cost")} for c in choices]
    terms = getattr(network, "said_", {})
    if domains.domain is not None:
        metrics["sources"] = by_source(domains.sources, terms)
    extras = {
        "distances": distances,
        "maps": maps,
        "candidates": adapted.candidates,
        "choices": choices,
        "facts": facts(network),
        "classes": {"source": labels_of(source, question), "target": labels_of(target, question)},
        "history": getattr(network, "history_", []),
        "terms": terms,
    }
    saved = {
        "scaler": scaler,
        "estimator": adapted.model,
        "columns": source.columns,
        "task": question.task,
        "classes": judged.classes,
        "kind": domains.kind,
        "backbone": domains.backbone,
        "fill": domains.fill,
        "pairs": domains.pairs,
    }
    return Answer(adapted, saved, metrics, judged.table(), extras, judged.said["adapted"], notes, seconds)


def by_source(names: tuple[str, ...], terms: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a source: its name and what the terms say of it, ``{"mdan": {"sources": 0.3}}``: what it counts, its loss, its distance."""
    return [
        {
            "name": name,
            "terms": {
                term: {key: values[i] for key, values in said.items() if key in ("sources", "losses", "distances")}
                for term, said in terms.items()
                if {"sources", "losses", "distances"} & said.keys()
            },
        }
        for i, name in enumerate(names)
    ]
