"""Fixtures that any room's tests may use."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any hub client is imported: no test may reach the network
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout, or a skip."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real data sets (../shared/data) is not beside this checkout")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has its own cache folder, so that none sees another's features."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HEADSTART_CACHE", str(cache))
    return cache


@pytest.fixture(autouse=True)
def short_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fit` with no strategy compares strategies for two minutes where people use it, and for two seconds here."""
    monkeypatch.setattr("headstart.verbs.decide.CHOOSING", 2.0)


@pytest.fixture(autouse=True)
def every_epoch_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that interrupt a training count on a checkpoint after each epoch, however short its epochs are."""
    monkeypatch.setattr("headstart.training.loop.SAVE_SHARE", float("inf"))


def paint(label: int, rng: np.random.Generator, size: int = 32) -> Image.Image:
    """A noisy picture whose class is easy to see: stripes at 0, 45, 90 ... degrees, one colour channel stronger."""
    y, x = np.mgrid[:size, :size]
    angle = label * np.pi / 4
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.9 + rng.uniform(0, 6.28))
    picture = np.repeat((wave * 70 + 128)[..., None], 3, axis=2)
    picture[..., label % 3] += 30
    picture += rng.normal(0, 18, picture.shape)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Three classes x 16 small PNG pictures in class folders, no split."""
    rng = np.random.default_rng(0)
    root = tmp_path / "shapes"
    for label, name in enumerate(["across", "diagonal", "down"]):
        (root / name).mkdir(parents=True)
        for i in range(16):
            paint(label, rng).save(root / name / f"{i:03d}.png")
    return root


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small residual network in timm's local layout, its weights random but fixed; a source for tests of plumbing."""
    import json

    import timm
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("sources") / "tiny"
    folder.mkdir()
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=5)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    config = {
        "architecture": "test_resnet",
        "num_classes": 5,
        "pretrained_cfg": {
            "input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "crop_pct": 1.0,
            "num_classes": 5, "classifier": "fc", "first_conv": "conv1", "license": "apache-2.0",
        },
        "model_args": {},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "labels.txt").write_text("\n".join("abcde"))
    return folder
