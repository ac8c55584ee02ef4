"""The sets of texts of benchmarks/results_text.py: labelled rows to learn from, and rows to test on that share no text with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.data.dataset import Dataset
from headstart.data.text_scan import digest

TEST = 600
"""Test texts, at most."""


@dataclass(frozen=True)
class Problem:
    """One draw of one set: ``train`` with k labels a class (all of them for ``"all"``), ``test``, both with digests, no text in both; and
    what else there is of the domain of the test, without labels."""

    name: str
    train: Dataset
    test: Dataset
    unlabelled: Dataset | None = None


def _banking(root: Path, seed: int) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    names = {"category": "label"}
    return tuple(pd.read_csv(root / f"banking77/{part}.csv").rename(columns=names) for part in ("train", "test"))  # type: ignore[return-value]


def _sites(root: Path, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two sites to learn from, the third to be tested on: another one each draw."""
    frame = pd.read_csv(root / "sentiment-3-sites/sentences.csv")
    there = frame["domain"] == sorted(frame["domain"].unique())[seed % 3]
    return frame[~there], frame[there]


def _titles(root: Path, seed: int) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    parts = [pd.read_csv(root / f"zh-news-titles-thucnews/{part}.tsv", sep="\t", quoting=3) for part in ("dev", "test")]
    return tuple(f.assign(text=f["title"], label=f["class"])[["text", "label"]] for f in parts)  # type: ignore[return-value]


SETS: dict[str, Callable[[Path, int], tuple[pd.DataFrame, pd.DataFrame | None]]] = {
    "banking77": _banking,
    "movie-review-polarity": lambda root, seed: (pd.read_csv(root / "movie-review-polarity/rt_polarity.csv"), None),
    "sms-spam": lambda root, seed: (pd.read_csv(root / "sms-spam/sms_spam.csv"), None),
    "sentiment-3-sites": _sites,
    "zh-news-titles": _titles,
}


def draw(name: str, root: Path, labels: str, seed: int) -> Problem:
    """The set ``name`` under ``root`` (its folder ``nonvision``), split anew by ``seed`` where it has no test part of its own: a fifth
    of the distinct texts, at most :data:`TEST`; then ``labels`` training texts a class, or ``"all"``."""
    rng = np.random.default_rng(seed)
    learn, judge = SETS[name](root, seed)
    learn = learn.dropna(subset=["text", "label"]).drop_duplicates("text")
    if judge is None:
        order = rng.permutation(len(learn))
        cut = min(TEST, len(learn) // 5)
        learn, judge, rest = learn.iloc[order[cut:]], learn.iloc[order[:cut]], None
    else:
        judge = judge.dropna(subset=["text", "label"]).drop_duplicates("text")
        judge = judge[~judge["text"].isin(set(learn["text"]))]
        judge = judge.iloc[rng.permutation(len(judge))]
        judge, rest = judge.iloc[:TEST], judge.iloc[TEST:]
    classes = tuple(sorted(map(str, learn["label"].unique())))
    learn = learn.iloc[rng.permutation(len(learn))]
    if labels != "all":
        learn = learn.groupby("label", sort=False).head(int(labels))
    other = None if rest is None else replace(_as(rest, classes, "train"), labels=None)
    return Problem(name, _as(learn, classes, "train"), _as(judge, classes, "test"), other)


def _as(frame: pd.DataFrame, classes: tuple[str, ...], split: str) -> Dataset:
    texts = [str(text) for text in frame["text"]]
    labels = np.array([classes.index(str(label)) for label in frame["label"]], dtype=np.int64)
    return Dataset(
        texts, labels, classes, np.full(len(texts), split), digests=np.array([digest(t) for t in texts]), modality="text", layout="table",
    )  # fmt: skip
