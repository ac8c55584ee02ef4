"""In a fresh process: load a saved model, predict the images named on standard input, print the probabilities (or the texts that it writes) as JSON."""

from __future__ import annotations

import json
import sys

import numpy as np

from headstart.data.dataset import Dataset
from headstart.deploy.generator import Generator, writes
from headstart.deploy.predictor import Predictor


def main() -> None:
    given = json.load(sys.stdin)
    modality = given["modality"]
    if writes(sys.argv[1]):
        print(json.dumps(Generator(sys.argv[1], device="cpu").write(given["inputs"]).tolist()))
        return
    references = [tuple(one) if isinstance(one, list) else one for one in given["inputs"]]
    predictor = Predictor(sys.argv[1], device="cpu", head=sys.argv[2] if len(sys.argv) > 2 else None)
    dataset = Dataset(
        inputs=references,
        labels=None,
        classes=predictor.classes,
        splits=np.full(len(references), ""),
        modality=modality,
    )
    print(json.dumps(predictor.task.compared(predictor.probabilities(dataset)).tolist()))


if __name__ == "__main__":
    main()
