"""What an epoch of deep adaptation costs: beside an epoch of the source alone, and beside skada and pytorch-adapt.

    pip install --target PEERS --no-deps skada==0.6.0 skorch==1.4.0 tabulate pytorch-adapt==0.0.83 pytorch-metric-learning torchmetrics lightning-utilities
    python benchmarks/deep_adaptation_cost.py --peers PEERS --out docs/results.md

The peers live in a folder of their own, and use the same torch. Every measurement is the CPU time of a fresh process with one thread: that of a
fit of many epochs less that of a fit of few, divided by the epochs between, so that imports, first calls and predictions do not count. All
contestants of a case take turns, ``--rounds`` times; a ratio is the median of the rounds' ratios, with the least and the largest.

Same network, data, batches (source and target, 32 + 32), optimiser (AdamW) and number of source batches an epoch for all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np

START, END = "<!-- deep_adaptation_cost: start -->", "<!-- deep_adaptation_cost: end -->"
COMMON = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np
import torch
torch.set_num_threads(1)
few, many, width, n, k = 2, int(sys.argv[1]), int(sys.argv[2]), 1024, 7
rng = np.random.default_rng(0)
y = (np.arange(n) % k).astype(np.int64)
X = (rng.standard_normal((n, width)) + 2 * rng.standard_normal((k, width))[y] / width ** 0.5).astype(np.float32)
Xt = (rng.standard_normal((n, width)) * 1.2 + 0.3).astype(np.float32)
"""
NETWORK = """
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(width, 256), torch.nn.BatchNorm1d(256), torch.nn.ReLU())
        self.head = torch.nn.Linear(256, k)
    def forward(self, x):
        return self.head(self.body(x))
"""
MEASURE = """
def measured(epochs):
    torch.manual_seed(0)
    began = time.process_time()
    work(epochs)
    return time.process_time() - began
work(1)
low = measured(few)
high = measured(few + many)
print("RESULT" + json.dumps((high - low) / many))
"""
OURS = """
from headstart.training.deep_adapter import DeepAdapter
def work(epochs):
    DeepAdapter({strategy!r}, epochs=epochs).fit(X, y, X_target=Xt if {target} else None)
"""
IMAGES = """
from headstart.data.readers import read_dataset
from headstart.data.rows import ImageRows
from headstart.sources import load_source
from headstart.training.deep_adapter import DeepAdapter
source = load_source("bundled/objects", image_size=32)
n = 64
pictures = rng.integers(0, 256, (2 * n, 32, 32, 3), dtype=np.uint8)
both = ImageRows(read_dataset((pictures, np.arange(2 * n) % k)), source.preprocessing, workers=1)
def work(epochs):
    DeepAdapter({strategy!r}, source=source, epochs=epochs).fit(both[:n], y[:n], X_target=both[n:] if {target} else None)
"""
SKADA = """
from skada.deep import DeepCoral
def work(epochs):
    net = DeepCoral(Net(), layer_name="body", max_epochs=epochs, batch_size=32, optimizer=torch.optim.AdamW, lr=1e-3, train_split=None,
                    iterator_train__drop_last=True, verbose=0, callbacks__print_log=None)
    net.fit(np.concatenate([X, Xt]), np.concatenate([y, np.full(n, -1)]), sample_domain=np.concatenate([np.ones(n, int), np.full(n, -2)]))
"""
ADAPT = """
from pytorch_adapt.hooks import DANNHook
from torch.utils.data import DataLoader, TensorDataset
def work(epochs):
    net = Net()
    D = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1), torch.nn.Flatten(0))
    models = {"G": net.body, "C": net.head, "D": D}
    hook = DANNHook([torch.optim.AdamW(model.parameters(), lr=1e-3) for model in models.values()])
    loaders = [DataLoader(TensorDataset(*parts), batch_size=32, shuffle=True, drop_last=True)
               for parts in ((torch.as_tensor(X), torch.as_tensor(y)), (torch.as_tensor(Xt),))]
    for _ in range(epochs):
        for (x, labels), (other,) in zip(*loaders):
            hook({**models, "src_imgs": x, "src_labels": labels, "target_imgs": other,
                  "src_domain": torch.zeros(len(x)), "target_domain": torch.ones(len(other))})
"""


def ours(strategy: str, target: bool = True, text: str = OURS) -> str:
    return COMMON + text.replace("{strategy!r}", repr(strategy)).replace("{target}", str(target)) + MEASURE


def contestants() -> dict[str, str]:
    """Name -> program."""
    found = {}
    for where, text in (("rows", OURS), ("images", IMAGES)):
        found[f"{where}: source alone"] = ours("finetune", target=False, text=text)
        for name in ("dann", "dan"):
            found[f"{where}: {name}"] = ours(f"finetune+{name}", text=text)
    found["deep CORAL: ours"] = ours("finetune+deepcoral")
    found["deep CORAL: skada"] = COMMON + NETWORK + SKADA + MEASURE
    found["DANN: ours"] = found["rows: dann"]
    found["DANN: pytorch-adapt"] = COMMON + NETWORK + ADAPT + MEASURE
    return found


RATIOS = [
    ("DANN, an epoch beside the source alone, rows", "rows: dann", "rows: source alone"),
    ("DAN, an epoch beside the source alone, rows", "rows: dan", "rows: source alone"),
    ("DANN, an epoch beside the source alone, images", "images: dann", "images: source alone"),
    ("DAN, an epoch beside the source alone, images", "images: dan", "images: source alone"),
    ("Deep CORAL, ours beside skada's", "deep CORAL: ours", "deep CORAL: skada"),
    ("DANN, ours beside pytorch-adapt's", "DANN: ours", "DANN: pytorch-adapt"),
]


def seconds(program: str, epochs: int, width: int, peers: Path | None) -> float | None:
    """CPU seconds of one epoch, or ``None`` where the program failed, which is said."""
    paths = [*([str(peers)] if peers else []), *sys.path[1:]]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(epochs), str(width)], env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    for line in done.stdout.splitlines():
        if line.startswith("RESULT"):
            return float(json.loads(line[6:]))
    print(textwrap.shorten(done.stderr[-600:], 600), flush=True)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder with skada and pytorch-adapt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--epochs", type=int, default=8, help="epochs that are timed, on rows; a quarter of it on images"
    )
    parser.add_argument("--width", type=int, default=1280, help="columns of the rows")
    parser.add_argument("--out", type=Path, help="file whose marked part is replaced")
    args = parser.parse_args()
    found: dict[str, list[float | None]] = {}
    for turn in range(args.rounds):
        for name, program in contestants().items():
            if args.peers is None and name.startswith(("deep CORAL", "DANN")):
                continue
            count = max(2, args.epochs // 4) if name.startswith("images") else args.epochs
            found.setdefault(name, []).append(seconds(program, count, args.width, args.peers))
            print(turn, name, found[name][-1], flush=True)
    lines = ["| | ratio of CPU time, median [least, largest] |", "|---|---:|"]
    for what, name, other in RATIOS:
        pairs = [a / b for a, b in zip(found.get(name, []), found.get(other, []), strict=True) if a and b]
        if pairs:
            lines.append(f"| {what} | {np.median(pairs):.2f} [{min(pairs):.2f}, {max(pairs):.2f}] |")
    text = "\n".join(lines)
    print(text)
    if args.out:
        old = args.out.read_text(encoding="utf-8") if args.out.exists() else ""
        if START not in old:
            old = old.rstrip("\n") + "\n\n" + START + END + "\n"
        made = (
            "## What deep adaptation costs\n\nMade by `python benchmarks/deep_adaptation_cost.py --peers PEERS --out docs/results.md` (skada 0.6, "
            f"pytorch-adapt 0.0.83), {args.rounds} rounds, one thread, CPU time. Rows: 1,024 of {args.width} columns through a bottleneck of 256; images: "
            "`bundled/objects` at 32 px. Same network, batches (32 + 32), optimiser and number of source batches an epoch; below 1 ours is faster.\n\n"
        )
        args.out.write_text(f"{old.split(START)[0]}{START}\n{made}{text}\n{END}{old.split(END)[-1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
