"""Options of `adapt` that cannot act, refused before anything is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.data.feature_tables import FeatureTable
from headstart.errors import DataError, RecipeError, sentence

CLASSIFIERS = ("logistic", "1nn", "svm")
LEAST = 8
"""Rows of a target below which nothing can be said of how it is distributed."""


def check(
    method: str,
    select: str | None,
    target_labels: int,
    classifier: str,
    training: dict[str, Any] | None = None,
    open_set: float | None = None,
) -> None:
    """Refuse what cannot act, before anything is read.

    Args:
        training: options of gradient steps, and of how inputs are read, by name, ``None`` where the user is silent.

    Raises:
        RecipeError: an unknown name, or options that contradict each other.
    """
    from headstart.adapters.catalogue import METHODS, list_methods
    from headstart.adapters.scorers import SCORERS
    from headstart.verbs.adapt_names import is_deep, read_method

    read_method(method)
    deep = is_deep(method)
    if select is not None and method in METHODS:
        raise RecipeError(
            sentence(
                "--select chooses among methods, or among the epochs of a deep one; a method without epochs was named",
                got=f"--method {method}", fix="--method auto",
            )
        )  # fmt: skip
    if select is not None and select not in SCORERS:
        raise RecipeError(sentence("unknown criterion", got=select, allowed=list(SCORERS)))
    if classifier not in CLASSIFIERS:
        raise RecipeError(sentence("unknown classifier", got=classifier, allowed=CLASSIFIERS))
    if deep and classifier != "logistic":
        raise RecipeError(
            sentence(
                f"{method} trains a network, which has a head of its own",
                got=f"--classifier {classifier}",
                fix="leave it out",
            )
        )
    _check_training(method, training or {})
    _check_open_set(method, target_labels, open_set)
    if target_labels < 0:
        raise RecipeError(sentence("--target-labels is out of range", got=target_labels, allowed="0 or more"))
    few = method in METHODS and METHODS[method].needs == "target_labels"
    if few and not target_labels:
        raise RecipeError(
            sentence(
                f"{method} learns from a few labelled target rows", got="--target-labels 0", fix="--target-labels 5"
            )
        )
    if target_labels and not few and not deep:
        names = list_methods(needs="target_labels")
        raise RecipeError(
            sentence(
                f"{method} uses no target labels",
                got=f"--target-labels {target_labels}",
                allowed=[*names, "deep methods"],
                fix=f"--method {names[0]}",
            )
        )


def _check_open_set(method: str, target_labels: int, open_set: float | None) -> None:
    """A threshold for unknown classes: in range, alone, and where no labels show all classes of the target."""
    from headstart.verbs.adapt_names import answers_unknown, whole_network

    if open_set is not None and not 0 < open_set < 1:
        raise RecipeError(
            sentence("--open-set is out of range", got=open_set, allowed="above 0 and below 1, the share of the source that stays known")
        )  # fmt: skip
    if open_set is not None and answers_unknown(method):
        raise RecipeError(
            sentence(f"{method} answers 'unknown' by itself, and a second threshold would act on top of it", got=f"--open-set {open_set:g}",
                     fix="leave out --open-set")
        )  # fmt: skip
    if open_set is not None and whole_network(method):
        raise RecipeError(
            sentence("a whole network is saved with the classes of its head alone, and a threshold is not one of them",
                     got=f"--open-set {open_set:g}", fix="--method finetune+osbp, or a bare term such as --method dann")
        )  # fmt: skip
    if target_labels and (open_set is not None or answers_unknown(method)):
        raise RecipeError(
            sentence("labelled target rows show every class of the target, so that none is unknown",
                     got=f"--target-labels {target_labels}", fix="--target-labels 0, or no method for open sets")
        )  # fmt: skip


def check_whole(method: str, augment: Any, pool: str | None) -> None:
    """Refuse what acts only where the whole network is trained.

    Raises:
        RecipeError: it is not.
    """
    from headstart.verbs.adapt_names import whole_network

    why = {
        f"--augment {augment}": augment is not None and "each input is read once, and does not come again in another form",
        "--pool weighted": pool == "weighted" and "the weights of the layers are learned with the network, which stays as it is",
    }  # fmt: skip
    for got, said in why.items():
        if said and not whole_network(method):
            raise RecipeError(
                sentence(f"{method} works on features of a frozen backbone: {said}", got=got,
                         fix="leave it out, or --method finetune+dann")
            )  # fmt: skip


def _check_training(method: str, training: dict[str, Any]) -> None:
    """Options of gradient steps: in range, and for a method that takes such steps."""
    from headstart.adapters.catalogue import METHODS

    given = {name: value for name, value in training.items() if value is not None}
    least = {"epochs": 1, "batch_size": 2, "image_size": 8, "max_length": 4}
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        if name in least and value < least[name]:
            raise RecipeError(sentence(f"{flag} is out of range", got=value, allowed=f"{least[name]} or more"))
        if name == "lr" and not 0 < value < float("inf"):
            raise RecipeError(sentence("--lr is out of range", got=value, allowed="> 0"))
        if name in ("epochs", "lr", "batch_size") and method in METHODS:
            raise RecipeError(
                sentence(
                    f"{method} takes no gradient steps", got=f"{flag} {value}", fix="leave it out, or --method dann"
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


def too_few(n: int, where: str) -> None:
    """Refuse a target that says nothing of its domain.

    Raises:
        DataError: fewer than 8 rows.
    """
    if n < LEAST:
        raise DataError(
            sentence(
                "the target is too small to say how its domain differs", where=where, got=f"{n} rows", allowed=f"{LEAST} or more",
                fix="more of it without labels, or headstart predict with the source's model",
            )
        )  # fmt: skip


def same_twice(source: FeatureTable, target: FeatureTable) -> None:
    """Refuse a target that is the source: its labels have been learned from, and no score of it means anything.

    Raises:
        DataError: the same rows in the same order.
    """
    if np.array_equal(source.X, target.X):
        raise DataError(
            sentence("source and target are the same data, so that there is nothing to adapt to", got=target.origin,
                     fix="headstart fit, which holds out a part of one data set")
        )  # fmt: skip
