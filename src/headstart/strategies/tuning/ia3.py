"""(IA)3 (Liu et al., *Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning*, NeurIPS 2022), by peft."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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
    transposed,
)
from headstart.strategies.tuning.few import BN, Few


@dataclass(frozen=True)
class IA3(Few):
    """Activations are rescaled by learned vectors that start at one: ``l * (W x)``, and ``W (l * x)`` inside an MLP.

    The paper scales keys, values and the inner activations of each MLP. Here every linear and convolution layer scales
    its outputs; of the two linear layers of an MLP the second scales its inputs, and the first, which would do the same
    thing, none. Fused queries, keys and values are scaled together.

    Args:
        lr_scale: > 0, default 10: rate of the vectors over that of full fine-tuning.
        bn: ``"frozen"`` (default) or ``"adapt"``, as for :class:`headstart.strategies.tuning.lora.LoRA`.

    Raises:
        RecipeError: values outside these, or peft is not installed.
        HandshakeError: from :meth:`rewire`, where no layer can carry an adapter.
    """

    def __post_init__(self) -> None:
        if self.lr_scale <= 0:
            raise RecipeError(
                sentence("argument 'lr_scale' of strategy 'ia3' is out of range", got=self.lr_scale, allowed="above 0")
            )
        if self.bn not in BN:
            raise RecipeError(sentence("unknown value of the argument 'bn'", got=self.bn, allowed=list(BN)))
        require_peft()

    def rewire(self, backbone: nn.Module, layers: Sequence[Layer], size: int) -> None:
        from peft import IA3Config

        names, _ = targets(backbone, layers, size, grouped=True)
        first, second = mlps(backbone, names)
        names = [name for name in names if name not in first]
        refuse_nothing(names, "(IA)3")
        inject(backbone, IA3Config(target_modules=exactly(names), feedforward_modules=exactly(sorted(second))))

    def note(self, backbone: nn.Module, layers: Sequence[Layer], size: int) -> str:
        return counted(*targets(backbone, layers, size, grouped=True))

    def restore(self, backbone: nn.Module) -> None:
        merge(backbone)

    def describe(self) -> str:
        return f"(IA)3 vectors {self.words()}"


def mlps(backbone: nn.Module, names: Sequence[str]) -> tuple[set[str], set[str]]:
    """The first and the second linear layer of each MLP: siblings, or cousins as in BERT, one from width d to h > d, the next from h to d."""
    first, second = set(), set()
    for a, b in pairwise(names):
        one, two = backbone.get_submodule(a), backbone.get_submodule(b)
        siblings = a.split(".")[:-1] == b.split(".")[:-1] or a.split(".")[:-2] == b.split(".")[:-2]
        if siblings and not isinstance(one, nn.Conv2d) and not isinstance(two, nn.Conv2d):
            (out, inside), (back, inner) = _sides(one), _sides(two)
            if out == inner > inside == back:
                first.add(a)
                second.add(b)
    return first, second


def _sides(module: nn.Module) -> tuple[int, int]:
    """(out, in) of a linear layer."""
    rows, columns = module.weight.shape  # type: ignore[union-attr, misc]
    return (columns, rows) if transposed(module) else (rows, columns)
