"""`headstart adapt --no-target`: learn on several labelled domains for one that nobody has seen, each in turn left out to judge by."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.feature_tables import FeatureTable
from headstart.errors import DataError, RecipeError, near, sentence
from headstart.folder import finish
from headstart.progress import SILENT, Progress
from headstart.run import Run
from headstart.verbs.adapt_judge import Judge
from headstart.verbs.adapt_question import Options, Question

METHODS = ("erm", "groupdro", "irm", "vrex", "mixstyle")
FOLDS = 10
"""More sources than this are left out in groups."""


def generalise(sources: Sequence[str | Path], options: Options, progress: Progress = SILENT) -> Run:
    """Domain generalisation, and a leave-one-source-out estimate of what it is worth.

    For each source a model is trained on the others and judged on it; nothing is learned or chosen by it. The model that is saved
    is then trained on all of them. With more than 10 sources they are left out in 10 groups. Options as of
    :func:`headstart.adapt`.

    Args:
        options: ``method`` is ``"erm"`` (plain training on the pooled sources), a term (``"irm"``, ``"groupdro"``, ``"vrex"``) on features, or a strategy
            (``"finetune+mixstyle"``) on whole images.

    Returns:
        The :class:`headstart.Run`; ``run.metrics["sources"]`` has one row a source, ``"target"`` the scores over the rows of all.

    Raises:
        DataError: one source, or data that cannot be used. RecipeError: a method that wants a target. RunError: ``out`` exists.
    """
    from headstart.verbs.adapt_check import check, check_whole, unusable
    from headstart.verbs.adapt_names import whole_network

    refuse_for_no_target(options)
    folder = options.folder("generalise")
    method = "erm" if options.method == "finetune" else options.method
    check_method(method)
    check("vrex" if method == "erm" else method, None, 0, "logistic", options.training | options.reading)
    check_whole(method, options.augment, options.pool)
    began = time.perf_counter()
    domains = options.read(sources, None, progress)
    if domains.domain is None:
        raise DataError(
            sentence("one source alone says nothing of domains that nobody has seen", got=domains.source.origin,
                     fix="two sources or more, or --domain-col COLUMN")
        )  # fmt: skip
    if domains.task == "classification":
        unusable(domains.source.y, domains.source.origin)
    enough(method, len(domains.sources))
    question = options.question(domains.task, method)
    seconds = {"reading": time.perf_counter() - began}
    result = left_out(question, domains, method, whole_network(method) and domains.kind != "rows", progress)
    result.saved |= {**options.reading, "augment": options.augment}
    result.seconds = {**seconds, **result.seconds}
    for text in result.notes:
        progress.say(f"note: {text}")
    recipe = {
        "verb": "adapt", "source": [str(path) for path in sources], "target": None, "method": method, "label": options.label,
        "domain_col": options.domain_col, "missing": options.missing, "task": domains.task, "backbone": domains.backbone, "text_col": options.text_col, **options.reading, **options.training, "seed": options.seed,
        "source_digest": domains.source.digest, "out": str(folder),
    }  # fmt: skip
    from headstart.evaluation.generalisation_report import write_generalisation_report
    from headstart.verbs.adapt_save import save

    work = options.begin(folder)
    save(work, recipe, result, domains)
    write_generalisation_report(work, name=folder.name)
    finish(work, folder)
    return Run(folder)


def refuse_for_no_target(options: Options) -> None:
    """Refuse options that look at a target where there is none.

    Raises:
        RecipeError: one is set.
    """
    given = {
        "select": options.select, "target-labels": options.target_labels or None, "classifier": options.classifier, "open-set": options.open_set,
    }  # fmt: skip
    for name, value in given.items():
        if value not in (None, "logistic"):
            raise RecipeError(
                sentence("without a target this option would do nothing", got=f"--{name} {value}", fix="leave it out")
            )


def check_method(method: str) -> None:
    """Refuse what learns from a target.

    Raises:
        RecipeError: it does, or is unknown, or is chosen by one (``auto``).
    """
    from headstart.adapters.catalogue import METHODS as SHALLOW
    from headstart.strategies.grammar import parse_strategy
    from headstart.verbs.adapt_names import OF_TARGET

    if method == "erm":
        return
    if method == "auto" or method in SHALLOW:
        why = "auto chooses by looking at the target" if method == "auto" else f"{method} learns from the target"
        raise RecipeError(
            sentence(f"{why}, and there is none", got=f"--method {method}", allowed=METHODS, fix="--method vrex")
        )
    if method.isidentifier() and (close := near(method, METHODS, 1)) and method not in METHODS:
        raise RecipeError(
            sentence("unknown method without a target", got=method, allowed=METHODS, fix=f"--method {close[0]}")
        )
    wants = [term.name for term in parse_strategy(method).terms if term.needs & OF_TARGET]
    if wants:
        raise RecipeError(
            sentence(f"{wants[0]} learns from the target, and there is none", got=f"--method {method}", allowed=METHODS,
                     fix="leave out --no-target, or --method vrex")
        )  # fmt: skip


def enough(method: str, sources: int) -> None:
    """Refuse a term on several sources where leaving one out leaves one.

    Raises:
        DataError: two sources.
    """
    from headstart.strategies.grammar import parse_strategy

    terms = () if method == "erm" else parse_strategy(method).terms
    if sources < 3 and any("several_sources" in term.needs for term in terms):
        raise DataError(
            sentence(f"{method} compares several sources, and with one of two left out there is one", got="2 sources",
                     fix="a third source, or --method erm")
        )  # fmt: skip


def folds_of(names: Sequence[str]) -> list[list[int]]:
    """The sources that are left out together: each alone, or in 10 groups."""
    return [[int(s) for s in part] for part in np.array_split(np.arange(len(names)), min(FOLDS, len(names)))]


def left_out(question: Question, domains: Any, method: str, whole: bool, progress: Progress) -> Any:
    """Train without each group of sources, and on all; returns the Answer that is saved."""
    from sklearn.preprocessing import StandardScaler

    from headstart.verbs.adapt_deep import network, whole_rows, without_target
    from headstart.verbs.adapt_methods import Adapted
    from headstart.verbs.adapt_work import Answer, by_source

    source, domain = domains.source, domains.domain
    y = source.y.astype(object) if question.task == "classification" else source.y
    began = time.perf_counter()
    text = "finetune" if method == "erm" else method
    plain = without_target(text) if text != "finetune" else None
    reader = domains.reader if whole else None
    scaler = StandardScaler().fit(source.X)

    def inputs(scale: Any) -> Any:
        return (
            whole_rows(domains, question)[0] if whole else scale.transform(source.X).astype(source.X.dtype, copy=False)
        )

    groups = folds_of(domains.sources)
    models = [text] if plain is None else [text, plain]
    judge = LeftOut(question, source)
    shape = (len(y),) if question.task == "regression" else (len(y), len(judge.classes))
    said = [np.zeros(shape) for _ in models]
    progress.start("leaving out each source", len(groups) * len(models) + 1, "fit")
    for group in groups:
        out = np.isin(domain, group)
        # scaled by what is learned from alone
        X = inputs(None if whole else StandardScaler().fit(source.X[~out]))
        keep, gone = np.flatnonzero(~out), np.flatnonzero(out)
        several = domain[keep] if len(np.unique(domain[keep])) > 1 else None
        for k, strategy in enumerate(models):
            fitted = network(question, strategy, reader, select=None).fit(X[keep], y[keep], domain=several)
            said[k][gone] = judge.says(fitted, X[gone])
            progress.advance(1)
    final = network(question, text, reader, select=None).fit(inputs(scaler), y, domain=domain)
    progress.advance(1)
    progress.done()
    metrics = scores(judge, said, method)
    rows = by_source(domains.sources, final.said_)
    each = [per_source(judge, part, domain) for part in said]
    for i, row in enumerate(rows):
        row["n"], row["left_out"] = int((domain == i).sum()), each[0][i]
        if plain is not None:
            row["erm"] = each[1][i]
    from headstart.evaluation.generalisation import mean_over_sources

    metrics |= {"sources": rows, "folds": len(groups), "choices": []}
    metrics["mean_over_sources"] = mean_over_sources([row["left_out"]["value"] for row in rows])
    table: dict[str, Any] = {"row": source.ids, "source": np.array(domains.sources)[domain], "label": source.y}
    names = np.array(judge.classes)
    for column, part in zip(("predicted", "erm"), said, strict=False):
        table[column] = part if question.task == "regression" else names[part.argmax(1)]
    everything = inputs(scaler)
    adapted = Adapted(method, final, None, (everything, everything), lambda: None, 0, np.zeros(0, int), None, None)
    saved = {
        "scaler": scaler, "estimator": final, "columns": source.columns, "task": question.task, "classes": judge.classes,
        "kind": domains.kind, "backbone": domains.backbone, "fill": domains.fill,
        "pairs": domains.pairs,
    }  # fmt: skip
    last = judge.says(final, everything) if whole else None
    extras = {"sources": rows, "history": final.history_, "terms": final.said_}
    return Answer(
        adapted, saved, metrics, table, extras, last, list(domains.notes), {"training": time.perf_counter() - began}
    )


class LeftOut(Judge):
    """Scores what was said of rows of the sources themselves."""

    def __init__(self, question: Question, source: FeatureTable) -> None:
        self.question, self.source, self.target = question, source, source
        self.open = False
        self.classes = [] if question.task == "regression" or source.y is None else in_order(source.y)


def in_order(y: np.ndarray) -> list[str]:
    """Classes, numbers by size."""
    known = {str(c) for c in y}
    digits = all(k.lstrip("-").isdigit() for k in known)
    return sorted(known, key=lambda c: (len(c), c) if digits else (0, c))


def scores(judge: Any, said: list[np.ndarray], method: str) -> dict[str, Any]:
    """``metrics.json`` over the left-out rows of all sources."""
    from headstart.evaluation.generalisation import generalisation_verdict

    y = judge.source.y
    regression = judge.question.task == "regression"
    gain = None if len(said) < 2 else judge.gain(said[0], said[1], y, "erm")
    what, unit = ("mean absolute error", "label") if regression else ("accuracy", "points")
    return {
        "kind": "generalisation", "task": judge.question.task, "method": method, "metric": "mae" if regression else "accuracy",
        "n": {"source": len(y), "evaluated": len(y)}, "target": judge.scores(said[0], y), "source": None,
        "baselines": {} if len(said) < 2 else {"erm": judge.scores(said[1], y)}, "transfer_gain": gain,
        **generalisation_verdict(gain, method, what, unit),
    }  # fmt: skip


def per_source(judge: Any, said: np.ndarray, domain: np.ndarray) -> list[dict[str, Any]]:
    """The metric with its interval on the rows of each source, told by a model without them."""
    metric = "mae" if judge.question.task == "regression" else "accuracy"
    return [judge.scores(said[domain == d], judge.source.y[domain == d])[metric] for d in range(int(domain.max()) + 1)]
