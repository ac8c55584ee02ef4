"""Batches of decoded images: a DataLoader whose data set decodes a whole batch in threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset

from headstart.data.augment import Augmentation
from headstart.data.batch import Batch
from headstart.data.dataset import ImageDataset
from headstart.data.images import read_image
from headstart.data.preprocessing import Preprocessing


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


class _Decoding(Dataset[Batch]):
    def __init__(
        self, dataset: ImageDataset, preprocessing: Preprocessing, augmentation: Augmentation | None, seed: int,
        workers: int | None, cache: DecodedCache | None,
    ) -> None:  # fmt: skip
        self.dataset, self.preprocessing, self.augmentation, self.seed = dataset, preprocessing, augmentation, seed
        self.pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
        self.cache = cache

    def __len__(self) -> int:
        return len(self.dataset)

    def _image(self, index: int) -> torch.Tensor:
        """What can be done in a thread: decode; without augmentation also fit."""
        key = self.dataset.digests[index] if self.dataset.digests is not None else None
        fitted = self.augmentation is None
        key = (key, self.preprocessing.digest if fitted else "whole")
        image = self.cache.get(key) if self.cache and key[0] is not None else None
        if image is None:
            image = read_image(self.dataset.images[index])
            if fitted:
                image = self.preprocessing.fit(image)
            if self.cache and key[0] is not None and min(image.shape[1:]) <= LARGEST_KEPT:
                self.cache.put(key, image)
        return image

    def __getitems__(self, indices: list[int]) -> Batch:
        images = list(self.pool.map(self._image, indices))
        if self.augmentation is not None:
            # in this thread and in order: the draws are those of (seed, index), whatever the number of workers
            with torch.random.fork_rng(devices=[]):
                for i, index in enumerate(indices):
                    torch.manual_seed(int(np.random.SeedSequence([self.seed, index]).generate_state(1)[0]))
                    images[i] = self.augmentation.image(images[i], self.preprocessing)
        labels = None if self.dataset.labels is None else torch.as_tensor(self.dataset.labels[indices])
        return Batch(self.preprocessing.normalize(torch.stack(images)), labels, torch.as_tensor(indices))


def _same(batch: Any) -> Any:
    return batch


def batches(
    dataset: ImageDataset,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    augmentation: Augmentation | None = None,
    shuffle_seed: int | None = None,
    sampler_weights: np.ndarray | None = None,
    order: np.ndarray | None = None,
    drop_last: bool = False,
    workers: int | None = None,
    cache: DecodedCache | None = None,
) -> Iterator[Batch]:
    """One pass over a data set in batches, decoded as they are needed.

    Args:
        shuffle_seed: order of the images and randomness of the augmentation; ``None`` keeps the order.
        order: int, the rows in the order in which they come; default: by ``shuffle_seed``.
        sampler_weights: float (n,), draw n images with replacement with these chances (needs ``shuffle_seed``).
        workers: threads that decode; default: the cores.
        cache: decoded images to reuse.

    Raises:
        BadImage: an image that cannot be decoded (``scan`` removes those beforehand).
    """
    n = len(dataset)
    if order is None and shuffle_seed is None:
        order = np.arange(n)
    elif order is None:
        rng = np.random.default_rng(shuffle_seed)
        if sampler_weights is not None:
            order = rng.choice(n, n, p=np.asarray(sampler_weights) / np.sum(sampler_weights))
        else:
            order = rng.permutation(n)
    data = _Decoding(dataset, preprocessing, augmentation, shuffle_seed or 0, workers, cache)
    sampler = BatchSampler(order.tolist(), batch_size, drop_last)
    try:
        yield from DataLoader(data, batch_sampler=sampler, collate_fn=_same, generator=torch.Generator())
    finally:
        data.pool.shutdown(wait=False)
