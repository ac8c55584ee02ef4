"""Single-label classification with one output more: *unknown*, for rows of classes that no label names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.functional.rejection import UNKNOWN, unknown_label
from headstart.tasks.classification import Classification
from headstart.tasks.losses import CROSS_ENTROPY, Loss


class OpenSet(Classification):
    """K known classes and, as the last of K + 1 outputs, *unknown*; no label of the training data is of that class.

    The loss is the cross-entropy over all K + 1 outputs, so that known rows learn not to be unknown; what is unknown has to come
    from a term (``osbp``). Decodes to probabilities (n, K + 1); saved and read again as a classification into K + 1 classes.

    Args:
        known: the K names. The others as for :class:`headstart.tasks.classification.Classification`, arrays (K,).

    Raises:
        RecipeError: a known class is called *unknown* itself.
    """

    gives = Classification.gives | {"unknown_output"}

    def __init__(
        self,
        known: Sequence[str],
        *,
        label_smoothing: float = 0.0,
        class_weights: np.ndarray | None = None,
        loss: Loss = CROSS_ENTROPY,
        counts: np.ndarray | None = None,
    ) -> None:
        unknown_label(np.asarray(known, dtype=object))
        padded = [None if part is None else np.append(part, 1) for part in (class_weights, counts)]
        super().__init__(
            (*known, UNKNOWN), label_smoothing=label_smoothing, class_weights=padded[0], loss=loss, counts=padded[1]
        )
        self.known = tuple(known)
