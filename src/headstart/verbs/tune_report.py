"""What a search leaves in the run folder: trials.csv, tuning.json for the report, and the best recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from headstart.evaluation.scoring.catalogue import SCORING
from headstart.folder import write_json
from headstart.progress import Progress
from headstart.recipe import Recipe, make_recipe
from headstart.training.search import outcome
from headstart.training.search.book import Book
from headstart.training.search.judge import cut
from headstart.verbs.tune_space import apply
from headstart.verbs.write import write_table

ENDS = ("judged", "pruned", "failed")


def report_search(
    book: Book, question: Any, target: Any, best: Any, work: Path, seconds: float, progress: Progress
) -> Recipe:
    """Write trials.csv and tuning.json; give the recipe of the best trial."""
    scoring, classes = SCORING[target.dataset.task], target.classes
    metric = scoring.check_metric(make_recipe({**question.values, "data": "-"}).metric, classes)
    spec = scoring.metrics(classes)[metric]
    sign = 1 if spec.larger else -1  # the search maximises; people read the score as it is
    rows = [row | {"score": None if row["score"] is None else sign * row["score"]} for row in outcome.rows(book)]
    rows = [row for row in rows if row["state"] in ENDS]  # what a budget cut off before it began is no trial
    names = book.space.names
    write_table(
        work / "trials.csv",
        pd.DataFrame(
            [{k: v for k, v in row.items() if k != "params"} | {n: row["params"].get(n) for n in names} for row in rows]
        ),
    )
    counts = {state: sum(row["state"] == state for row in rows) for state in ENDS}
    learning, seed = target.learning, int(question.values.get("seed") or 0)
    if question.folds:
        held = sum(len(pair[1]) for pair in cut(learning, question.folds, seed))
        where = f"{held} validation {target.dataset.modality}s"
    else:
        held = len(learning)
        where = f"{held} training {target.dataset.modality}s, cross-validated"
    final = make_recipe({**apply(question.values, best.params), "data": question.values.get("data") or target.dataset})
    first = next((row for row in rows if row["number"] == 0 and question.sampler != "grid" and question.queue), None)
    write_json(
        work / "tuning.json",
        {
            "metric": metric, "larger": spec.larger, "percent": spec.percent, "sampler": question.sampler, "pruner": question.pruner, "trials": question.trials,
            "counts": counts, "lost": len(book.lost()), "best": best.number, "params": dict(best.params), "seconds": seconds,
            "optimised": {"value": sign * best.value, "on": where, "n": held}, "defaults": first["score"] if first else None,
            "space": {name: str(d) for name, d in _domains(book)}, "importance": outcome.importance(book, seed),
            "rows": rows, "lines": {str(k): [(x, sign * y) for x, y in line] for k, line in outcome.lines(book).items()},
        },
    )  # fmt: skip
    progress.say(
        f"best of {len(rows)} trials ({counts['pruned']} pruned): trial {best.number}, {metric.replace('_', ' ')} "
        f"{sign * best.value:.3f} on {where}; {outcome.said(best.params)}"
    )
    return final


def _domains(book: Book) -> list[tuple[str, Any]]:
    many = list(book.space.branches)
    first = [("strategy", "|".join(many))] if len(many) > 1 else []
    return first + [
        (name, book.space.domain(name)) for name in book.space.names if name != "strategy" or len(many) == 1
    ]
