"""Every tested architecture of both libraries: features, the head's name, and layers that hold each parameter once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.errors import SourceError
from headstart.sources.architecture import build_backbone, build_whole, complete_arguments, feature_width, layers_of
from headstart.strategies.tuning.tuning import part

# library, architecture, width, the head's name in the library's own layout, at least so many layers: from the papers and the libraries' documents
TESTED = [
    ("timm", "vgg16", 4096, "head.fc", 14),
    ("timm", "resnet18", 512, "fc", 9),
    ("timm", "resnet50", 2048, "fc", 17),
    ("timm", "densenet121", 1024, "classifier", 8),
    ("timm", "inception_v3", 2048, "fc", 16),
    ("timm", "mobilenetv2_100", 1280, "classifier", 18),
    ("timm", "mobilenetv3_small_100", 1024, "classifier", 12),
    ("timm", "efficientnet_b0", 1280, "classifier", 16),
    ("timm", "vit_tiny_patch16_224", 192, "head", 13),
    ("timm", "convnext_atto", 320, "head.fc", 5),
    ("timm", "swin_tiny_patch4_window7_224", 768, "head.fc", 5),
    ("timm", "resnetv2_50", 2048, "head.fc", 5),
    ("torchvision", "vgg16", 4096, "classifier.6", 15),
    ("torchvision", "resnet18", 512, "fc", 9),
    ("torchvision", "resnet50", 2048, "fc", 17),
    ("torchvision", "densenet121", 1024, "classifier", 8),
    ("torchvision", "inception_v3", 2048, "fc", 16),
    ("torchvision", "mobilenet_v2", 1280, "classifier.1", 18),
    ("torchvision", "mobilenet_v3_small", 1024, "classifier.3", 12),
    ("torchvision", "vit_b_16", 768, "heads.head", 13),
    ("torchvision", "swin_t", 768, "head", 13),
    ("torchvision", "convnext_tiny", 768, "classifier.2", 20),
]
NAMES = [f"{library}/{architecture}" for library, architecture, *_ in TESTED]


@pytest.mark.parametrize(("library", "architecture", "width", "classifier", "depth"), TESTED, ids=NAMES)
def test_each_parameter_is_in_exactly_one_layer_and_the_head_has_its_own_name(
    library: str, architecture: str, width: int, classifier: str, depth: int
) -> None:
    with torch.device("meta"):  # the structure only
        backbone, name = build_backbone(library, architecture, {})
    layers = layers_of(backbone)
    held = []
    for layer in layers:
        for module in layer.modules:
            found = part(backbone, module)
            held += [id(p) for p in ([found] if isinstance(found, nn.Parameter) else found.parameters())]
    assert sorted(held) == sorted(id(p) for p in backbone.parameters())
    assert len(layers) >= depth and len({layer.name for layer in layers}) == len(layers)
    assert name == classifier
    whole = build_whole(library, architecture, complete_arguments(library, architecture, {}), 7).state_dict()
    assert whole[f"{name}.weight"].shape[:2] == (7, width)
    assert set(whole) - set(backbone.state_dict()) == {f"{name}.weight", f"{name}.bias"}


@pytest.mark.parametrize(
    ("library", "architecture", "width", "classifier", "depth"),
    [row for row in TESTED if row[1] not in ("vgg16", "vit_b_16", "swin_t", "convnext_tiny")],
)
def test_width_is_found_by_a_dry_forward(
    library: str, architecture: str, width: int, classifier: str, depth: int
) -> None:
    backbone, _ = build_backbone(library, architecture, {})
    size = 224 if "vit" in architecture or "swin" in architecture else 96
    assert feature_width(backbone, size, architecture) == width


def test_layers_go_from_the_input_to_the_output() -> None:
    backbone, _ = build_backbone("timm", "resnet18", {})
    names = [layer.name for layer in layers_of(backbone)]
    assert names == ["conv1", *(f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1))]
    assert layers_of(backbone)[0].modules == ("conv1", "bn1")  # a bare norm goes with the layer before it


def test_a_size_that_a_transformer_does_not_take_is_said() -> None:
    backbone, _ = build_backbone("timm", "vit_tiny_patch16_224", {})
    with pytest.raises(
        SourceError, match=r"does not take an RGB image of this size in mine: got .3 x 96 x 96.*Try: --image-size"
    ):
        feature_width(backbone, 96, "mine")


def test_an_architecture_for_grey_images_is_said() -> None:
    backbone, _ = build_backbone("timm", "test_resnet", {"in_chans": 1})
    with pytest.raises(SourceError, match="does not take an RGB image"):
        feature_width(backbone, 32, "mine")


@pytest.mark.parametrize(
    ("library", "architecture", "arguments", "said"),
    [
        ("timm", "resnet81", {}, r"timm has no such architecture: got 'resnet81'; allowed: .*resnet18.*Try: timm/"),
        ("torchvision", "resnet81", {}, r"torchvision has no such classifier: got 'resnet81'.*torchvision/resnet18"),
        ("timm", "resnet18", {"blok": 1}, r"the architecture resnet18 cannot be built in model_args \{'blok': 1\}: got .*blok"),
        ("torchvision", "resnet18", {"blok": 1}, r"the architecture resnet18 cannot be built in model_args \{'blok': 1\}"),
        ("keras", "resnet18", {}, "unknown library of a model: got 'keras'; allowed: timm, torchvision"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_said(library: str, architecture: str, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        build_backbone(library, architecture, arguments)


@pytest.mark.parametrize(("library", "architecture"), [("torchvision", "inception_v3"), ("timm", "inception_v3"), ("torchvision", "googlenet")])  # fmt: skip
def test_networks_with_auxiliary_heads_give_one_vector_in_training_too(library: str, architecture: str) -> None:
    backbone, _ = build_backbone(library, architecture, {})
    features = backbone.train()(torch.rand(2, 3, 96, 96))
    assert isinstance(features, torch.Tensor) and features.ndim == 2
    assert not any("aux" in name.lower() for name, _ in backbone.named_parameters())
