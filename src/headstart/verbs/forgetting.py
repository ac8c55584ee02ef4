"""The source's own data before and after the transfer, and the whole line between source and tuned weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.evaluation.forgetting import offers, retention
from headstart.evaluation.gain import paired_gain
from headstart.evaluation.intervals import wilson
from headstart.evaluation.metrics import classification_metrics
from headstart.features.extract import extract
from headstart.functional.weights import interpolate
from headstart.progress import Progress
from headstart.sources.source import Source
from headstart.training.after import ALPHAS
from headstart.training.probe import fit_probe
from headstart.training.transfer import Transferred, probabilities

CURVE_IMAGES = 1000
"""Images of each side that the line is measured on, at most: eleven models look at them."""


def source_scores(
    source: Source,
    moved: Transferred,
    data: Dataset,
    test_set: Dataset,
    classes: tuple[str, ...],
    strategy: str,
    scores: dict[str, Any],
    *,
    device: torch.device,
    cache_dir: Path,
    seed: int,
    workers: int | None,
    progress: Progress,
) -> dict[str, Any]:
    """Scores on the source's own data before and after the transfer, how much was retained, and what would keep more.

    With a source head whose classes include those of ``data`` (matched by name), that head reads the features before
    and after. Otherwise a fresh solved head is trained on a share of the data, on the features before and after; it
    tells how much of what the features knew is still in them.

    Where the two ends of the line were kept (``moved.ends``), ``curve`` has a row for each of 11 places on it:
    ``{"alpha", "target", "source"}``, accuracies on the test images and on the source's (at most 1,000 of each). The
    line is drawn for the reader; nothing is chosen by it.

    ``target`` repeats the accuracy on the target before and after: before, the source as it was with a solved head (the
    baseline ``probe``, else the start of the line).
    """
    where: dict[str, Any] = {"device": device, "cache_dir": cache_dir, "progress": progress}
    states = [None, {k: v.cpu() for k, v in moved.backbone.state_dict().items()} if moved.moved else None]
    found, labels, how, names = _read(source, data, states, seed=seed, **where)
    change = paired_gain(found[1], found[0], labels, metric="accuracy")
    curve: list[dict[str, float]] = []
    if moved.ends is not None:
        curve = _curve(source, moved, data, test_set, classes, seed=seed, workers=workers, **where)
    wise = moved.found.get("wise")
    before = scores["baselines"].get("probe", {}).get("accuracy")
    if before is None and curve:
        n = min(len(test_set), CURVE_IMAGES)
        before = {"value": curve[0]["target"], "ci95": wilson(round(curve[0]["target"] * n), n)}
    return {
        "target": {"before": before, "after": scores["target"]["accuracy"]},
        "before": classification_metrics(found[0], labels, names),
        "after": classification_metrics(found[1], labels, names),
        "change": change,
        "retention": retention(found[0], found[1], labels),
        "read_by": how,
        "n": len(labels),
        "curve": curve,
        "alpha": wise["alpha"] if wise else None,
        "offers": offers(change, strategy, curve, wise["alpha"] if wise else None),
    }


def _read(
    source: Source,
    data: Dataset,
    states: Iterable[dict[str, torch.Tensor] | None],
    *,
    device: torch.device,
    cache_dir: Path,
    seed: int,
    progress: Progress,
) -> tuple[list[np.ndarray], np.ndarray, str, tuple[str, ...]]:
    """Probabilities of the source's images by the source with each of these weights (``None``: its own); labels; the reader."""
    assert data.labels is not None
    own = extract(source, data, cache_dir=cache_dir, device=str(device), progress=progress).X
    features = []
    for state in states:
        if state is None:
            features.append(own)
            continue
        backbone = source.build()
        backbone.load_state_dict(state)
        other = replace(source, backbone=backbone.eval(), digest="moved")
        features.append(extract(other, data, cache_dir=None, device=str(device), progress=progress).X)
    if source.head is not None and set(data.classes) <= set(source.classes):
        labels = np.array([source.classes.index(name) for name in data.classes])[data.labels]
        weight, bias = source.head
        found = [torch.softmax(torch.as_tensor(x) @ weight.T.float() + bias.float(), 1).numpy() for x in features]
        return found, labels, "the source's own head", source.classes
    pick = np.random.default_rng(seed).permutation(len(data))
    learn, test = pick[: len(data) // 2], pick[len(data) // 2 :]
    found = []
    for x in features:
        probe = fit_probe(x[learn], data.labels[learn], len(data.classes), seed=seed)
        found.append(torch.softmax(torch.as_tensor(x[test] @ probe.weight.T + probe.bias), 1).numpy())
    how = "a new head solved on half of the source data, tested on the other half"
    return found, data.labels[test], how, data.classes


def _curve(
    source: Source,
    moved: Transferred,
    data: Dataset,
    test_set: Dataset,
    classes: tuple[str, ...],
    *,
    device: torch.device,
    cache_dir: Path,
    seed: int,
    workers: int | None,
    progress: Progress,
) -> list[dict[str, float]]:
    assert moved.ends is not None
    data, test_set = (_some(part, CURVE_IMAGES, seed) for part in (data, test_set))
    assert test_set.labels is not None
    start, end = moved.ends

    def backbone_at(alpha: float) -> dict[str, torch.Tensor]:
        point = interpolate(start, end, alpha)
        return {k.removeprefix("backbone."): v for k, v in point.items() if k.startswith("backbone.")}

    found, labels, _, _ = _read(
        source, data, map(backbone_at, ALPHAS), device=device, cache_dir=cache_dir, seed=seed, progress=progress
    )  # fmt: skip
    rows = []
    for alpha, old in zip(ALPHAS, found, strict=True):
        backbone: nn.Module = source.build()
        backbone.load_state_dict(backbone_at(alpha))
        weight, bias = (torch.lerp(start[f"head.{name}"], end[f"head.{name}"], alpha) for name in ("weight", "bias"))
        there = replace(moved, backbone=backbone.eval(), head=(weight, bias), moved=True)
        new = probabilities(
            there, source, classes, test_set, device=device, cache_dir=cache_dir, workers=workers, progress=progress
        )
        rows.append(
            {
                "alpha": alpha,
                "target": float((new.argmax(1) == test_set.labels).mean()),
                "source": float((old.argmax(1) == labels).mean()),
            }
        )
    return rows


def _some(data: Dataset, most: int, seed: int) -> Dataset:
    """At most ``most`` of the images, drawn at random, in their order."""
    if len(data) <= most:
        return data
    return data.subset(np.sort(np.random.default_rng(seed).permutation(len(data))[:most]))
