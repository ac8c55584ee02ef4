"""What a search costs beside one fit of its kind: two ratios, measured in one run, each command in a process of its own.

    python benchmarks/tune_cost.py                                       rsscn7-satellite, bundled/objects
    python benchmarks/tune_cost.py --data DIR --source NAME --trials 20

probe: wall time of `tune --strategy probe` with so many trials over that of `fit --strategy probe`, both from an empty cache, baselines
and checks alike. The trials are the layers of the source with the classes weighed in four ways.
fine-tuning: seconds of the search (20 trials of the built-in space, pruned by halving) over the seconds of one whole training by `fit`, on
the same images with the same epochs and everything cached.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def headstart(*arguments: object, cache: Path) -> tuple[float, dict[str, Any]]:
    """Wall seconds of a command, and its JSON."""
    env = {**os.environ, "HEADSTART_CACHE": str(cache)}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "headstart", *map(str, arguments), "--json", "--quiet"], env=env, capture_output=True, text=True
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    return seconds, json.loads(done.stdout)


def probe_space(source: str) -> str:
    """Every layer of a source, with each way to weigh the classes: five layers make 20 points."""
    from headstart.sources import load_source
    from headstart.sources.taps import taps_of

    layers = "|".join(tap.layer for tap in taps_of(load_source(source)))
    return f"layer={layers},imbalance=auto|none|weights|sampler"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/vision/rsscn7-satellite/rsscn7-satellite.zip")
    parser.add_argument("--source", default="bundled/objects")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--labels-per-class", type=int, help="fewer images, for a shorter run")
    parser.add_argument("--epochs", type=int, help="of each fine-tuning, instead of the default")
    parser.add_argument("--only", choices=["probe", "finetune"])
    args = parser.parse_args()
    same = ["--source", args.source, "--baselines", "none", "--no-verify"]
    same += ["--labels-per-class", args.labels_per_class] if args.labels_per_class else []
    steps = ["--strategy", "finetune", *(["--epochs", args.epochs] if args.epochs else [])]
    search = ["--trials", args.trials, "--workers", args.workers]
    with tempfile.TemporaryDirectory() as aside:
        root = Path(aside)
        if args.only != "finetune":
            one, _ = headstart("fit", args.data, *same, "--strategy", "probe", "--out", root / "p1", cache=root / "c1")
            space = probe_space(args.source)
            all_, found = headstart(
                "tune", args.data, *same, "--strategy", "probe", "--space", space, *search, "--out", root / "p2", cache=root / "c2"
            )  # fmt: skip
            n = sum(found["tuning"]["trials"].values())
            print(f"probe: fit {one:.1f} s, tune with {n} trials {all_:.1f} s: {all_ / one:.2f} times one fit")
        if args.only != "probe":
            cache = root / "c3"
            headstart(
                "fit", args.data, *same, "--strategy", "finetune", "--epochs", 1, "--out", root / "f0", cache=cache
            )
            _, fitted = headstart("fit", args.data, *same, *steps, "--out", root / "f1", cache=cache)
            one = fitted["seconds"]["transfer"]
            wall, found = headstart("tune", args.data, *same, *steps, *search, "--out", root / "f2", cache=cache)
            t = found["tuning"]
            print(
                f"fine-tuning: one training {one:.1f} s ({fitted['strategy']['epochs']} epochs), search of {sum(t['trials'].values())} trials "
                f"{t['seconds']:.1f} s ({t['trials']}): {t['seconds'] / one:.2f} trainings; the whole command {wall:.1f} s"
            )  # fmt: skip
            print(
                f"{t['metric']}: {fitted['target'][t['metric']]['value']:.3f} with the defaults, {t['reported']['value']:.3f} after the search "
                f"(test images), {t['optimised']['value']:.3f} chose it ({t['optimised']['on']})"
            )  # fmt: skip


if __name__ == "__main__":
    main()
