"""Tasks on rows of numbers, for tests of several tasks."""

import numpy as np
import torch

from headstart.data.rows import ArrayRows
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.sources.bottleneck import on_rows
from headstart.strategies.grammar import parse_strategy
from headstart.tasks.classification import Classification
from headstart.tasks.regression import Regression
from headstart.training.multitask import Member, train_together
from headstart.training.optim import Optimisation

WIDTH = 20
CPU = torch.device("cpu")


def rows(n, seed):
    return np.random.default_rng(seed).normal(size=(n, WIDTH)).astype(np.float32)


def hidden(X, seed=0):
    """Three curved directions that tasks may share."""
    W = np.random.default_rng([seed, 99]).normal(size=(WIDTH, 3)) / np.sqrt(WIDTH)
    return np.tanh(2 * X @ W) * np.abs(X @ W)


def classes(name, X, y, valid=None):
    task = Classification(tuple(map(str, range(int(max(y)) + 1))))
    score = SCORING["classification"].watch
    more = {} if valid is None else {"valid": ArrayRows(valid[0]), "valid_labels": valid[1]}
    return Member(
        name, task, ArrayRows(X), np.asarray(y), score=lambda found, labels: score(found, labels, task.classes), **more
    )


def values(name, X, y):
    return Member(
        name, Regression(("value",), center=float(np.mean(y)), scale=float(np.std(y))), ArrayRows(X), np.asarray(y)
    )


def together(members, *, epochs=4, updates=5, seed=0, width=(16,), lr=5e-3, strategy="finetune", **options):
    torch.manual_seed(seed)
    network = on_rows(WIDTH, width)
    how = Optimisation(epochs, lr, head_lr_scale=1.0, grad_clip=options.pop("grad_clip", 1.0))
    return train_together(
        network,
        parse_strategy(strategy),
        members,
        how,
        updates=updates,
        batch_size=16,
        device=CPU,
        seed=seed,
        **options,
    )


def state(model):
    return {key: value.clone() for key, value in model.state_dict().items()}
