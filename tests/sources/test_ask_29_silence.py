"""Ask 29: silence kills. A source that is not what it was when it was written is refused; what is new is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from headstart.errors import SourceError
from headstart.sources import load_source, save_model
from headstart.sources.fingerprint import probe_activation, probe_difference


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    source = load_source("random/timm/mobilenetv2_050", image_size=64)
    save_model(
        tmp_path / "m", source, source.backbone, nn.Linear(source.width, 2), ("a", "b"), source.preprocessing, "card"
    )
    load_source(str(tmp_path / "m"))  # as it was written, it opens
    return tmp_path / "m"


def test_ask_29_one_changed_weight_is_noticed(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    tensors["conv_stem.weight"].view(-1)[0] += 1e-3
    save_file(tensors, saved / "model.safetensors")
    with pytest.raises(
        SourceError,
        match=r"the weights are not those that this folder was written with in .*: got 'digest \w{16}'; allowed: \w{16}. Try: copy",
    ):
        load_source(str(saved))


def test_ask_29_the_same_weights_in_other_arithmetic_are_noticed(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text(encoding="utf-8"))
    config["model_args"]["pad_type"] = "same"  # what an update of a library, or a lost argument, would do
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        SourceError,
        match=r"answers a known picture with other features .*: got 'a difference of .*Try: the model_args and the version of timm",
    ):
        load_source(str(saved))


def test_ask_29_random_weights_are_never_silent() -> None:
    source = load_source("random/timm/test_resnet")
    assert source.report.loaded == 0
    assert source.report.line().startswith(f"loaded 0 of {source.report.total} backbone tensors; new: conv1")


def test_ask_29_loading_leaves_the_callers_random_state_alone() -> None:
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    one = load_source("random/timm/test_resnet")
    assert torch.equal(torch.rand(3), wanted)
    assert load_source("random/timm/test_resnet").digest == one.digest  # what is new is new in the same way


def test_the_probe_tells_networks_apart_and_batch_norm_modes_together() -> None:
    source = load_source("random/timm/test_resnet")
    first = probe_activation(source.backbone, 64)
    source.backbone.train()
    assert probe_difference(first, probe_activation(source.backbone, 64)) == 0 and source.backbone.training
    other = probe_activation(source.build().eval(), 64)
    assert probe_difference(first, other) > 0.05
    assert probe_difference({"first": [1.0, 0.0], "rms": 2.0}, {"first": [1.0, 0.5], "rms": 2.0}) == 0.25
