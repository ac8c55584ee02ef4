"""Save the model of a run, and check in a fresh process that it predicts what it predicted here."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from headstart.data.augment import flips
from headstart.data.checks import WORDS
from headstart.data.dataset import Dataset
from headstart.data.wording import said
from headstart.deploy.taps import TAPS, save_taps
from headstart.errors import WorkError, sentence
from headstart.folder import disk_errors
from headstart.recipe import Recipe
from headstart.sources import save_model
from headstart.sources.source import Source
from headstart.sources.taps import taps_read
from headstart.training.transfer import Transferred

TOLERANCE = 5e-3
"""Largest difference of a probability (of a quantity: in standard deviations of its labels) after reloading: bf16 features of another batch differ in the last bits."""


def save(
    work: Path,
    source: Source,
    moved: Transferred,
    target: Any,
    why: str,
    metric: str,
    scores: dict[str, Any],
    plan: Recipe,
    temperature: float | None = None,
) -> None:
    """Write ``model/``: weights, config with preprocessing, labels, model card."""
    weight, bias = moved.head
    head, task = None, moved.task
    taps = taps_read(moved.reads)
    # a head whose rows are no classes is kept beside the weights: in the library's own layout it would be taken for a classifier
    if moved.reads is source and "class_labels" in task.gives and target.dataset.modality == "image":
        head = nn.Linear(weight.shape[1], weight.shape[0])
        head.load_state_dict({"weight": weight, "bias": bias})
    cell, words = scores[metric], WORDS[target.dataset.modality]
    card = "\n".join(
        [
            f"# {' / '.join(task.classes[:6])}{' ...' if len(task.classes) > 6 else ''}",
            "",
            f"{said(task.says, target.dataset.modality)}, made by Headstart from `{source.name}` with the strategy `{plan.strategy}`.",
            "",
            f"- Test {metric.replace('_', ' ')}: {cell['value']:.3f} (95 % interval {cell['ci95'][0]:.3f} to {cell['ci95'][1]:.3f}, {len(target.split('test'))} {words})",
            f"- Verdict: {why}",
            f"- Training {words}: {len(target.split('train')) + len(target.split('valid'))}",
            f"- Licence of the source's weights: {source.licence}",
            f"- {source.report.line()}",
            *([f"- Calibrated: the head is divided by a temperature of {temperature:.3g}"] if temperature else []),
            "- The head reads "
            + ", ".join(f"{tap.kept} of {tap.width} features of {tap.layer}" for tap in taps)
            + ("" if head else f"; it is in {TAPS}, and the weights are the bare backbone"),
            "",
            "Classes: " + ", ".join(task.classes),
            "",
        ]
    )
    with disk_errors(work / "model"):
        save_model(
            work / "model", source, moved.backbone, head, task.classes, source.preprocessing, card,
            extra={"precision": "fp32" if moved.moved else "auto", "flip": flips(plan.augment), "reads": [{"layer": t.layer, "features": t.kept} for t in taps],
                   "task": {"name": task.name, **task.state()}},
        )  # fmt: skip
        if head is None:
            save_taps(work / "model", moved.reads, moved.head)


def verify(
    work: Path,
    test_set: Dataset,
    found: np.ndarray,
    *,
    unit: float = 1.0,
    limit: int = 16,
    head: str | None = None,
) -> dict[str, Any]:
    """Load the saved model in a fresh process, predict a few test images, compare.

    Args:
        found: what was predicted here, (n_test, M).
        unit: how large a difference of 1 is; the scale of the labels for a quantity.
        head: which of several, by name.

    Returns:
        ``{"ok": True, "max_difference": float, "n": int}``.

    Raises:
        WorkError: the reloaded model predicts something else.
    """
    pick = np.unique(np.linspace(0, len(test_set) - 1, min(limit, len(test_set))).round().astype(int))
    with tempfile.TemporaryDirectory() as aside:
        references = []
        for i in pick:
            reference = test_set.inputs[i]
            if test_set.modality == "image" and not isinstance(reference, str):
                from torchvision.io import write_png

                from headstart.data.images import read_image

                reference = str(Path(aside) / f"{i}.png")
                write_png(read_image(test_set.inputs[i]), reference)
            references.append(reference)
        done = subprocess.run(
            [sys.executable, "-m", "headstart.deploy.verify", str(work), *([head] if head else [])],
            input=json.dumps({"modality": test_set.modality, "inputs": references}), capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
    if done.returncode:
        raise WorkError(
            sentence(
                "the saved model cannot be loaded in a fresh process",
                where=str(work),
                got=done.stderr.strip().splitlines()[-1:],
            )
        )
    again = np.array(json.loads(done.stdout.splitlines()[-1]), dtype=np.float32)
    difference = float(np.abs(again - found[pick]).max()) / unit
    if not difference <= TOLERANCE:
        raise WorkError(
            sentence(
                "the saved model does not predict what it predicted before it was saved",
                where=str(work),
                got=difference,
                allowed=f"<= {TOLERANCE}",
            )
        )
    return {"ok": True, "max_difference": difference, "n": len(pick)}
