"""What SHOT through the command is worth on a real pair: digits of MNIST and USPS, the source's pictures deleted before it begins.

    python benchmarks/shot_digits.py --data ../shared/data          (minutes on two cores; --pictures 500 --seeds 1)

Pictures of 16 x 16 grey pixels (nonvision/mnist-usps-256) are drawn at random, `headstart fit` learns those of one domain, and `headstart adapt RUN TARGET
--method shot` moves the model to the other; the target's labels are for the evaluation alone. Prints a table for Markdown.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import headstart as hs


def paint(X: np.ndarray, y: np.ndarray, folder: Path, n: int, seed: int) -> Path:
    """``n`` pictures as PNG files in class folders."""
    for i in np.random.default_rng(seed).permutation(len(X))[:n]:
        place = folder / f"digit{y[i]}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * X[i].reshape(16, 16)).round().astype(np.uint8)).save(place / f"{i}.png")
    return folder


def cell(found: dict[str, Any]) -> str:
    low, high = found["ci95"]
    return f"{found['value']:.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=500, help="Of each domain.")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--source", default="bundled/glyphs", help="Backbone that the run begins from.")
    parser.add_argument("--epochs", type=int, default=15, help="Of either training.")
    args = parser.parse_args()
    with np.load(args.data / "nonvision" / "mnist-usps-256" / "mnist_usps.npz") as file:
        held = {name: (file[f"X_{name}"], file[f"y_{name}"]) for name in ("mnist", "usps")}
    print(
        "| pair | seed | target pictures | before | after SHOT | gain, paired | verdict |\n|---|---:|---:|---|---|---|---|"
    )
    for seed in range(args.seeds):
        for a, b in (("mnist", "usps"), ("usps", "mnist")):
            with tempfile.TemporaryDirectory() as room:
                place = Path(room)
                source = paint(*held[a], place / a, args.pictures, seed)
                target = paint(*held[b], place / b, args.pictures, seed)
                run = hs.fit(
                    source, source=args.source, image_size=32, strategy="finetune", epochs=args.epochs, baselines="none", verify=False, seed=seed,
                    out=place / "run",
                )  # fmt: skip
                shutil.rmtree(source)
                m = hs.adapt(run.path, target, method="shot", epochs=args.epochs, seed=seed, out=place / "shot").metrics
            before, after, gain = m["baselines"]["source_only"], m["target"], m["transfer_gain"]
            low, high = gain["ci95"]
            print(
                f"| {a} -> {b} | {seed} | {m['n']['evaluated']} | {cell(before['accuracy'])} | {cell(after['accuracy'])} | "
                f"{gain['value']:+.3f} [{low:+.3f}, {high:+.3f}] | {m['level'].replace('_', ' ')} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
