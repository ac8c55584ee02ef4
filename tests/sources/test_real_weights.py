"""Real pretrained weights beside the checkout: they load whole, and the ImageNet heads know what they see."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from headstart.sources import load_source

FOLDERS = {"mobilenetv1-imagenet": (1024, 1000), "mobilenetv2-imagenet": (1280, 1000), "mobilenetv2-inat-birds": (1280, 964)}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_real_folder_loads_whole(name: str, shared_data: Path) -> None:
    source = load_source(str(shared_data / "weights" / name))
    width, n = FOLDERS[name]
    assert (source.width, source.parameters > 2_000_000, source.model_args) == (width, True, {"pad_type": "same"})
    assert source.report.new == source.report.dropped == ()
    assert source.head is not None and source.head[0].shape == (n, width) and len(source.classes) == n
    assert (source.preprocessing.mean, source.preprocessing.interpolation) == ((0.5, 0.5, 0.5), "bicubic")
    assert source.licence.startswith("apache-2.0")
    assert load_source(str(shared_data / "weights" / name), image_size=128).digest == source.digest


def test_the_bare_trunk_loads_with_its_architecture(shared_data: Path) -> None:
    path = shared_data / "weights" / "mobilenetv1_imagenet_trunk.safetensors"
    source = load_source(str(path), arch="mobilenetv1_100", image_size=128)
    assert source.head is None and source.report.new == ()
    with torch.inference_mode():
        features = source.backbone(torch.rand(4, 3, 128, 128))
    assert float(features.std(dim=0).mean()) > 0.01  # pictures are told apart


def test_photographs_are_recognised_as_timm_recognises_them(shared_data: Path) -> None:
    """From the file to the class name, ours against timm's model, transformation and decoding by Pillow."""
    import io
    import zipfile

    import timm
    from PIL import Image
    from timm.data import create_transform, resolve_data_config

    from headstart.data.images import read_image

    archive = shared_data / "vision" / "caltech101-70" / "caltech101-70.zip"
    folder = shared_data / "weights" / "mobilenetv2-imagenet"
    source = load_source(str(folder))
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = create_transform(**resolve_data_config({}, model=theirs))
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if "/grand_piano/" in name][:5]
        names += [name for name in opened.namelist() if "/panda/" in name][:5]
        wanted = torch.stack([transform(Image.open(io.BytesIO(opened.read(name))).convert("RGB")) for name in names])
    found = torch.stack([source.preprocessing(read_image(f"{archive}!/{name}")) for name in names])
    assert source.head is not None
    with torch.inference_mode():
        ours = torch.nn.functional.linear(source.backbone(found), *source.head).argmax(1)
        assert torch.equal(ours, theirs(wanted).argmax(1))
    said = [source.classes[i] for i in ours]
    assert sum("grand piano" in name for name in said) == 5 and sum("giant panda" in name for name in said) >= 2
