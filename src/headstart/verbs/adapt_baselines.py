"""The baselines beside source-only that tell the gain of adapting from that of labels, and from that of another learner."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.verbs.adapt_names import without_target
from headstart.verbs.adapt_question import Question

CLASSIFIERS = {"logistic": "logistic regression", "1nn": "the nearest neighbour", "svm": "a linear SVM"}
LABELLED, NETWORK = "source_and_labels", "same_network"


def learner(question: Question) -> str:
    """What the plain learner of shallow methods is, in words."""
    return "ridge regression" if question.task == "regression" else CLASSIFIERS[question.classifier]


def with_labels(inside: Any, Xs: np.ndarray, ys: np.ndarray, Xt: np.ndarray, yt: np.ndarray) -> Any:
    """The plain learner on the source's rows and the labelled ones of the target together; a row counts as a row.

    Args:
        inside: unfitted. Xt, yt: the labelled rows (k, d) and labels (k,).
    """
    from sklearn.base import clone

    return clone(inside).fit(np.concatenate([Xs, Xt]), np.concatenate([ys, yt]))


def network_with_labels(question: Question, plain: str, inputs: tuple[Any, Any], ys: Any, y_target: Any, domain: Any) -> Any:  # fmt: skip
    """The network of a deep method without its terms of adaptation, taught the same labels of the target.

    Args:
        y_target: (n_t,), ``None`` where the label may not be seen.
    """
    from headstart.verbs.adapt_deep import network

    model = network(question, plain, select="source")
    return model.fit(inputs[0], ys, X_target=inputs[1], y_target=y_target, domain=domain)


def network_alone(question: Question, chosen: Any, Xs: np.ndarray, ys: np.ndarray) -> Any:
    """The network of a deep method that ``auto`` chose, as many epochs on the source alone."""
    from headstart.verbs.adapt_deep import network
    from headstart.verbs.adapt_methods import with_threshold

    labels = ys if question.task == "regression" else ys.astype(object)
    model = network(question, without_target(chosen.strategy), select="source", epochs=chosen.epochs)
    return (model if question.open_set is None else with_threshold(model, question)).fit(Xs, labels)
