"""What the methods share that learn from a few labelled target rows beside the source."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from headstart.adapters.base import TwoDomains
from headstart.errors import ArrayError, sentence


class LabelledTarget(TwoDomains):
    """``fit(X, y, X_target=..., y_target=...)``: X_target are the target's labelled rows, y_target (n_t,) their labels."""

    __metadata_request__fit = {"X_target": True, "y_target": True}

    def _labelled(
        self, X: Any, y: Any, X_target: Any, y_target: Any, numeric: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Both domains with their labels. Without a target the source stands for it, and a warning says so.

        Raises:
            ArrayError: X_target without y_target, or lengths that differ.
        """
        if y is None:
            raise ValueError(
                f"requires y to be passed, but the target y is None: {type(self).__name__} needs source labels"
            )
        Xs, ys, Xt = self._domains(X, y, X_target)
        assert ys is not None
        if numeric:
            ys = ys.astype(np.float64)
        else:
            check_classification_targets(ys)
        if X_target is None:
            return Xs, ys, Xt, ys
        if y_target is None:
            raise ArrayError(
                sentence(
                    f"{type(self).__name__} learns from labelled target rows",
                    got="X_target without y_target",
                    fix="fit(X, y, X_target=..., y_target=...), or a method that needs no target labels, such as CORAL or KMM",
                )
            )
        yt = column_or_1d(np.asarray(y_target))
        if len(yt) != len(Xt):
            raise ArrayError(sentence("y_target has another length than X_target", got=len(yt), allowed=len(Xt)))
        return Xs, ys, Xt, yt.astype(np.float64) if numeric else yt

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, reset=False)


def two_classes_or_more(*labels: np.ndarray) -> np.ndarray:
    """All classes (C,) of the domains together.

    Raises:
        ValueError: one only.
    """
    classes = np.unique(np.concatenate(labels))
    if len(classes) < 2:
        raise ValueError(f"There is one class only ({classes[0]!r}); a classifier needs two or more")
    return classes
