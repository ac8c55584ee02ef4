"""timm and torchvision weights through the libraries' own loading code: files under the caches' own names, random inside.

The oracle: backbone, then the source task's head, answers what the library's own model answers with the same file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision.models as models
from safetensors.torch import save as to_bytes
from torch import nn

from headstart.errors import SourceError
from headstart.sources import load_source
from headstart.sources.source import Source

Put = Callable[[str, dict[str, bytes]], Path]
LARGE = pytest.mark.slow
TIMM = [
    ("resnet18.tv_in1k", 64),
    ("resnet50.a1_in1k", 64),
    ("densenet121.ra_in1k", 64),
    ("inception_v3.tf_in1k", 96),
    ("mobilenetv2_100.ra_in1k", 64),
    ("mobilenetv3_small_100.lamb_in1k", 64),
    ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", None),
    pytest.param("vgg16.tv_in1k", 64, marks=LARGE),
]
TORCHVISION = [
    ("resnet18", 64),
    ("resnet50.IMAGENET1K_V2", 64),
    ("densenet121", 64),
    ("inception_v3", 96),
    ("mobilenet_v2", 64),
    ("mobilenet_v3_small", 64),
    pytest.param("vit_b_16", None, marks=LARGE),
    pytest.param("vgg16", 64, marks=LARGE),
]


@torch.inference_mode()
def logits(source: Source, x: torch.Tensor) -> torch.Tensor:
    assert source.head is not None
    return nn.functional.linear(source.backbone(x), *source.head)


@torch.inference_mode()
def same_answers(source: Source, model: nn.Module) -> None:
    """The differences to the library's model are small beside those between two pictures."""
    x = picture(source.preprocessing.size)
    found, wanted = logits(source, x), model(x)
    between = (wanted[0] - wanted[1]).abs().max()
    assert between > 1e-3 * wanted.abs().max(), "the model answers the same whatever it sees, so nothing is compared"
    assert (found - wanted).abs().max() < 1e-3 * between


def picture(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("name", "size"), TIMM)
def test_timm_source_answers_what_timm_answers(
    name: str, size: int | None, hub_cache: Put, randomise: Callable[[nn.Module], nn.Module]
) -> None:
    model = randomise(timm.create_model(name, pretrained=False))
    hub_cache(f"timm/{name}", {"model.safetensors": to_bytes(model.state_dict())})
    source = load_source(f"timm/{name}", image_size=size)
    same_answers(source, model)
    assert source.report.new == () and source.report.dropped == () and source.report.loaded == source.report.total
    assert source.name == f"timm/{name}" and len(source.classes) == 1000 and source.licence != "not stated"


@pytest.mark.parametrize(("name", "size"), TORCHVISION)
def test_torchvision_source_answers_what_torchvision_answers(
    name: str, size: int | None, torch_cache: Path, randomise: Callable[[nn.Module], nn.Module]
) -> None:
    base, _, tag = name.partition(".")
    weights = models.get_model_weights(base)[tag or "DEFAULT"]
    # as the published files were made: Inception with its auxiliary head and its own transformation of the input
    arguments = {"transform_input": True, "aux_logits": True, "init_weights": False} if base == "inception_v3" else {}
    model = randomise(models.get_model(base, weights=None, **arguments))
    state = model.state_dict()
    if base == "densenet121":  # the published file still has the names of an old version
        state = {
            re.sub(r"(denselayer\d+\.(?:norm|relu|conv))([12])", r"\1.\2", k): v
            for k, v in state.items()
            if "num_batches" not in k
        }
        assert any("norm.1" in k for k in state)
    torch.save(state, torch_cache / weights.url.rsplit("/", 1)[-1])
    source = load_source(f"torchvision/{name}", image_size=size)
    same_answers(source, model)
    assert source.report.new == ()
    assert all(k.startswith("AuxLogits.") for k in source.report.dropped)
    assert source.classes == tuple(weights.meta["categories"])
    assert source.name == f"torchvision/{base}.{weights.name}"


def test_scratch_has_the_same_structure_and_other_weights(torch_cache: Path) -> None:
    model = models.mobilenet_v3_small()
    torch.save(model.state_dict(), torch_cache / "mobilenet_v3_small-047dcff4.pth")
    source = load_source("torchvision/mobilenet_v3_small", image_size=64)
    fresh = source.build()
    assert {k: v.shape for k, v in fresh.state_dict().items()} == {
        k: v.shape for k, v in source.backbone.state_dict().items()
    }
    name, _ = next(fresh.named_parameters())
    assert not torch.equal(fresh.get_parameter(name), source.backbone.get_parameter(name))


def test_a_weights_file_that_is_cut_off_is_named(torch_cache: Path) -> None:
    path = torch_cache / "resnet18-f37072fd.pth"
    torch.save(models.resnet18().state_dict(), path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(
        SourceError,
        match=r"file of the weights of torchvision/resnet18.IMAGENET1K_V1 cannot be used in .*resnet18-f37072fd.pth: got .*Try: delete that file",
    ):
        load_source("torchvision/resnet18")


def test_a_timm_file_of_another_architecture_is_named(hub_cache: Put) -> None:
    model = timm.create_model("test_resnet")
    hub_cache("timm/resnet18.tv_in1k", {"model.safetensors": to_bytes(model.state_dict())})
    with pytest.raises(
        SourceError, match=r"file of the weights of timm/resnet18.tv_in1k cannot be used in .*model.safetensors"
    ):
        load_source("timm/resnet18.tv_in1k")


def test_a_hub_repository_in_timms_layout_is_a_source(hub_cache: Put, timm_folder: tuple[Path, nn.Module]) -> None:
    folder, model = timm_folder
    hub_cache("someone/birds", {p.name: p.read_bytes() for p in folder.iterdir()})
    source = load_source("hf/someone/birds")
    same_answers(source, model)
    assert source.name == "hf/someone/birds"


def test_a_hub_repository_of_another_kind_is_refused_in_words(
    hub_cache: Put,
) -> None:
    hub_cache("someone/bert", {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x"})
    with pytest.raises(SourceError, match=r"this model of texts has no tokenizer in .*"):
        load_source("hf/someone/bert")
    with pytest.raises(SourceError, match="a hub model is named by two parts: got 'hf/bert'; allowed: hf/ORG/NAME"):
        load_source("hf/bert")
