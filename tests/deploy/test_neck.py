"""Layers between a saved backbone and its head: the source that is loaded can be built again, and its stages hold all of it."""

import shutil

import torch
from torch import nn

from headstart.deploy.neck import load_neck, neck_of, save_neck
from headstart.sources import load_source
from headstart.sources.bottleneck import on_backbone


def test_a_loaded_network_is_built_again_with_its_new_layers(tiny_source, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_source, folder)
    bare = load_source(str(folder))
    made = on_backbone(bare.backbone, bare.layers, bare.width, (8, 6))
    (folder / "labels.txt").write_text("a\nb\n")
    save_neck(folder, neck_of(made.backbone)[1], nn.Linear(6, 2))
    source = load_neck(folder, bare)
    assert source.width == 6 and source.classes == ("a", "b")
    built = source.build()
    assert built is not source.backbone
    built.load_state_dict(source.backbone.state_dict())
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(built.eval()(x), source.backbone(x))
    held = [id(p) for layer in source.layers for name in layer.modules for p in built.get_submodule(name).parameters()]
    assert sorted(held) == sorted(id(p) for p in built.parameters())
