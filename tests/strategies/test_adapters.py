"""LoRA, DoRA and (IA)3: nothing changes at the start, hand-worked products, merged equals unmerged, dead layers left out."""

import copy

import pytest
import torch
from torch import nn

from headstart.errors import HandshakeError, RecipeError
from headstart.sources.architecture import layers_of
from headstart.sources.source import Layer
from headstart.strategies.tuning import adapters
from headstart.strategies.tuning.adapters import targets
from headstart.strategies.tuning.full import Full
from headstart.strategies.tuning.ia3 import IA3, mlps
from headstart.strategies.tuning.keep import Keep
from headstart.strategies.tuning.lora import LoRA
from headstart.strategies.tuning.tuning import set_trainable

SIZE = 12


class Aside(nn.Module):
    """Reads the weights of a linear layer without calling it, as torch's attention does."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.inner.weight, self.inner.bias)


def backbone() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6), nn.BatchNorm2d(6),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Sequential(nn.Linear(6, 24), nn.GELU(), nn.Linear(24, 6)), Aside(6),
        nn.Linear(6, 4),
    ).eval()  # fmt: skip


LAYERS = [Layer("stem", ("0", "1")), Layer("middle", ("3", "4")), Layer("mlp", ("7",)), Layer("end", ("8", "9"))]
TUNINGS = [LoRA(rank=2), LoRA(rank=2, alpha=6), LoRA(rank=3, dora=True), IA3()]


def stirred(tuning, net, layers=LAYERS, size=SIZE, by=0.3):
    """The net with adapters that have been moved away from their start."""
    tuning.rewire(net, layers, size)
    set_trainable(net, tuning.stages(layers))
    moved = {name: p for name, p in net.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for p in moved.values():
            p.add_(torch.randn_like(p) * by)
    return moved


def test_only_layers_that_are_called_carry_adapters_and_convolutions_in_groups_no_low_rank_ones():
    assert targets(backbone(), LAYERS, SIZE, grouped=False) == (["0", "7.0", "7.2", "9"], ["3", "8.inner"])
    assert targets(backbone(), LAYERS, SIZE, grouped=True)[1] == ["8.inner"]
    assert targets(backbone(), LAYERS[2:3], SIZE, grouped=False)[0] == ["7.0", "7.2"]


def test_the_plan_counts_them_and_names_those_left_out():
    body = backbone()
    assert LoRA().note(body, LAYERS, SIZE) == (
        "4 of 6 linear and convolution layers can carry an adapter; left out, in groups or read without being called: "
        "3, 8.inner"
    )
    assert (
        Keep(LoRA(), "stem, end, middle").note(body, LAYERS, SIZE)
        == "2 of 2 linear and convolution layers can carry an adapter"
    )
    assert Full().note(body, LAYERS, SIZE) == ""


@pytest.mark.parametrize("tuning", TUNINGS, ids=str)
def test_adapters_change_nothing_at_first_and_merge_into_what_they_have_learned(tuning):
    net, x = backbone(), torch.randn(5, 3, SIZE, SIZE)
    names, before, frozen = list(net.state_dict()), net(x), copy.deepcopy(net.state_dict())
    fresh = copy.deepcopy(net)
    tuning.rewire(fresh, LAYERS, SIZE)
    torch.testing.assert_close(fresh(x), before, rtol=0, atol=1e-6)
    net.to(memory_format=torch.channels_last)  # as the loop does
    moved = stirred(tuning, net)
    net.to(memory_format=torch.channels_last)
    assert all("lora_" in name or "ia3_" in name for name in moved)
    unmerged = net(x)
    assert (unmerged - before).abs().max() > 1e-3
    tuning.restore(net)
    torch.testing.assert_close(net(x), unmerged, rtol=0, atol=1e-5)
    assert list(net.state_dict()) == names
    assert all(p.requires_grad for p in net.parameters())
    for name in ("1.weight", "8.inner.weight"):
        assert torch.equal(net.state_dict()[name], frozen[name]), name


def product(moved, name):
    """B A by sums over the rank: (out, in) or (out, in, kh, kw)."""
    a, b = moved[f"{name}.lora_A.default.weight"].detach(), moved[f"{name}.lora_B.default.weight"].detach()
    return torch.einsum("or,r...->o...", b.flatten(1), a)


def test_lora_is_the_product_by_hand():
    net = backbone()
    plain = copy.deepcopy(net.state_dict())
    moved = stirred(LoRA(rank=2, alpha=6), net)
    found = {name: plain[f"{name}.weight"] + 3 * product(moved, name) for name in ("0", "7.0", "9")}
    LoRA().restore(net)
    for name, weight in found.items():
        torch.testing.assert_close(net.state_dict()[f"{name}.weight"], weight)
        assert torch.equal(net.state_dict()[f"{name}.bias"], plain[f"{name}.bias"])


def test_the_rank_is_cut_to_the_layer_and_the_scale_stays():
    net = backbone()
    plain = copy.deepcopy(net.state_dict())
    moved = stirred(LoRA(rank=5, alpha=10), net)
    assert moved["0.lora_A.default.weight"].shape == (5, 3, 3, 3)
    assert moved["9.lora_A.default.weight"].shape == (4, 6)
    weight = plain["9.weight"] + 2 * product(moved, "9")
    LoRA().restore(net)
    torch.testing.assert_close(net.state_dict()["9.weight"], weight)


def test_dora_is_magnitude_times_direction_by_hand():
    net = backbone()
    plain = copy.deepcopy(net.state_dict())
    moved = stirred(LoRA(rank=2, dora=True), net)
    found = {}
    for name in ("0", "9"):
        weight = plain[f"{name}.weight"] + product(moved, name)
        length = weight.flatten(1).norm(dim=1)
        magnitude = moved[f"{name}.lora_magnitude_vector.default.weight"].detach().flatten()
        found[name] = weight * (magnitude / length).reshape(-1, *[1] * (weight.ndim - 1))
    LoRA().restore(net)
    for name, weight in found.items():
        torch.testing.assert_close(net.state_dict()[f"{name}.weight"], weight)


def test_ia3_scales_rows_and_in_an_mlp_the_columns_of_its_second_layer():
    net = backbone()
    plain = copy.deepcopy(net.state_dict())
    assert mlps(net, ["0", "7.0", "7.2", "9"]) == ({"7.0"}, {"7.2"})
    moved = {name.split(".ia3_l")[0]: p.detach().flatten() for name, p in stirred(IA3(), net).items()}
    assert set(moved) == {"0", "3", "7.2", "9"}
    IA3().restore(net)
    after = net.state_dict()
    torch.testing.assert_close(after["9.weight"], plain["9.weight"] * moved["9"][:, None])
    torch.testing.assert_close(after["9.bias"], plain["9.bias"] * moved["9"])
    torch.testing.assert_close(after["3.weight"], plain["3.weight"] * moved["3"][:, None, None, None])
    torch.testing.assert_close(after["7.2.weight"], plain["7.2.weight"] * moved["7.2"])
    assert torch.equal(after["7.2.bias"], plain["7.2.bias"])


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("tuning", [LoRA(), LoRA(dora=True), IA3()], ids=lambda t: t.describe()[:4])
def test_real_architectures(name, tuning):
    import timm

    torch.manual_seed(1)
    net = timm.create_model(name, num_classes=0, **({"img_size": 32} if "vit" in name else {})).eval()
    names, x, layers = list(net.state_dict()), torch.randn(2, 3, 32, 32), layers_of(net)
    moved = stirred(tuning, net, layers, 32, by=0.03)
    assert sum(p.numel() for p in moved.values()) < 0.12 * sum(p.numel() for p in net.parameters())
    if "vit" in name:  # fused queries, keys and values are one layer, and it carries an adapter
        assert any("blocks.0.attn.qkv." in each for each in moved)
    unmerged = net(x)
    tuning.restore(net)
    torch.testing.assert_close(net(x), unmerged, rtol=1e-5, atol=1e-5)
    assert list(net.state_dict()) == names


def test_nothing_to_act_on_is_refused():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten())
    with pytest.raises(HandshakeError, match="LoRA has nothing to act on"):
        LoRA().rewire(net, [Layer("a", ("0",))], 4)


def test_without_peft_one_sentence_names_the_command(monkeypatch):
    monkeypatch.setattr(adapters.importlib.util, "find_spec", lambda name: None)
    for make in (LoRA, IA3):
        with pytest.raises(RecipeError, match=r"not installed. Try: pip install 'headstart\[peft\]'"):
            make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LoRA(rank=1.5), "'rank' of strategy 'lora' is out of range: got 1.5"),
        (lambda: LoRA(rank=0, dora=True), "'rank' of strategy 'dora' is out of range"),
        (lambda: LoRA(bn="none"), "'bn' of strategy 'lora'"),
        (lambda: IA3(lr_scale=0), "'lr_scale' of strategy 'ia3'"),
    ],
)
def test_arguments_out_of_range_are_refused(make, words):
    with pytest.raises(RecipeError, match=words):
        make()
