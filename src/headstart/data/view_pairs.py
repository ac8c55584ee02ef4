"""Two views of unlabelled images beside each batch: a weakly and a strongly augmented one."""

from __future__ import annotations

import numpy as np
import torch

from headstart.data.augment import Augmentation, strong_view
from headstart.data.dataset import Dataset
from headstart.data.loader import DecodedCache, Decoder
from headstart.data.preprocessing import Preprocessing


class Views:
    """An endless stream of pairs of views; every image comes once before any comes again.

    What stands at a place of the stream depends on the seed and the place alone, so that a run that goes on sees what it
    would have seen.

    Args:
        dataset: n unlabelled images.
        weak: the weak augmentation, that of the labelled images; ``None`` for the plain image. The strong one is
            :func:`headstart.data.augment.strong_view` of it.
        strong: whether the strong views are wanted.
        seed: >= 0.
        workers: threads that decode; default: the cores.
        cache: decoded images to reuse.
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        weak: Augmentation | None,
        *,
        strong: bool = True,
        seed: int,
        workers: int | None = None,
        cache: DecodedCache | None = None,
    ) -> None:
        self.decoder = Decoder(dataset, preprocessing, workers, cache)
        self.kinds = (weak, strong_view(weak)) if strong else (weak,)
        self.seed = seed
        self._orders: dict[int, np.ndarray] = {}

    def places(self, first: int, count: int) -> list[tuple[int, int]]:
        """(round, index) of the images at places ``first`` to ``first + count - 1``; a round shows every image once."""
        n = len(self.decoder.dataset)
        return [(place // n, int(self._order(place // n)[place % n])) for place in range(first, first + count)]

    def _order(self, turn: int) -> np.ndarray:
        if turn not in self._orders:
            while len(self._orders) > 3:
                del self._orders[next(iter(self._orders))]
            rng = np.random.default_rng([self.seed, 2, turn])
            self._orders[turn] = rng.permutation(len(self.decoder.dataset))
        return self._orders[turn]

    def __call__(self, first: int, count: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The weak and the strong view (or ``None``), float32 (count, 3, S, S) each, normalised, of the same images."""
        places = self.places(first, count)
        images = self.decoder.read([index for _, index in places], fitted=False)
        views = []
        for kind, augmentation in enumerate(self.kinds):
            draws = [(self.seed, turn, index, kind + 1) for turn, index in places]
            views.append(self.decoder.preprocessing.normalize(self.decoder.vary(images, augmentation, draws)))
        return views[0], views[1] if len(views) > 1 else None
