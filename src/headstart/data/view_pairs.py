"""Two views of unlabelled inputs beside each batch: a weakly and a strongly augmented one."""

from __future__ import annotations

import numpy as np
import torch

from headstart.data.augment import Augmentation, strong_view
from headstart.data.dataset import Dataset
from headstart.data.loader import DecodedCache, Decoder
from headstart.data.preprocessing import Preprocessing
from headstart.data.text_augment import TextAugmentation
from headstart.data.text_preprocessing import TextPreprocessing
from headstart.data.text_variation import TextVariation


class Views:
    """An endless stream of pairs of views; every input comes once before any comes again.

    What stands at a place of the stream depends on the seed and the place alone, so that a run that goes on sees what it
    would have seen.

    Args:
        dataset: n unlabelled images, or texts.
        weak: the weak augmentation, that of the labelled inputs; ``None`` for the plain input. The strong one is
            :func:`headstart.data.augment.strong_view` of it, of texts :func:`headstart.data.text_augment.strong_text_view`.
        strong: whether the strong views are wanted.
        seed: >= 0.
        workers: threads that decode; default: the cores.
        cache: decoded images to reuse.
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing | TextPreprocessing,
        weak: Augmentation | TextVariation | None,
        *,
        strong: bool = True,
        seed: int,
        workers: int | None = None,
        cache: DecodedCache | None = None,
    ) -> None:
        self.dataset, self.seed = dataset, seed
        self.texts: TextPreprocessing | None = None
        if isinstance(preprocessing, TextPreprocessing):
            assert not isinstance(weak, Augmentation)
            self.texts = preprocessing
            self.versions = (weak, (weak or TextVariation(TextAugmentation())).strong) if strong else (weak,)
        else:
            assert not isinstance(weak, TextVariation)
            self.decoder = Decoder(dataset, preprocessing, workers, cache)
            self.kinds = (weak, strong_view(weak)) if strong else (weak,)
        self._orders: dict[int, np.ndarray] = {}

    def places(self, first: int, count: int) -> list[tuple[int, int]]:
        """(round, index) of the images at places ``first`` to ``first + count - 1``; a round shows every image once."""
        n = len(self.dataset)
        return [(place // n, int(self._order(place // n)[place % n])) for place in range(first, first + count)]

    def _order(self, turn: int) -> np.ndarray:
        if turn not in self._orders:
            while len(self._orders) > 3:
                del self._orders[next(iter(self._orders))]
            rng = np.random.default_rng([self.seed, 2, turn])
            self._orders[turn] = rng.permutation(len(self.dataset))
        return self._orders[turn]

    def __call__(self, first: int, count: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The weak and the strong view (or ``None``) of the same inputs: images float32 (count, 3, S, S) each, normalised; texts int64
        (count, 3, T), each view as long as its longest."""
        places = self.places(first, count)
        if self.texts is not None:
            found = [self._texts(version, places, kind + 1) for kind, version in enumerate(self.versions)]
            return found[0], found[1] if len(found) > 1 else None
        images = self.decoder.read([index for _, index in places], fitted=False)
        views = []
        for kind, augmentation in enumerate(self.kinds):
            draws = [(self.seed, turn, index, kind + 1) for turn, index in places]
            views.append(self.decoder.preprocessing.normalize(self.decoder.vary(images, augmentation, draws)))
        return views[0], views[1] if len(views) > 1 else None

    def _texts(self, version: TextVariation | None, places: list[tuple[int, int]], kind: int) -> torch.Tensor:
        assert self.texts is not None
        texts = [self.dataset.inputs[index] for _, index in places]
        if version is not None:
            texts = version(texts, [(self.seed, turn, index, kind) for turn, index in places])
        return self.texts(texts)
