"""Batches of labelled inputs of one or more domains, with unlabelled ones of the target beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from headstart.data.batch import Batch
from headstart.data.rows import Rows
from headstart.errors import DataError, sentence


@dataclass(frozen=True)
class Labelled:
    """n labelled inputs.

    Attributes:
        rows: the inputs.
        targets: (n,), as the task takes them; ``None`` for inputs that are to be learned from without labels.
        domain: int (n,), which domain each is of: 0 to S - 1 for S sources, S for labelled inputs of the target; ``None`` for
            one source alone. Each batch has as many of every domain.
        weights: float (n,), what each counts, scaled to a mean of 1; ``None``: all alike.
        few: whether the last domain is that of labelled inputs of the target.
    """

    rows: Rows
    targets: np.ndarray | None
    domain: np.ndarray | None = None
    weights: np.ndarray | None = None
    few: bool = False

    @property
    def batches(self) -> Iterator[Batch]:
        """One pass in order, nothing varied."""
        order, size = np.arange(len(self.rows)), self.rows.at_once
        for inputs, index in zip(
            self.rows.stream(order, size, 0, vary=False), torch.as_tensor(order).split(size), strict=True
        ):
            yield self.batch(inputs, index)

    def batch(self, inputs: torch.Tensor, index: torch.Tensor) -> Batch:
        """The batch of the inputs at ``index``."""

        def part(column: np.ndarray | None) -> torch.Tensor | None:
            return None if column is None else torch.as_tensor(column[index.numpy()])

        return Batch(inputs, part(self.targets), index, domain=part(self.domain), weights=part(self.scaled_weights))

    @cached_property
    def scaled_weights(self) -> np.ndarray | None:
        """``weights`` at a mean of 1, float32."""
        return None if self.weights is None else (self.weights / self.weights.mean()).astype(np.float32)


class DomainBatches:
    """Epoch -> batches, the same for the same epoch and seed; to be called as :func:`headstart.training.loop.train` does.

    A batch has ``size`` labelled inputs, shared evenly among the domains that they are of, and ``ratio`` times as many of the
    target (all of them where these are fewer). An epoch has about as many labelled inputs as there are. Every input of a domain
    comes once before any comes again, over the borders of epochs.

    Args:
        labelled: what is learned from.
        target: unlabelled inputs of the domain that is adapted to, or ``None``.
        size: labelled inputs a batch.
        views: give two varied views of the target's inputs too.
        ratio: inputs of the target to a labelled one, > 0.
        vary: augment.

    Raises:
        DataError: inputs of different shapes, or fewer than two labelled ones or of the target.
    """

    def __init__(
        self, labelled: Labelled, target: Rows | None, size: int, seed: int, *, views: bool = False, vary: bool = True,
        ratio: float = 1.0,
    ) -> None:  # fmt: skip
        if target is not None and target.shape != labelled.rows.shape:
            raise DataError(
                sentence("source and target have inputs of different shapes", got=f"{labelled.rows.shape} and {target.shape}",
                         fix="the same columns, or images read by the same source")
            )  # fmt: skip
        n = len(labelled.rows)
        domain = np.zeros(n, dtype=np.int64) if labelled.domain is None else labelled.domain
        self.groups = [np.flatnonzero(domain == d) for d in np.unique(domain)]
        if n < 2 or (target is not None and len(target) < 2):
            raise DataError(
                sentence(
                    "a domain needs two inputs at least", got=n if n < 2 else len(target or ()), fix="more data of it"
                )
            )
        self.labelled, self.target, self.seed, self.views, self.vary = labelled, target, seed, views, vary
        self.share = max(1, min(size, n) // len(self.groups))
        self.size = self.share * len(self.groups)
        self.beside = 0 if target is None else min(max(2, round(ratio * self.size)), len(target))
        self.steps = max(1, n // self.size)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        parts = [
            group[places(len(group), epoch * self.steps * self.share, self.steps * self.share, [self.seed, 3, d])]
            for d, group in enumerate(self.groups)
        ]
        # one row of each domain in turn, so that a batch cut into pieces has all of them in each
        order = np.stack([part.reshape(self.steps, self.share) for part in parts], axis=2).reshape(-1)
        seeds = self._seeds(epoch)
        inputs = self.labelled.rows.stream(order, self.size, seeds[0], vary=self.vary)
        index = iter(torch.as_tensor(order).split(self.size))
        if self.target is None:
            for x, rows in zip(inputs, index, strict=True):
                yield self.labelled.batch(x, rows)
            return
        for (x, rows), (t, at, weak, strong) in zip(
            zip(inputs, index, strict=True), self._beside(epoch, seeds), strict=True
        ):
            yield replace(self.labelled.batch(x, rows), target=t, target_index=at, weak=weak, strong=strong)

    def target_alone(self, epoch: int) -> Iterator[Batch]:
        """The same epoch without a labelled input: those of the target are both ``inputs`` and ``target``."""
        for t, at, weak, strong in self._beside(epoch, self._seeds(epoch)):
            yield Batch(t, None, at, target=t, target_index=at, weak=weak, strong=strong)

    def _seeds(self, epoch: int) -> list[int]:
        return [int(s) for s in np.random.SeedSequence([self.seed, 4, epoch]).generate_state(3)]

    def _beside(
        self, epoch: int, seeds: list[int]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]]:
        """The target's part of each batch: inputs, their rows, the two views."""
        assert self.target is not None
        u = self.beside
        others = places(len(self.target), epoch * self.steps * u, self.steps * u, [self.seed, 5])
        targets = self.target.stream(others, u, seeds[1], vary=self.vary)
        pairs = self.target.views(others, u, seeds[2]) if self.views else None
        for t, at in zip(targets, torch.as_tensor(others).split(u), strict=True):
            yield t, at, *(next(pairs) if pairs else (None, None))


def places(n: int, first: int, count: int, seed: list[int]) -> np.ndarray:
    """int (count,): what stands at ``first`` to ``first + count - 1`` of an endless stream of shuffled rounds over 0 to n - 1."""
    rounds = range(first // n, (first + count - 1) // n + 1)
    stream = np.concatenate([np.random.default_rng([*seed, turn]).permutation(n) for turn in rounds])
    start = first - rounds[0] * n
    return stream[start : start + count]
