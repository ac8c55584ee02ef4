"""The bundled sources: each folder is complete and small, loads, and is worth what its card says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.sources import load_source

BUNDLED = Path(__file__).resolve().parents[2] / "src" / "headstart" / "sources" / "bundled"
NAMES = sorted(p.name for p in BUNDLED.iterdir() if (p / "config.json").is_file()) if BUNDLED.is_dir() else []


def test_at_least_three_sources_of_different_architectures_are_bundled() -> None:
    configs = [json.loads((BUNDLED / name / "config.json").read_text(encoding="utf-8")) for name in NAMES]
    assert {"glyphs", "objects", "textures"} <= set(NAMES)
    assert len({c["architecture"] for c in configs}) >= 3
    assert len({tuple(c["headstart"]["trained_on"]) for c in configs}) == len(configs)


@pytest.mark.parametrize("name", NAMES)
def test_folder_holds_weights_card_licence_labels_and_config(name: str) -> None:
    folder = BUNDLED / name
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert (folder / "model.safetensors").stat().st_size < 5_000_000
    assert len(labels) == len(set(labels)) == config["num_classes"]
    assert config["pretrained_cfg"]["license"] and (folder / "LICENSE").read_text(encoding="utf-8").startswith(
        "These weights"
    )
    assert f"scripts/sources/make_{name}.py" in card and "## Licence" in card and "raw pixels" in card
    assert (Path(__file__).resolve().parents[2] / "scripts" / "sources" / f"make_{name}.py").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_source_loads_whole_with_its_head_and_gives_finite_features(name: str) -> None:
    source = load_source(f"bundled/{name}")
    assert source.report.new == () and source.report.dropped == ()
    assert source.head is not None and source.head[0].shape == (len(source.classes), source.width)
    size = source.preprocessing.size
    with torch.inference_mode():
        features = source.backbone.eval()(torch.zeros(2, 3, size, size))
    assert features.shape == (2, source.width) and bool(features.isfinite().all())


def test_glyphs_with_five_labels_a_class_beat_raw_pixels_on_handwritten_digits() -> None:
    """Three draws of 5 labels a class; the card's ten draws with a chosen strength show the same gap."""
    data = load_digits()
    source = load_source("bundled/glyphs")
    grey = torch.from_numpy((data.images * 255 / 16).round().astype(np.uint8))
    images = grey[:, None].expand(-1, 3, -1, -1)
    with torch.inference_mode():
        prepared = torch.stack([source.preprocessing.fit(image) for image in images])
        features = source.backbone.eval()(source.preprocessing.normalize(prepared)).numpy()

    def accuracy(x: np.ndarray, draw: int) -> float:
        rng = np.random.default_rng(draw)
        few = np.concatenate([rng.permutation(np.flatnonzero(data.target == c))[:5] for c in range(10)])
        rest = np.setdiff1d(np.arange(len(x)), few)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(x[few], data.target[few])
        return float(model.score(x[rest], data.target[rest]))

    transferred = np.mean([accuracy(features, draw) for draw in range(3)])
    pixels = np.mean([accuracy(data.data, draw) for draw in range(3)])
    assert transferred > pixels + 0.05, f"glyphs {transferred:.3f}, raw pixels {pixels:.3f}"
    assert transferred > 0.88, f"glyphs {transferred:.3f}"
