"""Texts that are written: BLEU and chrF of a translation, ROUGE of a summary; intervals from a bootstrap over the sentences (Koehn 2004)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from headstart.evaluation.scoring.scoring import Metric, SumScoring, Worst
from headstart.functional.bleu import bleu, bleu_counts
from headstart.functional.chrf import chrf, chrf_counts
from headstart.functional.rouge import rouge
from headstart.tasks.task import Task

OF_BLEU, OF_CHRF = slice(0, 10), slice(10, 28)
ROUGES = ("rouge_1", "rouge_2", "rouge_l")


class GenerationScoring(SumScoring):
    """Of texts, object (n,) of str, against references of the same kind.

    BLEU and chrF are of the corpus, 0 to 100; a resample of sentences gives those of its own corpus.
    """

    def metrics(self, classes: tuple[str, ...]) -> dict[str, Metric]:
        points = {"bleu": Metric(percent=False, unit=" points"), "chrf": Metric(percent=False, unit=" points")}
        return {name: points.get(name, Metric()) for name in self.names}

    names: tuple[str, ...]

    def points(self, found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
        raise NotImplementedError("epochs are chosen by the loss on the true targets, with no text written")

    def parts(self, found: np.ndarray, labels: np.ndarray, task: Task) -> np.ndarray:
        said, right = list(map(str, found)), list(map(str, labels))
        counts = bleu_counts(said, right, getattr(task, "tokenize", "13a"))
        return np.column_stack([counts, chrf_counts(said, right), self._rouge(said, right), np.ones(len(said))])

    def _rouge(self, said: list[str], right: list[str]) -> np.ndarray:
        return rouge(said, right) if "rouge_l" in self.names else np.zeros((len(said), 3))

    def of_sums(self, sums: np.ndarray, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
        found = {"bleu": bleu(sums[:, OF_BLEU]), "chrf": chrf(sums[:, OF_CHRF])}
        found |= {name: sums[:, 28 + i] / sums[:, -1] for i, name in enumerate(ROUGES)}
        return {name: found[name] for name in self.names}

    def columns(
        self, found: np.ndarray, labels: np.ndarray | None, task: Task, names: tuple[str, ...]
    ) -> dict[str, Any]:
        """``label`` (the reference, where it is known), ``predicted``, and the chrF of each sentence alone."""
        if labels is None:
            return {"predicted": list(found)}
        return {"label": list(labels), "predicted": list(found), "sentence_chrf": each_chrf(found, labels)}

    def read(self, table: pd.DataFrame, task: Task) -> tuple[np.ndarray, np.ndarray]:
        return table["predicted"].astype(str).to_numpy(object), table["label"].astype(str).to_numpy(object)

    def worst(self, found: np.ndarray, labels: np.ndarray, task: Task, names: tuple[str, ...]) -> list[Worst]:
        alone = each_chrf(found, labels)
        return [
            Worst(int(i), str(labels[i]), str(found[i]), note=f"chrF {alone[i]:.0f}")
            for i in np.argsort(alone, kind="stable")
            if alone[i] < 100
        ]

    def details(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, Any]:
        """How the scores were computed, and lengths in letters."""
        tokens = getattr(task, "tokenize", "13a")
        said, right = (float(np.mean([len(t) for t in side])) for side in (found, labels))
        return {
            "written": {
                "bleu": f"nrefs:1|case:mixed|eff:no|tok:{tokens}|smooth:exp", "chrf": "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no",
                "letters_said": said, "letters_true": right, "empty": int(sum(not str(t) for t in found)),
                "exact": int(sum(a == b for a, b in zip(found, labels, strict=True))),
            }
        }  # fmt: skip

    def missing(self, labels: np.ndarray, classes: tuple[str, ...]) -> list[str]:
        return []


def each_chrf(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float (n,): chrF of each sentence alone, 0 to 100."""
    return chrf(chrf_counts(list(map(str, found)), list(map(str, labels))))


class TranslationScoring(GenerationScoring):
    """Headline: BLEU."""

    name, headline, names = "translation", "bleu", ("bleu", "chrf")


class SummarizationScoring(GenerationScoring):
    """Headline: ROUGE-L."""

    name, headline, names = "summarization", "rouge_l", ("rouge_l", "rouge_1", "rouge_2", "chrf")
