"""What it costs to fine-tune all of MiniLM on a thousand short texts: seconds and peak memory, beside the asked four minutes and 3 GB.

    python benchmarks/text_finetune_cost.py --data ../shared/data

Queries of banking77, three epochs, batches of 32, everything on that `headstart fit` uses (checkpoints included), all parameters moving.
Seconds are those of the training (epochs with the validation after each); memory is the peak of the whole process, which imports, reads
and encodes as well. Run it on a machine that does nothing else, with `OMP_NUM_THREADS=2` for two cores.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.dataset import Dataset
from headstart.data.readers import read_dataset
from headstart.evaluation.metrics import point_metrics
from headstart.progress import SILENT
from headstart.sources import load_source
from headstart.strategies.grammar import parse_strategy
from headstart.training.transfer import Settings, probabilities, transfer

MINUTES, GIGABYTES = 4.0, 3.0


def queries(data: Path, n: int, seed: int) -> tuple[Dataset, Dataset]:
    """n training queries and 500 others, drawn at random."""
    whole = read_dataset(data / "nonvision" / "banking77" / "train.csv", text_col="text", label_col="category")
    rows = np.random.default_rng(seed).permutation(len(whole))
    return whole.subset(rows[:n]), whole.subset(rows[n : n + 500])


def measure(data: Path, n: int, epochs: int, strategy: str, seed: int) -> dict[str, Any]:
    """One fine-tuning."""
    source = load_source("bundled/minilm")
    train_set, test_set = queries(data, n, seed)
    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.perf_counter(), time.process_time()
        moved = transfer(
            source, parse_strategy(strategy), train_set.classes, train_set, None, Settings(optimisation={"epochs": epochs}),
            device=torch.device("cpu"), seed=seed, score=point_metrics, cache_dir=None, folder=Path(folder), progress=SILENT,
        )  # fmt: skip
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = probabilities(
        moved, source, train_set.classes, test_set, device=torch.device("cpu"), cache_dir=None, progress=SILENT
    )
    return {
        "seconds": seconds, "cpu": cpu, "peak_gb": peak, "texts_per_second": n * epochs / seconds,
        "accuracy": float((found.argmax(1) == test_set.labels).mean()), "loss": [row["train_loss"] for row in moved.history],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--strategy", default="finetune")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = measure(args.data, args.texts, args.epochs, args.strategy, args.seed)
    print(f"{args.texts} texts, {args.epochs} epochs of {args.strategy}, {torch.get_num_threads()} threads")
    print(
        f"{found['seconds']:.1f} s ({found['cpu']:.1f} s of processor time), {found['texts_per_second']:.0f} texts/s; asked: {60 * MINUTES:.0f} s"
    )
    print(f"{found['peak_gb']:.2f} GB at the peak; asked: {GIGABYTES:.0f} GB")
    print(
        f"accuracy on 500 other queries {found['accuracy']:.3f}; loss by epoch {', '.join(f'{x:.3f}' for x in found['loss'])}"
    )


if __name__ == "__main__":
    main()
