"""DSBN: batch norms of its own for every domain (Chang, You, Seo, Kwak, Han, CVPR 2019)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.errors import HandshakeError, sentence
from headstart.strategies.terms.irm import two_of_each
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.strategies.tuning.tuning import frozen_to_eval
from headstart.tasks.task import Model


@dataclass(frozen=True)
class DSBN(Term):
    """In each batch norm, the rows of each source and of the target are normalised by themselves: statistics of their own in training,
    moving statistics of their own, and, with ``affine=true``, scale and shift of their own.

    Chang et al., *Domain-Specific Batch Normalization for Unsupervised Domain Adaptation*, CVPR 2019, equations 5 to 7. All other
    weights are shared. What shifts or scales a whole domain is taken out by it, without any loss on the target; the
    statistics alone (``affine=false``, the default here) are AdaBN (Li et al. 2016) in training. The paper's
    scale and shift of the target learn from the target's rows alone, so that ``affine=true`` wants a term beside it whose loss
    reads them: ``dann``, ``mdan``, ``entropy``, ``selftrain``. Labelled rows of the target go with the target's.

    After training the network is a plain one that carries the target's: sources are normalised by it as if they were
    of the target. Nothing is added to the loss.

    Args:
        affine: own scale and shift too, default false.

    Raises:
        HandshakeError: ``affine=true`` without such a term; from :meth:`bind`, where no batch norm trains, or a batch holds one row of a domain.
    """

    weight: float = 1.0
    affine: bool = False

    name = "dsbn"

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        found = frozenset({"target_stream", "trainable_backbone", "batch_norms"})
        return found | {"loss_on_target"} if self.affine else found

    def rewire(self, backbone: nn.Module) -> None:
        for module in backbone.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
                module.__class__ = _specific(type(module))  # type: ignore[assignment]
                module.own_affine, module.rows = self.affine, None  # type: ignore[assignment]

    def restore(self, backbone: nn.Module) -> None:
        for module in backbone.modules():
            if isinstance(module, _OfDomains):
                module.__class__ = module.plain  # type: ignore[assignment]
                del module.own_affine, module.rows
                if hasattr(module, "sources"):
                    del module.sources

    def bind(self, start: Start) -> Penalty:
        two_of_each(self.name, start)
        backbone = start.model.backbone
        modes = {module: module.training for module in backbone.modules()}
        backbone.train()
        frozen_to_eval(backbone, start.stages)
        acts = any(isinstance(m, _OfDomains) and m.training for m in backbone.modules())
        for module, mode in modes.items():
            module.training = mode
        if not acts:
            raise HandshakeError(
                sentence(
                    "term 'dsbn' normalises each domain by its own batches, but no batch norm of this backbone trains on "
                    "them, so it cannot act", fix="a tuning with bn=adapt",
                )
            )  # fmt: skip
        for module in list(backbone.modules()):
            if isinstance(module, _OfDomains):
                module.give_sources(start.sources)
        return _Specific(start)

    def describe(self) -> str:
        return f"batch norms of its own for every domain (DSBN{', scale and shift too' if self.affine else ''})"


class _Specific(Penalty):
    adds = False

    def __init__(self, start: Start) -> None:
        super().__init__()
        self.sources = start.sources

    @contextmanager
    def watching(self, model: Model, batch: Batch) -> Iterator[None]:
        domain = torch.zeros(len(batch), dtype=torch.long) if batch.domain is None else batch.domain
        beside = 0 if batch.target is None else len(batch.target)
        rows = torch.cat([domain, torch.full((beside,), self.sources, device=domain.device)])
        layers = [module for module in model.backbone.modules() if isinstance(module, _OfDomains)]
        for layer in layers:
            layer.rows = rows
        try:
            yield
        finally:
            for layer in layers:
                layer.rows = None

    def forward(self, seen: Seen) -> torch.Tensor:
        return seen.outputs.new_zeros(())


class _OfDomains(nn.Module):
    """Put before the class of a batch norm; ``plain`` is that class. The module's own numbers are the target's."""

    plain: type[nn.Module]
    own_affine: bool
    rows: torch.Tensor | None
    """int64 (B,), the domain of each input of the pass, S for the target; ``None``: all are of the target."""
    sources: nn.ModuleList

    def give_sources(self, count: int) -> None:
        """A batch norm for each source, all as the module stands now."""
        one = copy.copy(self)
        one.__class__ = self.plain  # type: ignore[assignment]
        one._modules = {}
        del one.own_affine, one.rows
        copies = [copy.deepcopy(one) for _ in range(count)]
        if not self.own_affine:
            for each in copies:
                each.weight = each.bias = None  # type: ignore[assignment]
                each.affine = False  # type: ignore[assignment]
        self.sources = nn.ModuleList(copies)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.rows is None:
            return super().forward(x)  # type: ignore[misc]
        out, count = torch.empty_like(x), len(self.sources)
        for d in range(count + 1):
            mine = torch.nonzero(self.rows == d)[:, 0].to(x.device)
            if not len(mine):
                continue
            if d == count:
                out = out.index_copy(0, mine, super().forward(x[mine]).to(out.dtype))  # type: ignore[misc]
                continue
            with self._with_numbers_of(self.sources[d]):
                y = super().forward(x[mine])  # type: ignore[misc]
            out = out.index_copy(0, mine, y.to(out.dtype))
        return out

    @contextmanager
    def _with_numbers_of(self, source: nn.Module) -> Iterator[None]:
        """A pass with a source's statistics, and its scale and shift where it has them; what else the layer does (an
        activation behind the scale, in timm's) is its own."""
        buffers, parameters = dict(self._buffers), dict(self._parameters)
        self._buffers.update(source._buffers)
        if self.own_affine:
            self._parameters.update(source._parameters)
        try:
            yield
        finally:
            source._buffers.update({name: self._buffers[name] for name in source._buffers})
            self._buffers.update(buffers)
            self._parameters.update(parameters)


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}


def _specific(plain: type[nn.Module]) -> type[nn.Module]:
    if plain not in _CLASSES:
        _CLASSES[plain] = type(f"OfDomains{plain.__name__}", (_OfDomains, plain), {"plain": plain})
    return _CLASSES[plain]
