"""The sets of texts of benchmarks/results_text.py: labelled rows to learn from, and rows to test on that share no text with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.data.dataset import Dataset
from headstart.data.text_scan import digest

TEST = 600
"""Test texts, at most."""


@dataclass(frozen=True)
class Problem:
    """One draw of one set: ``train`` with k labels a class (all of them for ``"all"``), ``test``; both with digests, no text in both."""

    name: str
    train: Dataset
    test: Dataset


def _banking(root: Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    names = {"category": "label"}
    return tuple(pd.read_csv(root / f"banking77/{part}.csv").rename(columns=names) for part in ("train", "test"))  # type: ignore[return-value]


def _site(site: str) -> Callable[[Path], tuple[pd.DataFrame, pd.DataFrame | None]]:
    def read(root: Path) -> tuple[pd.DataFrame, None]:
        frame = pd.read_csv(root / "sentiment-3-sites/sentences.csv")
        return frame[frame["domain"] == site], None

    return read


def _titles(root: Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    parts = [pd.read_csv(root / f"zh-news-titles-thucnews/{part}.tsv", sep="\t", quoting=3) for part in ("dev", "test")]
    return tuple(f.assign(text=f["title"], label=f["class"])[["text", "label"]] for f in parts)  # type: ignore[return-value]


SETS: dict[str, Callable[[Path], tuple[pd.DataFrame, pd.DataFrame | None]]] = {
    "banking77": _banking,
    "movie-review-polarity": lambda root: (pd.read_csv(root / "movie-review-polarity/rt_polarity.csv"), None),
    "sms-spam": lambda root: (pd.read_csv(root / "sms-spam/sms_spam.csv"), None),
    "sentiment/amazon": _site("amazon"),
    "sentiment/imdb": _site("imdb"),
    "sentiment/yelp": _site("yelp"),
    "zh-news-titles": _titles,
}


def draw(name: str, root: Path, labels: str, seed: int) -> Problem:
    """The set ``name`` under ``root`` (its folder ``nonvision``), split anew by ``seed`` where it has no test part of its own: a fifth
    of the distinct texts, at most :data:`TEST`; then ``labels`` training texts a class, or ``"all"``."""
    rng = np.random.default_rng(seed)
    learn, judge = SETS[name](root)
    learn = learn.dropna(subset=["text", "label"]).drop_duplicates("text")
    if judge is None:
        order = rng.permutation(len(learn))
        cut = min(TEST, len(learn) // 5)
        learn, judge = learn.iloc[order[cut:]], learn.iloc[order[:cut]]
    else:
        judge = judge.dropna(subset=["text", "label"]).drop_duplicates("text")
        judge = judge[~judge["text"].isin(set(learn["text"]))]
        judge = judge.iloc[rng.permutation(len(judge))[:TEST]]
    classes = tuple(sorted(map(str, learn["label"].unique())))
    learn = learn.iloc[rng.permutation(len(learn))]
    if labels != "all":
        learn = learn.groupby("label", sort=False).head(int(labels))
    return Problem(name, _as(learn, classes, "train"), _as(judge, classes, "test"))


def _as(frame: pd.DataFrame, classes: tuple[str, ...], split: str) -> Dataset:
    texts = [str(text) for text in frame["text"]]
    labels = np.array([classes.index(str(label)) for label in frame["label"]], dtype=np.int64)
    return Dataset(
        texts, labels, classes, np.full(len(texts), split), digests=np.array([digest(t) for t in texts]), modality="text", layout="table",
    )  # fmt: skip
