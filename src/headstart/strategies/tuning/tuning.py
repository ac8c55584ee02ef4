"""Which parameters move, when and how fast: a tuning turns the layers of a backbone into stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from headstart.sources.source import Layer

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)
ADAPTERS = ("lora_", "ia3_")
"""How peft names the parameters that it adds."""


@dataclass(frozen=True)
class Stage:
    """One layer of the backbone and how it is trained.

    Attributes:
        layer: its name and modules.
        trainable: whether its parameters move. A layer that does not is in eval mode: its batch norms keep the
            source's statistics.
        lr_scale: factor on the learning rate of the backbone.
        opens: share of the epochs, in [0, 1), that pass before it moves; until then it is treated as frozen.
        only: which of its parameters move: ``"all"``, ``"bias"``, ``"norm"`` (scale and shift of its norms) or
            ``"adapter"`` (what a tuning has put in).
        bn: ``"adapt"``, batch norms use and follow the batch's statistics; ``"frozen"``, they keep the source's.
    """

    layer: Layer
    trainable: bool
    lr_scale: float = 1.0
    opens: float = 0.0
    only: str = "all"
    bn: str = "adapt"

    def open(self, progress: float) -> bool:
        """Whether it moves once the share ``progress`` of the epochs has passed."""
        return self.trainable and progress >= self.opens - 1e-9


class Tuning(ABC):
    """Which parameters of the backbone move. The head always does.

    ``needs`` is checked by the handshake.
    """

    needs: frozenset[str] = frozenset()

    @abstractmethod
    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        """One stage a layer, from the input to the output."""

    @abstractmethod
    def describe(self) -> str:
        """A few words for tables."""

    def rewire(self, backbone: nn.Module, layers: Sequence[Layer]) -> None:  # noqa: B027
        """Change the backbone in place before training (put adapters in); modules keep their dotted names."""

    def restore(self, backbone: nn.Module) -> None:  # noqa: B027
        """Undo :meth:`rewire` in place after training, what was learned merged into the plain weights."""


def moving(backbone: nn.Module, stage: Stage) -> list[nn.Parameter]:
    """The parameters of a stage that move once it is open."""
    if not stage.trainable:
        return []
    found = []
    for name in stage.layer.modules:
        item = part(backbone, name)
        if not isinstance(item, nn.Module):
            found += [item] if stage.only == "all" else []
            continue
        for owner_name, owner in item.named_modules():
            for leaf, parameter in owner.named_parameters(recurse=False):
                adapter = any(mark in f"{owner_name}.{leaf}" for mark in ADAPTERS)
                if stage.only == "all" or {
                    "bias": leaf == "bias", "norm": isinstance(owner, NORMS), "adapter": adapter
                }[stage.only]:  # fmt: skip
                    found.append(parameter)
    return found


def set_trainable(backbone: nn.Module, stages: Sequence[Stage], progress: float = 1.0) -> None:
    """Set ``requires_grad`` of every parameter by its stage, at the share ``progress`` of the epochs.

    The default, 1, is the end of training: every stage that ever opens is open.
    """
    for stage in stages:
        for name in stage.layer.modules:
            part(backbone, name).requires_grad_(False)
        if stage.open(progress):
            for parameter in moving(backbone, stage):
                parameter.requires_grad_(True)


def frozen_to_eval(backbone: nn.Module, stages: Sequence[Stage], progress: float = 1.0) -> None:
    """Put what is frozen in eval mode; to be called after each ``model.train()``.

    That is every layer that is not open (batch norm and dropout), and the batch norms of stages with ``bn="frozen"``.
    """
    for stage in stages:
        for module in _modules(backbone, stage):
            if not stage.open(progress):
                module.eval()
            elif stage.bn == "frozen":
                for inner in module.modules():
                    if isinstance(inner, nn.modules.batchnorm._BatchNorm):
                        inner.eval()


def _modules(backbone: nn.Module, stage: Stage) -> Iterator[nn.Module]:
    for name in stage.layer.modules:
        module = part(backbone, name)
        if isinstance(module, nn.Module):
            yield module


def part(backbone: nn.Module, name: str) -> nn.Module | nn.Parameter:
    """A module, or a bare parameter such as a class token, by its dotted name."""
    if not name:
        return backbone
    parent, _, last = name.rpartition(".")
    owner = backbone.get_submodule(parent) if parent else backbone
    return getattr(owner, last)
