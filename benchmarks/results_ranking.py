"""Which score to trust: every score of `headstart rank` against the accuracy that the sources really reach.

    python benchmarks/results_ranking.py --data ../shared/data --out docs/results.md

12 sources x 7 targets x {probe, finetune}. A cell is one (target, seed, source): all scores on the training images, and the
test accuracy of both strategies. It is kept in a JSON lines file as soon as it is done (``--cells``), so that a stopped study
goes on where it was; ``--redo`` starts anew. The tables are made from that file alone (``--table-only``). The sources made
by ``headstart pretrain`` are kept beside the cells.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ranking_sources import BATCH, LABELS, LEFT_OUT, SOURCES, STEPS, TARGETS, TEST, open_source
from ranking_tables import write

from headstart.errors import HeadstartError, QuestionError
from headstart.evaluation.metrics import point_metrics
from headstart.features.extract import extract
from headstart.folder import cache_root
from headstart.progress import SILENT
from headstart.ranking.rank import probabilities as own_classes
from headstart.ranking.scores import SCORES, Rows
from headstart.strategies.grammar import parse_strategy
from headstart.training.finetune import Feeding
from headstart.training.transfer import Settings, probabilities, transfer
from headstart.verbs.prepare import Prepared, prepare

Cell = tuple[str, int, str]


def cells(targets: list[str], seeds: int, sources: list[str]) -> list[Cell]:
    """Every (target, seed, source), a whole seed first; without sources that were trained on the target's pictures."""
    return [
        (target, seed, source)
        for seed in range(seeds)
        for target in targets
        for source in sources
        if (target, source) not in LEFT_OUT
    ]


def scored(rows: Rows) -> dict[str, dict[str, Any]]:
    """Each score with the seconds that it took, or why there is none."""
    found: dict[str, dict[str, Any]] = {}
    for name, score in SCORES.items():
        if score.needs_probabilities and rows.P is None:
            found[name] = {"why": "no head"}
            continue
        start = time.perf_counter()
        try:
            value = score.compute(rows)
        except QuestionError as error:
            found[name] = {"why": str(error)}
            continue
        found[name] = {"value": value, "seconds": time.perf_counter() - start}
        if not np.isfinite(value):
            found[name] = {"why": "not a finite number"}
    return found


def run_cell(cell: Cell, data: Path, made: Path, prepared: Prepared) -> dict[str, Any]:
    """The scores on the training images, and the accuracies on the locked test images."""
    target, seed, name = cell
    train_set, test_set = prepared.split("train"), prepared.split("test")
    pick = np.random.default_rng(seed).permutation(len(test_set))[:TEST]
    test_set = test_set.subset(np.sort(pick))
    start = time.perf_counter()
    source = open_source(name, data, made)
    opened = time.perf_counter()
    features = extract(source, train_set, cache_dir=cache_root(), workers=1)
    extracted = time.perf_counter() - opened
    assert train_set.labels is not None
    scores = scored(Rows(features.X, train_set.labels, own_classes(source, features.X), seed=seed))
    epochs = -(-STEPS // -(-len(train_set) // BATCH))
    settings = Settings(Feeding(batch_size=BATCH, augment="light", workers=1), {"epochs": epochs})
    reached = {}
    device = torch.device("cpu")
    for strategy in ("probe", "finetune"):
        moved = transfer(
            source, parse_strategy(strategy), prepared.classes, train_set, None, settings, device=device, seed=seed,
            score=point_metrics, cache_dir=cache_root(), progress=SILENT,
            pretrained=strategy == "probe" or not name.startswith("random/"),
        )  # fmt: skip
        found = probabilities(
            moved, source, prepared.classes, test_set, device=device, cache_dir=cache_root(), workers=1, progress=SILENT
        )
        reached[strategy] = float((found.argmax(1) == test_set.labels).mean())
    return {
        "target": target, "seed": seed, "source": name, **reached, "scores": scores, "n_train": len(train_set),
        "n_test": len(test_set), "extract_seconds": extracted, "extracted": features.computed,
        "seconds": round(time.perf_counter() - start, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--cells", type=Path, default=Path("runs/results_ranking.jsonl"))
    parser.add_argument("--targets", nargs="*", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--sources", nargs="*", default=list(SOURCES), choices=SOURCES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1e9, help="start no further cell after this time")
    parser.add_argument("--redo", action="store_true", help="forget the cells that are done")
    parser.add_argument("--table-only", action="store_true")
    args = parser.parse_args()
    args.cells.parent.mkdir(parents=True, exist_ok=True)
    if args.redo:
        args.cells.unlink(missing_ok=True)
    lines = args.cells.read_text().splitlines() if args.cells.exists() else []
    done = [json.loads(line) for line in lines if line.endswith("}")]
    made = args.cells.parent / "sources"
    if not args.table_only:
        torch.set_num_threads(1)
        known = {(c["target"], c["seed"], c["source"]) for c in done}
        todo = [c for c in cells(args.targets, args.seeds, args.sources) if c not in known]
        start, key, prepared = time.perf_counter(), None, None
        for i, cell in enumerate(todo):
            if time.perf_counter() - start > args.minutes * 60:
                break
            if cell[:2] != key:
                key = cell[:2]
                prepared = prepare(
                    str(args.data / TARGETS[cell[0]]), test_fraction=0.5, valid_fraction=0.0, labels_per_class=LABELS,
                    seed=cell[1], workers=1, progress=SILENT,
                )  # fmt: skip
            assert prepared is not None
            try:
                row = run_cell(cell, args.data, made, prepared)
            except HeadstartError as error:
                print("left out", cell, error, flush=True)
                continue
            with args.cells.open("a") as f:
                f.write(json.dumps(row) + "\n")
            done.append(row)
            said = f"probe {row['probe']:.3f} finetune {row['finetune']:.3f} {row['seconds']} s"
            print(f"{i + 1}/{len(todo)}", *cell, said, flush=True)
    write(done, args.out)


if __name__ == "__main__":
    main()
