"""The tables of docs/results.md on adapters: every method against no adaptation, on real tables with two domains.

    python benchmarks/results_adaptation.py --data ../shared/data --out docs/results.md

Every cell (a pair of domains, a draw, a method) is kept in a JSON lines file as soon as it is done (``--cells``), so that a
stopped study goes on where it was; the tables are made from that file alone (``--table-only``).
"""

from __future__ import annotations

import argparse
import json
import signal
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from adaptation_data import ROWS, SETS, load
from adaptation_gain import score, shares
from adaptation_other import NEEDS, predict_other
from adaptation_pair import Pair
from adaptation_tables import END, START, tables
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from headstart.adapters import METHODS, AdaptationSearchCV, list_methods, make_method

LIMIT = 60
"""Seconds of one cell; what takes longer is written down as such."""
FEW_A_CLASS, FEW_ROWS = 10, 30
SCORERS = {"classification": ("iwv", "dev", "snd", "entropy", "infomax"), "regression": ("iwv", "dev")}
"""Criteria of the search beside its default, reverse validation (made the default after a first run of this study)."""
REFERENCES = ("target_only", "target_few", "pooled_few")


def halves(pair: Pair, seed: int) -> tuple[Pair, np.ndarray, np.ndarray]:
    """The pair as one draw sees it, scaled on its source, and the target's training and test rows."""
    rng = np.random.default_rng(1000 + seed)
    groups = rng.permutation(np.unique(pair.groups))
    train = np.isin(pair.groups, groups[: len(groups) // 2])
    keep = np.ones(len(pair.ys), bool)
    if pair.source_groups is not None:
        keep = ~np.isin(pair.source_groups, pair.groups[~train])
    Xs, Xt = pair.Xs[keep], pair.Xt
    if pair.standardize:
        scale = StandardScaler().fit(Xs)
        Xs, Xt = (
            scale.transform(Xs),
            (scale if pair.Xt.shape[1] == Xs.shape[1] else StandardScaler().fit(Xt[train])).transform(Xt),
        )
    return replace(pair, Xs=Xs, ys=pair.ys[keep], Xt=Xt), np.flatnonzero(train), np.flatnonzero(~train)


def few_rows(y: np.ndarray, train: np.ndarray, task: str, seed: int) -> np.ndarray:
    """Rows of the target's training half whose labels are given: 10 a class, or 30."""
    order = np.random.default_rng(2000 + seed).permutation(train)
    if task == "regression":
        return order[:FEW_ROWS]
    return np.concatenate([order[y[order] == c][:FEW_A_CLASS] for c in np.unique(y[train])])


def base(task: str) -> Any:
    return LogisticRegression(max_iter=2000) if task == "classification" else Ridge()


def methods(pair: Pair) -> list[str]:
    """The methods of the catalogue for a pair's task, ``auto`` and the references; other ones where its columns differ."""
    task = pair.task
    if pair.Xs.shape[1] != pair.Xt.shape[1]:
        return [*NEEDS, "target_only", "target_few"]
    auto = ["auto", *(f"auto:{name}" for name in SCORERS[task])]
    return [*list_methods(task), *auto, *REFERENCES]


def predict(method: str, pair: Pair, train: np.ndarray, test: np.ndarray, few: np.ndarray) -> tuple[np.ndarray, str]:
    """Fit one method and predict the target's test rows; with it what ``auto`` chose, else ``""``."""
    task, X = pair.task, pair.Xt[train]
    if method in REFERENCES:
        rows, y = (pair.Xt[few], pair.yt[few]) if method != "target_only" else (X, pair.yt[train])
        if method == "pooled_few":
            rows, y = np.concatenate([pair.Xs, rows]), np.concatenate([pair.ys, y])
        return base(task).fit(rows, y).predict(pair.Xt[test]), ""
    if method in NEEDS:
        return predict_other(method, base(task), pair, train, test, few), ""
    if method.startswith("auto"):
        search = AdaptationSearchCV(task=task, scorer=method.partition(":")[2] or None)
        search.fit(pair.Xs, pair.ys, X_target=X)
        return search.predict(pair.Xt[test]), str(search.best_method_)
    model = make_method(method, base(task), task=task)
    if METHODS[method].needs == "target_labels":
        model.fit(pair.Xs, pair.ys, X_target=pair.Xt[few], y_target=pair.yt[few])
    else:
        model.fit(pair.Xs, pair.ys, X_target=X)
    return model.predict(pair.Xt[test]), ""


class TooLong(BaseException):
    """The time of a cell is up."""


def run_cell(set_name: str, pair: Pair, seed: int, method: str) -> dict[str, Any]:
    """One cell: the test rows' shares of the score, or why there is none."""
    drawn, train, test = halves(pair, seed)
    few = few_rows(pair.yt, train, pair.task, seed)
    start, row = (
        time.perf_counter(),
        {"set": set_name, "pair": pair.name, "task": pair.task, "seed": seed, "method": method},
    )

    def stop(*_: Any) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said, chosen = predict(method, drawn, train, test, few)
        parts = shares(pair.yt[test], said, pair.task)
        row |= {"chosen": chosen, "score": score(parts, pair.task), "shares": [float(f"{v:.5g}") for v in parts]}
        row["clusters"] = pair.clusters[test].tolist()
    except TooLong:
        row["refused"] = f"not done after {LIMIT} s"
    except Exception as error:  # whatever a method raises is its result on this pair; the study goes on
        row["refused"] = f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return row | {
        "needs": METHODS[method].needs if method in METHODS else NEEDS.get(method, ""), "n_source": len(drawn.ys), "n_train": len(train),
        "n_test": len(test), "n_few": len(few), "note": pair.note, "seconds": round(time.perf_counter() - start, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--cells", type=Path, default=Path("runs/results_adaptation.jsonl"))
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--methods", nargs="*", default=None)
    parser.add_argument("--redo", nargs="*", default=[], help="methods whose cells are forgotten first")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows drawn of a domain, at most")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no further cell after this time")
    parser.add_argument("--table-only", action="store_true")
    args = parser.parse_args()
    args.cells.parent.mkdir(parents=True, exist_ok=True)
    text = args.cells.read_text(encoding="utf-8") if args.cells.exists() else ""
    done = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    if args.redo:
        done = [cell for cell in done if cell["method"] not in args.redo]
        args.cells.write_text("".join(json.dumps(cell) + "\n" for cell in done), encoding="utf-8")
    if not args.table_only:
        study(args, done)
    order = [*list_methods(), "auto", *(f"auto:{name}" for name in SCORERS["classification"]), *NEEDS, *REFERENCES]
    done.sort(key=lambda cell: order.index(cell["method"]))  # cells made again are last in the file
    old = args.out.read_text(encoding="utf-8") if args.out.exists() else ""
    if START not in old:
        old = old.rstrip("\n") + "\n\n" + START + END + "\n"
    args.out.write_text(
        old.split(START)[0] + START + "\n" + tables(done) + "\n" + END + old.split(END)[-1], encoding="utf-8"
    )


def study(args: argparse.Namespace, done: list[dict[str, Any]]) -> None:
    """Do what ``done`` lacks, a whole draw of all sets before the next, and append it to both."""
    known = {(c["pair"], c["task"], c["seed"], c["method"]) for c in done}
    start = time.perf_counter()
    for seed in range(args.seeds):
        for name in args.sets:
            for pair in load(name, args.data, seed, args.rows):
                for method in args.methods or methods(pair):
                    if (pair.name, pair.task, seed, method) in known:
                        continue
                    if time.perf_counter() - start > args.minutes * 60:
                        return
                    row = run_cell(name, pair, seed, method)
                    with args.cells.open("a", encoding="utf-8") as f:
                        f.write(json.dumps(row) + "\n")
                    done.append(row)
                    print(
                        pair.name,
                        pair.task,
                        seed,
                        method,
                        row.get("score", row.get("refused")),
                        row["seconds"],
                        flush=True,
                    )


if __name__ == "__main__":
    main()
