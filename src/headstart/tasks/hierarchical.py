"""Nested classes: a softmax over the leaves; what lies above them is summed, so that all levels agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.data.labels import LEVEL
from headstart.tasks.classification import class_weights
from headstart.tasks.task import Task, TaskOptions


class Hierarchical(Task):
    """One of K leaves of a tree whose levels are equally deep.

    The loss is the mean over the levels of the negative log probability of the true node, a node's probability being the sum of
    its leaves'. With one level it is cross-entropy.

    Args:
        classes: the K paths, ``animal/dog``.
        class_weights: float (K,), a factor on the loss of each leaf's images, or ``None``.
    """

    name = "hierarchical"
    gives = frozenset({"class_probabilities", "class_labels", "shared_labels"})
    obeys = frozenset({"imbalance", "sampler", "mixing"})

    def __init__(self, classes: tuple[str, ...], *, class_weights: np.ndarray | None = None) -> None:
        self.classes = classes
        self.class_weights = None if class_weights is None else torch.as_tensor(class_weights).float()
        self.levels = levels_of(classes)

    @classmethod
    def learn(cls, train_set: Dataset, options: TaskOptions) -> Hierarchical:
        return cls(
            train_set.classes, class_weights=class_weights(options.imbalance, train_set.counts, train_set.classes)
        )

    @classmethod
    def restore(cls, classes: tuple[str, ...], state: dict[str, Any]) -> Hierarchical:
        return cls(classes)

    @property
    def says(self) -> str:
        return f"Hierarchical image classification: {len(self.classes)} leaves on {len(self.levels)} levels"

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of logits (B, K) and leaves (B,), or shares of leaves (B, K)."""
        targets = self.soft(targets)
        log_leaf = torch.log_softmax(outputs.float(), dim=1)
        each = outputs.new_zeros(len(outputs), dtype=torch.float32)
        for _, node in self.levels:
            where = torch.as_tensor(node, device=outputs.device)
            several = torch.stack([torch.logsumexp(log_leaf[:, where == j], 1) for j in range(int(where.max()) + 1)], 1)
            wanted = several.new_zeros(several.shape).index_add_(1, where, targets)
            each = each - (wanted * several).sum(1) / len(self.levels)
        if self.class_weights is None:
            return each.mean()
        weight = targets @ self.class_weights.to(targets.device)
        return (each * weight).sum() / weight.sum()

    def mass(self, targets: torch.Tensor) -> float:
        if self.class_weights is None:
            return float(len(targets))
        return float((self.soft(targets) @ self.class_weights.to(targets.device)).sum())

    def soft(self, targets: torch.Tensor) -> torch.Tensor:
        if targets.ndim == 2:
            return targets.to(torch.float32)
        return nn.functional.one_hot(targets, len(self.classes)).to(torch.float32)

    def some_targets(self, n: int) -> torch.Tensor:
        return torch.arange(n) % len(self.classes)

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Logits (B, K) -> probabilities of the leaves (B, K)."""
        return torch.softmax(outputs.float(), dim=1)


def levels_of(classes: tuple[str, ...]) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """From the coarsest level to the leaves: the names of its nodes, and int64 (K,) the node of each leaf."""
    depth = classes[0].count(LEVEL) + 1
    found = []
    for level in range(1, depth + 1):
        paths = [LEVEL.join(name.split(LEVEL)[:level]) for name in classes]
        names = tuple(dict.fromkeys(paths)) if level == depth else tuple(sorted(set(paths)))
        index = {name: i for i, name in enumerate(names)}
        found.append((names, np.array([index[p] for p in paths], dtype=np.int64)))
    return found


def node_probabilities(leaves: np.ndarray, node: np.ndarray) -> np.ndarray:
    """Probabilities of the leaves (n, K) -> of the nodes of one level (n, J): the sums."""
    found = np.zeros((len(leaves), int(node.max()) + 1), dtype=np.float64)
    np.add.at(found.T, node, leaves.T.astype(np.float64))
    return found
