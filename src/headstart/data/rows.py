"""The inputs of a network, by rows: images or texts of a data set, or an array of features; without labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch

from headstart.data.augment import Augmentation, strong_view
from headstart.data.dataset import Dataset
from headstart.data.loader import DecodedCache, Decoder, batches
from headstart.data.preprocessing import Preprocessing
from headstart.data.text_augment import TextAugmentation
from headstart.data.text_preprocessing import TextPreprocessing
from headstart.data.text_variation import TextVariation
from headstart.errors import DataError, sentence

NOISE = 0.1
"""Of the views of a row: Gaussian noise in units of each column's deviation."""
DROPPED = 0.2
"""Of the strong view of a row: the share of its numbers that are replaced by their columns' means."""


class Rows(ABC):
    """n inputs, each of the same ``shape`` (of texts: the longest).

    Attributes:
        at_once: in a pass without gradient.
    """

    shape: tuple[int, ...]
    at_once: int = 256

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, rows: Any) -> Self:
        """Those at ``rows``: int (m,), bool (n,) or a slice."""

    @abstractmethod
    def join(self, others: Sequence[Self]) -> Self:
        """These and those of others after them.

        Raises:
            DataError: inputs of another shape.
        """

    @abstractmethod
    def stream(self, order: np.ndarray, size: int, seed: int, *, vary: bool) -> Iterator[torch.Tensor]:
        """Batches of ``size`` (the last may be smaller), float32 (size, *shape), of the rows in ``order``.

        Args:
            vary: augment them, by random numbers that depend on ``seed`` and the place in ``order`` alone.
        """

    @abstractmethod
    def views(self, order: np.ndarray, size: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches as of :meth:`stream`, in a weakly and a strongly varied view each."""

    def _alike(self, others: Sequence[Rows]) -> None:
        for other in others:
            if other.shape != self.shape:
                raise DataError(
                    sentence("the domains have inputs of different shapes", got=f"{other.shape} beside {self.shape}",
                             fix="the same columns, or images read by the same source")
                )  # fmt: skip


class ArrayRows(Rows):
    """Rows of an array: X float (n, d), finite.

    A weak view has Gaussian noise of a tenth of each column's deviation; in a strong one a fifth of the numbers are
    replaced by their columns' means besides. ``vary`` does nothing: rows have no augmentation that keeps their class.
    """

    def __init__(self, X: np.ndarray) -> None:
        self.X = torch.as_tensor(np.ascontiguousarray(X, dtype=np.float32))
        self.shape = tuple(self.X.shape[1:])

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows: Any) -> ArrayRows:
        return ArrayRows(self.X.numpy()[rows])

    def join(self, others: Sequence[ArrayRows]) -> ArrayRows:
        self._alike(others)
        return ArrayRows(np.concatenate([self.X.numpy(), *(other.X.numpy() for other in others)]))

    def stream(self, order: np.ndarray, size: int, seed: int, *, vary: bool) -> Iterator[torch.Tensor]:
        for rows in torch.as_tensor(order).split(size):
            yield self.X[rows]

    def views(self, order: np.ndarray, size: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        center, spread = self.X.mean(0), self.X.std(0, correction=0)
        draws = torch.Generator().manual_seed(seed)
        for x in self.stream(order, size, seed, vary=False):
            weak, strong = (x + NOISE * spread * torch.randn(x.shape, generator=draws) for _ in range(2))
            yield weak, torch.where(torch.rand(x.shape, generator=draws) < DROPPED, center, strong)


class ImageRows(Rows):
    """Images of a data set as a source sees them.

    Args:
        dataset: n images.
        preprocessing: of the source.
        augmentation: what ``vary`` and the weak view are; the strong one is :func:`headstart.data.augment.strong_view` of it.
        workers: threads that decode; default: the cores.
        cache: decoded images to reuse.
    """

    at_once = 64

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None = None,
        *,
        workers: int | None = None,
        cache: DecodedCache | None = None,
    ) -> None:
        self.dataset, self.preprocessing, self.augmentation = dataset, preprocessing, augmentation
        self.workers, self.cache = workers, cache
        self.shape = (3, preprocessing.size, preprocessing.size)

    def __len__(self) -> int:
        return len(self.dataset)

    def _like(self, dataset: Dataset) -> ImageRows:
        return ImageRows(dataset, self.preprocessing, self.augmentation, workers=self.workers, cache=self.cache)

    def __getitem__(self, rows: Any) -> ImageRows:
        return self._like(self.dataset.subset(np.arange(len(self))[rows]))

    def join(self, others: Sequence[ImageRows]) -> ImageRows:
        self._alike(others)
        return self._like(joined([self.dataset, *(other.dataset for other in others)]))

    def stream(self, order: np.ndarray, size: int, seed: int, *, vary: bool) -> Iterator[torch.Tensor]:
        passing = batches(
            self.dataset, self.preprocessing, batch_size=size, augmentation=self.augmentation if vary else None,
            shuffle_seed=seed, order=order, workers=self.workers, cache=self.cache,
        )  # fmt: skip
        for batch in passing:
            yield batch.inputs

    def views(self, order: np.ndarray, size: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        decoder = Decoder(self.dataset, self.preprocessing, self.workers, self.cache)
        kinds = (self.augmentation, strong_view(self.augmentation))
        try:
            for first in range(0, len(order), size):
                rows = order[first : first + size].tolist()
                images = decoder.read(rows, fitted=False)
                weak, strong = (
                    decoder.vary(images, kind, [(seed, first + i, k) for i in range(len(rows))])
                    for k, kind in enumerate(kinds)
                )
                yield self.preprocessing.normalize(weak), self.preprocessing.normalize(strong)
        finally:
            decoder.pool.shutdown(wait=False)


class TextRows(Rows):
    """Texts of a data set as a source sees them: batches int64 (B, 3, T), T the longest of each.

    Args:
        dataset: n texts, or pairs of them.
        preprocessing: of the source.
        augmentation: what ``vary`` and the weak view are; the strong one is that of :class:`headstart.data.text_variation.TextVariation`.
    """

    at_once = 64

    def __init__(
        self, dataset: Dataset, preprocessing: TextPreprocessing, augmentation: TextVariation | None = None
    ) -> None:
        self.dataset, self.preprocessing, self.augmentation = dataset, preprocessing, augmentation
        self.shape = (3, preprocessing.size)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, rows: Any) -> TextRows:
        return TextRows(self.dataset.subset(np.arange(len(self))[rows]), self.preprocessing, self.augmentation)

    def join(self, others: Sequence[TextRows]) -> TextRows:
        self._alike(others)
        return TextRows(
            joined([self.dataset, *(other.dataset for other in others)]), self.preprocessing, self.augmentation
        )

    def stream(self, order: np.ndarray, size: int, seed: int, *, vary: bool) -> Iterator[torch.Tensor]:
        passing = batches(
            self.dataset, self.preprocessing, batch_size=size, augmentation=self.augmentation if vary else None,
            shuffle_seed=seed, order=order,
        )  # fmt: skip
        for batch in passing:
            yield batch.inputs

    def views(self, order: np.ndarray, size: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        weak = self.augmentation or TextVariation(TextAugmentation())
        for first in range(0, len(order), size):
            texts = [self.dataset.inputs[i] for i in order[first : first + size]]
            two = (
                kind(texts, [(seed, first + i, k) for i in range(len(texts))])
                for k, kind in enumerate((weak, weak.strong))
            )
            weakly, strongly = (self.preprocessing(varied) for varied in two)
            yield weakly, strongly


def rows_of(
    dataset: Dataset,
    preprocessing: Preprocessing | TextPreprocessing,
    augmentation: Augmentation | TextVariation | None = None,
    *,
    workers: int | None = None,
    cache: DecodedCache | None = None,
) -> ImageRows | TextRows:
    """Images or texts, by what the source reads."""
    if isinstance(preprocessing, TextPreprocessing):
        assert not isinstance(augmentation, Augmentation)
        return TextRows(dataset, preprocessing, augmentation)
    assert not isinstance(augmentation, TextVariation)
    return ImageRows(dataset, preprocessing, augmentation, workers=workers, cache=cache)


def joined(datasets: Sequence[Dataset]) -> Dataset:
    """The inputs of several data sets one after the other, without labels and splits."""

    def column(name: str) -> np.ndarray | None:
        found = [getattr(dataset, name) for dataset in datasets]
        return None if any(part is None for part in found) else np.concatenate(found)

    return Dataset(
        inputs=[image for dataset in datasets for image in dataset.inputs], labels=None, classes=(),
        splits=np.full(sum(map(len, datasets)), "", dtype="U5"), digests=column("digests"), names=column("names"),
        modality=datasets[0].modality,
        root=", ".join(dict.fromkeys(dataset.root for dataset in datasets)),
    )  # fmt: skip
