"""Which parameters move, when and how fast: a tuning turns the layers of a backbone into stages."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from headstart.errors import HandshakeError, sentence
from headstart.sources.source import Layer

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
        bn: ``"adapt"``, batch norms use and follow the batch's statistics; ``"frozen"``, they keep the source's; ``"auto"``,
            left to the strategy (:meth:`headstart.strategies.strategy.Strategy.stages`).
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

    def rewire(self, backbone: nn.Module, layers: Sequence[Layer], size: int) -> None:  # noqa: B027
        """Change the backbone, which takes images of ``size`` pixels, in place before training (put adapters in).

        Modules keep their dotted names.
        """

    def note(self, backbone: nn.Module, layers: Sequence[Layer], size: int) -> str:
        """What :meth:`rewire` would find in this backbone, in words for the plan; empty where it changes nothing."""
        return ""

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
                if (
                    stage.only == "all"
                    or {"bias": is_bias(leaf), "norm": is_norm(owner), "adapter": adapter}[stage.only]
                ):
                    found.append(parameter)
    return found


def is_norm(module: nn.Module) -> bool:
    """Whether it is a norm layer with parameters, of torch or of a library's own making, which calls it so."""
    own = next(module.parameters(recurse=False), None) is not None
    return own and "norm" in type(module).__name__.lower()


def is_bias(leaf: str) -> bool:
    """Whether a parameter of this name, without its module's, is a bias: ``bias``, ``in_proj_bias``, ``q_bias``."""
    return leaf == "bias" or leaf.endswith("_bias")


def first_epoch(stage: Stage, epochs: int) -> int:
    """The epoch, from 1, in which an open stage begins to move; beyond ``epochs`` where it never does."""
    return next((e + 1 for e in range(epochs) if stage.open(e / epochs)), epochs + 1)


def refuse_unopened(stages: Sequence[Stage], epochs: int) -> None:
    """Raises:
    HandshakeError: a stage would not open within the epochs.
    """
    never = [s for s in stages if s.trainable and first_epoch(s, epochs) > epochs]
    if never:
        need = math.ceil(1 / (1 - max(s.opens for s in never)) - 1e-9)
        raise HandshakeError(
            sentence(
                "these layers would never be unfrozen within the epochs", where=f"{epochs} epochs",
                got=", ".join(s.layer.name for s in never), fix=f"--epochs {need} or more",
            )
        )  # fmt: skip


def parts_of(backbone: nn.Module) -> dict[str, bool]:
    """Whether there are ``batch_norms``, ``norms`` of any kind, and ``biases``: what some tunings act on."""
    modules = list(backbone.modules())
    return {
        "batch_norms": any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in modules),
        "norms": any(is_norm(module) for module in modules),
        "biases": any(is_bias(name.rpartition(".")[2]) for name, _ in backbone.named_parameters()),
    }


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

    That is every layer that is not open, or of which nothing moves (batch norm and dropout), and the batch norms of stages
    with ``bn="frozen"``.
    """
    for stage in stages:
        moves = stage.open(progress) and bool(moving(backbone, stage))
        for module in _modules(backbone, stage):
            if not moves:
                module.eval()
            elif stage.bn == "frozen":
                for inner in module.modules():
                    if isinstance(inner, nn.modules.batchnorm._BatchNorm):
                        inner.eval()


def in_train_mode(backbone: nn.Module, stages: Sequence[Stage], progress: float = 1.0) -> list[tuple[str, nn.Module]]:
    """The modules, by name, that training has in train mode: batch norms among them follow the new inputs.

    Modes are left as they were.
    """
    modes = {module: module.training for module in backbone.modules()}
    backbone.train()
    frozen_to_eval(backbone, stages, progress)
    found = [(name, module) for name, module in backbone.named_modules() if module.training]
    for module, mode in modes.items():
        module.training = mode
    return found


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
