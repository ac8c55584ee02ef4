"""The classical baseline of texts: a linear model on TF-IDF of words and letters, its strength chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from headstart.data.text_preprocessing import Text
from headstart.errors import RecipeError
from headstart.features.bag_of_words import BagOfWords
from headstart.functional.logistic import ABSENT, Design, Solver, seen_classes
from headstart.tables import Table
from headstart.tasks.task import Task
from headstart.training.folds import assign_folds, sample
from headstart.training.heads.solved import Solved, finite
from headstart.training.probe import search_path

STRENGTHS = (1.0, 5.0, 25.0, 125.0)
"""Values of C (scikit-learn's convention) of a logistic regression, from strong to weak."""
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1)
"""Values of alpha of a ridge regression, from strong to weak."""
FEW = 1500
"""Texts up to which, where there are more terms, the rows are rotated into as many numbers as there are texts: the same solution, sooner."""
MUCH = 3e7
"""Multiplications in one product of rows and weights above which the strength is chosen on a draw of :data:`FEW` texts."""
TOLERANCE = 1e-3
"""Of the solutions that are compared, in nats a text; that of the last is ten times finer."""
MOST = 50_000
"""Training texts at most; of more, so many are drawn."""


@dataclass(frozen=True)
class Classical:
    """A fitted baseline: outputs = bag(texts) W' + b, as the head of its task reads them.

    Attributes:
        criterion: how the strength was chosen, in words.
    """

    bag: BagOfWords
    weight: np.ndarray
    bias: np.ndarray
    task: Task
    criterion: str

    def predict(self, texts: Sequence[Text]) -> np.ndarray:
        """What the task decodes, float32 (n, M)."""
        outputs = self.bag(texts) @ self.weight.T + self.bias
        return self.task.decode(torch.as_tensor(np.asarray(outputs), dtype=torch.float32)).numpy()


def fit_classical(
    texts: Sequence[Text], labels: np.ndarray, task: Task, *, groups: np.ndarray | None = None, seed: int = 0
) -> Classical:
    """TF-IDF (:class:`headstart.features.bag_of_words.BagOfWords`) and a linear model on top.

    Classes: multinomial logistic regression with L2 penalty, C out of :data:`STRENGTHS` by the rule of
    :func:`headstart.training.probe.fit_probe`. Labels, and the questions of ranks: one such model each. A quantity: ridge regression.
    An embedding: latent semantic analysis (Deerwester et al., *Indexing by latent semantic analysis*, 1990).

    Args:
        texts: n texts or pairs, those of the validation split among them.
        labels: of the task.
        groups: (n,); texts that share one are held out together.
        seed: of the folds, and of the draw where there are more than 50,000 texts.

    Raises:
        RecipeError: a task that has no classical model.
    """
    if len(texts) > MOST:
        rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:MOST])
        texts, labels = [texts[i] for i in rows], labels[rows]
        groups = None if groups is None else groups[rows]
    bag = BagOfWords(texts)
    solved = HEADS[task.name](bag(texts), labels, task, groups, seed)
    if solved.held_out is not None:
        task = task.tuned(solved.held_out, labels)
    said = f"TF-IDF of {bag.says}, {solved.weight.shape[1]:,} terms; {solved.criterion}"
    return Classical(bag, solved.weight, solved.bias, task, said)


def solve_logistic(
    X: Any, y: np.ndarray, n_classes: int, *, weights: np.ndarray | None, groups: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray, float, float, np.ndarray | None]:
    """Multinomial logistic regression on sparse rows, by :class:`headstart.functional.logistic.Solver`.

    Where one product of rows and weights is more than :data:`MUCH`, the strength is chosen on :data:`FEW` rows, drawn with the shares of
    the classes; all rows are learned from at that strength.

    Returns:
        weight (K, d), bias (K,) with -1e4 for a class with no example; the chosen C; its held-out accuracy; held-out
        probabilities (n, K) with rows of nan where none were held out, or ``None``.
    """
    n = X.shape[0]
    share = torch.ones(n) if weights is None else torch.as_tensor(weights, dtype=torch.float32)
    some = np.arange(n) if n <= FEW or X.nnz * n_classes <= MUCH else sample(y, FEW, seed)
    fold = assign_folds(y[some], groups=None if groups is None else groups[some], seed=seed)
    design, back = few_axes(X[some])
    target = torch.from_numpy(np.asarray(y, dtype=np.int64))
    found = search_path(design, target[some], share[some], n_classes, STRENGTHS, fold, tol=TOLERANCE, max_iter=300)
    start = found.start
    if len(some) < n:  # the folds' weights on the columns themselves are where all rows begin
        start = torch.cat([(back(start[:-1, 0])).unsqueeze(1), start[-1:]])
        design, back = all_columns(X)
    solver = Solver(design, target, n_classes, share[None], start)
    solver.solve(found.strength, tol=TOLERANCE / 10, max_iter=300)
    solution = solver.coefficients[:, 0]
    seen = seen_classes(target, share[None], n_classes)[0]
    weight, bias = back(solution[:-1]).T.contiguous(), solution[-1]
    bias = torch.where(seen, bias - bias[seen].mean(), ABSENT)
    if found.search is None:
        return weight.numpy(), bias.numpy(), found.strength, float("nan"), None
    held = np.full((n, n_classes), np.nan, dtype=np.float32)
    held[some] = found.search.oof[found.search.best]
    return weight.numpy(), bias.numpy(), found.strength, found.search.accuracy[found.search.best], held


def few_axes(X: Any) -> tuple[Design, Callable[[torch.Tensor], torch.Tensor]]:
    """Sparse rows X (n, d) for the solver, and what turns weights (r, K) on its columns into those (d, K) on X. Where there are at most
    :data:`FEW` rows and more columns, the rows are rotated into as many numbers as there are rows: a linear model with an L2 penalty has its
    weights in their span, so that the solution is the same.

    With ``X X' = U L U'`` the rows are ``Z = U sqrt(L)``, and ``X = Z (L^(-1/2) U' X)``.
    """
    if X.shape[0] > FEW or X.shape[0] >= X.shape[1]:
        return all_columns(X)
    values, axes = np.linalg.eigh((X @ X.T).toarray().astype(np.float64))
    kept = values > 1e-9 * values.max()
    root, axes = np.sqrt(values[kept]), axes[:, kept]
    rows = torch.from_numpy(np.append(axes * root, np.ones((len(axes), 1)), axis=1).astype(np.float32))
    turn = (axes / root).astype(np.float32)
    return Design(rows, None, None, rows.square().mean(0)), lambda W: torch.from_numpy(X.T @ (turn @ W.numpy()))


def all_columns(X: Any) -> tuple[Design, Callable[[torch.Tensor], torch.Tensor]]:
    """Sparse rows X (n, d) for the solver as they are."""
    square = np.append(np.asarray(X.power(2).mean(0), dtype=np.float32).ravel(), np.float32(1))
    return Design(SparseRows(X), None, None, torch.from_numpy(square)), lambda W: W


class SparseRows:
    """``[X, 1]`` of sparse rows X, float32 (n, d), as the solver multiplies it: from the left with weights, its transpose with residuals."""

    def __init__(self, X: Any) -> None:
        from scipy.sparse import hstack

        self.rows: Any = hstack([X, np.ones((X.shape[0], 1), dtype=np.float32)], format="csr", dtype=np.float32)

    def __matmul__(self, V: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.rows @ V.numpy())

    @property
    def T(self) -> SparseRows:
        turned = SparseRows.__new__(SparseRows)
        turned.rows = self.rows.T
        return turned


def _classes(X: Any, labels: np.ndarray, task: Any, groups: np.ndarray | None, seed: int) -> Solved:
    weights = None if task.class_weights is None else task.class_weights.numpy()[labels]
    weight, bias, C, accuracy, oof = solve_logistic(
        X, labels, len(task.classes), weights=weights, groups=groups, seed=seed
    )
    judged = len(labels) if oof is None else int(np.isfinite(oof[:, 0]).sum())
    drawn = "" if judged == len(labels) else f" of {len(labels)}"
    said = f"logistic regression, C = {C:g}, chosen by cross-validation on {judged}{drawn} training labels"
    return Solved(weight, bias, said, finite(accuracy), oof)


def _multilabel(X: Any, labels: np.ndarray, task: Any, groups: np.ndarray | None, seed: int) -> Solved:
    factors = None if task.positive_weights is None else task.positive_weights.numpy()
    weight, bias = np.zeros((task.rows, X.shape[1]), dtype=np.float32), np.zeros(task.rows, dtype=np.float32)
    held = np.full(labels.shape, np.nan, dtype=np.float32)
    for k in range(task.rows):
        y = (labels[:, k] > 0).astype(np.int64)
        factor = None if factors is None else np.where(y, factors[k], 1.0)
        weight[k], bias[k], oof = _question(X, y, factor, groups, seed)
        if oof is not None:
            held[:, k] = oof
    said = f"one logistic regression a label, its strength chosen by cross-validation, {len(labels)} training labels"
    return Solved(weight, bias, said, None, held if np.isfinite(held).any() else None)


def _ordinal(X: Any, labels: np.ndarray, task: Any, groups: np.ndarray | None, seed: int) -> Solved:
    weight, bias = np.zeros((task.rows, X.shape[1]), dtype=np.float32), np.zeros(task.rows, dtype=np.float32)
    for j in range(task.rows):
        asked = np.flatnonzero(labels >= j)
        some = None if groups is None else groups[asked]
        weight[j], bias[j], _ = _question(X[asked], (labels[asked] > j).astype(np.int64), None, some, seed)
    said = f"one logistic regression a question, its strength chosen by cross-validation, {len(labels)} training labels"
    return Solved(weight, bias, said)


def _question(
    X: Any, y: np.ndarray, factor: np.ndarray | None, groups: np.ndarray | None, seed: int
) -> tuple[np.ndarray, float, np.ndarray | None]:
    """Yes or no: one row of weights, its bias, held-out probabilities of yes; a constant where all answers are the same."""
    if len(y) == 0 or y.min() == y.max():
        yes = bool(len(y) and y[0])
        return np.zeros(X.shape[1], dtype=np.float32), 20.0 if yes else -20.0, np.full(len(y), float(yes))
    weight, bias, _, _, oof = solve_logistic(X, y, 2, weights=factor, groups=groups, seed=seed)
    return weight[1] - weight[0], float(bias[1] - bias[0]), None if oof is None else oof[:, 1]


def _regression(X: Any, labels: np.ndarray, task: Any, groups: np.ndarray | None, seed: int) -> Solved:
    from sklearn.linear_model import Ridge

    y = (labels - task.center) / task.scale
    fifth = np.searchsorted(np.unique(np.quantile(labels, [0.2, 0.4, 0.6, 0.8])), labels, side="right")
    fold = assign_folds(np.unique(fifth, return_inverse=True)[1], groups=groups, seed=seed)
    held = fold >= 0
    errors = []
    for alpha in PENALTIES if held.any() else ():
        found = np.zeros(len(y))
        for f in range(int(fold.max()) + 1):
            model = Ridge(alpha=alpha, solver="sparse_cg", tol=1e-3).fit(X[fold != f], y[fold != f])
            found[fold == f] = model.predict(X[fold == f])
        errors.append(float(((found - y)[held] ** 2).mean()))
    alpha = PENALTIES[int(np.argmin(errors))] if errors else 1.0
    model = Ridge(alpha=alpha, solver="sparse_cg", tol=1e-4).fit(X, y)
    said = (
        f"ridge strength alpha = {alpha:g}, the lowest held-out error of {len(PENALTIES)} on {len(y)} training labels"
    )
    return Solved(model.coef_[None].astype(np.float32), np.array([model.intercept_], dtype=np.float32), said)


def _embedding(X: Any, labels: np.ndarray, task: Any, groups: np.ndarray | None, seed: int) -> Solved:
    from sklearn.decomposition import TruncatedSVD

    size = max(1, min(task.size, X.shape[0] - 1, X.shape[1] - 1))
    axes = TruncatedSVD(size, random_state=seed).fit(X).components_
    weight = np.zeros((task.size, X.shape[1]), dtype=np.float32)
    weight[:size] = axes
    said = f"latent semantic analysis, {size} axes, without labels"
    return Solved(weight, np.zeros(task.size, dtype=np.float32), said)


HEADS: Table[Callable[..., Solved]] = Table(
    "task",
    {
        "classification": _classes, "hierarchical": _classes, "multilabel": _multilabel, "ordinal": _ordinal,
        "regression": _regression, "embedding": _embedding,
    },
    RecipeError,
)  # fmt: skip
"""What the classical model of each task is."""
