"""Does `fit` with no options take the right strategy? Every candidate trained whole, on test images that chose nothing.

    python benchmarks/results_plan.py --data ../shared/data --out docs/results.md

For each target: the source and the layer are ranked, the strategies compared on folds (all as `headstart fit DATA` does, in its
two minutes), and then each candidate is trained as `fit` would train it and scored on the locked test images. One JSON line a
target and seed is kept in --cells as soon as it is done; --table-only makes the table from that file.
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
from ranking_sources import TARGETS

from headstart.evaluation.metrics import point_metrics
from headstart.folder import cache_root
from headstart.progress import SILENT
from headstart.recipe import make_recipe
from headstart.strategies.grammar import parse_strategy
from headstart.training.transfer import probabilities, task_of, transfer
from headstart.verbs.decide import _candidates, decide
from headstart.verbs.plan import find_source
from headstart.verbs.prepare import prepare
from headstart.verbs.settings import settings_of

START, END = "<!-- results_plan: start -->", "<!-- results_plan: end -->"


def cell(data: Path, target: str, seed: int, labels: int, most: int) -> dict[str, Any]:
    """What was chosen, and what each candidate reaches on the test images."""
    device = torch.device("cpu")
    recipe = make_recipe(
        {"data": str(data / TARGETS[target]), "labels_per_class": labels, "seed": seed, "baselines": "none"}
    )
    prepared = prepare(recipe.data, labels_per_class=labels, seed=seed, progress=SILENT)
    test = prepared.split("test")
    keep = np.sort(np.random.default_rng(seed).permutation(len(test))[:most])
    test = test.subset(keep)
    began = time.perf_counter()
    source, _, layers = find_source(recipe, prepared, device="cpu", progress=SILENT)
    ranked = time.perf_counter()
    layer = layers.chosen if layers else "last"
    found = decide(recipe, prepared, source, layer, until=None, device=device, progress=SILENT)
    chose = time.perf_counter()
    layer = "last" if layer == source.layers[-1].name else layer
    candidates = _candidates(recipe, source, layer, task_of(prepared.split("train"), settings_of(recipe)))
    assert found.choice is not None
    if found.choice.chosen not in candidates or found.optimisation.get("lr"):
        candidates.append(replace(found.choice.chosen, lr=found.optimisation.get("lr")))
    right = {}
    for c in candidates:
        settings = settings_of(recipe)
        if c.lr is not None:
            settings = replace(settings, optimisation={**settings.optimisation, "lr": c.lr})
        moved = transfer(
            source, parse_strategy(c.strategy), prepared.classes, prepared.split("train"), prepared.split("valid"), settings,
            device=device, seed=seed, score=point_metrics, cache_dir=cache_root(), layer=c.layer, progress=SILENT,
        )  # fmt: skip
        said = probabilities(
            moved, source, prepared.classes, test, device=device, cache_dir=cache_root(), progress=SILENT
        )
        right[c.name] = (said.argmax(1) == test.labels).astype(float)
    took = replace(found.choice.chosen, lr=found.optimisation.get("lr")).name
    best = max(right, key=lambda name: right[name].mean())
    gap = right[best] - right[took]
    return {
        "target": target, "seed": seed, "labels": labels, "n_test": len(test), "source": source.name, "took": took, "best": best,
        "accuracy": {name: float(r.mean()) for name, r in right.items()}, "gap": float(gap.mean()),
        "se": float(gap.std(ddof=1) / np.sqrt(len(gap))), "ranking_seconds": ranked - began, "choosing_seconds": chose - ranked,
        "folds": {t.name: t.folds for t in found.choice.trials}, "why": found.choice.why,
    }  # fmt: skip


def table(cells: list[dict[str, Any]]) -> str:
    """Markdown: one row a target and seed, and a sentence on how often the choice was within a standard error of the best."""
    lines = [
        "| target | labels a class | seed | source | taken | its accuracy | best | its accuracy | gap ± se, points | within one se | s to choose |",
        "|---|---:|---:|---|---|---:|---|---:|---:|---|---:|",
    ]
    good = 0
    for c in sorted(cells, key=lambda c: (c["labels"], c["target"], c["seed"])):
        within = c["gap"] <= c["se"] + 1e-12
        good += within
        lines.append(
            f"| {c['target']} | {c['labels']} | {c['seed']} | {c['source']} | {c['took']} | {c['accuracy'][c['took']]:.3f} | {c['best']} | "
            f"{c['accuracy'][c['best']]:.3f} | {100 * c['gap']:.1f} ± {100 * c['se']:.1f} | {'yes' if within else '**no**'} | "
            f"{c['ranking_seconds'] + c['choosing_seconds']:.0f} |"
        )
    lines += [
        "",
        f"In {good} of {len(cells)} cases the strategy taken is within one standard error (paired, over the test images) of the best.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="file whose marked part is replaced")
    parser.add_argument("--cells", type=Path, default=Path("results_plan.jsonl"))
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--labels", type=int, nargs="+", default=[20])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--most", type=int, default=400, help="test images at most")
    parser.add_argument("--table-only", action="store_true")
    options = parser.parse_args()
    done = [json.loads(line) for line in options.cells.read_text().splitlines()] if options.cells.exists() else []
    keys = {(c["target"], c["seed"], c["labels"]) for c in done}
    for seed in range(0 if options.table_only else options.seeds):
        for labels in options.labels:
            for target in options.targets:
                if (target, seed, labels) in keys:
                    continue
                found = cell(options.data, target, seed, labels, options.most)
                done.append(found)
                with options.cells.open("a") as file:
                    file.write(json.dumps(found) + "\n")
                print(target, seed, labels, found["took"], found["accuracy"], flush=True)
    text = table(done)
    print(text)
    if options.out:
        page = options.out.read_text(encoding="utf-8")
        head, rest = page.split(START)
        options.out.write_text(f"{head}{START}\n{INTRO}\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


INTRO = """## What `fit` decides with no options

Made by `python benchmarks/results_plan.py --data ../shared/data --out docs/results.md`: source, layer and strategy chosen as
`headstart fit DATA` does (120 s for the comparison, one thread, while other work kept both cores busy: fewer folds than a free machine would see); then
every candidate trained in full and scored on at most 400 locked test images. The best of several on the same few test images is itself
picked with luck, so that a gap of one standard error is to be expected now and then.
"""


if __name__ == "__main__":
    main()
