"""Answers in a text: F1 and exact match, by the rules of SQuAD and of CMRC 2018."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from headstart.data.annotations import ANSWER, NO_ANSWER, Answers, objects
from headstart.evaluation.paired import scores_of_sums
from headstart.evaluation.scoring.scoring import Metric, SumScoring, Worst
from headstart.functional.span_answers import cmrc, squad
from headstart.tasks.question_answering import Answer
from headstart.tasks.task import Task


class QuestionAnsweringScoring(SumScoring):
    """Of answers, object (n,) of :class:`headstart.tasks.question_answering.Answer`, and labels, object (n,) of
    :class:`headstart.data.annotations.Answers`.

    The rules are those of SQuAD v2.0 where a question of the test set has no answer, else those of v1.1; those of CMRC 2018 for Chinese.
    """

    name = "question_answering"
    headline = "f1"

    def metrics(self, classes: tuple[str, ...]) -> dict[str, Metric]:
        return {"f1": Metric(), "exact_match": Metric()}

    def points(self, found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
        """F1, exact match, and as ``loss`` 1 - F1: no likelihood is left once spans are chosen."""
        exact, f1 = each(found, labels).mean(0)
        return {"f1": float(f1), "exact_match": float(exact), "loss": 1 - float(f1)}

    def parts(self, found: np.ndarray, labels: np.ndarray, task: Task) -> np.ndarray:
        return np.column_stack([np.ones(len(labels)), each(found, labels)])

    def of_sums(self, sums: np.ndarray, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
        return {"f1": sums[:, 2] / sums[:, 0], "exact_match": sums[:, 1] / sums[:, 0]}

    def columns(
        self, found: np.ndarray, labels: np.ndarray | None, task: Task, names: tuple[str, ...]
    ) -> dict[str, Any]:
        table: dict[str, Any] = {} if labels is None else {"label": [str(label) for label in labels]}
        table["predicted"] = [answer.text or NO_ANSWER for answer in found]
        table["confidence"] = [answer.confidence for answer in found]
        for key in ("start", "end", "margin"):
            table[key] = [getattr(answer, key) for answer in found]
        if labels is not None:
            exact, f1 = each(found, labels).T
            table |= {"f1": f1, "exact_match": exact.astype(int)}
            table["answers"] = [json.dumps(label.texts, ensure_ascii=False) for label in labels]
            table["rules"] = ["cmrc" if label.chinese else "squad" for label in labels]
        return table

    def read(self, table: pd.DataFrame, task: Task) -> tuple[np.ndarray, np.ndarray]:
        found = [
            Answer("" if int(start) < 0 else str(said), int(start), int(end), float(sure), (str(said), int(start), int(end)), float(margin))
            for said, start, end, sure, margin in zip(table["predicted"], table["start"], table["end"], table["confidence"], table["margin"], strict=True)
        ]  # fmt: skip
        texts = [tuple(json.loads(cell)) for cell in table["answers"]]
        labels = [Answers(t, (0,) * len(t), rules == "cmrc") for t, rules in zip(texts, table["rules"], strict=True)]
        return objects(found), objects(labels)

    def worst(self, found: np.ndarray, labels: np.ndarray, task: Task, names: tuple[str, ...]) -> list[Worst]:
        """Answers without a word in common first, the surest of them before the others."""
        f1 = each(found, labels)[:, 1]
        order = np.lexsort(([-answer.confidence for answer in found], f1))
        return [
            Worst(int(i), str(labels[i]), found[i].text or NO_ANSWER, float(found[i].confidence), f"F1 {f1[i]:.2f}")
            for i in order
            if f1[i] < 1
        ]

    def details(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, Any]:
        """The scores of questions with and without an answer apart, by which rules, and answers that always say none."""
        scored = each(found, labels)
        kinds = {}
        for kind in (ANSWER, NO_ANSWER):
            mine = np.array([kind in label.kinds for label in labels])
            if mine.any():
                parts = np.column_stack([np.ones(mine.sum()), scored[mine]])
                kinds[kind] = {
                    "n": int(mine.sum()),
                    **scores_of_sums(parts, lambda sums: self.of_sums(sums, task.classes)),
                }
        chinese = sum(label.chinese for label in labels)
        rules = "SQuAD v2.0" if _version(labels) == 2 else "SQuAD v1.1"
        return {
            "answers": {
                "kinds": kinds, "silent": float(np.mean([not answer.text for answer in found])),
                "rules": "CMRC 2018" if chinese == len(labels) else rules + (f", CMRC 2018 for {chinese} Chinese ones" if chinese else ""),
                "threshold": getattr(task, "threshold", 0.0), "longest": getattr(task, "longest", None),
            }
        }  # fmt: skip

    def missing(self, labels: np.ndarray, classes: tuple[str, ...]) -> list[str]:
        return []


def each(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float64 (n, 2): exact match and F1 of each answer."""
    version = _version(labels)
    scores = [
        cmrc(answer.text, label.texts) if label.chinese else squad(answer.text, label.texts, version=version)
        for answer, label in zip(found, labels, strict=True)
    ]
    return np.array(scores, dtype=np.float64).reshape(-1, 2)


def _version(labels: np.ndarray) -> int:
    return 2 if any(not label.texts for label in labels) else 1
