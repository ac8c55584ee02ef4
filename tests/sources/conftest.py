"""Caches of weights in temporary folders, filled with random weights under the libraries' own names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn


@pytest.fixture
def torch_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch hub cache: ``TORCH_HOME/hub/checkpoints``."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, bytes]], Path]:
    """An empty Hugging Face cache, and a function that puts the files of one repository into it."""
    import huggingface_hub.constants as constants

    root = tmp_path / "huggingface"
    root.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root))

    def put(repository: str, files: dict[str, bytes]) -> Path:
        folder = root / ("models--" + repository.replace("/", "--"))
        commit = "0" * 40
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(commit)
        snapshot = folder / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for name, content in files.items():
            (snapshot / name).write_bytes(content)
        return snapshot

    return put


def randomised(model: nn.Module) -> nn.Module:
    """The model in eval mode with weights through which a picture comes out at the other end, and batch norm statistics
    that are not the trivial ones."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.05)
        if name.endswith("running_var"):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return model.eval()


def write_timm_folder(folder: Path, architecture: str = "test_resnet", n: int = 5, **model_args: object) -> nn.Module:
    """timm's own writer of a local model folder; gives the model that it wrote."""
    import timm
    from timm.models import save_for_hf

    torch.manual_seed(0)
    model = randomised(timm.create_model(architecture, num_classes=n, **model_args))
    save_for_hf(model, str(folder), model_args=model_args or None, safe_serialization=True)
    return model


@pytest.fixture
def randomise() -> Callable[[nn.Module], nn.Module]:
    """:func:`randomised`."""
    return randomised


@pytest.fixture
def timm_folder(tmp_path: Path) -> tuple[Path, nn.Module]:
    """A small model folder written by timm itself, and the model in it."""
    return tmp_path / "made", write_timm_folder(tmp_path / "made")


@pytest.fixture
def write_folder() -> Callable[..., nn.Module]:
    """:func:`write_timm_folder`."""
    return write_timm_folder


@pytest.fixture
def edit() -> Callable[..., None]:
    """:func:`edit_config`."""
    return edit_config


def edit_config(folder: Path, **changes: object) -> None:
    """Change keys of a folder's config.json; ``None`` removes."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        if value is None:
            config.pop(key, None)
        else:
            config[key] = value
    path.write_text(json.dumps(config))
