"""Question answering with MiniLM against its twin from random weights, on xquad in three languages and CMRC 2018, into docs/results.md.

    python benchmarks/results_questions.py --data ../shared/data --out docs/results.md

Each row is one ``headstart fit`` with its own verdict; ``--questions`` takes the first paragraphs of a set until they ask so many. Runs are kept in
--runs, so that the study goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from marked import put

SETS = {
    "xquad-en": "xquad-en-zh-de/xquad.en.json", "xquad-de": "xquad-en-zh-de/xquad.de.json", "xquad-zh": "xquad-en-zh-de/xquad.zh.json",
    "zh-cmrc2018-dev": "zh-cmrc2018-dev/cmrc2018_dev.json.gz",
}  # fmt: skip
OPTIONS = [
    "--source",
    "bundled/minilm",
    "--strategy",
    "finetune",
    "--max-length",
    "256",
    "--batch-size",
    "8",
    "--lr",
    "1e-4",
    "--baselines",
    "scratch",
]
START, END = "<!-- results_questions: start -->", "<!-- results_questions: end -->"


def first(path: Path, most: int, out: Path) -> int:
    """Write the first paragraphs of a SQuAD file that ask ``most`` questions (0: all), and say how many they ask."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found: list[dict[str, Any]] = []
    count = 0
    for article in json.loads(raw)["data"]:
        found.append({**article, "paragraphs": []})
        for paragraph in article["paragraphs"]:
            if not most or count < most:
                found[-1]["paragraphs"].append(paragraph)
                count += len(paragraph["qas"])
    out.write_text(json.dumps({"data": [a for a in found if a["paragraphs"]]}, ensure_ascii=False), encoding="utf-8")
    return count


def row(name: str, run: Path, asked: int, epochs: int) -> str:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))

    def shown(scores: dict[str, Any], key: str) -> str:
        low, high = scores[key]["ci95"]
        return f"{scores[key]['value']:.3f} [{low:.3f}, {high:.3f}]"

    gain, cpu = metrics["transfer_gain"], json.loads((run / "cpu.json").read_text(encoding="utf-8"))["cpu"]
    return (
        f"| {name} | {asked} ({metrics['n']['test']} to test) | {epochs} | {shown(metrics['target'], 'f1')} | {shown(metrics['target'], 'exact_match')} | "
        f"{shown(metrics['baselines']['scratch'], 'f1')} | {gain['value']:+.3f} [{gain['ci95'][0]:+.3f}, {gain['ci95'][1]:+.3f}] | {'' if cpu is None else f'{cpu / 60:.0f}'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, help="file whose marked part is replaced")
    parser.add_argument("--runs", type=Path, default=Path("runs/questions"))
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--questions", type=int, default=1200, help="of each set, at most about; 0 for all [1200]")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in args.sets:
        data, run = args.runs / f"{name}.json", args.runs / name
        asked = first(args.data / "nonvision" / SETS[name], args.questions, data)
        if not (run / "cpu.json").is_file():
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            stopped = run.with_name(f".{name}.partial").is_dir()
            command = [sys.executable, "-m", "headstart", "fit"]
            command += ["--resume"] if stopped else [str(data), *OPTIONS, "--epochs", str(args.epochs), "--force"]
            command += ["--out", str(run)]
            subprocess.run(command, check=True)
            spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
            (run / "cpu.json").write_text(json.dumps({"cpu": None if stopped else spent}), encoding="utf-8")
        rows.append(row(name, run, asked, args.epochs))
        print(rows[-1], flush=True)
    text = "\n".join([
        "## Questions about texts", "",
        "Made by `python benchmarks/results_questions.py --data ../shared/data --out docs/results.md`: all of `bundled/minilm`, an English model of 23 million weights,",
        "against the same network from random weights in as many epochs; F1 and exact match by the official rules (CMRC's for Chinese), with 95 % intervals",
        "over questions. Few questions and a small model that was never taught to answer: the absolute figures are small.", "",
        "| set | questions | epochs | F1 | exact match | F1 of the twin | gain | minutes of CPU |", "|---|---|---:|---|---|---|---|---:|", *rows,
    ])  # fmt: skip
    if args.out:
        put(args.out, START, END, text)


if __name__ == "__main__":
    main()
