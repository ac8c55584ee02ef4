"""Names of sources: each kind of mistake gets the spelling that would work."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.errors import SourceError
from headstart.sources import list_sources, load_source


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet18", r"unknown source: got 'resnet18'; allowed: timm/resnet18, torchvision/resnet18, bundled/glyphs.*Try: --source timm/resnet18$"),
        ("vgg_16", r"unknown source: got 'vgg_16'; allowed: timm/vgg16.*Try: --source timm/vgg16"),
        ("glyph", r"unknown source: got 'glyph'.*Try: --source bundled/glyphs"),
        ("bundled/glyph", r"no such bundled source: got 'bundled/glyph'; allowed: bundled/.*Try: bundled/glyphs"),
        ("tim/resnet18", r"unknown source: got 'tim/resnet18'.*Try: --source timm/resnet18"),
        ("torchvison/vgg16", r"unknown source: got 'torchvison/vgg16'.*Try: --source torchvision/vgg16"),
        ("google/vit-base", r"unknown source.*Try: --source hf/google/vit-base"),
        ("timm/resnet81", r"timm has no such model: got 'timm/resnet81'; allowed: .*timm/resnet18"),
        ("timm/resnet18.a1", r"timm has no such weights: got 'timm/resnet18.a1'; allowed: timm/resnet18.a1_in1k.*Try: timm/resnet18.a1_in1k"),
        ("timm/test_resnet", None),
        ("torchvision/resnet81", r"torchvision has no such classifier: got 'torchvision/resnet81'; allowed: torchvision/resnet18"),
        ("torchvision/resnet50.IMAGENET", r"torchvision has no such weights: .*allowed: torchvision/resnet50.IMAGENET1K_V1, torchvision/resnet50.IMAGENET1K_V2"),
        ("random/timm/resnet81", "timm has no such architecture"),
        ("./models/mine", r"no such file or folder for a source: got './models/mine'"),
        ("mine.safetensors", "no such file or folder for a source: got 'mine.safetensors'"),
        ("", "unknown source: got ''"),
    ],
)  # fmt: skip
def test_an_unknown_source_gets_a_spelling_that_works(name: str, said: str | None) -> None:
    if said is None:
        said = "are not on this machine"
    with pytest.raises(SourceError, match=said):
        load_source(name)


def test_a_name_without_a_tag_means_the_librarys_own_choice() -> None:
    from headstart.sources import timm, torchvision

    assert timm.resolve("resnet18")[0] == "resnet18.a1_in1k"
    assert torchvision.resolve("resnet50")[1].name == "IMAGENET1K_V2"
    assert torchvision.resolve("resnet50.DEFAULT")[1].name == "IMAGENET1K_V2"


def test_a_home_folder_is_expanded(tmp_path: Path, tiny_source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tiny_source.parent))
    assert load_source(f"~/{tiny_source.name}").width > 0


def test_the_list_names_only_what_load_source_knows() -> None:
    rows = list_sources()
    kinds = {row["name"].partition("/")[0] for row in rows}
    assert kinds == {"bundled", "timm", "torchvision"} and len(rows) > 1000
    assert all(
        {"name", "modality", "architecture", "description", "licence", "size", "here"} == set(row) and row["licence"]
        for row in rows
    )
