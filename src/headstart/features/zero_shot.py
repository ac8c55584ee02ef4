"""Classes from their names alone: the cosine of a text to prompts that say the name. No label is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.data.dataset import Dataset
from headstart.features.extract import extract
from headstart.progress import Progress
from headstart.sources.source import Source

TEMPLATES = ("This text is about {}.", "{}", "It is {}.")
"""The prompts of a class; their unit vectors are averaged."""
SCALE = 20.0
"""What a cosine is multiplied by before the softmax: the temperature of 0.05 that sentence encoders are trained with."""


def spoken(name: str) -> str:
    """A class name as words: ``"card_arrival"`` -> ``"card arrival"``."""
    return re.sub(r"[_\W]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip()


def why_not(source: Source, dataset: Dataset) -> str:
    """Why the names of these classes tell nothing, in words; empty where they may."""
    if dataset.task not in ("classification", "hierarchical"):
        return f"there are no names of classes to compare with in --task {dataset.task}"
    if not source.pretrained:
        return "the source has random weights"
    if not all(re.search(r"[^\W\d_]", name) for name in dataset.classes):
        return f"the classes have numbers for names ({', '.join(dataset.classes[:3])})"
    return ""


def zero_shot(
    source: Source,
    names: Sequence[str],
    dataset: Dataset,
    *,
    cache_dir: Path | None,
    device: str = "cpu",
    templates: Sequence[str] = TEMPLATES,
    progress: Progress | None = None,
) -> np.ndarray:
    """Probabilities float32 (n, K): ``softmax(20 cos(text, prompts of the class))``.

    As CLIP does for images (Radford et al. 2021, section 3.1.4: the mean of the prompts' unit vectors) and Yin et al. (*Benchmarking
    Zero-shot Text Classification*, EMNLP 2019) ask of label names; here with the source's own sentence vectors.

    Args:
        names: of the K classes.
        dataset: n texts.
        templates: each with one ``{}`` for the name.
    """
    prompts = [template.format(spoken(name)) for name in names for template in templates]
    asked = Dataset(prompts, None, (), np.full(len(prompts), "", dtype="U5"), modality=dataset.modality)
    said = _unit(extract(source, asked, cache_dir=None, device=device).X)
    classes = _unit(said.reshape(len(names), len(templates), -1).mean(1))
    texts = _unit(extract(source, dataset, cache_dir=cache_dir, device=device, progress=progress).X)
    logits = SCALE * texts @ classes.T
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return (shares / shares.sum(1, keepdims=True)).astype(np.float32)


def _unit(X: np.ndarray) -> np.ndarray:
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
