"""Single-label classification: a linear head, cross-entropy and its relatives, softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.errors import RecipeError, near, sentence
from headstart.functional.effective_number import effective_number
from headstart.tasks.losses import CROSS_ENTROPY, Loss, called
from headstart.tasks.task import Task, TaskOptions


class Classification(Task):
    """One of K classes.

    Args:
        classes: the K names, in the order of the label indices.
        label_smoothing: in [0, 1), default 0; the target becomes ``(1 - s) * onehot + s / K`` (Szegedy et al. 2016).
        class_weights: float (K,), a factor on the loss of each class's images, or ``None``.
        loss: what one image costs, default the cross-entropy.
        counts: int (K,), training images a class; logit adjustment needs them (a class without any counts as one image).

    The weighted loss is ``sum_i w[y_i] l_i / sum_i w[y_i]``; for soft targets (mixup) ``w[y_i]`` is the expectation of
    ``w`` under the target, so that a hard target is the special case.
    """

    name = "classification"
    gives = frozenset({"class_probabilities", "class_labels", "shared_labels", "loss_per_image"})
    obeys = frozenset(
        {"label_smoothing", "imbalance", "sampler", "mixing", "loss", "calibration", "wise", "forgetting"}
    )

    def __init__(
        self,
        classes: tuple[str, ...],
        *,
        label_smoothing: float = 0.0,
        class_weights: np.ndarray | None = None,
        loss: Loss = CROSS_ENTROPY,
        counts: np.ndarray | None = None,
    ) -> None:
        self.classes = classes
        self.each_loss = loss
        self.log_prior = None if counts is None else torch.as_tensor(log_prior(counts))
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32)

    @property
    def adjustment(self) -> torch.Tensor:
        """float32 (K,): what the loss adds to the logits, ``tau log pi``; 0 for every loss but logit adjustment."""
        if self.each_loss.name != "logit_adjusted" or self.log_prior is None:
            return torch.zeros(len(self.classes))
        return self.each_loss.strength * self.log_prior

    @classmethod
    def learn(cls, train_set: Dataset, options: TaskOptions) -> Classification:
        counts = train_set.counts
        weights = class_weights(settled_imbalance(options.imbalance, options.loss, counts), counts, train_set.classes)
        return cls(
            train_set.classes, label_smoothing=options.label_smoothing, class_weights=weights, loss=options.loss, counts=counts
        )  # fmt: skip

    @classmethod
    def restore(cls, classes: tuple[str, ...], state: dict[str, Any]) -> Classification:
        return cls(classes)

    def soft(self, targets: torch.Tensor) -> torch.Tensor:
        """One-hot rows (B, K)."""
        return nn.functional.one_hot(targets, len(self.classes)).to(torch.float32)

    def some_targets(self, n: int) -> torch.Tensor:
        return torch.arange(n) % len(self.classes)

    def each(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(B,): what each image costs, without class weights; arguments as for :meth:`loss`."""
        k = outputs.shape[1]
        if targets.ndim == 1:
            targets = nn.functional.one_hot(targets, k)
        smooth = targets.to(torch.float32) * (1 - self.label_smoothing) + self.label_smoothing / k
        prior = None if self.log_prior is None else self.log_prior.to(outputs.device)
        return self.each_loss.each(outputs.float(), smooth, prior)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The weighted mean over logits (B, K) and class indices (B,) or probabilities (B, K)."""
        each = self.each(outputs, targets)
        if self.class_weights is None:
            return each.mean()
        weights = self.class_weights.to(targets.device)
        weight = weights[targets] if targets.ndim == 1 else targets.to(torch.float32) @ weights
        return (each * weight).sum() / weight.sum()

    def mass(self, targets: torch.Tensor) -> float:
        """The sum of the class weights of the images; their number where no class has a weight of its own."""
        if self.class_weights is None:
            return float(len(targets))
        weights = self.class_weights.to(targets.device)
        return float((weights[targets] if targets.ndim == 1 else targets.to(torch.float32) @ weights).sum())

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Logits (B, K) -> probabilities (B, K)."""
        return torch.softmax(outputs.float(), dim=1)


def class_weights(imbalance: str | dict[str, float], counts: np.ndarray, classes: tuple[str, ...]) -> np.ndarray | None:
    """What ``imbalance`` means as weights on the loss.

    Args:
        imbalance: ``"none"``; ``"auto"`` (weights when the largest class has more than 1.5 times the images of the
            smallest); ``"weights"`` (always); ``"effective(beta)"`` (always, by the effective number of samples, Cui et al.
            2019); ``"sampler"`` (no weights here: batches are drawn balanced instead); or ``{class name: weight}``, classes not
            named have weight 1.
        counts: int (K,), training images a class.
        classes: the K names.

    Returns:
        float32 (K,) with a mean of 1 over the training images (``n / (K * counts)``; for ``effective`` in proportion to
        ``(1 - beta) / (1 - beta^counts)``), or ``None`` for equal weights.

    Raises:
        RecipeError: a name that is no class, a weight that is not positive, or a beta out of range.
    """
    if isinstance(imbalance, dict):
        for name, value in imbalance.items():
            if name not in classes:
                close = near(name, classes)
                raise RecipeError(
                    sentence(
                        "unknown class in the class weights",
                        got=name,
                        allowed=list(classes),
                        fix=close[0] if close else None,
                    )
                )
            if not value > 0:
                raise RecipeError(sentence(f"the weight of class {name!r} must be positive", got=value, allowed="> 0"))
        return np.array([imbalance.get(name, 1.0) for name in classes], dtype=np.float32)
    beta = effective_beta(imbalance)
    if beta is not None:
        weights = 1 / effective_number(np.maximum(counts, 1), beta)
        return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)
    present = counts[counts > 0]
    if imbalance in ("none", "sampler") or (imbalance == "auto" and present.max() <= 1.5 * present.min()):
        return None
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def settled_imbalance(imbalance: str | dict[str, float], loss: Loss, counts: np.ndarray) -> str | dict[str, float]:
    """What ``imbalance`` comes to beside ``loss``: logit adjustment is itself the correction of unequal classes.

    Args:
        counts: int (K,), training images a class.

    Returns:
        ``"none"`` for ``"auto"`` beside logit adjustment, else ``imbalance``.

    Raises:
        RecipeError: both would correct, or there is nothing to correct.
    """
    if loss.name != "logit_adjusted":
        return imbalance
    if counts.max() == counts.min():
        raise RecipeError(
            sentence("the classes have equally many training images, so that logit adjustment would change nothing",
                     where="loss", got=f"{counts[0]} images a class", fix="--loss cross_entropy")
        )  # fmt: skip
    if imbalance in ("weights", "sampler") or effective_beta(imbalance) is not None:  # type: ignore[arg-type]
        raise RecipeError(
            sentence("logit adjustment and this way of weighing both correct unequal classes; together they do it twice",
                     where="imbalance", got=imbalance, fix="--imbalance none, or --loss cross_entropy")
        )  # fmt: skip
    return "none" if imbalance == "auto" else imbalance


EFFECTIVE_BETA = 0.99
"""The default beta: a class has at most 100 effective images."""


def effective_beta(imbalance: str) -> float | None:
    """beta of ``"effective"`` or ``"effective(beta=0.99)"``; ``None`` for any other way.

    Raises:
        RecipeError: text that begins so and cannot be read, or a beta outside of (0, 1).
    """
    if not str(imbalance).startswith("effective"):
        return None
    beta = called(imbalance, "imbalance", {"effective": ("beta", EFFECTIVE_BETA)})[1]
    if beta is None or not 0 < beta < 1:
        raise RecipeError(
            sentence("bad value of beta", where="imbalance", got=imbalance, allowed="above 0 and below 1",
                     fix=f"--imbalance 'effective({EFFECTIVE_BETA})'")
        )  # fmt: skip
    return beta


def log_prior(counts: np.ndarray) -> np.ndarray:
    """float32 (K,): log of each class's share of the training images; a class without any counts as one image."""
    counts = np.maximum(np.asarray(counts, dtype=np.float64), 1)
    return np.log(counts / counts.sum()).astype(np.float32)


def sampler_weights(labels: np.ndarray) -> np.ndarray:
    """float64 (n,): the chance of drawing each image so that every class comes equally often."""
    return 1.0 / np.bincount(labels)[labels]
