"""Ask 12: which adapters, on which layers, at which rate? Found on the model at hand (peft #622, #925, #960, #1948; fused qkv: #691)."""

import pytest
import torch
from safetensors.torch import load_file

import headstart as hs
from headstart.sources import load_source
from headstart.sources.architecture import build_backbone, layers_of
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.tuning.adapters import targets
from headstart.training.optim import HEAD_LR_SCALE, Optimisation
from headstart.training.stage_table import stage_table
from headstart.training.transfer import resolve


@pytest.mark.parametrize(
    ("library", "name", "arguments", "some", "left"),
    [
        ("timm", "resnet18", {}, ["conv1", "layer1.0.conv1", "layer4.0.downsample.0"], []),
        ("timm", "vit_tiny_patch16_224", {"img_size": 32}, ["patch_embed.proj", "blocks.0.attn.qkv", "blocks.0.mlp.fc2"], []),
        ("timm", "mobilenetv2_100", {}, ["conv_stem", "blocks.1.0.conv_pw"], ["blocks.1.0.conv_dw"]),
        ("torchvision", "vit_b_16", {"image_size": 32}, ["conv_proj", "encoder.layers.encoder_layer_0.mlp.0"],
         ["encoder.layers.encoder_layer_0.self_attention.out_proj"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_targets_are_the_layers_that_are_there_and_run(library, name, arguments, some, left):
    net, _ = build_backbone(library, name, arguments)
    found, out = targets(net, layers_of(net), 32, grouped=False)
    assert set(some) <= set(found)
    assert set(left) <= set(out)
    assert bool(left) == bool(out)
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    assert len(found) + len(out) == sum(isinstance(module, kinds) for module in net.modules())


@pytest.mark.parametrize("name", ["lora", "dora", "ia3", "bitfit", "norms"])
def test_few_parameters_move_at_ten_times_the_rate_which_is_the_heads(name, tiny_source):
    source = load_source(str(tiny_source))
    strategy = parse_strategy(name)
    options = resolve({"epochs": 4}, 100, 32, pretrained=True)
    rows = stage_table(source, strategy, strategy.tuning.stages(source.layers), options)
    rates = {row["lr"] for row in rows if row["moving"]}
    assert rates == {options.lr * HEAD_LR_SCALE} == {10 * resolve({}, 100, 32, pretrained=True).lr}
    moved = sum(row["moving"] for row in rows)
    assert 0 < moved < source.parameters


def test_the_default_rank_counts_as_by_hand():
    """A convolution from a to b with kernel k takes rank * (a k k + b) parameters, a linear layer rank * (a + b)."""
    source = load_source("random/timm/resnet18")
    strategy = parse_strategy("lora")
    assert (strategy.tuning.rank, strategy.tuning.alpha) == (8, 0)
    rows = stage_table(source, strategy, strategy.tuning.stages(source.layers), Optimisation(epochs=4, lr=1e-3))
    by_hand = 8 * sum(
        m.weight[0].numel() + len(m.weight) for m in source.backbone.modules() if isinstance(m, torch.nn.Conv2d)
    )
    assert sum(row["moving"] for row in rows) == by_hand
    assert {row["bn"] for row in rows} == {"frozen statistics"}


@pytest.mark.parametrize("name", ["lora(rank=4)", "ia3"])
def test_fit_ends_in_a_plain_model_that_opens_without_peft(name, image_folder, tiny_source, tmp_path):
    run = hs.fit(
        image_folder, source=str(tiny_source), strategy=name, epochs=2, baselines="none", out=tmp_path / "run", workers=1,
        verify=False,
    )  # fmt: skip
    weights, start = load_file(run.path / "model" / "model.safetensors"), load_file(tiny_source / "model.safetensors")
    assert not any("lora" in key or "ia3" in key or "base_layer" in key for key in weights)
    same = {key for key in start if key in weights and torch.equal(start[key], weights[key])}
    changed = {key for key in start if key in weights} - same
    assert changed, "something was learned"
    assert all("running" not in key for key in changed), "batch norms keep the source's statistics"
    told = run.metrics["strategy"]
    assert told["trainable"] < 0.5 * told["total"]
    stepped = hs.predict(run.path, sorted(image_folder.rglob("*.png"))[:3])
    assert len(stepped) == 3
