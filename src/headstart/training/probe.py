"""The probe: a linear head solved on cached features, its strength chosen by cross-validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from headstart.errors import DataError, sentence
from headstart.functional.logistic import Solver, check_inputs, rotate, seen_classes, spread, unrotate
from headstart.training.folds import assign_folds

SMALL = 3e8
"""Multiplications in one step of all folds below which a second thread costs more than it brings (and very much more
where another process keeps a core busy)."""
FOLD_BYTES = 128 << 20  # logits of the folds that are solved together, at most


@dataclass(frozen=True)
class Probe:
    """A solved linear head: ``logits = X @ weight.T + bias`` on the features as they came.

    Attributes:
        weight: float32 (K, d).
        bias: float32 (K,); -1e4 for a class with no example.
        strength: the chosen C (scikit-learn's convention, on standardised features).
        strengths: those tried, rising; the path may end early, so that there are fewer than were asked for.
        cv_accuracy: float64, one a strength tried: held-out accuracy in 0..1, weighted by ``sample_weight``; one
            nan where no cross-validation was possible.
        cv_log_loss: float64, the same for the log loss in nats.
        cv_se: standard error of the chosen strength's accuracy; nan where there was no cross-validation.
        oof: float32 (n, K): probabilities of each row by the folds that did not see it, at the chosen strength, for
            calibration; rows that were never held out are nan. ``None`` where there was no cross-validation.
        folds: how many; 0 where no cross-validation was possible.
        why: how the strength was chosen, one sentence for people.
        converged: the final solution met the tolerance.
        seconds: of the whole call.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    strengths: tuple[float, ...]
    cv_accuracy: np.ndarray
    cv_log_loss: np.ndarray
    cv_se: float
    oof: np.ndarray | None
    folds: int
    why: str
    converged: bool
    seconds: float

    def logits(self, X: np.ndarray) -> np.ndarray:
        """float32 (n, d) -> float32 (n, K)."""
        return np.asarray(X, dtype=np.float32) @ self.weight.T + self.bias


def default_strengths(n: int, d: int, n_classes: int, count: int = 10) -> list[float]:
    """``count`` values of C, evenly spaced in log from 1 to 10^5 divided by d * n / K.

    On standardised features a first gradient step changes a logit by about C * d * n / K, so that this range goes
    from "hardly moves" to "separates what can be separated" at any size.
    """
    return [float(c) for c in np.logspace(0, 5, count) * n_classes / (max(d, 1) * max(n, 1))]


def fit_probe(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    *,
    strengths: Sequence[float] | None = None,
    folds: int = 5,
    groups: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    seed: int = 0,
    tol: float = 1e-3,
    max_iter: int = 200,
    device: str = "cpu",
    progress: Callable[[str], None] | None = None,
) -> Probe:
    """Multinomial logistic regression with its strength chosen by K-fold cross-validation.

    Features are standardised inside and the scaling is folded back into ``weight`` and ``bias``. The rule for the
    strength: take the best held-out accuracy; among the strengths whose accuracy is not worse by more than one
    standard error of the paired difference, take the lowest held-out log loss. (Accuracy alone ties often on small
    data; log loss alone prefers a head that is too smooth.) The path runs from strong to weak regularisation and
    ends once two strengths in a row have a higher log loss and no higher accuracy than the best so far.

    Means, scales and principal axes are taken over all rows, held-out ones included; they see no labels.

    Args:
        X: (n, d), any float type, used as float32 (float64 where it comes so).
        y: int (n,), in 0..n_classes-1.
        n_classes: K >= 2.
        strengths: values of C > 0; default :func:`default_strengths`. With one value there is still a
            cross-validation, for the accuracy and ``oof``.
        folds: at most; see :func:`headstart.training.folds.assign_folds` for tiny classes and groups. Where no
            cross-validation is possible, the middle one of the strengths is taken.
        groups: (n,); rows that share one are held out together.
        sample_weight: (n,), >= 0; class weights go in here. A weight of 2 equals two copies in the objective. Rows
            with weight 0 are left out, and cost nothing.
        seed: of the folds.
        tol: accuracy of the solutions in the cross-validation, in nats an example; the final one is ten times finer.
        max_iter: steps at most for each solution.
        device: where the arithmetic runs, e.g. ``"cpu"`` or ``"cuda"``.
        progress: called with a line of text after each strength.

    Raises:
        DataError: see :func:`headstart.functional.logistic.fit_path`.
    """
    began = time.perf_counter()
    X = np.asarray(X)
    if X.dtype != np.float64:
        X = X.astype(np.float32, copy=False)
    y = np.asarray(y).astype(np.int64, copy=False)
    weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if folds < 2:
        raise DataError(sentence("too few folds for a cross-validation", got=folds, allowed=">= 2"))
    if strengths is not None and (not len(strengths) or min(strengths) <= 0):
        raise DataError(sentence("a strength that is not positive", got=list(strengths), allowed="C > 0"))
    if groups is not None and len(groups) != len(y):
        raise DataError(sentence("groups and labels differ in length", got=(len(groups), len(y)), allowed="equal"))
    check_inputs(torch.from_numpy(X), torch.from_numpy(y), n_classes, torch.from_numpy(weights))

    n_all, used = len(y), np.flatnonzero(weights > 0)
    if len(used) < n_all:
        X, y, weights = X[used], y[used], weights[used]
        groups = None if groups is None else np.asarray(groups)[used]
    n, d = X.shape
    tries = sorted(set(map(float, strengths))) if strengths is not None else default_strengths(n, d, n_classes)
    fold = assign_folds(y, folds=folds, groups=groups, seed=seed)

    small = n * min(n, d) * n_classes * max(int(fold.max()) + 1, 1) < SMALL
    with _threads(1 if small else torch.get_num_threads()):
        found = _fit(X, y, weights, n_classes, tries, fold, tol, max_iter, device, progress)
    oof = None
    if found.oof is not None:
        oof = np.full((n_all, n_classes), np.nan, dtype=np.float32)
        oof[used] = found.oof
    return replace(found, oof=oof, seconds=time.perf_counter() - began)


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """At most ``n`` threads for torch's arithmetic, and for the BLAS under scipy."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(limits=n, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def _fit(
    X: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    n_classes: int,
    tries: list[float],
    fold: np.ndarray,
    tol: float,
    max_iter: int,
    device: str,
    progress: Callable[[str], None] | None,
) -> Probe:
    n = len(y)
    Xt = torch.from_numpy(np.ascontiguousarray(X)).to(device)
    yt, wt = torch.from_numpy(y).to(device), torch.from_numpy(weights).to(device, Xt.dtype)
    design = rotate(Xt, spread(Xt))
    seen = seen_classes(yt, wt[None], n_classes)
    start = Xt.new_zeros(len(design.variance), 1, n_classes)

    usable = [f for f in range(int(fold.max()) + 1) if len(np.unique(y[fold != f])) >= 2]
    if usable:
        search = Search(y, weights)
        held = torch.from_numpy(fold).to(device)
        fold_weights = torch.stack([torch.where(held == f, 0, wt) for f in usable])
        at_once = max(1, int(FOLD_BYTES // (n * n_classes * Xt.element_size())))
        parts = [fold_weights[a : a + at_once] for a in range(0, len(usable), at_once)]
        solvers = [Solver(design, yt, n_classes, part, start.expand(-1, len(part), -1)) for part in parts]
        means: list[torch.Tensor] = []
        for i, C in enumerate(tries):
            oof = np.full((n, n_classes), np.nan, dtype=np.float32)
            for a, solver in enumerate(solvers):
                solver.solve(C, tol=tol, max_iter=max_iter)
                for b in range(solver.logits.shape[1]):
                    f = usable[a * at_once + b]
                    oof[fold == f] = solver.logits[held == f, b].softmax(1).float().cpu().numpy()
            means.append(torch.cat([solver.coefficients for solver in solvers], 1).mean(1, keepdim=True))
            search.add(oof)
            if progress is not None:
                progress(f"strength {i + 1} of {len(tries)}: held-out accuracy {search.accuracy[-1]:.3f}")
            if search.over:
                break
        best = search.best
        strength, start, accuracy = tries[best], means[best], np.array(search.accuracy)
        losses, se, chosen_oof = np.array(search.loss), search.se(best), search.oof[best]
        tries = tries[: len(accuracy)]
        why = (
            f"C = {strength:.3g} has a held-out accuracy of {accuracy[best]:.1%} over {len(usable)} folds "
            f"and the lowest log loss among those not clearly worse than the best ({accuracy.max():.1%})"
        )
    else:
        strength = tries[(len(tries) - 1) // 2]
        tries, accuracy, losses, se, chosen_oof = [strength], np.full(1, np.nan), np.full(1, np.nan), float("nan"), None
        why = f"C = {strength:.3g} is the middle of the path: with one example a class (or one group) nothing can be held out"
    final = Solver(design, yt, n_classes, wt[None], start)
    _, _, converged = final.solve(strength, tol=tol / 10, max_iter=max_iter)
    weight, bias = unrotate(design, final.coefficients, seen)
    return Probe(
        weight=weight[0].float().cpu().numpy(),
        bias=bias[0].float().cpu().numpy(),
        strength=strength,
        strengths=tuple(tries),
        cv_accuracy=accuracy,
        cv_log_loss=losses,
        cv_se=se,
        oof=chosen_oof,
        folds=len(usable),
        why=why,
        converged=converged,
        seconds=0.0,
    )


class Search:
    """Held-out results along the path, the choice among them, and whether the path may end."""

    def __init__(self, y: np.ndarray, weights: np.ndarray) -> None:
        self.y, self.weights = y, weights
        self.right: list[np.ndarray] = []
        self.accuracy: list[float] = []
        self.loss: list[float] = []
        self.oof: list[np.ndarray] = []

    def add(self, oof: np.ndarray) -> None:
        held = ~np.isnan(oof[:, 0])
        self.share = np.where(held, self.weights, 0) / self.weights[held].sum()
        truth = np.clip(oof[np.arange(len(oof)), self.y], 1e-12, None)
        right = np.where(held, np.nan_to_num(oof).argmax(1) == self.y, False).astype(np.float64)
        self.right.append(right)
        self.accuracy.append(float(self.share @ right))
        self.loss.append(float(-(self.share @ np.log(np.where(held, truth, 1.0)))))
        self.oof.append(oof)

    def se(self, i: int, versus: int | None = None) -> float:
        """Standard error of an accuracy, or of the difference of two on the same rows if they were equally good."""
        x = self.right[i] - (0 if versus is None else self.right[versus])
        middle = self.share @ x if versus is None else 0.0
        return float(np.sqrt(self.share**2 @ (x - middle) ** 2))

    @property
    def best(self) -> int:
        top = int(np.argmax(self.accuracy))
        close = [
            i for i in range(len(self.loss)) if self.accuracy[i] >= self.accuracy[top] - self.se(i, versus=top) - 1e-12
        ]
        return min(close, key=lambda i: self.loss[i])

    @property
    def over(self) -> bool:
        if len(self.loss) < 3:
            return False
        loss, accuracy = min(self.loss[:-2]), max(self.accuracy[:-2])
        return min(self.loss[-2:]) > loss and max(self.accuracy[-2:]) <= accuracy
