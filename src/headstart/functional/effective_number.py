"""Class weights by the effective number of samples (Cui, Jia, Lin, Song, Belongie, CVPR 2019)."""

from __future__ import annotations

import numpy as np


def effective_number(counts: np.ndarray, beta: float) -> np.ndarray:
    """``E_n = (1 - beta^n) / (1 - beta)``: how many of n images are new, where each repeats what is known with chance beta.

    Args:
        counts: (K,), images a class, >= 0.
        beta: in [0, 1); 0 gives 1 for every class, towards 1 it gives n itself.

    Returns:
        float64 (K,).
    """
    return -np.expm1(np.asarray(counts, dtype=np.float64) * np.log(beta)) / (1 - beta) if beta else np.ones(len(counts))
