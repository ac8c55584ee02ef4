"""Options of `adapt` that cannot act, refused before anything is read."""

from __future__ import annotations

import numpy as np

from headstart.errors import DataError, RecipeError, sentence

CLASSIFIERS = ("logistic", "1nn", "svm")


def check(method: str, select: str | None, target_labels: int, classifier: str) -> None:
    """Refuse what cannot act, before anything is read.

    Raises:
        RecipeError: an unknown name, or options that contradict each other.
    """
    from headstart.adapters.catalogue import METHODS, list_methods
    from headstart.adapters.scorers import SCORERS
    from headstart.errors import near

    if method != "auto" and method not in METHODS:
        guess = near(method, METHODS)
        allowed = ["auto", *METHODS]
        raise RecipeError(
            sentence("unknown method", got=method, allowed=allowed, fix=f"--method {guess[0]}" if guess else None)
        )
    if select is not None and method != "auto":
        raise RecipeError(
            sentence(
                "--select chooses among methods; a method was named", got=f"--method {method}", fix="--method auto"
            )
        )
    if select is not None and select not in SCORERS:
        raise RecipeError(sentence("unknown criterion", got=select, allowed=list(SCORERS)))
    if classifier not in CLASSIFIERS:
        raise RecipeError(sentence("unknown classifier", got=classifier, allowed=CLASSIFIERS))
    if target_labels < 0:
        raise RecipeError(sentence("--target-labels is out of range", got=target_labels, allowed="0 or more"))
    few = method != "auto" and METHODS[method].needs == "target_labels"
    if few and not target_labels:
        raise RecipeError(
            sentence(
                f"{method} learns from a few labelled target rows", got="--target-labels 0", fix="--target-labels 5"
            )
        )
    if target_labels and not few:
        names = list_methods(needs="target_labels")
        raise RecipeError(
            sentence(
                f"{method} uses no target labels",
                got=f"--target-labels {target_labels}",
                allowed=names,
                fix=f"--method {names[0]}",
            )
        )


def unusable(y: np.ndarray | None, where: str) -> None:
    """Refuse a source that nothing can be learned from.

    Raises:
        DataError: one class.
    """
    if y is not None and len(np.unique(y)) < 2:
        raise DataError(
            sentence("the source has one class only", where=where, got=str(y[0]), allowed="two classes or more")
        )
