"""A scikit-learn pipeline whose steps before an adapter transform the target, too."""

from __future__ import annotations

from typing import Any, Self

import sklearn
from sklearn.pipeline import Pipeline, _name_estimators


class AdaptationPipeline(Pipeline):
    """``fit(X, y, X_target=...)``: every step that takes ``X_target`` gets it as the steps before have transformed it.

    The rest is scikit-learn's Pipeline; ``predict`` sends its rows through the target side of each step. Metadata routing is
    switched on inside ``fit`` alone, so that nothing has to be configured.
    """

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit all steps on the source X (n_s, d), y (n_s,), with ``X_target`` (n_t, d) and what else the steps take."""
        given = {name: value for name, value in params.items() if value is not None}
        with sklearn.config_context(enable_metadata_routing=True):
            return super().fit(X, y, **given)


def make_adaptation_pipeline(*steps: Any, memory: Any = None, verbose: bool = False) -> AdaptationPipeline:
    """An :class:`AdaptationPipeline` with steps named by their class in lower case, as ``make_pipeline`` does.

    >>> make_adaptation_pipeline(StandardScaler(), CORAL(), LogisticRegression()).fit(Xs, ys, X_target=Xt).predict(Xt)
    """
    return AdaptationPipeline(_name_estimators(steps), transform_input=["X_target"], memory=memory, verbose=verbose)
