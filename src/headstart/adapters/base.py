"""What every adapter shares: two named domains, checked; a source side and a target side.

``fit(X, y, X_target=...)``: X are the source's rows, y their labels, X_target the target's rows. Where no ``X_target`` is
given the source stands for the target, nothing can be adapted, and a :class:`AdaptationWarning` says so.

Transformers have two sides. ``fit_transform`` returns the *source* side of the rows it was fitted on, which is what the
next step of a pipeline learns from; ``transform`` gives the *target* side, which is what it predicts on;
``transform_source`` gives the source side of any rows.
"""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from headstart.errors import ArrayError, sentence
from headstart.functional.blocks import row_blocks

FLOATS = [np.float64, np.float32]


class AdaptationWarning(UserWarning):
    """What was asked can be done, but it will not adapt, or not as one would think."""


class TwoDomains(BaseEstimator):
    """An estimator that is fitted on a source and a target. ``X_target`` and ``y_target`` are routed to it by default."""

    __metadata_request__fit = {"X_target": True}
    _min_rows = 1  # of the source

    def _domains(self, X: Any, y: Any = None, X_target: Any = None) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Check both domains: (n_s, d), (n_s,) or None, (n_t, d), all finite, of one float type.

        Raises:
            ArrayError: other widths, an empty target, NaN or infinity (which column, how many).
        """
        given: Any = "no_validation" if y is None else y
        checked = validate_data(
            self, X, given, dtype=FLOATS, ensure_all_finite=False, ensure_min_samples=self._min_rows
        )
        source, labels = (checked, None) if y is None else checked
        finite(source, "the source X", getattr(self, "feature_names_in_", None))
        if X_target is None:
            warnings.warn(
                f"{type(self).__name__} was given no X_target: the source stands for the target, and nothing is adapted. "
                "Try: fit(X, y, X_target=...)",
                AdaptationWarning,
                stacklevel=4,
            )
            return source, labels, source
        return source, labels, self._target_rows(X_target, source.dtype)

    def _classified(self, X: Any, y: Any, X_target: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Both domains of a classifier: X (n_s, d), y (n_s,), y as 0..C-1, X_target (n_t, d). Sets ``classes_``.

        Raises:
            ValueError: no y, a continuous one, or one class only.
        """
        if y is None:
            raise ValueError(
                f"requires y to be passed, but the target y is None: {type(self).__name__} needs source labels"
            )
        source, labels, target = self._domains(X, y, X_target)
        assert labels is not None
        check_classification_targets(labels)
        self.classes_, index = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"The source has one class only ({self.classes_[0]!r}); a classifier needs two or more")
        return source, labels, index, target

    def _target_rows(self, X_target: Any, dtype: Any) -> np.ndarray:
        shape = np.shape(X_target)
        if len(shape) == 2 and shape[0] == 0:
            raise ArrayError(sentence("the target has no rows", where="X_target", got=shape, allowed="one row or more"))
        if len(shape) == 2 and shape[1] != self.n_features_in_:  # type: ignore[attr-defined]
            raise ArrayError(
                sentence(
                    "the two domains have other widths",
                    got=f"source {self.n_features_in_} columns, target {shape[1]}",  # type: ignore[attr-defined]
                    allowed="the same columns in both",
                    fix="KernelManifoldAlignment, CoupledCCA or CoOptimalTransport, which join different feature spaces",
                )
            )
        target = validate_data(self, X_target, reset=False, dtype=dtype, ensure_all_finite=False)
        finite(target, "X_target", getattr(self, "feature_names_in_", None))
        return target


class TwoSided(TransformerMixin, TwoDomains):
    """A transformer with a source side and a target side. Subclasses write ``_learn``, ``_source_side``, ``_target_side``."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _learn(self, Xs: np.ndarray, y: np.ndarray | None, Xt: np.ndarray) -> None:
        raise NotImplementedError

    def _source_side(self, X: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _target_side(self, X: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _fitted_source_side(self, X: np.ndarray) -> np.ndarray:
        """The source side of just the rows that were fitted on; other than ``_source_side`` for transductive methods."""
        return self._source_side(X)

    def fit(self, X: Any, y: Any = None, *, X_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), its labels y (n_s,) where the method uses them, and X_target (n_t, d)."""
        self._learn(*self._domains(X, y, X_target))
        return self

    def fit_transform(self, X: Any, y: Any = None, *, X_target: Any = None) -> np.ndarray:
        """Fit, and return the source side of X (n_s, k): what the next step learns from."""
        source, labels, target = self._domains(X, y, X_target)
        self._learn(source, labels, target)
        return self._fitted_source_side(source).astype(source.dtype, copy=False)

    def transform(self, X: Any) -> np.ndarray:
        """The target side of X (n, d): (n, k)."""
        return self._one_side(X, self._target_side)

    def transform_source(self, X: Any) -> np.ndarray:
        """The source side of X (n, d): (n, k)."""
        return self._one_side(X, self._source_side)

    def _one_side(self, X: Any, side: Any) -> np.ndarray:
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=FLOATS, ensure_all_finite=False)
        finite(rows, "X", getattr(self, "feature_names_in_", None))
        return side(rows).astype(rows.dtype, copy=False)


def finite(X: np.ndarray, where: str, names: Any = None) -> None:
    """Refuse NaN and infinity, with the columns that hold them and how many.

    Raises:
        ArrayError: any value of X (n, d) is not finite.
    """
    # the sum of a row is finite unless the row holds something that is not (or overflows: looked at again below)
    if all(np.isfinite(block.sum(dtype=np.float64)) for _, block in row_blocks(X)):
        return
    bad = ~np.isfinite(X)
    if not bad.any():
        return
    columns = np.flatnonzero(bad.any(0))
    shown = [f"{names[j] if names is not None else j} ({int(bad[:, j].sum())})" for j in columns[:5]]
    more = f" and {len(columns) - 5} more" if len(columns) > 5 else ""
    raise ArrayError(
        sentence(
            f"{int(np.isnan(X).sum())} NaN and {int(np.isinf(X).sum())} infinity",
            where=f"{where}, columns {', '.join(shown)}{more}",
            allowed="finite numbers",
            fix="sklearn.impute.SimpleImputer before it",
        )
    )


def components_wanted(asked: int | None, most: int, name: str = "n_components", why: str = "rows or columns") -> int:
    """The number of components: all there are where ``None``, else ``asked``.

    Raises:
        ArrayError: more than there are, or below 1.
    """
    if asked is None:
        return most
    if not 1 <= asked <= most:
        raise ArrayError(
            sentence(
                f"{name} is out of range",
                got=asked,
                allowed=f"1 to {most} ({why})",
                fix=f"{name}={max(1, min(asked, most))}",
            )
        )
    return int(asked)
