"""Peak memory of a probe over many images: features of the whole set, a head solved on them, never the set itself.

    python benchmarks/probe_memory.py                           20,000 JPEG images of 224 px, 20 classes
    python benchmarks/probe_memory.py --images 2000 --how calls

Images are made from a few hundred bases, each shifted and recoloured so that all contents differ. ``--how cli`` runs
``headstart fit DATA --strategy probe --baselines none`` as a user would; ``--how calls`` runs scan, extract and
fit_probe in a process of their own. Prints the peak resident memory of that process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

LIMIT_MB = 2048

CALLS = """
import json, sys
from pathlib import Path
from headstart.data.readers import read_dataset
from headstart.data.scan import scan
from headstart.features.extract import extract
from headstart.sources import load_source
from headstart.training.probe import fit_probe
data, cache, name = sys.argv[1:]
dataset, _ = scan(read_dataset(data), cache_dir=Path(cache))
found = extract(load_source(name), dataset, cache_dir=Path(cache))
probe = fit_probe(found.X, dataset.labels, len(dataset.classes))
print(json.dumps({"computed": found.computed, "precision": found.precision, "cv_accuracy": float(probe.cv_accuracy.max())}))
"""


def make(folder: Path, n: int, classes: int, bases: int = 400) -> None:
    """n JPEG files of 224 px in class folders."""
    rng = np.random.default_rng(0)
    pictures = [
        np.asarray(Image.fromarray(rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)).resize((224, 224), Image.BICUBIC))
        for _ in range(bases)
    ]
    for k in range(classes):
        (folder / f"class{k:02d}").mkdir(parents=True)

    def one(i: int) -> None:
        local = np.random.default_rng([1, i])
        shift = tuple(local.integers(0, 224, 2))
        picture = np.roll(pictures[i % bases], shift, axis=(0, 1)).astype(np.int16) + local.integers(-30, 31, 3)
        image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
        image.save(folder / f"class{i % bases % classes:02d}" / f"{i:06d}.jpg", quality=85)

    with ThreadPoolExecutor() as pool:
        list(pool.map(one, range(n), chunksize=100))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--source", default="bundled/objects")
    parser.add_argument("--how", choices=["cli", "calls"], default="cli")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        data, cache = Path(root) / "data", Path(root) / "cache"
        began = time.perf_counter()
        make(data, args.images, args.classes)
        print(f"made {args.images} images in {time.perf_counter() - began:.0f} s", flush=True)
        if args.how == "cli":
            command = [
                sys.executable, "-m", "headstart", "fit", str(data), "--source", args.source, "--strategy", "probe",
                "--baselines", "none", "--out", str(Path(root) / "run"),
            ]  # fmt: skip
        else:
            command = [sys.executable, "-c", CALLS, str(data), str(cache), args.source]
        began = time.perf_counter()
        done = subprocess.run(command, env={**os.environ, "HEADSTART_CACHE": str(cache)}, check=False)
        # the largest of all children waited for; Linux counts kilobytes, macOS bytes
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (
            1 << 20 if sys.platform == "darwin" else 1 << 10
        )
        result = {
            "images": args.images,
            "how": args.how,
            "exit code": done.returncode,
            "seconds": round(time.perf_counter() - began, 1),
            "peak MB": round(peak),
            "limit MB": LIMIT_MB,
        }
        print(json.dumps(result))
        if done.returncode or peak > LIMIT_MB:
            sys.exit(1)


if __name__ == "__main__":
    main()
