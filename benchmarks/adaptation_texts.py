"""The two text sets of benchmarks/adaptation_data.py: words to WORDS columns by a truncated SVD of the source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from adaptation_pair import Pair, drawn
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

WORDS = 200
"""So many columns are left of a text's words."""


def newsgroups(folder: Path, seed: int, rows: int) -> list[Pair]:
    words = {k: sp.csr_matrix(sp.load_npz(folder / f"{k}_X.npz")).astype(np.float64) for k in ("source", "target")}
    y = {k: np.load(folder / f"{k}_y.npy").ravel().astype(int) - 1 for k in words}
    pick = {k: drawn(len(v), rows, seed) for k, v in y.items()}
    found = []
    for s, t, name in (("source", "target", "newsgroups"), ("target", "source", "newsgroups, turned round")):
        a, b = (normalize(words[k][pick[k]]) for k in (s, t))
        Xs, Xt = reduced(a, b)
        note = f"{rows} documents a domain; 7270 tf-idf columns to {WORDS} by a truncated SVD of the source, rows of length 1"
        found.append(
            Pair(
                name,
                Xs,
                y[s][pick[s]],
                Xt,
                y[t][pick[t]],
                "classification",
                note,
                pick[t],
                pick[t],
                standardize=False,
                classes=("1", "2"),
            )
        )
    return found


def reduced(source: sp.csr_matrix, target: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Both domains' words (n, terms) to (n, WORDS) by a truncated SVD of the source; rows to length 1."""
    svd = TruncatedSVD(min(WORDS, min(source.shape) - 1), random_state=0).fit(source)
    return normalize(svd.transform(source)), normalize(svd.transform(target))


def sentences(folder: Path, seed: int, rows: int) -> list[Pair]:
    table = pd.read_csv(folder / "sentences.csv")
    group = pd.factorize(table["text"])[0]
    sites = ("amazon", "imdb", "yelp")
    at = {site: np.flatnonzero(table["domain"] == site) for site in sites}
    text, y = table["text"].to_numpy(), table["label"].to_numpy(int)
    note = (
        f"tf-idf of words and word pairs found in two source sentences or more, {WORDS} columns by a truncated SVD "
        "of the source, rows of length 1"
    )
    found = []
    for s in sites:
        bag = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit(text[at[s]])
        for t in sites:
            if s != t:
                Xs, Xt = reduced(bag.transform(text[at[s]]), bag.transform(text[at[t]]))
                found.append(
                    Pair(
                        f"sentiment {s} -> {t}",
                        Xs,
                        y[at[s]],
                        Xt,
                        y[at[t]],
                        "classification",
                        note,
                        group[at[t]],
                        group[at[t]],
                        standardize=False,
                        classes=("negative", "positive"),
                    )
                )
    return found
