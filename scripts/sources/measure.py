"""What a source is worth: a linear probe with few labels, against random weights and against raw pixels."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F

STRENGTHS = [1e-3, 1e-2, 1e-1, 1.0, 10.0]


class Target(NamedTuple):
    """A labelled set: ``images`` uint8 (n, 3, side, side), ``labels`` int64 (n,), ``k`` labels a class to learn from."""

    name: str
    images: Tensor
    labels: np.ndarray
    k: int


def digits() -> Target:
    """scikit-learn's 1,797 handwritten digits, 8 px, white on black."""
    data = load_digits()
    images = torch.from_numpy((data.images * (255 / 16)).round().astype(np.uint8))
    return Target("sklearn digits (8 px)", images[:, None].expand(-1, 3, -1, -1).contiguous(), data.target, 5)


def read_zip(path: Path, side: int, limit: int | None = None, inside: str = "") -> tuple[Tensor, np.ndarray, list[str]]:
    """Pictures of a zip of class folders, squashed to ``side``: uint8 (n, 3, side, side), int64 (n,), class names.

    Where the archive has split folders above the classes, all splits are read. ``inside`` keeps the names that hold it.
    """
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith((".jpg", ".jpeg", ".png")) and inside in n)
        labels = [n.split("/")[-2] for n in names]
        if limit is not None:
            step = max(1, len(names) // limit)
            names, labels = names[::step], labels[::step]
        classes = sorted(set(labels))
        images = np.empty((len(names), side, side, 3), dtype=np.uint8)
        for i, name in enumerate(names):
            picture = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            images[i] = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))
    order = {c: i for i, c in enumerate(classes)}
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), np.array([order[c] for c in labels]), classes


def target(name: str, path: Path, k: int, side: int, limit: int | None = None, inside: str = "") -> list[Target]:
    """``[Target]`` of a zip, or ``[]`` with a line where it is not there."""
    if not path.is_file():
        print(f"not measured on {name}: {path} is not there", flush=True)
        return []
    images, labels, _ = read_zip(path, side, limit, inside)
    fewest = int(np.bincount(labels).min())
    if fewest < 4:
        print(f"not measured on {name}: a class has {fewest} images", flush=True)
        return []
    k = min(k, fewest // 2)
    return [Target(name, images, labels, k)]


def features(model: nn.Module, images: Tensor, size: int, batch: int = 128) -> np.ndarray:
    """Pooled features float32 (n, width) of uint8 images, resized to ``size``, scaled to -1..1; float32 arithmetic."""
    model.eval()
    found = []
    with torch.inference_mode():
        for part in images.split(batch):
            x = part.float()
            if part.shape[-1] != size:
                x = F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
            pooled = model.forward_head(model.forward_features(x / 127.5 - 1), pre_logits=True)
            found.append(pooled.float().numpy())
    return np.concatenate(found)


def raw(images: Tensor, size: int) -> np.ndarray:
    """Raw pixels as features: float32 (n, 3 * size * size) in 0..1; one channel where all three are equal."""
    x = images.float() / 255
    if images.shape[-1] > size:
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
    if torch.equal(x[:, 0], x[:, 1]) and torch.equal(x[:, 0], x[:, 2]):
        x = x[:, :1]
    return x.flatten(1).numpy()


def probe(x: np.ndarray, y: np.ndarray, k: int, draws: int, seed: int = 0) -> np.ndarray:
    """Accuracy (draws,) on the rest after logistic regression on ``k`` labels a class.

    Features are standardised on the few; the strength is chosen by cross-validation among :data:`STRENGTHS`.
    """
    found = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        few = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:k] for c in np.unique(y)])
        rest = np.setdiff1d(np.arange(len(y)), few)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
        search = GridSearchCV(model, {"logisticregression__C": STRENGTHS}, cv=min(5, k))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search.fit(x[few], y[few])
        found.append(float(np.mean(search.predict(x[rest]) == y[rest])))
    return np.array(found)


def compare(
    model: nn.Module, fresh: Callable[[], nn.Module], targets: list[Target], size: int, draws: int
) -> tuple[str, dict[str, tuple[float, float, float]]]:
    """A Markdown table and {target: (source, random weights, raw pixels)} of mean probe accuracies."""
    rows = [
        "| target | labels a class | this source | random weights | raw pixels |",
        "|---|---:|---:|---:|---:|",
    ]
    figures = {}
    for t in targets:
        pixels = raw(t.images, min(16, t.images.shape[-1]))
        results = [
            probe(x, t.labels, t.k, draws)
            for x in (features(model, t.images, size), features(fresh(), t.images, size), pixels)
        ]
        shown = " | ".join(f"{r.mean():.3f} ± {r.std():.3f}" for r in results)
        rows.append(f"| {t.name} | {t.k} | {shown} |")
        print(rows[-1], flush=True)
        figures[t.name] = tuple(float(r.mean()) for r in results)
    rows.append("")
    rows.append(
        f"Accuracy of a linear probe (logistic regression on standardised pooled features, strength by cross-validation) on all "
        f"images that are not among the labelled ones: mean ± standard deviation over {draws} draws. Raw pixels: the "
        "same regression on the pixels at 16 px (8 px for the 8 px digits)."
    )
    return "\n".join(rows), figures
