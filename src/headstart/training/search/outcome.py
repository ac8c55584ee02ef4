"""What a search found: its trials as rows, their curves, and how much each parameter mattered."""

from __future__ import annotations

import warnings
from typing import Any

from headstart.training.search.book import Book, need_optuna
from headstart.training.search.space import STRATEGY

STATES = {"COMPLETE": "judged", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "under way", "WAITING": "waiting"}


def rows(book: Book) -> list[dict[str, Any]]:
    """One row a trial, in their order: number, state, score (the last one of a pruned trial), log_loss, share of the training in
    0..1, seconds, why, and its parameters by name."""
    found = []
    for trial in book.trials():
        done = trial.state == book.states.COMPLETE
        steps = trial.intermediate_values
        last = steps[max(steps)] if steps else None
        found.append(
            {
                "number": trial.number, "state": STATES[trial.state.name], "score": trial.value if done else last,
                "log_loss": trial.user_attrs.get("loss"),
                "share": 1.0 if done else max(steps, default=0) / book.rungs,
                "seconds": trial.user_attrs.get("seconds"), "why": trial.user_attrs.get("why", ""), "params": dict(trial.params),
            }
        )  # fmt: skip
    return found


def lines(book: Book) -> dict[int, list[tuple[float, float]]]:
    """Trial -> (share of the training, score), for those that were scored on the way."""
    found = {}
    for trial in book.trials():
        points = [(step / book.rungs, float(value)) for step, value in sorted(trial.intermediate_values.items())]
        if trial.state == book.states.COMPLETE and points and trial.value is not None:
            points.append((1.0, float(trial.value)))
        if points:
            found[trial.number] = points
    return found


def importance(book: Book, seed: int) -> dict[str, Any]:
    """How much of the spread of the scores each parameter explains.

    fANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) by Optuna: the share of the variance of a random forest's prediction that a
    parameter alone explains, over the whole space. Where trials of several strategies have different parameters, PED-ANOVA
    (Watanabe, Bansal and Hutter, IJCAI 2023) instead. A pruned trial counts with its last score.

    Returns:
        ``values``: parameter -> share, falling, summing to 1 (empty where the scores do not vary or there are fewer than four);
        ``evaluator``; ``n`` trials.
    """
    optuna = need_optuna()
    conditional = len(book.space.branches) > 1
    name = "PED-ANOVA" if conditional else "fANOVA"
    study = optuna.create_study(direction="maximize")
    for row, trial in zip(rows(book), book.trials(), strict=True):
        if row["state"] in ("judged", "pruned") and row["score"] is not None:
            study.add_trial(
                optuna.trial.create_trial(params=trial.params, distributions=trial.distributions, value=row["score"])
            )
    scores = {trial.value for trial in study.trials}
    if len(study.trials) < 4 or len(scores) < 2:
        return {"values": {}, "evaluator": name, "n": len(study.trials)}
    kinds = optuna.importance
    evaluator = kinds.PedAnovaImportanceEvaluator() if conditional else kinds.FanovaImportanceEvaluator(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that few trials tell little is said beside the values
        try:
            values = kinds.get_param_importances(study, evaluator=evaluator)
        except (RuntimeError, ValueError):  # no variance that a forest could split
            values = {}
    return {"values": {k: float(v) for k, v in values.items()}, "evaluator": name, "n": len(study.trials)}


def said(params: dict[str, Any]) -> str:
    """``lr 0.0012, weight_decay 0.01``, the strategy first."""
    names = sorted(params, key=lambda name: name != STRATEGY)
    return ", ".join(
        f"{params[n]}" if n == STRATEGY else f"{n} {params[n]:.3g}" if isinstance(params[n], float) else f"{n} {params[n]}"
        for n in names
    )  # fmt: skip
