"""Batches of decoded images: a DataLoader whose data set decodes a whole batch in threads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader
from torch.utils.data import Dataset as TorchDataset

from headstart.data.augment import Augmentation
from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.images import read_image
from headstart.data.preprocessing import Preprocessing
from headstart.data.text_preprocessing import TextPreprocessing


class DecodedCache:
    """Decoded uint8 images kept between epochs, up to ``max_bytes``; what does not fit is decoded anew."""

    def __init__(self, max_bytes: int) -> None:
        self.room = max_bytes
        self._kept: dict[Any, torch.Tensor] = {}

    def get(self, key: Any) -> torch.Tensor | None:
        return self._kept.get(key)

    def put(self, key: Any, image: torch.Tensor) -> None:
        if image.numel() <= self.room and key not in self._kept:
            self._kept[key] = image
            self.room -= image.numel()


LARGEST_KEPT = 512
"""A decoded image is kept with its shorter side at most this long."""


class Decoder:
    """Decodes images of a data set in threads, by their index, through the cache.

    Args:
        workers: threads; default: the cores.
        cache: decoded images to reuse.
    """

    def __init__(
        self, dataset: Dataset, preprocessing: Preprocessing, workers: int | None, cache: DecodedCache | None
    ) -> None:
        self.dataset, self.preprocessing, self.cache = dataset, preprocessing, cache
        self.pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)

    def read(self, indices: list[int], *, fitted: bool) -> list[torch.Tensor]:
        """uint8 images: whole ones (3, H, W), or ``fitted`` to what the source sees (3, S, S)."""
        return list(self.pool.map(lambda index: self._image(index, fitted), indices))

    def _image(self, index: int, fitted: bool) -> torch.Tensor:
        digest = self.dataset.digests[index] if self.dataset.digests is not None else None
        key = (digest, self.preprocessing.digest if fitted else "whole")
        image = self.cache.get(key) if self.cache and digest is not None else None
        if image is None:
            image = read_image(self.dataset.inputs[index])
            if fitted:
                image = self.preprocessing.fit(image)
            if self.cache and digest is not None and min(image.shape[1:]) <= LARGEST_KEPT:
                self.cache.put(key, image)
        return image

    def vary(
        self, images: list[torch.Tensor], augmentation: Augmentation | None, draws: Sequence[tuple[int, ...]]
    ) -> torch.Tensor:
        """Whole uint8 images -> one varied view of each, uint8 (B, 3, S, S).

        In this thread and in order, each image with random numbers of its own seed in ``draws``, so that a view depends
        on nothing else; torch's global random numbers are left alone.
        """
        if augmentation is None:
            return torch.stack([self.preprocessing.fit(image) for image in images])
        views = []
        with torch.random.fork_rng(devices=[]):
            for image, words in zip(images, draws, strict=True):
                torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))
                views.append(augmentation.image(image, self.preprocessing))
        return torch.stack(views)


class _Batches(TorchDataset[Batch]):
    """Batches by the lists of their (index, time): the how manieth time in this pass that the image comes."""

    def __init__(self, decoder: Decoder, augmentation: Augmentation | None, seed: int) -> None:
        self.decoder, self.augmentation, self.seed = decoder, augmentation, seed

    def __len__(self) -> int:
        return len(self.decoder.dataset)

    def __getitems__(self, items: list[tuple[int, int]]) -> Batch:
        decoder, dataset = self.decoder, self.decoder.dataset
        indices = [index for index, _ in items]
        images = decoder.read(indices, fitted=self.augmentation is None)
        if self.augmentation is None:
            views = torch.stack(images)
        else:
            views = decoder.vary(images, self.augmentation, [(self.seed, index, time) for index, time in items])
        labels = None if dataset.labels is None else torch.as_tensor(dataset.labels[indices])
        return Batch(decoder.preprocessing.normalize(views), labels, torch.as_tensor(indices))


def _same(batch: Any) -> Any:
    return batch


def batches(
    dataset: Dataset,
    preprocessing: Preprocessing | TextPreprocessing,
    *,
    batch_size: int,
    augmentation: Augmentation | None = None,
    shuffle_seed: int | None = None,
    sampler_weights: np.ndarray | None = None,
    repeats: int = 1,
    order: np.ndarray | None = None,
    drop_last: bool = False,
    workers: int | None = None,
    cache: DecodedCache | None = None,
) -> Iterator[Batch]:
    """One pass over a data set in batches, decoded as they are needed.

    Texts come with those of like length in a batch (:mod:`headstart.data.text_loader`), so not in the order of the data set:
    ``Batch.index`` says which they are.

    The k-th time that an image comes in a pass it has draws of its own, whether it comes again by ``repeats`` or by the
    sampler.

    Args:
        shuffle_seed: order of the images and randomness of the augmentation; ``None`` keeps the order.
        order: int, the rows in the order in which they come; default: by ``shuffle_seed``.
        sampler_weights: float (n,), draw n images with replacement with these chances (needs ``shuffle_seed``).
        repeats: repeated augmentation (Hoffer et al. 2020, Berman et al. 2019): every image comes this many times in a
            pass, all of them in one batch; a batch holds ``batch_size // repeats`` different images, at least one.
        workers: threads that decode; default: the cores.
        cache: decoded images to reuse.

    Raises:
        BadImage: an image that cannot be decoded (``scan`` removes those beforehand).
    """
    n = len(dataset)
    plain = order is None
    if order is None and shuffle_seed is None:
        order = np.arange(n)
    elif order is None:
        rng = np.random.default_rng(shuffle_seed)
        if sampler_weights is not None:
            order = rng.choice(n, n, p=np.asarray(sampler_weights) / np.sum(sampler_weights))
        else:
            order = rng.permutation(n)
    order = np.repeat(order, repeats)
    if dataset.modality == "text":
        from headstart.data.text_loader import text_batches

        assert isinstance(preprocessing, TextPreprocessing)
        yield from text_batches(
            dataset,
            preprocessing,
            order,
            batch_size=batch_size,
            shuffle_seed=shuffle_seed,
            sort=plain,
            drop_last=drop_last,
        )
        return
    assert isinstance(preprocessing, Preprocessing)
    decoder = Decoder(dataset, preprocessing, workers, cache)
    data = _Batches(decoder, augmentation, shuffle_seed or 0)
    size = max(1, batch_size // repeats) * repeats
    places: list[Any] = list(zip(order.tolist(), times(order).tolist(), strict=True))
    sampler = BatchSampler(places, size, drop_last)
    try:
        yield from DataLoader(data, batch_sampler=sampler, collate_fn=_same, generator=torch.Generator())
    finally:
        decoder.pool.shutdown(wait=False)


def times(order: np.ndarray) -> np.ndarray:
    """int (n,): how often each entry has come before, e.g. [4, 7, 4, 4] -> [0, 0, 1, 2]."""
    by_value = np.argsort(order, kind="stable")
    ranked = order[by_value]
    first = np.concatenate([[True], ranked[1:] != ranked[:-1]]) if len(order) else np.zeros(0, dtype=bool)
    starts = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    found = np.empty(len(order), dtype=np.int64)
    found[by_value] = np.arange(len(order)) - starts
    return found
