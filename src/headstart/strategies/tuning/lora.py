"""LoRA (Hu et al., ICLR 2022) and DoRA (Liu et al., ICML 2024) on linear and convolution layers, by peft."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from headstart.errors import RecipeError, sentence
from headstart.sources.source import Layer
from headstart.strategies.tuning.adapters import (
    counted,
    exactly,
    inject,
    merge,
    refuse_nothing,
    require_peft,
    targets,
)
from headstart.strategies.tuning.few import BN, Few


@dataclass(frozen=True)
class LoRA(Few):
    """Every weight ``W`` stays, and a product of low rank beside it moves: ``W + (alpha / rank) B A``.

    ``A`` (rank, in) starts random, ``B`` (out, rank) at zero, so that the first forward pass is the source's. A
    convolution's ``A`` has its kernel and ``rank`` channels, its ``B`` is 1 x 1. All linear layers and all convolutions
    without groups carry one (Schulman et al. 2025, *LoRA Without Regret*: those of the MLPs count more than those of the
    attention). After training they are merged: the saved model is a plain one.

    Args:
        rank: a whole number >= 1, default 8; cut down to the smaller side of a layer where that is less.
        alpha: > 0; 0, the default, stands for ``rank``: the product is taken as it is.
        lr_scale: > 0, default 10: rate of the adapters over that of full fine-tuning (about tenfold in the same study).
        bn: ``"frozen"`` (default: the norms around the frozen weights keep the source's statistics) or ``"adapt"``.
        dora: DoRA: ``m (W + BA) / ||W + BA||`` with the norm by output, and the magnitudes ``m`` move too.

    Raises:
        RecipeError: values outside these, or peft is not installed.
        HandshakeError: from :meth:`rewire`, where no layer can carry an adapter.
    """

    rank: int = 8
    alpha: float = 0.0
    dora: bool = False

    def __post_init__(self) -> None:
        for key, value, good, allowed in (
            ("rank", self.rank, self.rank >= 1 and self.rank == int(self.rank), "a whole number from 1 on"),
            ("lr_scale", self.lr_scale, self.lr_scale > 0, "above 0"),
            ("bn", self.bn, self.bn in BN, " or ".join(BN)),
        ):
            if not good:
                raise RecipeError(
                    sentence(f"argument {key!r} of strategy {self.name!r} is out of range", got=value, allowed=allowed)
                )
        require_peft()

    @property
    def name(self) -> str:
        return "dora" if self.dora else "lora"

    def rewire(self, backbone: nn.Module, layers: Sequence[Layer], size: int) -> None:
        from peft import LoraConfig

        names, _ = targets(backbone, layers, size, grouped=False)
        refuse_nothing(names, "LoRA")
        rank = int(self.rank)
        scale = (self.alpha or rank) / rank
        small = {name: r for name in names if (r := min(_sides(backbone.get_submodule(name)))) < rank}
        inject(
            backbone,
            LoraConfig(
                r=rank, lora_alpha=scale * rank,  # type: ignore[arg-type]
                target_modules=exactly(names), use_dora=self.dora,
                rank_pattern={f"^{exactly([name])}": r for name, r in small.items()},
                alpha_pattern={f"^{exactly([name])}": scale * r for name, r in small.items()},
            ),
        )  # fmt: skip

    def note(self, backbone: nn.Module, layers: Sequence[Layer], size: int) -> str:
        return counted(*targets(backbone, layers, size, grouped=False))

    def restore(self, backbone: nn.Module) -> None:
        merge(backbone)

    def describe(self) -> str:
        alpha = f", alpha {self.alpha:g}" if self.alpha else ""
        return f"{'DoRA' if self.dora else 'LoRA'} of rank {self.rank:g}{alpha} {self.words()}"


def _sides(module: nn.Module) -> tuple[int, int]:
    weight = module.weight
    assert isinstance(weight, nn.Parameter)
    return weight.shape[0], weight[0].numel()
