"""Texts to vectors: `extract` against sentence-transformers' `encode`, the same weights, texts and machine, in turns.

    python benchmarks/text_encoding.py                                  600 short and 600 mixed texts, 5 rounds, one thread
    python benchmarks/text_encoding.py --texts 2000 --threads 2
    python benchmarks/text_encoding.py --peer-python VENV/bin/python    where sentence-transformers lies in an environment of its own

Short texts are the questions of banking77. Mixed ones are equal parts of those, of messages (sms-spam), of sentences of reviews
(sentiment-3-sites, movie-review-polarity) and of paragraphs (xquad-en), which are cut at 128 tokens. Both sides read at most 128
tokens, in batches as they choose by default, both in processes that stay open, first to warm up, then in turns. The headline is the
median over the rounds of the ratio of processor seconds, which other work on the machine disturbs less than the ratio of wall-clock seconds
beside it; the cosine is the least over all texts. Loading is not counted. Nothing is cached, and a text that comes twice is computed twice.
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

import numpy as np
import pandas as pd

LENGTH = 128

PEER = """
import json, os, sys, time
import numpy as np, torch
from sentence_transformers import SentenceTransformer
folder, threads, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
model = SentenceTransformer(folder, device="cpu")
model.max_seq_length = length
import sentence_transformers
print(json.dumps({"version": sentence_transformers.__version__, "torch": torch.__version__}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    wall, cpu = time.perf_counter(), time.process_time()
    found = model.encode(asked["texts"])
    said = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    np.save(asked["to"], found)
    print(json.dumps(said), flush=True)
"""


def texts_of(root: Path, kind: str, n: int, seed: int = 0) -> list[str]:
    """``n`` real texts, ``"short"`` or ``"mixed"``."""

    root = root / "nonvision"

    def some(values: pd.Series, n: int) -> list[str]:
        return values.astype(str).sample(n, random_state=seed).tolist()

    questions = pd.read_csv(root / "banking77" / "train.csv").text
    if kind == "short":
        return some(questions, n)
    paragraphs = json.loads((root / "xquad-en-zh-de" / "xquad.en.json").read_text(encoding="utf-8"))
    contexts = pd.Series([p["context"] for article in paragraphs["data"] for p in article["paragraphs"]])
    parts = [
        questions,
        pd.read_csv(root / "sms-spam" / "sms_spam.csv").text,
        pd.read_csv(root / "sentiment-3-sites" / "sentences.csv").text,
        pd.read_csv(root / "movie-review-polarity" / "rt_polarity.csv").text,
        contexts,
    ]
    mixed = [text for part in parts for text in some(part, min(n // len(parts), len(part)))]
    return [mixed[i] for i in np.random.default_rng(seed).permutation(len(mixed))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)  # before torch is imported, here and in the peer

    import torch

    from headstart.data.dataset import Dataset
    from headstart.features.extract import extract
    from headstart.sources import load_source
    from headstart.sources.minilm import weights_folder

    torch.set_num_threads(asked.threads)
    source = load_source("bundled/minilm", image_size=LENGTH)
    peer = subprocess.Popen(
        [asked.peer_python, "-c", PEER, str(weights_folder()), str(asked.threads), str(LENGTH)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert peer.stdin is not None and peer.stdout is not None
    print(f"sentence-transformers {json.loads(peer.stdout.readline())}, {asked.threads} thread(s)")
    with tempfile.TemporaryDirectory() as aside:
        for kind in ("short", "mixed"):
            texts = texts_of(asked.data, kind, asked.texts)
            dataset = Dataset(texts, None, (), np.full(len(texts), ""), modality="text")
            rows = []
            for turn in range(-1, asked.rounds):
                wall, cpu = time.perf_counter(), time.process_time()
                found = extract(source, dataset, cache_dir=None)
                ours = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
                print(json.dumps({"texts": texts, "to": f"{aside}/x.npy"}), file=peer.stdin, flush=True)
                theirs = json.loads(peer.stdout.readline())
                if turn >= 0:
                    rows.append((ours, theirs))
            true = np.load(f"{aside}/x.npy")
            cosine = (true * found.X).sum(1) / np.linalg.norm(true, axis=1) / np.linalg.norm(found.X, axis=1)
            lengths = source.preprocessing.lengths(texts)
            line = f"{kind}: {len(texts)} texts of {np.median(lengths):.0f} tokens (median), {found.precision}"
            for clock in ("cpu", "wall"):
                ratios = [theirs[clock] / ours[clock] for ours, theirs in rows]
                speeds = [np.median([len(texts) / row[i][clock] for row in rows]) for i in (0, 1)]
                line += (
                    f"; {clock} {speeds[0]:.0f} against {speeds[1]:.0f} texts/s, ratio {np.median(ratios):.2f} "
                    f"({min(ratios):.2f} to {max(ratios):.2f})"
                )
            print(f"{line}; least cosine {cosine.min():.5f}", flush=True)
    peer.stdin.close()
    peer.wait()


if __name__ == "__main__":
    main()
