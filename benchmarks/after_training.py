"""What comes after training, measured: calibration, prediction sets, and the weights of averages, soups and WiSE-FT.

    python benchmarks/after_training.py --data ../shared/data --jobs probe plain ema

Prints one line a target and job: test accuracy, calibration error and log loss before and after the temperature, and the coverage
and mean size of prediction sets asked for 90 %. Source bundled/objects, 40 % of the images for the test.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import headstart as hs
from headstart.evaluation.metrics import log_losses
from headstart.functional.temperature import at_temperature, log_probabilities

TARGETS = {
    name: f"vision/{name}/{name}.zip" for name in ("rsscn7-satellite", "chest-xray-3", "apple-leaf-disease")
}  # fmt: skip
JOBS: dict[str, dict[str, Any]] = {
    "probe": {"strategy": "probe"},
    "plain": {},
    "ema": {"average": "ema(0.99)"},
    "swa": {"average": "swa(0.25)"},
    "wise": {"wise": "auto"},
    "soup": {"soup": 3},
}


def measure(data: Path, job: str, epochs: int) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    steps = {"strategy": "finetune", "epochs": epochs, "augment": "standard", "image_size": 64}
    options = {**({} if job == "probe" else steps), **JOBS[job], "calibrate": "temperature"}
    with tempfile.TemporaryDirectory() as folder:
        run = hs.fit(
            data, source="bundled/objects", out=Path(folder) / "run", baselines="none", test_fraction=0.4, verify=False,
            **options,
        )  # fmt: skip
        m = run.metrics
        table = pd.read_csv(run.path / "predictions.csv", dtype={"label": str, "predicted": str})
        classes = [c.removeprefix("prob_") for c in table if c.startswith("prob_")]
        p = table[[f"prob_{c}" for c in classes]].to_numpy()
        y = np.array([classes.index(label) for label in table.label])
        t = m["calibration"]["applied"]["temperature"]
        raw = at_temperature(log_probabilities(p), 1 / t)
        tests = [f"{data}!/{path}" if str(data).endswith(".zip") else str(data / path) for path in table.path]
        sets = {kind: hs.predict(run.path, tests, coverage=0.9, sets=kind) for kind in ("lac", "aps")}
    truth = dict(zip(tests, table.label, strict=True))
    return {
        "job": job, "n": len(y), "accuracy": m["target"]["accuracy"]["value"], "temperature": t,
        "ece": [m["calibration"]["before"]["ece"], m["calibration"]["ece"]],
        "log_loss": [float(log_losses(raw, y).mean()), float(log_losses(p, y).mean())],
        **{
            kind: [
                float(np.mean([truth[path] in names.split("|") for path, names in zip(f.path, f.set, strict=True)])),
                float(f.set_size.mean()),
            ]
            for kind, f in sets.items()
        },
        "alpha": m["strategy"].get("wise", {}).get("alpha"), "soup": m["strategy"].get("soup", {}).get("chosen"),
        "held_out": m["calibration"]["applied"]["n"],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--epochs", type=int, default=8)
    asked = parser.parse_args()
    for target in asked.targets:
        for job in asked.jobs:
            found = measure(asked.data / TARGETS[target], job, asked.epochs)
            print(json.dumps({"target": target, **found}), flush=True)


if __name__ == "__main__":
    main()
