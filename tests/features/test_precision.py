"""Fast forms of a backbone give the same features."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.errors import RecipeError
from headstart.features.precision import (
    check_precision,
    fastest,
    fold_batch_norm,
    least_cosine,
    plain,
    prepare,
)


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def lived(model: nn.Module, size: int = 64) -> nn.Module:
    """Batch norms with statistics and scales that a fold must get right."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    model.train()
    with torch.no_grad():
        model(torch.randn(8, 3, size, size))
    return model


@pytest.fixture(params=["torchvision/resnet18", "timm/mobilenetv3_small_050"])
def backbone(request: pytest.FixtureRequest) -> nn.Module:
    library, name = request.param.split("/")
    if library == "timm":
        import timm

        return lived(timm.create_model(name, num_classes=0))
    import torchvision

    model = torchvision.models.get_model(name)
    model.fc = nn.Identity()
    return lived(model)


def test_batch_norms_are_folded_and_features_stay(backbone: nn.Module) -> None:
    x = torch.randn(4, 3, 64, 64)
    folded = fold_batch_norm(backbone)
    assert norms(backbone) > 0 == norms(folded)
    assert backbone.training and not folded.training
    expected = plain(backbone, "cpu")(x)
    torch.testing.assert_close(folded(x).detach(), expected, atol=1e-4, rtol=1e-4)
    for precision in ("fp32", "bf16"):
        found = prepare(backbone, "cpu", precision)(x)
        assert found.dtype == torch.float32
        assert least_cosine(found, expected) > 0.999
    assert all(p.dtype == torch.float32 for p in backbone.parameters())


class Twice(nn.Module):
    """A convolution whose output is also used without its batch norm, and a norm after a sum: neither may be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.other = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.other(self.bn(y) + y).mean((2, 3))


class Untraceable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            x = x * 2
        return self.bn(self.conv(x)).mean((2, 3))


@pytest.mark.parametrize("model", [Twice(), Untraceable()])
def test_what_cannot_be_folded_safely_is_left(model: nn.Module) -> None:
    lived(model, 16)
    x = torch.randn(5, 3, 16, 16)
    folded = fold_batch_norm(model)
    assert norms(folded) == norms(model)
    torch.testing.assert_close(folded(x).detach(), plain(model, "cpu")(x))


def test_cosine_of_zeros_and_of_broken_numbers() -> None:
    a = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert least_cosine(a, a) == 1.0
    assert least_cosine(a, torch.tensor([[0.0, 0.0], [0.0, 1.0]])) == 0.0
    assert least_cosine(a, torch.tensor([[0.0, torch.nan], [1.0, 0.0]])) == -1.0


def test_unknown_and_impossible_precisions_are_refused() -> None:
    with pytest.raises(RecipeError, match="unknown precision: got 'int8'; allowed: auto, fp32, bf16, fp16"):
        check_precision("int8", "cpu")
    with pytest.raises(RecipeError, match="fp16 features need a GPU: got 'cpu'"):
        check_precision("fp16", "cpu")
    assert fastest("cpu") in ("fp32", "bf16") and fastest("mps") == "fp32"
