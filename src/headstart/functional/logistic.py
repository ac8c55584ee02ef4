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
* Strengths run from strong to weak regularisation, each started at the solution before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from headstart.errors import DataError, sentence

MEMORY = 12  # pairs that L-BFGS remembers
ABSENT = -1e4  # logit offset of a class with no weight: exp() of it is 0 in every float type


@dataclass(frozen=True)
class Design:
    """X in its principal axes: ``rows = [(X - mean) @ back, 1]``.

    Attributes:
        rows: (n, r + 1), r <= min(n, d); the last column is 1.
        back: (d, r); ``W = V @ back.T`` turns coefficients of the axes into those of the columns of X.
        mean: (d,).
        variance: (r + 1,) of each column of ``rows`` (1 for the last).
    """

    rows: torch.Tensor
    back: torch.Tensor
    mean: torch.Tensor
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
        _, axes = torch.linalg.eigh(gram)
        axes = axes.flip(1)
        back = axes if scale is None else axes / scale[:, None]
    else:
        # double precision: a Gram matrix squares the condition number, and here its small values are divided by
        centred = (X - mean).double()
        if scale is not None:
            centred /= scale.double()
        values, vectors = torch.linalg.eigh(centred @ centred.T)
        keep = values > values[-1].clamp_min(1e-300) * 1e-12
        back = (centred.T @ (vectors[:, keep] / values[keep].sqrt())).flip(1)
        back = (back if scale is None else back / scale.double()[:, None]).to(X.dtype)
    rows = X.new_ones(n, back.shape[1] + 1)
    rows[:, :-1] = X @ back
    rows[:, :-1] -= mean @ back
    variance = rows.square().mean(0)
    return Design(rows, back, mean, variance)


def solve(
    design: Design,
    y: torch.Tensor,
    n_classes: int,
    strength: float,
    weights: torch.Tensor,
    start: torch.Tensor,
    *,
    tol: float = 1e-4,
    max_iter: int = 200,
) -> tuple[torch.Tensor, torch.Tensor, int, bool]:
    """Minimise the objective for B weightings of the same rows.

    Args:
        design: from :func:`rotate`, r axes.
        y: int64 (n,), in 0..n_classes-1.
        strength: C > 0.
        weights: (B, n), >= 0, each row with a positive sum.
        start: (r + 1, B, K), in the basis of ``design`` (last row: bias).
        tol: stop where the predicted decrease is below ``tol`` nats per unit of weight.
        max_iter: steps at most.

    Returns:
        coefficients (r + 1, B, K), objective float64 (B,), steps, whether all converged.
    """
    K, Z = n_classes, design.rows
    n, total = len(Z), weights.sum(1)
    C = strength / 2 if K == 2 else strength  # scikit-learn's binary penalty is twice the symmetric one
    share = (weights / total[:, None]).T.contiguous()  # (n, B)
    ridge = (C * total).reciprocal()  # (B,)
    penalised = torch.ones(len(design.variance), 1, 1, dtype=Z.dtype, device=Z.device)
    penalised[-1] = 0
    seen = torch.zeros(len(total), K, dtype=Z.dtype, device=Z.device).index_add_(1, y, weights) > 0
    offset = torch.where(seen, 0.0, ABSENT).to(Z.dtype)  # (B, K)

    out = start.clone()
    value_out = torch.zeros(len(total), dtype=torch.float64, device=Z.device)
    live = torch.arange(len(total), device=Z.device)
    W = start.clone()
    index = y[:, None, None].expand(n, len(live), 1)

    def logits_of(V: torch.Tensor) -> torch.Tensor:
        return (Z @ V.reshape(len(V), -1)).view(n, V.shape[1], K)

    def evaluate(L: torch.Tensor, V: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logp = torch.log_softmax(L, 2)
        loss = -(logp.gather(2, index).squeeze(2) * share).sum(0, dtype=torch.float64)
        return loss + 0.5 * ridge.double() * V[:-1].square().sum((0, 2), dtype=torch.float64), logp

    def gradient(logp: torch.Tensor, V: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        p = logp.exp_()
        spread = torch.einsum("nbk,nb->bk", p, share) - torch.einsum("nbk,nbk,nb->bk", p, p, share)
        p.scatter_add_(2, index, p.new_full((), -1.0).expand(index.shape)).mul_(share[:, :, None])
        g = (Z.T @ p.view(n, -1)).view(V.shape)
        g += ridge[None, :, None] * penalised * V
        return g, spread.clamp_min(1e-6)

    def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * b).sum((0, 2))

    def direction(g: torch.Tensor, spread: torch.Tensor, pairs: list[Any]) -> torch.Tensor:
        q = g.clone()
        alphas = []
        for s, v, rho in reversed(pairs):
            alpha = rho * dot(s, q)
            q -= alpha[None, :, None] * v
            alphas.append(alpha)
        q /= ridge[None, :, None] * penalised + spread[None] * design.variance[:, None, None]
        for (s, v, rho), alpha in zip(pairs, reversed(alphas), strict=True):
            q += (alpha - rho * dot(v, q))[None, :, None] * s
        return q.neg_()

    L = logits_of(W) + offset
    value, logp = evaluate(L, W)
    g, spread = gradient(logp, W)
    del logp
    pairs: list[Any] = []
    step = 0
    everyone = True
    while len(live):
        D = direction(g, spread, pairs)
        slope = dot(g, D)
        done = -0.5 * slope <= tol
        if step >= max_iter:
            everyone = everyone and bool(done.all())
            done = torch.ones_like(done)
        if bool(done.any()):
            out[:, live[done]] = W[:, done]
            value_out[live[done]] = value[done]
            keep = ~done
            live, W, g, D, slope = live[keep], W[:, keep], g[:, keep], D[:, keep], slope[keep]
            if not len(live):
                break
            value, spread, L = value[keep], spread[keep], L[:, keep]
            share, ridge, index = share[:, keep].contiguous(), ridge[keep], index[:, keep]
            pairs = [(s[:, keep], v[:, keep], rho[keep]) for s, v, rho in pairs]
        step += 1
        LD = logits_of(D)
        t = torch.ones_like(value)
        for _ in range(25):
            moved = W + t.to(W.dtype)[None, :, None] * D
            tried, logp = evaluate(L + t.to(L.dtype)[None, :, None] * LD, moved)
            # the last term is the rounding of the value itself
            bad = tried > value + 1e-4 * t * slope + 4 * torch.finfo(Z.dtype).eps * value.abs()
            if not bool(bad.any()):
                break
            # the minimum of the parabola through value, slope and the value tried, kept within [0.1, 0.5] of the step
            bow = -0.5 * slope * t * t / (tried - value - slope * t)
            t = torch.where(bad, torch.minimum(torch.maximum(bow, 0.1 * t), 0.5 * t), t)
        else:
            t = torch.where(bad, torch.zeros_like(t), t)  # no decrease that this float type can see: stay
            moved = W + t.to(W.dtype)[None, :, None] * D
            tried, logp = evaluate(L + t.to(L.dtype)[None, :, None] * LD, moved)
        L.add_(t.to(L.dtype)[None, :, None] * LD)
        del LD
        new, spread = gradient(logp, moved)
        del logp
        s, v = moved - W, new - g
        curvature = dot(s, v)
        ok = curvature > 1e-10 * (dot(s, s) * dot(v, v)).sqrt()
        rho = torch.where(ok, 1 / torch.where(ok, curvature, torch.ones_like(curvature)), torch.zeros_like(curvature))
        pairs = [*pairs[-MEMORY + 1 :], (s, v, rho)]
        W, g = moved, new
        # a problem that could not move is at the floor of its float type
        value = torch.where(t > 0, tried, value)
        g = torch.where((t > 0)[None, :, None], g, torch.zeros_like(g))
    return out, value_out * (strength * total.double()), step, everyone


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
    found: dict[float, Any] = {}
    for strength in sorted(set(map(float, strengths))):
        current, value, steps, ok = solve(design, y, n_classes, strength, W8, current, tol=tol, max_iter=max_iter)
        found[strength] = (*unrotate(design, current, seen), value, steps, ok)
    order = [found[float(s)] for s in strengths]
    parts = [torch.stack([solution[i] for solution in order]) for i in range(3)]
    if single:
        parts = [part[:, 0] for part in parts]
    weight, bias, objective = parts
    iterations = torch.tensor([solution[3] for solution in order])
    return Path(weight, bias, objective, iterations, torch.tensor([solution[4] for solution in order]))
