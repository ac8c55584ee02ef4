"""Every form of fine-tuning under one compute budget: targets x {10, 50, all} labels a class x seeds, into docs/results.md.

    python benchmarks/results_finetuning.py --data ../shared/data --out docs/results.md

The budget of a cell is the time of STEPS updates of plain fine-tuning on this machine. What an update of another form costs
beside that is measured first, in one run, and its steps follow: a form whose update takes twice as long gets half as many. A
solved head takes what it takes (it is far cheaper). One JSON line a cell is kept in --cells as soon as it is done, so that the
study can be stopped and goes on; --share 0/2 and 1/2 let two processes divide it; --table-only makes the table from the file.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_vision import TARGETS as VISION

from headstart.evaluation.metrics import point_metrics
from headstart.folder import cache_root
from headstart.progress import SILENT
from headstart.sources import load_source
from headstart.strategies.grammar import names, parse_strategy
from headstart.tasks.classification import Classification
from headstart.training.finetune import Feeding
from headstart.training.timing import measure_times
from headstart.training.transfer import Settings, probabilities, resolve, transfer
from headstart.verbs.prepare import Prepared, prepare

START, END = "<!-- results_finetuning: start -->", "<!-- results_finetuning: end -->"
TARGETS = {
    name: VISION[name]
    for name in ("rsscn7-satellite", "chest-xray-3", "magnetic-tiles", "pacs/photo")
    if name in VISION
} | {"apple-leaf-disease": "vision/apple-leaf-disease/apple-leaf-disease.zip"}
SOURCE, SIZE, BATCH, STEPS, TEST = "bundled/objects", 64, 16, 48, 200
NEEDS_MORE = {"fixmatch", "pseudo"}
"""Forms that learn from unlabelled images too: not comparable in this table."""
TWO_EPOCHS = {"gradual", "smallloss"}
"""Forms that do nothing in the first epoch."""
EXTRA = [
    "finetune(layer_decay=0.5)", "finetune(bn=frozen)", "last(2)", "probe>last(2)", "probe>finetune+l2sp", "probe>finetune(bn=adapt)",
    "probe>finetune(bn=adapt)+l2sp",
]  # fmt: skip
"""Compositions beside the single names."""
CPU = torch.device("cpu")


def forms() -> list[str]:
    """Every name with which a strategy can begin, and some compositions."""
    return [name for name in names() if name not in NEEDS_MORE] + EXTRA


def open_target(data: Path, target: str, label: str, seed: int) -> Prepared:
    return prepare(
        str(data / TARGETS[target]), labels_per_class=None if label == "all" else int(label), valid_fraction=0.0,
        seed=seed, progress=SILENT,
    )  # fmt: skip


def costs(data: Path, wanted: list[str]) -> dict[str, float]:
    """How many plain updates an update of each form costs: the least of three measurements, beside that of plain fine-tuning."""
    prepared, source = open_target(data, "rsscn7-satellite", "10", 0), load_source(SOURCE, image_size=SIZE)

    def seconds(form: str) -> float:
        times = measure_times(
            source, parse_strategy(form), Classification(prepared.classes), prepared.split("train"), None,
            Feeding(batch_size=BATCH, workers=1), resolve({}, 70, BATCH, pretrained=True), pretrained=True, device=CPU, seed=0,
        )  # fmt: skip
        return times.update

    stepwise = [form for form in wanted if parse_strategy(form).procedure.by_steps]
    found: dict[str, list[float]] = {form: [] for form in stepwise}
    for _ in range(3):
        plain = seconds("finetune")
        for form in stepwise:
            found[form].append(seconds(form) / plain)
    return {form: float(np.median(values)) for form, values in found.items()}


def run_cell(
    key: tuple[str, str, int, str], data: Path, cost: dict[str, float], cache: dict[Any, Any]
) -> dict[str, Any]:
    target, label, seed, form = key
    if (target, label, seed) not in cache:
        cache.clear()
        cache[target, label, seed] = open_target(data, target, label, seed)
    prepared = cache[target, label, seed]
    source = load_source(SOURCE, image_size=SIZE)
    train_set, test_set = prepared.split("train"), prepared.split("test")
    test_set = test_set.subset(np.sort(np.random.default_rng(seed).permutation(len(test_set))[:TEST]))
    strategy = parse_strategy(form)
    settings = Settings(Feeding(batch_size=BATCH, augment="light", workers=1))
    epochs = None
    if strategy.procedure.by_steps:
        each = max(1, -(-len(train_set) // BATCH))
        epochs = max(2 if form in TWO_EPOCHS else 1, round(STEPS / cost[form] / each))
        settings = replace(settings, optimisation={"epochs": epochs})
    start = time.perf_counter()
    moved = transfer(
        source, strategy, prepared.classes, train_set, None, settings, device=CPU, seed=seed, score=point_metrics,
        cache_dir=cache_root(), progress=SILENT,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    found = probabilities(
        moved, source, prepared.classes, test_set, device=CPU, cache_dir=cache_root(), workers=1, progress=SILENT
    )
    right = found.argmax(1) == test_set.labels
    return {
        "target": target, "labels": label, "seed": seed, "form": form, "accuracy": float(right.mean()),
        "right": right.astype(int).tolist(), "epochs": epochs, "cost": cost.get(form), "seconds": round(seconds, 2),
        "n_train": len(train_set),
    }  # fmt: skip


def table(cells: list[dict[str, Any]]) -> str:
    """Mean rank and gain over plain fine-tuning, with an interval by bootstrap over the problems (target, labels, seed)."""
    scores: dict[tuple[str, str, int], dict[str, float]] = {}
    for c in cells:
        scores.setdefault((c["target"], c["labels"], c["seed"]), {})[c["form"]] = c["accuracy"]
    every = sorted({c["form"] for c in cells})
    whole = {k: v for k, v in scores.items() if set(v) == set(every)}
    if not whole:
        return "No problem has been tried with every form yet."
    ranks: dict[str, list[float]] = {form: [] for form in every}
    for v in whole.values():
        values = np.array([v[form] for form in every])
        for form, value in zip(every, values, strict=True):
            ranks[form].append(1 + float((values > value).sum()) + float((values == value).sum() - 1) / 2)
    problems = list(whole)
    targets = sorted({k[0] for k in problems})
    rng = np.random.default_rng(0)
    cost = {c["form"]: c.get("cost") for c in cells}
    rows = []
    for form in every:
        gain = {k: 100 * (whole[k][form] - whole[k]["finetune"]) for k in problems}
        # targets are drawn, then problems of each: those of one target are alike
        draws = []
        for _ in range(2000):
            drawn = [
                gain[mine[i]]
                for t in rng.choice(len(targets), len(targets))
                for mine in [[k for k in problems if k[0] == targets[t]]]
                for i in rng.integers(0, len(mine), len(mine))
            ]
            draws.append(np.mean(drawn))
        low, high = np.percentile(draws, [2.5, 97.5])
        by = [np.mean([gain[k] for k in problems if k[1] == label] or [np.nan]) for label in ("10", "50", "all")]
        rows.append((float(np.mean(ranks[form])), form, float(np.mean(list(gain.values()))), low, high, by, cost[form]))
    lines = [
        "| strategy | mean rank | gain over finetune, points [95 %] | at 10 | at 50 | at all | cost of an update |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for rank, form, gain_, low, high, by, price in sorted(rows):
        shown = " | ".join(f"{value:+.1f}" for value in by)
        lines.append(
            f"| `{form}` | {rank:.1f} | {gain_:+.1f} [{low:+.1f}, {high:+.1f}] | {shown} | {f'{price:.2f}' if price else 'solved'} |"
        )
    lines += [
        "",
        f"{len(problems)} problems (target, labels a class, seed) that every one of {len(every)} forms has run on.",
    ]
    return "\n".join(lines)


INTRO = f"""## Forms of fine-tuning under one budget

Made by `python benchmarks/results_finetuning.py --data ../shared/data --out docs/results.md`. Source {SOURCE} at {SIZE} pixels; the budget is
the time of {STEPS} updates of {BATCH} images by plain fine-tuning (what two cores could do: too short for large targets, so the table says
what wins **under a small budget**); at most {TEST} test images; no validation images, the last epoch counts. Default weights and rates of
every form; nothing was tuned. Every form has at least one epoch (`gradual` and `smallloss` two: they do nothing in one alone), which on the whole of a large target is more than the budget
(for all forms alike, but twice as much for those two). The interval is a bootstrap over targets and the problems of each. The cost of an update is beside one of plain
fine-tuning, measured on the same machine with both cores in use.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="file whose marked part is replaced")
    parser.add_argument("--cells", type=Path, default=Path("results_finetuning.jsonl"))
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--labels", nargs="+", default=["10", "50", "all"])
    parser.add_argument("--forms", nargs="+", default=forms())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", default="0/1", help="this process does cells i of n, as i/n")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no further cell after this time")
    parser.add_argument("--table-only", action="store_true")
    options = parser.parse_args()
    files = sorted(options.cells.parent.glob(options.cells.stem + "*.jsonl"))
    done = [json.loads(line) for file in files for line in file.read_text().splitlines() if line.endswith("}")]
    if not options.table_only:
        began, (part, parts) = time.monotonic(), map(int, options.share.split("/"))
        torch.set_num_threads(1 if parts > 1 else torch.get_num_threads())
        priced = options.cells.with_name(options.cells.stem + "-costs.json")
        cost = json.loads(priced.read_text()) if priced.exists() else {}
        if missing := [form for form in options.forms if form not in cost and parse_strategy(form).procedure.by_steps]:
            cost |= costs(options.data, missing)
            priced.write_text(json.dumps(cost))
        known = {(c["target"], c["labels"], c["seed"], c["form"]) for c in done}
        problems = [(t, n, s) for s in range(options.seeds) for n in options.labels for t in options.targets]
        cache: dict[Any, Any] = {}
        for target, n, seed in problems[part::parts]:
            for form in options.forms:
                if (target, n, seed, form) in known or time.monotonic() - began > 60 * options.minutes:
                    continue
                found = run_cell((target, n, seed, form), options.data, cost, cache)
                done.append(found)
                with options.cells.with_name(f"{options.cells.stem}-{part}.jsonl").open("a") as file:
                    file.write(json.dumps(found) + "\n")
                print(target, n, seed, form, found["epochs"], f"{found['accuracy']:.3f}", found["seconds"], flush=True)
    text = table([c for c in done if c["form"] in options.forms])
    print(text)
    if options.out:
        page = options.out.read_text(encoding="utf-8")
        head, rest = page.split(START)
        options.out.write_text(f"{head}{START}\n{INTRO}\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
