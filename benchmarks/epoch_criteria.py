"""Which criterion finds a good epoch of a deep adaptation without target labels.

    python benchmarks/epoch_criteria.py --data ../shared/data          (a minute; needs the extra [offline] for the texts)

Every epoch of dann, dan and mcc on four pairs of domains is judged by every criterion on the same held-out rows. Printed: the accuracy on
the target of the best epoch minus that of the epoch chosen, by the largest score and by the rule that is used (the latest epoch within a
standard error of the best), and of the last epoch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import loadmat
from sklearn.preprocessing import StandardScaler

from headstart.adapters.scorers import SCORERS
from headstart.adapters.search import paired_error
from headstart.data.readers import read_dataset
from headstart.data.scan import scan
from headstart.features.texts import embed_texts
from headstart.folder import cache_root
from headstart.sources import load_source
from headstart.training import deep_adapter
from headstart.training.adapt import outputs_of
from headstart.training.selecting import ORDER, DeepHead, EpochJudge

PAIRS = (
    ("texts", "imdb", "amazon"),
    ("texts", "amazon", "imdb"),
    ("surf", "amazon", "webcam"),
    ("surf", "webcam", "amazon"),
)
METHODS = ("dann", "dan", "mcc")


class Watching(EpochJudge):
    """Judges by all criteria and keeps every epoch."""

    rows: list[dict[str, np.ndarray]]

    def __call__(self, model):
        if not self.epoch:
            Watching.rows = []
        ours, _ = outputs_of(model, self.task, self.source, self.device)
        theirs, decoded = outputs_of(model, self.task, self.target, self.device)
        self.said.append(decoded)
        self.epoch += 1
        head = DeepHead(model.head, self.task)
        Watching.rows.append({n: s().each(head, ours, self.targets, X_target=theirs) for n, s in SCORERS.items()})
        return {"source": 0.0, ORDER: float(self.epoch), "loss": 0.0}


def read(data: Path, kind: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of one domain."""
    if kind == "surf":
        held = loadmat(data / "nonvision" / "office-caltech10-surf" / f"{name}_SURF_L10.mat")
        return held["fts"] / held["fts"].sum(1, keepdims=True), held["labels"].ravel()
    frame = pd.read_csv(data / "nonvision" / "sentiment-3-sites" / "sentences.csv")
    frame = frame[frame.domain == name]
    texts = frame.text.astype(str).str.strip().tolist()
    dataset = scan(read_dataset((texts, frame.label.tolist())), cache_dir=cache_root(), on_bad="fail")[0]
    return embed_texts(dataset, load_source("bundled/minilm"), cache_dir=cache_root()), frame.label.to_numpy()


def rule(rows: list[np.ndarray]) -> int:
    """The epoch that is kept, from 0."""
    best, at = rows[0], 0
    for i, row in enumerate(rows):
        if row.mean() >= best.mean() - paired_error(row, best):
            at = i
        if row.mean() > best.mean():
            best = row
    return at


def costs(data: Path, epochs: int, seeds: int) -> Iterator[dict[str, float]]:
    """What each choice costs, one row a training."""
    deep_adapter.EpochJudge = Watching  # type: ignore[misc]
    for kind, a, b in PAIRS:
        (X, y), (Xt, yt) = read(data, kind, a), read(data, kind, b)
        scaler = StandardScaler().fit(X)
        X, Xt = (scaler.transform(part).astype(np.float32) for part in (X, Xt))
        for method in METHODS:
            for seed in range(seeds):
                model = deep_adapter.DeepAdapter(method, select="source", epochs=epochs, random_state=seed)
                model.fit(X, y, X_target=Xt)
                right = np.array(
                    [(model.classes_[p.argmax(1)] == yt[model.compared_]).mean() for p in model.epochs_said_]
                )
                row = {"last epoch": right.max() - right[-1]}
                for name in SCORERS:
                    each = [epoch[name] for epoch in Watching.rows]
                    scores = [float(np.nan_to_num(part.mean(), nan=-9)) for part in each]
                    row[f"{name}, largest"] = right.max() - right[int(np.argmax(scores))]
                    row[f"{name}, rule"] = right.max() - right[rule(each)]
                print(f"{a} > {b}, {method}, seed {seed}: best epoch {right.max():.3f}", flush=True)
                yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    frame = pd.DataFrame(list(costs(given.data, given.epochs, given.seeds)))
    for name, values in frame.items():
        print(f"{name:18} mean {values.mean():.3f}  worst {values.max():.3f}")


if __name__ == "__main__":
    main()
