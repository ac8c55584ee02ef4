"""A source's preprocessing does what the library's own transformation does."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torchvision.models as models
from PIL import Image
from timm.data import create_transform, resolve_data_config

from headstart.errors import SourceError
from headstart.sources.assemble import timm_preprocessing
from headstart.sources.timm import resolve
from headstart.sources.torchvision import preprocessing_of


def photograph(width: int, height: int) -> Image.Image:
    """Smooth colours with some texture, so that another interpolation shows."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(0)
    planes = [np.sin(x / (7 + c)) * 60 + np.cos(y / (11 - c)) * 50 + 128 for c in range(3)]
    return Image.fromarray((np.stack(planes, -1) + rng.normal(0, 8, (height, width, 3))).clip(0, 255).astype(np.uint8))


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)


@pytest.mark.parametrize("shape", [(301, 217), (120, 400), (224, 224)])
@pytest.mark.parametrize(
    "name",
    [
        "resnet18.tv_in1k", "resnet50.a1_in1k", "vgg16.tv_in1k", "densenet121.ra_in1k", "inception_v3.tf_in1k", "mobilenetv3_small_100.lamb_in1k",
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k", "dm_nfnet_f0.dm_in1k", "vit_base_patch16_clip_224.openai", "mobilenetv1_100.ra4_e3600_r224_in1k",
    ],
)  # fmt: skip
def test_timm_sources_see_what_timm_sees(name: str, shape: tuple[int, int]) -> None:
    config = resolve(name)[1].to_dict()
    theirs = create_transform(**resolve_data_config({}, pretrained_cfg=config))
    image = photograph(*shape)
    found, wanted = timm_preprocessing(config)(tensor(image)), theirs(image)
    assert found.shape == wanted.shape
    step = 1 / 255 / min(config["std"])  # theirs resizes with Pillow, ours with torch: each rounds to whole levels
    assert (found - wanted).abs().max() <= 2.01 * step
    assert (found - wanted).abs().mean() <= 0.3 * step


@pytest.mark.parametrize("shape", [(301, 217), (120, 400)])
@pytest.mark.parametrize("name", ["resnet18", "vgg16", "densenet121", "inception_v3", "vit_b_16", "swin_t", "efficientnet_b3", "convnext_tiny"])  # fmt: skip
def test_torchvision_sources_see_what_torchvision_sees(name: str, shape: tuple[int, int]) -> None:
    weights = models.get_model_weights(name)["DEFAULT"]
    image = tensor(photograph(*shape))
    found, wanted = preprocessing_of(weights)(image), weights.transforms()(image)
    assert found.shape == wanted.shape
    step = 1 / 255 / min(weights.transforms().std)  # theirs rounds once more between the resize and the crop
    assert (found - wanted).abs().max() <= 1.01 * step
    assert (found - wanted).abs().mean() <= 0.3 * step


def test_every_torchvision_classifier_keeps_its_crop_and_resize() -> None:
    import math

    seen = 0
    for base in models.list_models(module=models):
        for weights in models.get_model_weights(base):
            ours, theirs = preprocessing_of(weights), weights.transforms()
            assert ours.size == theirs.crop_size[0]
            assert math.floor(ours.size / ours.crop_pct + 1e-6) == theirs.resize_size[0], weights
            assert ours.interpolation == theirs.interpolation.value
            seen += 1
    assert seen > 80


def test_every_timm_config_is_read_or_refused() -> None:
    from timm.models import get_pretrained_cfg

    refused = []
    for name in timm.list_pretrained():
        config = get_pretrained_cfg(name)
        assert config is not None
        try:
            timm_preprocessing(config.to_dict())
        except SourceError:
            refused.append(name)
    assert len(refused) < 0.02 * len(timm.list_pretrained()), refused


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"input_size": (1, 28, 28)}, r"does not take square RGB images: got \[1, 28, 28\]; allowed: 3 x S x S"),
        ({"input_size": (3, 64, 32)}, "does not take square RGB images"),
        ({"interpolation": "lanczos"}, "unknown interpolation: got 'lanczos'; allowed: bilinear, bicubic, nearest"),
        ({"crop_mode": "border"}, "unknown crop_mode: got 'border'; allowed: center, squash"),
    ],
)
def test_a_preprocessing_that_is_not_known_is_refused(config: dict[str, object], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        timm_preprocessing(config)
