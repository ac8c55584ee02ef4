"""Spans in a text: precision, recall and F1 of whole spans, over all types and type by type."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from headstart.data.annotations import Span, Spans, objects
from headstart.evaluation.paired import scores_of_sums
from headstart.evaluation.scoring.scoring import Metric, SumScoring, Worst
from headstart.tasks.task import Task
from headstart.tasks.token_classification import Tagged


class TokenScoring(SumScoring):
    """Of spans said, object (n,) of :class:`headstart.tasks.token_classification.Tagged`, and labels, object (n,) of
    :class:`headstart.data.annotations.Spans`.

    A span is right where its type and both its ends are (E. Tjong Kim Sang and F. De Meulder 2003; what seqeval counts):
    ``precision = right / said``, ``recall = right / true``, ``F1 = 2 right / (said + true)``, 0 where nothing is there to be divided by;
    ``macro_f1`` is the mean of the types' own F1.
    """

    name = "token_classification"
    headline = "f1"

    def metrics(self, classes: tuple[str, ...]) -> dict[str, Metric]:
        return {name: Metric() for name in ("f1", "precision", "recall", "macro_f1")}

    def points(self, found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
        """The metrics, and as ``loss`` 1 - F1: no likelihood is left once spans are chosen."""
        sums = counts(found, labels, classes).sum(0, keepdims=True)
        scores = {name: float(value[0]) for name, value in self.of_sums(sums, classes).items()}
        return scores | {"loss": 1 - scores["f1"]}

    def parts(self, found: np.ndarray, labels: np.ndarray, task: Task) -> np.ndarray:
        return counts(found, labels, task.classes)

    def of_sums(self, sums: np.ndarray, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
        by_type = sums.reshape(len(sums), -1, 3)
        right, said, true = (by_type.sum(1)[:, k] for k in range(3))
        there = (by_type[:, :, 1] + by_type[:, :, 2]) > 0
        own = _share(2 * by_type[:, :, 0], by_type[:, :, 1] + by_type[:, :, 2])
        return {
            "f1": _share(2 * right, said + true), "precision": _share(right, said), "recall": _share(right, true),
            "macro_f1": (own * there).sum(1) / np.maximum(there.sum(1), 1),
        }  # fmt: skip

    def columns(
        self, found: np.ndarray, labels: np.ndarray | None, task: Task, names: tuple[str, ...]
    ) -> dict[str, Any]:
        table: dict[str, Any] = {} if labels is None else {"label": [str(label) for label in labels]}
        table["predicted"] = [str(Spans(tagged.spans)) for tagged in found]
        table["confidence"] = [float(min(tagged.confidences, default=tagged.sure)) for tagged in found]
        if labels is not None:
            table["true_spans"] = [_json(label.spans) for label in labels]
        return table | {"said_spans": [_json(tagged.spans) for tagged in found]}

    def read(self, table: pd.DataFrame, task: Task) -> tuple[np.ndarray, np.ndarray]:
        said = [tuple(Span(*row) for row in json.loads(cell)) for cell in table["said_spans"]]
        true = [tuple(Span(*row) for row in json.loads(cell)) for cell in table["true_spans"]]
        found = [
            Tagged(spans, (1.0,) * len(spans), float(sure))
            for spans, sure in zip(said, table["confidence"], strict=True)
        ]
        return objects(found), objects([Spans(spans) for spans in true])

    def worst(self, found: np.ndarray, labels: np.ndarray, task: Task, names: tuple[str, ...]) -> list[Worst]:
        """The texts with most spans missed or made up first."""
        wrong = [set(tagged.spans) ^ set(label.spans) for tagged, label in zip(found, labels, strict=True)]
        order = sorted((i for i, some in enumerate(wrong) if some), key=lambda i: (-len(wrong[i]), i))
        return [
            Worst(
                i, str(Spans(tuple(sorted(set(labels[i].spans) - set(found[i].spans))))), str(Spans(tuple(sorted(set(found[i].spans) - set(labels[i].spans))))),
                float(min(found[i].confidences, default=found[i].sure)), f"{len(wrong[i])} wrong",
            )
            for i in order
        ]  # fmt: skip

    def details(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, Any]:
        """Precision, recall, F1 (with its interval) and the number of true spans of each type; words of the spans that differ only in
        their type or only in their ends."""
        table = counts(found, labels, task.classes)
        rows = []
        for k, name in enumerate(task.classes):
            mine = table[:, 3 * k : 3 * k + 3]
            scored = scores_of_sums(mine, lambda sums: self.of_sums(sums, (name,)))  # noqa: B023
            right, said, true = mine.sum(0)
            cell = {key: scored[key] for key in ("precision", "recall", "f1")}
            rows.append({"type": name, **cell, "right": int(right), "said": int(said), "true": int(true)})
        kinds = {"type": 0, "ends": 0, "missed": 0, "made_up": 0}
        for tagged, label in zip(found, labels, strict=True):
            said, true = set(tagged.spans) - set(label.spans), set(label.spans) - set(tagged.spans)
            places = {(span.start, span.end) for span in said}
            for span in true:
                same = (span.start, span.end) in places
                near = any(s.label == span.label and s.start < span.end and span.start < s.end for s in said)
                kinds["type" if same else "ends" if near else "missed"] += 1
            kinds["made_up"] += sum(
                not any(s.start < span.end and span.start < s.end for s in label.spans) for span in said
            )
        return {"types": rows, "span_mistakes": kinds}

    def missing(self, labels: np.ndarray, classes: tuple[str, ...]) -> list[str]:
        there = {kind for label in labels for kind in label.kinds}
        return [name for name in classes if name not in there]


def counts(found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """float64 (n, 3K): for each text and type the spans that are right, said and true, side by side.

    Types that ``classes`` lacks have their own columns behind these, so that nothing said or true is lost.
    """
    known = list(classes)
    known += sorted({span.label for row in (*found, *labels) for span in row.spans} - set(known))
    place = {name: 3 * k for k, name in enumerate(known)}
    table = np.zeros((len(labels), 3 * len(known)))
    for row, tagged, label in zip(table, found, labels, strict=True):
        said, true = set(tagged.spans), set(label.spans)
        for k, spans in enumerate((said & true, said, true)):
            for span in spans:
                row[place[span.label] + k] += 1
    return table


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


def _json(spans: tuple[Span, ...]) -> str:
    return json.dumps([[span.start, span.end, span.label, span.text] for span in spans], ensure_ascii=False)
