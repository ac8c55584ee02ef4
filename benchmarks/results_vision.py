"""The table of docs/results.md: every source x {probe, finetune, l2sp} against scratch, on five real targets.

    python benchmarks/results_vision.py --data ../shared/data --out docs/results.md

Targets, labels a class and seeds can be cut down (``--targets``, ``--labels``, ``--seeds``). Every cell is kept in a JSON
lines file as soon as it is done (``--cells``), so that a stopped study goes on where it was; the table is made from that
file alone (``--table-only``).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.dataset import Dataset
from headstart.errors import HeadstartError
from headstart.evaluation.gain import beyond_noise, paired_gain
from headstart.evaluation.metrics import point_metrics
from headstart.features.raw_pixels import raw_pixels
from headstart.folder import cache_root
from headstart.progress import SILENT
from headstart.sources import load_source
from headstart.strategies.grammar import parse_strategy
from headstart.training.finetune import Feeding
from headstart.training.transfer import Settings, probabilities, transfer
from headstart.verbs.prepare import prepare

TARGETS = {
    "pacs/photo": "vision/pacs/photo.zip",
    "caltech101-70": "vision/caltech101-70/caltech101-70.zip",
    "rsscn7-satellite": "vision/rsscn7-satellite/rsscn7-satellite.zip",
    "chest-xray-3": "vision/chest-xray-3/chest-xray-3.zip",
    "magnetic-tiles": "vision/magnetic-tiles/classification.zip",
}
WEIGHTS = {
    "mobilenetv2-imagenet": ("weights/mobilenetv2-imagenet", None),
    "mobilenetv1-imagenet": ("weights/mobilenetv1-imagenet", None),
    "mobilenetv2-inat-birds": ("weights/mobilenetv2-inat-birds", None),
    "mobilenetv1-trunk": ("weights/mobilenetv1_imagenet_trunk.safetensors", "timm/mobilenetv1_100"),
}
BUNDLED = ("bundled/glyphs", "bundled/objects", "bundled/textures")
STRATEGIES = ("probe", "finetune", "l2sp")
STEPS, BATCH, TUNE_SIZE, PROBE_SIZE = 30, 16, 64, 128
"""The budget of one training, the same for finetune, l2sp and scratch: 30 steps of 16 images at 64 px (two cores must do
thousands of them); a source made for smaller images keeps its own size. Probes read the large sources at 128 px."""


def cells(
    labels: list[str], seeds: int, targets: list[str], sources: list[str]
) -> list[tuple[str, str, int, str, str]]:
    """Every (target, labels, seed, source, strategy) of the study; the cheap probes first."""
    every = [(target, label, seed) for seed in range(seeds) for target in targets for label in labels]
    cheap = [(*key, source, "probe") for key in every for source in sources] + [
        (*key, "none", "raw_pixels") for key in every
    ]
    dear = [(*key, source, how) for key in every for source in sources for how in ("finetune", "scratch", "l2sp")]
    # the first seed of every source, then the other seeds of the small bundled ones, then the rest: a study that is stopped is even
    return cheap + sorted(dear, key=lambda cell: (cell[2] > 0) + (cell[2] > 0 and not cell[3].startswith("bundled/")))


def open_source(name: str, data: Path, size: int | None) -> Any:
    folder, arch = WEIGHTS.get(name, (name, None))
    if name in WEIGHTS:
        return load_source(str(data / folder), arch=arch, image_size=size)
    return load_source(name)


def run_cell(cell: tuple[str, str, int, str, str], data: Path, targets: dict[Any, Any]) -> dict[str, Any]:
    """Train one cell and give its test accuracy and probabilities' argmax."""
    target, label, seed, name, strategy = cell
    key = (target, label, seed)
    if key not in targets:
        targets.clear()
        targets[key] = prepare(
            str(data / TARGETS[target]),
            labels_per_class=None if label == "all" else int(label),
            valid_fraction=0.0,
            seed=seed,
            progress=SILENT,
        )
    prepared = targets[key]
    train_set: Dataset = prepared.split("train")
    test_set = prepared.split("test")
    start = time.perf_counter()
    by_steps = strategy not in ("probe", "raw_pixels")
    source = raw_pixels() if name == "none" else open_source(name, data, TUNE_SIZE if by_steps else PROBE_SIZE)
    epochs = max(1, -(-STEPS // max(1, -(-len(train_set) // BATCH))))
    if by_steps and len(train_set) > STEPS * BATCH:
        pick = np.random.default_rng(seed).permutation(len(train_set))[: STEPS * BATCH]
        train_set = train_set.subset(pick)  # the budget ends before all images are seen once
    settings = Settings(Feeding(batch_size=BATCH, augment="light", workers=1), {"epochs": epochs})
    moved = transfer(
        source, parse_strategy({"scratch": "finetune", "raw_pixels": "probe"}.get(strategy, strategy)), prepared.classes, train_set, None, settings,
        device=torch.device("cpu"), seed=seed, score=point_metrics, cache_dir=cache_root(), pretrained=strategy != "scratch", progress=SILENT,
    )  # fmt: skip
    found = probabilities(
        moved,
        source,
        prepared.classes,
        test_set,
        device=torch.device("cpu"),
        cache_dir=cache_root(),
        workers=1,
        progress=SILENT,
    )
    return {
        "target": target, "labels": label, "seed": seed, "source": name, "strategy": strategy,
        "accuracy": float((found.argmax(1) == test_set.labels).mean()), "right": (found.argmax(1) == test_set.labels).astype(int).tolist(),
        "n_train": len(train_set), "n_test": len(test_set), "seconds": round(time.perf_counter() - start, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--cells", type=Path, default=Path("runs/results_vision.jsonl"))
    parser.add_argument("--targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--labels", nargs="*", default=["5", "10", "50", "all"])
    parser.add_argument("--sources", nargs="*", default=[*BUNDLED, *WEIGHTS])
    parser.add_argument("--strategies", nargs="*", default=None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1e9, help="start no further cell after this time")
    parser.add_argument("--share", default="0/1", help="this process does cells i of n, as i/n")
    parser.add_argument("--table-only", action="store_true")
    args = parser.parse_args()
    args.cells.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(args.cells.parent.glob(args.cells.stem + "*.jsonl"))
    done = [json.loads(line) for file in files for line in file.read_text().splitlines() if line.endswith("}")]
    if not args.table_only:
        part, parts = map(int, args.share.split("/"))
        torch.set_num_threads(1 if parts > 1 else torch.get_num_threads())
        known = {(c["target"], c["labels"], c["seed"], c["source"], c["strategy"]) for c in done}
        todo = [
            c
            for c in cells(args.labels, args.seeds, args.targets, args.sources)
            if args.strategies is None or c[4] in args.strategies
        ]
        keys = sorted({c[:3] for c in todo})
        todo = [c for c in todo if c not in known and keys.index(c[:3]) % parts == part]
        own = args.cells.with_name(f"{args.cells.stem}-{part}.jsonl")
        start, targets = time.perf_counter(), {}
        for i, cell in enumerate(todo):
            if time.perf_counter() - start > args.minutes * 60:
                break
            try:
                row = run_cell(cell, args.data, targets)
            except HeadstartError as error:
                print("left out", cell, error, flush=True)
                continue
            with own.open("a") as f:
                f.write(json.dumps(row) + "\n")
            done.append(row)
            print(f"{i + 1}/{len(todo)}", *cell, f"{row['accuracy']:.3f}", f"{row['seconds']} s", flush=True)
    write_tables(done, args)


def write_tables(done: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """docs/results.md from the cells: mean accuracy over seeds, and the gain over scratch with its interval."""
    by: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for cell in done:
        by.setdefault((cell["target"], cell["labels"], cell["source"], cell["strategy"]), []).append(cell)

    def mean(target: str, label: str, source: str, strategy: str) -> str:
        rows = by.get((target, label, source, strategy), [])
        if not rows:
            return "not run"
        values = [row["accuracy"] for row in rows]
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        return f"{np.mean(values):.3f}{spread}" + (f" ({len(values)})" if len(values) != args.seeds else "")

    def gain(target: str, label: str, source: str, strategy: str) -> str:
        rows = {row["seed"]: row for row in by.get((target, label, source, strategy), [])}
        rival = {row["seed"]: row for row in by.get((target, label, source, "scratch"), [])}
        seeds = sorted(rows.keys() & rival.keys())
        if not seeds:
            return ""
        a, b = (np.concatenate([np.array(part[s]["right"], dtype=float) for s in seeds]) for part in (rows, rival))
        two = [np.stack([1 - x, x], 1) for x in (a, b)]
        found = paired_gain(two[0], two[1], np.ones(len(a), dtype=int), n_boot=400)
        low, high = found["ci95"]
        mark = {-1: " **hurt**", 0: " (in the noise)", 1: ""}[beyond_noise(found)]
        return f"; {found['value']:+.3f} [{low:+.3f}, {high:+.3f}]{mark}"

    lines = [PREFACE]
    for target in TARGETS:
        lines += [f"\n### {target}\n"]
        raw = " · ".join(f"{label}: {mean(target, label, 'none', 'raw_pixels')}" for label in ("5", "10", "50", "all"))
        lines += [f"Raw 16 px pixels, logistic regression (no source): {raw}\n"]
        lines += ["| source | strategy | 5 labels a class | 10 | 50 | all |", "|---|---|---|---|---|---|"]
        for source in [*BUNDLED, *WEIGHTS]:
            for strategy in ("scratch", *STRATEGIES):
                row = [
                    mean(target, label, source, strategy)
                    + ("" if strategy == "scratch" else gain(target, label, source, strategy))
                    for label in ("5", "10", "50", "all")
                ]
                lines.append(f"| {source} | {strategy} | " + " | ".join(row) + " |")
    seconds = sum(cell["seconds"] for cell in done)
    lines += [f"\n{len(done)} cells, {seconds / 60:.0f} minutes of training and prediction, one thread each.\n"]
    old = args.out.read_text(encoding="utf-8") if args.out.exists() else START + END
    head, rest = old.split(START)[0], old.split(END)[-1]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(head + START + "\n" + "\n".join(lines) + "\n" + END + rest, encoding="utf-8")


START, END = "<!-- results_vision: start -->", "<!-- results_vision: end -->"
PREFACE = f"""Made by `python benchmarks/results_vision.py --data ../shared/data` (accuracy on the locked test images, mean ± standard
deviation over 3 seeds, each with its own split; in brackets after it the number of seeds where it is not 3). Behind an accuracy:
the paired gain over `scratch` on the same test images, pooled over the seeds, with its 95 % bootstrap interval
(400 resamples); "in the noise" where interval and exact p-value do not both say otherwise.

One training (scratch, finetune, l2sp) is {STEPS} steps of {BATCH} images at {TUNE_SIZE} px with AdamW and light augmentation, the same for
all three, which two cores can do hundreds of times; it is a very short budget: too short for 70 classes, and for scratch everywhere. Read the probe
columns as what the sources are worth, and the others as what 30 steps give.
From some 480 training images on the budget ends before every image is seen. Probes see all training images, at {PROBE_SIZE} px for
the large sources (the bundled ones keep their own size). No validation images are held out, the last epoch counts.
`bundled/objects` was trained on Caltech-101 pictures, so its row on caltech101-70 is no fair test of it."""

if __name__ == "__main__":
    main()
