"""Strategies on texts against scratch, TF-IDF and setfit: sets x {5, 10, 50, all} labels a class x seeds, into docs/results.md.

    python benchmarks/results_text.py --data ../shared/data --out docs/results.md [--peer PEER/bin/python]

The source is bundled/minilm; every strategy has its defaults, no validation texts, and the last epoch counts. One JSON line a cell is kept in
--cells as soon as it is done, so that the study goes on where it was stopped; --share 0/2 and 1/2 let two processes divide it; --table-only makes
the tables from the files. With --peer, the interpreter of an environment with setfit, the column ``setfit 1.2 (peer)`` is measured on the same
texts, in the same run, on as many threads.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from marked import put
from results_text_data import SETS, Problem, draw
from results_text_tables import END, START, tables

LABELS = ("5", "10", "50", "all")
STRATEGIES = ("probe", "setfit", "finetune", "probe>finetune", "ulmfit", "lora", "finetune+l2sp", "finetune+mixout")
BETWEEN = {"adapt: dann": "finetune+dann", "adapt: dan": "finetune+dan"}
"""What ``adapt --method dann`` trains on frozen features; reads texts of the other domain without labels: on the set of domains alone."""
FEW = ("setfit", "setfit 1.2 (peer)")
"""For few labels: not asked of all of them."""
OTHERS = ("classical", "scratch", "zeroshot")
PEER = "setfit 1.2 (peer)"
LIMIT = 1500
"""Seconds of CPU that a cell may take."""
PEER_STEPS = 150
"""Updates of the peer, at most, where its own default, every text paired with every other, has more: for many classes it would take days."""


def fitted(problem: Problem, method: str, seed: int) -> np.ndarray:
    """Predicted classes (n_test,) of one strategy, or of a baseline."""
    import torch

    from headstart.evaluation.metrics import point_metrics
    from headstart.folder import cache_root
    from headstart.progress import SILENT
    from headstart.sources import load_source
    from headstart.strategies.grammar import parse_strategy
    from headstart.training.finetune import Feeding
    from headstart.training.transfer import Settings, probabilities, transfer

    if method == "classical":
        from headstart.tasks.classification import Classification
        from headstart.training.classical import fit_classical

        assert problem.train.labels is not None
        model = fit_classical(
            problem.train.inputs, problem.train.labels, Classification(problem.train.classes), seed=seed
        )
        return model.predict(problem.test.inputs).argmax(1)
    source, cpu = load_source("bundled/minilm"), torch.device("cpu")
    if method == "zeroshot":
        from headstart.features.zero_shot import zero_shot

        return zero_shot(source, problem.train.classes, problem.test, cache_dir=cache_root()).argmax(1)
    if method in BETWEEN:
        from headstart.features.extract import extract
        from headstart.training.deep_adapter import DeepAdapter

        assert problem.unlabelled is not None
        x, other, asked = (
            extract(source, part, cache_dir=cache_root()).X
            for part in (problem.train, problem.unlabelled, problem.test)
        )
        return (
            DeepAdapter(BETWEEN[method], random_state=seed).fit(x, problem.train.labels, X_target=other).predict(asked)
        )
    strategy = parse_strategy("finetune" if method == "scratch" else method)
    where: dict[str, Any] = {"device": cpu, "cache_dir": cache_root(), "progress": SILENT}
    moved = transfer(
        source, strategy, problem.train.classes, problem.train, None, Settings(Feeding(workers=1)), seed=seed, score=point_metrics,
        pretrained=method != "scratch", **where,
    )  # fmt: skip
    return probabilities(moved, source, problem.train.classes, problem.test, workers=1, **where).argmax(1)


def peer(problem: Problem, seed: int, python: str) -> tuple[np.ndarray, dict[str, float]]:
    """What setfit predicts, and what it took without its imports."""
    from headstart.sources.minilm import weights_folder

    with tempfile.TemporaryDirectory() as aside:
        given = {
            "texts": problem.train.inputs, "labels": problem.train.labels.tolist(), "test": problem.test.inputs, "seed": seed,  # type: ignore[union-attr]
            "threads": 1, "aside": aside, "steps": PEER_STEPS,
        }  # fmt: skip
        done = subprocess.run(
            [python, str(Path(__file__).with_name("text_setfit_peer.py")), str(weights_folder())], input=json.dumps(given),
            capture_output=True, text=True, encoding="utf-8", env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return np.array(found["predicted"]), {"seconds": found["seconds"], "cpu": found["cpu"]}


def run_cell(problem: Problem, labels: str, seed: int, method: str, python: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "set": problem.name,
        "labels": labels,
        "seed": seed,
        "method": method,
        "n_train": len(problem.train),
    }
    began, work = time.perf_counter(), time.process_time()

    def stop(*_: Any) -> None:
        raise TimeoutError(f"not done after {LIMIT} s of CPU")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    spent = None
    try:
        if method == PEER:
            assert python is not None
            said, spent = peer(problem, seed, python)
        else:
            said = fitted(problem, method, seed)
        right = said == problem.test.labels
        row |= {
            "accuracy": float(right.mean()),
            "right": right.astype(int).tolist(),
            "keys": problem.test.digests.tolist(),
        }  # type: ignore[union-attr]
    except Exception as error:  # whatever a method raises is its result on this problem; the study goes on
        row["refused"] = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    spent = spent or {"seconds": time.perf_counter() - began, "cpu": time.process_time() - work}
    return row | {key: round(value, 2) for key, value in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, help="file whose marked part is replaced")
    parser.add_argument("--cells", type=Path, default=Path("runs/results_text.jsonl"))
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--labels", nargs="*", default=list(LABELS), choices=LABELS)
    parser.add_argument("--methods", nargs="*", default=[*OTHERS, *STRATEGIES, *BETWEEN])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peer", help="interpreter of an environment with setfit")
    parser.add_argument("--share", default="0/1", help="this process does cells i of n, as i/n")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no further cell after this time")
    parser.add_argument("--table-only", action="store_true")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    args.cells.parent.mkdir(parents=True, exist_ok=True)
    done = []
    for file in sorted(args.cells.parent.glob(args.cells.stem + "*.jsonl")):
        done += [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    if not args.table_only:
        known = {(c["set"], c["labels"], c["seed"], c["method"]) for c in done}
        began, (part, parts) = time.monotonic(), map(int, args.share.split("/"))
        mine = args.cells.with_name(f"{args.cells.stem}-{part}.jsonl") if parts > 1 else args.cells
        methods = [*args.methods, *([PEER] if args.peer else [])]
        problems = [(labels, seed, name) for labels in args.labels for seed in range(args.seeds) for name in args.sets]
        for number, (labels, seed, name) in enumerate(problems):
            if number % parts != part:
                continue
            problem = draw(name, args.data / "nonvision", labels, seed)
            for method in methods:
                if (name, labels, seed, method) in known or time.monotonic() - began > args.minutes * 60:
                    continue
                if (method in BETWEEN and name != "sentiment-3-sites") or (method in FEW and labels == "all"):
                    continue
                row = run_cell(problem, labels, seed, method, args.peer)
                with mine.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                done.append(row)
                shown = row.get("refused") or f"{row['accuracy']:.3f}"
                print(name, labels, seed, method, shown, row["seconds"], row["cpu"], flush=True)
    text = tables(done)
    print(text)
    if args.out:
        put(args.out, START, END, text)


if __name__ == "__main__":
    main()
