"""What the methods share that join two feature spaces: source and target have other columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, check_is_fitted

from headstart.adapters.base import FLOATS, TwoSided, finite
from headstart.errors import ArrayError, sentence


class OtherColumns(TwoSided):
    """A transformer whose target rows may have other columns. ``transform`` takes target rows, ``transform_source`` source rows.

    Attributes:
        n_features_in_: columns of the source. n_features_target_: of the target.
    """

    def _target_rows(self, X_target: Any, dtype: Any) -> np.ndarray:
        shape = np.shape(X_target)
        if len(shape) == 2 and shape[0] == 0:
            raise ArrayError(sentence("the target has no rows", where="X_target", got=shape, allowed="one row or more"))
        target = check_array(X_target, dtype=dtype, ensure_all_finite=False)
        finite(target, "X_target")
        self.n_features_target_ = target.shape[1]
        return target

    def transform(self, X: Any) -> np.ndarray:
        """The joint side of target rows X (n, d_t): (n, k)."""
        check_is_fitted(self)
        if getattr(self, "n_features_target_", self.n_features_in_) == self.n_features_in_:
            return super().transform(X)
        rows = check_array(X, dtype=FLOATS, ensure_all_finite=False)
        finite(rows, "X")
        if rows.shape[1] != self.n_features_target_:
            raise ArrayError(
                sentence("target rows have another width", got=rows.shape[1], allowed=self.n_features_target_)
            )
        return self._target_side(rows).astype(rows.dtype, copy=False)
