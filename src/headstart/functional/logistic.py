"""Multinomial logistic regression, solved: a whole path of strengths, several weightings of the rows at once.

The objective is scikit-learn's, for one strength C::

    C * sum_i w_i * -log softmax(W x_i + b)[y_i]  +  1/2 * ||W||^2         (b is not penalised)

For two classes it is scikit-learn's binary one, written symmetrically: rows -v/2 and +v/2 where scikit-learn has v.

How it is made fast:

* The rows are centred and rotated once onto the principal axes of X. The penalty does not see a rotation, and in this
  basis the Hessian is nearly diagonal: 1/(C sum w) + mean(p_k (1 - p_k)) * variance_j. Its inverse starts each L-BFGS
  step (Nocedal 1980), so that a handful of steps is enough. With fewer rows than columns the rotation also shrinks the
  problem to the rank of X, exactly.
* Logits are linear along a search direction: a step costs two matrix products, however long its line search.
* Problems that differ in their row weights only (the folds of a cross-validation) share those products.
* Strengths run from strong to weak regularisation. Each starts at the solution before it with that one's logits, loss
  gradient and L-BFGS memory (only the penalty has changed, and its part is known exactly), and goes on in the
  direction in which the last two solutions lie where that lowers the objective.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from headstart.errors import DataError, sentence

MEMORY, LEAST = 12, 3  # pairs that L-BFGS remembers, and that it does however large they are
PAIR_BYTES = 1 << 30  # of all of them, about
STILL = 5  # steps without a visible decrease after which a problem is at the floor of its float type
ABSENT = -1e4  # logit offset of a class with no weight: exp() of it is 0 in every float type


@dataclass(frozen=True)
class Design:
    """X in its principal axes: ``rows = [(X - mean) @ back, 1]``.

    Attributes:
        rows: (n, r + 1), r <= min(n, d); the last column is 1. Anything that multiplies as a tensor does, transposed too.
        back: (d, r); ``W = V @ back.T`` turns coefficients of the axes into those of the columns of X; ``None`` where the caller turns them.
        mean: (d,), or ``None`` with it.
        variance: (r + 1,) of each column of ``rows`` (1 for the last).
    """

    rows: Any
    back: Any
    mean: Any
    variance: torch.Tensor


@dataclass(frozen=True)
class Path:
    """Solutions along the strengths, in the order in which they were given.

    Attributes:
        weight: (S, K, d), or (S, B, K, d) where ``weights`` had B rows.
        bias: (S, K) or (S, B, K), centred over the classes seen; a class that has no weight gets ``-1e4``, so that its
            probability is 0.
        objective: float64 (S,) or (S, B): the objective above.
        iterations: int64 (S,): steps taken.
        converged: bool (S,): every problem of this strength met ``tol``.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    objective: torch.Tensor
    iterations: torch.Tensor
    converged: torch.Tensor


def eigh(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rising eigenvalues and eigenvectors. On a CPU by LAPACK's divide and conquer from scipy, three times as fast."""
    if matrix.device.type != "cpu":
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors
    from scipy.linalg import eigh as on_cpu

    low, up = on_cpu(matrix.numpy(), driver="evd", check_finite=False)
    return torch.from_numpy(low), torch.from_numpy(up)


def spread(X: torch.Tensor) -> torch.Tensor:
    """(d,) standard deviation of each column of X (n, d), features of a network; infinite, so that the column counts nothing, where it is constant
    but for rounding, or dead: under a millionth of the widest (MiniLM has columns of 1e-31 and 1e-7, which a weight of 1e7 would have to undo,
    and which grow as soon as the network is trained)."""
    found = X.std(0, correction=0)
    least = max(1e-6 * float(found.amax()), torch.finfo(X.dtype).tiny ** 0.5)
    moves = (found > 1e-6 * X.abs().amax(0)) & (found > least)
    return torch.where(moves, found, torch.inf)


def rotate(X: torch.Tensor, scale: torch.Tensor | None = None) -> Design:
    """Centre X (n, d), divide its columns by ``scale`` (d,) (default: not), and rotate to its principal axes.

    ``back`` includes the scale, so that coefficients come out for the columns of X itself.
    """
    n, d = X.shape
    mean = X.mean(0)
    if d <= n:
        gram = (X.T @ X).sub_(torch.outer(mean, mean), alpha=n)
        if scale is not None:
            gram.div_(torch.outer(scale, scale))
        axes = eigh(gram)[1].flip(1)
        back = axes if scale is None else axes / scale[:, None]
    else:
        # double precision: a Gram matrix squares the condition number, and here its small values are divided by
        centred = (X - mean).double()
        if scale is not None:
            centred /= scale.double()
        values, vectors = eigh(centred @ centred.T)
        keep = values > values[-1].clamp_min(1e-300) * 1e-12
        back = (centred.T @ (vectors[:, keep] / values[keep].sqrt())).flip(1)
        back = (back if scale is None else back / scale.double()[:, None]).to(X.dtype)
    rows = X.new_ones(n, back.shape[1] + 1)
    rows[:, :-1] = X @ back
    rows[:, :-1] -= mean @ back
    variance = rows.square().mean(0)
    return Design(rows, back, mean, variance)


class Solver:
    """B weightings of the same rows, solved for one strength after another, each from the solution before it.

    Args:
        design: from :func:`rotate`, r axes.
        y: int64 (n,), in 0..n_classes-1.
        n_classes: K.
        weights: (B, n), >= 0, each row with a positive sum.
        start: (r + 1, B, K), in the basis of ``design`` (last row: bias).

    Attributes:
        coefficients: (r + 1, B, K), the last solution.
        logits: (n, B, K) of all rows at the last solution.
    """

    def __init__(
        self, design: Design, y: torch.Tensor, n_classes: int, weights: torch.Tensor, start: torch.Tensor
    ) -> None:
        self.Z, self.variance, self.K = design.rows, design.variance[:, None, None], n_classes
        self.total = weights.sum(1).double()
        self.share = (weights / weights.sum(1, keepdim=True)).T.contiguous()  # (n, B)
        self.index = y[:, None, None].expand(len(y), len(weights), 1)
        self.penalised = torch.ones_like(self.variance)
        self.penalised[-1] = 0
        offset = torch.where(seen_classes(y, weights, n_classes), 0.0, ABSENT).to(start.dtype)
        self.coefficients = start.clone()
        self.logits = self._product(start) + offset
        self.loss, logp = self._loss(self.logits)
        self.slope, self.spread = self._gradient(logp)
        self.pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.memory = min(MEMORY, max(LEAST, PAIR_BYTES // (2 * start.numel() * start.element_size())))
        self.strength = 0.0
        self.before: tuple[float, torch.Tensor, torch.Tensor] | None = None

    def _product(self, V: torch.Tensor) -> torch.Tensor:
        return (self.Z @ V.reshape(len(V), -1)).view(-1, V.shape[1], self.K)

    def _loss(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean loss, float64 (B,), and log-probabilities (n, B, K)."""
        logp = torch.log_softmax(logits, 2)
        return -(logp.gather(2, self.index).squeeze(2) * self.share).sum(0, dtype=torch.float64), logp

    def _gradient(self, logp: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradient of the mean loss (r + 1, B, K), and the mean of p (1 - p), (B, K), on some 2,000 rows. Uses up
        ``logp``."""
        p = logp.exp_()
        every = max(1, len(p) // 2000)
        some, share = p[::every], self.share[::every]
        share = share / share.sum(0).clamp_min(1e-12)
        spread = ((some - some.square()) * share[:, :, None]).sum(0)
        p.scatter_add_(2, self.index, p.new_full((), -1.0).expand(self.index.shape)).mul_(self.share[:, :, None])
        return (self.Z.T @ p.view(len(p), -1)).view_as(self.coefficients), spread.clamp_min(1e-6)

    def _direction(self, g: torch.Tensor, ridge: torch.Tensor) -> torch.Tensor:
        """-H g by the two loops of L-BFGS; its start is the inverse of the nearly diagonal Hessian."""
        q, stack = g.clone(), []
        for s, v in reversed(self.pairs):  # v: change of the loss gradient; the penalty's share is added here
            v = v + ridge * s
            curvature = dot(s, v)
            ok = curvature > 1e-10 * (dot(s, s) * dot(v, v)).sqrt()
            rho = torch.where(ok, 1 / torch.where(ok, curvature, 1.0), 0.0)
            alpha = rho * dot(s, q)
            q -= alpha[:, None] * v
            stack.append((s, v, rho, alpha))
        q /= ridge + self.spread * self.variance
        for s, v, rho, alpha in reversed(stack):
            q += (alpha - rho * dot(v, q))[:, None] * s
        return q.neg_()

    def solve(self, strength: float, *, tol: float, max_iter: int) -> tuple[torch.Tensor, int, bool]:
        """Go on to the solution for C = ``strength``.

        Args:
            tol: stop where the predicted decrease is below ``tol`` nats per unit of weight in every problem.
            max_iter: steps at most.

        Returns:
            objective float64 (B,), steps, whether all converged.
        """
        C = strength / 2 if self.K == 2 else strength  # scikit-learn's binary penalty is twice the symmetric one
        per_weight = 1 / (C * self.total)
        ridge = (self.penalised * per_weight[:, None]).to(self.coefficients.dtype)
        eps = torch.finfo(self.coefficients.dtype).eps

        def penalty(W: torch.Tensor) -> torch.Tensor:
            return 0.5 * per_weight * W[:-1].square().sum((0, 2), dtype=torch.float64)

        self._leap(strength, penalty)
        value, step, ok = self.loss + penalty(self.coefficients), 0, False
        still = torch.zeros_like(value)  # steps in a row that changed the value by no more than its rounding
        while True:
            g = self.slope + ridge * self.coefficients
            D = self._direction(g, ridge)
            slope = dot(g, D).double()
            ok = bool(((-0.5 * slope <= tol) | (still >= STILL)).all())
            if ok or step >= max_iter:
                return value * strength * self.total, step, ok
            step += 1
            L = self._product(D)
            t, moved_by = torch.ones_like(value), torch.zeros_like(value)
            for attempt in range(26):
                self.logits.add_(L if attempt == 0 else L * (t - moved_by).to(L.dtype)[:, None])
                moved_by = t
                W = self.coefficients + t.to(D.dtype)[:, None] * D
                loss, logp = self._loss(self.logits)
                tried = loss + penalty(W)
                # the last term is the rounding of the value itself
                bad = (tried > value + 1e-4 * t * slope + 4 * eps * value.abs()) & (t > 0)
                if not bool(bad.any()):
                    break
                # the lowest point of the parabola through value, slope and the value tried, in [0.1, 0.5] of the step;
                # 0 at last: there is no decrease that this float type can see
                bow = -0.5 * slope * t * t / (tried - value - slope * t)
                shorter = torch.minimum(torch.maximum(bow, 0.1 * t), 0.5 * t) if attempt < 24 else torch.zeros_like(t)
                t = torch.where(bad, shorter, t)
            still = torch.where(value - tried > 4 * eps * value.abs(), 0.0, still + 1)
            new, self.spread = self._gradient(logp)
            del L, logp
            self.pairs = [*self.pairs[-self.memory + 1 :], (W - self.coefficients, new - self.slope)]
            self.coefficients, self.slope, self.loss, value = W, new, loss, tried

    def _leap(self, strength: float, penalty: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Go on in the direction from the last solution but one to the last, as far as the logarithm of the strength
        does, if that lowers the objective of every problem. Logits are linear, so that it costs one matrix product."""
        before, self.before = self.before, (self.strength, self.coefficients, self.logits.clone())
        now, self.strength = self.strength, strength
        if before is None or not 0 < before[0] < now < strength:
            return
        far = min(2.0, math.log(strength / now) / math.log(now / before[0]))
        W = torch.lerp(before[1], self.coefficients, 1 + far)
        logits = torch.lerp(before[2], self.logits, 1 + far)
        loss, logp = self._loss(logits)
        if bool((loss + penalty(W) < self.loss + penalty(self.coefficients)).all()):
            slope, self.spread = self._gradient(logp)
            self.pairs = [*self.pairs[-self.memory + 1 :], (W - self.coefficients, slope - self.slope)]
            self.coefficients, self.logits, self.loss, self.slope = W, logits, loss, slope


def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Inner product of each of B problems: (r, B, K), (r, B, K) -> (B,)."""
    return (a * b).sum((0, 2))


def unrotate(design: Design, W: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(r + 1, B, K) in the axes -> weight (B, K, d) and bias (B, K) for the columns of X. ``seen``: bool (B, K)."""
    weight = torch.einsum("dr,rbk->bkd", design.back, W[:-1])
    bias = W[-1] - weight @ design.mean
    middle = torch.where(seen, bias, 0).sum(1, keepdim=True) / seen.sum(1, keepdim=True)
    return weight, torch.where(seen, bias - middle, ABSENT)


def seen_classes(y: torch.Tensor, weights: torch.Tensor, n_classes: int) -> torch.Tensor:
    """bool (B, K): the classes that have some weight in each row of ``weights`` (B, n)."""
    return weights.new_zeros(len(weights), n_classes).index_add_(1, y, weights) > 0


def check_inputs(X: torch.Tensor, y: torch.Tensor, n_classes: int, weights: torch.Tensor) -> None:
    """Raise :class:`DataError` for what no solution exists for."""
    if X.ndim != 2 or len(X) != len(y) or weights.shape[-1] != len(y):
        got = (tuple(X.shape), tuple(y.shape), tuple(weights.shape))
        raise DataError(
            sentence("features, labels and weights differ in length", got=got, allowed="(n, d), (n,), (n,)")
        )
    if len(y) == 0:
        raise DataError(sentence("no rows to fit", got=0, allowed="at least one row a class, two classes"))
    if not bool(torch.isfinite(X).all()):
        bad = int((~torch.isfinite(X)).any(1).nonzero()[0])
        raise DataError(sentence("features that are not finite numbers", where=f"row {bad}", fix="--precision fp32"))
    if int(y.min()) < 0 or int(y.max()) >= n_classes:
        raise DataError(
            sentence("a label out of range", got=[int(y.min()), int(y.max())], allowed=f"0..{n_classes - 1}")
        )
    if bool((weights < 0).any()) or not bool(torch.isfinite(weights).all()):
        raise DataError(
            sentence("a sample weight that is negative or not finite", got=float(weights.min()), allowed=">= 0")
        )
    if bool((seen_classes(y, weights.reshape(-1, len(y)), n_classes).sum(1) < 2).any()):
        raise DataError(sentence("fewer than two classes have weight", got=sorted(set(y.tolist()))[:5], allowed=">= 2"))


def fit_path(
    X: torch.Tensor,
    y: torch.Tensor,
    n_classes: int,
    strengths: list[float],
    *,
    weights: torch.Tensor | None = None,
    start: tuple[torch.Tensor, torch.Tensor] | None = None,
    tol: float = 1e-4,
    max_iter: int = 200,
) -> Path:
    """Solve multinomial logistic regression for each of ``strengths``.

    Args:
        X: (n, d), float32 or float64 (the arithmetic follows), on any device.
        y: int64 (n,), in 0..n_classes-1.
        n_classes: K >= 2; classes with no example are allowed, see :class:`Path`.
        strengths: C > 0, any order; solved from the smallest up.
        weights: (n,) or (B, n), >= 0; default 1.
        start: (weight (K, d), bias (K,)) to begin the smallest strength at; default 0. Used where d <= n only:
            elsewhere a start outside the span of the rows has no place, and is projected onto it.
        tol: predicted decrease, in nats per unit of weight, at which a solution is good enough; 1e-4 is far below the
            noise of a cross-validation, 1e-12 (with float64) gives scikit-learn's coefficients to about six digits.
        max_iter: steps at most for each strength.

    Raises:
        DataError: lengths that differ, no rows, features that are not finite, labels out of range, fewer than two
            classes with weight, a strength that is not positive.
    """
    if not strengths or min(strengths) <= 0:
        raise DataError(sentence("a strength that is not positive", got=list(strengths), allowed="C > 0"))
    y = y.to(X.device)
    W8 = (torch.ones(len(y), device=X.device) if weights is None else weights).to(X.device, X.dtype)
    check_inputs(X, y, n_classes, W8)
    single, W8 = W8.ndim == 1, W8.reshape(-1, len(y))
    design = rotate(X)
    current = X.new_zeros(len(design.variance), len(W8), n_classes)
    if start is not None:
        weight, bias = (t.to(X.device, X.dtype) for t in start)
        current[:-1] = (design.back.T @ weight.T)[:, None]
        current[-1] = bias + weight @ design.mean
    seen = seen_classes(y, W8, n_classes)
    solver = Solver(design, y, n_classes, W8, current)
    found: dict[float, Any] = {}
    for strength in sorted(set(map(float, strengths))):
        value, steps, ok = solver.solve(strength, tol=tol, max_iter=max_iter)
        found[strength] = (*unrotate(design, solver.coefficients, seen), value, steps, ok)
    order = [found[float(s)] for s in strengths]
    parts = [torch.stack([solution[i] for solution in order]) for i in range(3)]
    if single:
        parts = [part[:, 0] for part in parts]
    weight, bias, objective = parts
    iterations = torch.tensor([solution[3] for solution in order])
    return Path(weight, bias, objective, iterations, torch.tensor([solution[4] for solution in order]))
