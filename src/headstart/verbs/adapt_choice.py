"""How a method or an epoch was chosen without target labels, and, looked at afterwards, what that cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.verbs.adapt_question import Question

OF_METHODS = "reverse"
"""Criterion of candidates where the user names none; why: docs/results.md."""
OF_EPOCHS = {"classification": "infomax", "regression": "source"}
"""The same of epochs; why: docs/adaptation.md."""


@dataclass
class Choice:
    """One choice among candidates or epochs.

    Attributes:
        what: ``"method"`` or ``"epoch"``.
        criterion: name of the scorer.
        names: of what was chosen from.
        scores: of each by the criterion, NaN where it failed.
        taken: place of the one taken.
        said: what each says of the target rows ``rows``: labels or values (m,), ``None`` where it failed.
        cautious: whether the source's model was kept though another had the larger score.
    """

    what: str
    criterion: str
    names: list[str]
    scores: list[float]
    taken: int
    said: list[np.ndarray | None]
    rows: np.ndarray
    cautious: bool = False

    def told(self, y: np.ndarray | None, judged: np.ndarray, regression: bool) -> dict[str, Any]:
        """For JSON; with the target's labels ``y`` (n_t,) also what each is worth on the rows ``judged``, and the ``cost``.

        The cost is the accuracy of the best one minus that of the one taken (for values: how much lower its mean absolute
        error is), on the target rows that were compared.
        """
        out: dict[str, Any] = {
            "what": self.what, "criterion": self.criterion, "names": self.names, "scores": self.scores,
            "taken": self.names[self.taken], "cautious": self.cautious, "cost": None,
        }  # fmt: skip
        mine = np.isin(self.rows, judged)
        if y is None or not mine.any():
            return out
        truth = y[self.rows[mine]]

        def worth(said: np.ndarray) -> float:
            if regression:
                return -float(np.abs(said[mine].astype(np.float64) - truth.astype(np.float64)).mean())
            return float((said[mine].astype(str) == truth.astype(str)).mean())

        values = [float("nan") if said is None else worth(said) for said in self.said]
        best = self.taken if values[self.taken] == np.nanmax(values) else int(np.nanargmax(values))
        size = [abs(v) for v in values] if regression else values
        return out | {
            "measure": "mae" if regression else "accuracy", "worth": size, "best": self.names[best],
            "cost": values[best] - values[self.taken], "n": int(mine.sum()),
        }  # fmt: skip


def of_epochs(model: Any) -> list[Choice]:
    """How the epoch of a deep method was chosen; none for a model without epochs."""
    if not getattr(model, "select", None) or not getattr(model, "epochs_said_", None):
        return []
    scores = [float(row[f"valid_{model.select}"]) for row in model.history_]
    if model.task == "regression":
        said = [out[:, 0] for out in model.epochs_said_]
    else:
        said = [model.classes_[out.argmax(1)] for out in model.epochs_said_]
    names = [str(i + 1) for i in range(len(scores))]
    return [Choice("epoch", model.select, names, scores, model.best_epoch_ - 1, said, model.compared_)]


def of_candidates(search: Any, question: Question) -> Choice:
    """How ``auto`` chose the method."""
    r = search.cv_results_
    return Choice(
        "method", question.select or OF_METHODS, list(r["method"]), [float(s) for s in r["mean_test_score"]],
        search.best_index_, list(r["target_predictions"]), search.compared_, search.cautious_,
    )  # fmt: skip
