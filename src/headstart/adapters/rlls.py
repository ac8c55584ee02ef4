"""Regularised learning under label shift: K. Azizzadenesheli, A. Liu, F. Yang, A. Anandkumar, *Regularized Learning for Domain
Adaptation under Label Shifts*, ICLR 2019."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.adapters.bbse import BBSE
from headstart.errors import RecipeError, sentence
from headstart.functional.label_shift import rlls, rlls_delta


class RLLS(BBSE):
    """As BBSE, held back towards w = 1 where few rows speak.

    Neither norm of its objective is squared, so the penalty acts on the directions in which the confusion matrix says little
    against ``delta``; where the classifier tells all classes well, the result is BBSE's exactly.

    Args:
        delta: >= 0, strength; ``"auto"`` (default) the bound sqrt(log(2 C / 0.05) / n_s) / 2, which falls as 1 / sqrt(n_s).
        trust: the paper's gamma in [0, 1], how much of the shift is believed. Default 1.
        Others: as for :class:`BBSE`.
    """

    def __init__(
        self,
        estimator: Any = None,
        delta: float | str = "auto",
        trust: float = 1.0,
        cv: int = 5,
        refit: bool = False,
        n_boot: int = 500,
        random_state: int | None = 0,
    ) -> None:
        super().__init__(estimator, cv, refit, n_boot, random_state)
        self.delta = delta
        self.trust = trust

    def _weights(self, held_out: np.ndarray, truth: np.ndarray, posterior: np.ndarray) -> np.ndarray:
        if (
            not (self.delta == "auto" or (isinstance(self.delta, (int, float)) and self.delta >= 0))
            or not 0 <= self.trust <= 1
        ):
            got = f"delta={self.delta!r}, trust={self.trust}"
            raise RecipeError(
                sentence("RLLS cannot use this", got=got, allowed="delta 0 or more or 'auto', trust in [0, 1]")
            )
        k = held_out.shape[1]
        self.delta_ = rlls_delta(len(truth), k) if self.delta == "auto" else float(self.delta)
        return super()._weights(held_out, truth, posterior)

    def _solve(self, joint: np.ndarray, said: np.ndarray) -> np.ndarray:
        return rlls(joint, said, self.delta_, self.trust)
