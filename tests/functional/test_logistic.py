"""The solver against scikit-learn, finite differences and its own symmetries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from headstart.errors import DataError
from headstart.functional.logistic import Path, Solver, fit_path, rotate


def problem(n: int, d: int, classes: int, seed: int = 0, noise: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Correlated float64 columns of very different scale and overlapping classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) + rng.normal(size=d)
    y = (X @ rng.normal(size=(d, classes)) + noise * rng.gumbel(size=(n, classes))).argmax(1)
    y[:classes] = np.arange(classes)
    return torch.from_numpy(X), torch.from_numpy(y)


def objective(
    X: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, C: float, w: torch.Tensor | None = None
) -> float:
    losses = torch.nn.functional.cross_entropy(X @ weight.T + bias, y, reduction="none")
    return float(C * (losses if w is None else losses * w).sum() + 0.5 * weight.square().sum())


@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize(("n", "d", "classes"), [(200, 10, 3), (150, 6, 7), (40, 90, 4)])
def test_equals_scikit_learn_at_a_tight_tolerance(n: int, d: int, classes: int, C: float) -> None:
    X, y = problem(n, d, classes)
    found = fit_path(X, y, classes, [C], tol=1e-14, max_iter=3000)
    theirs = LogisticRegression(C=C, tol=1e-9, max_iter=50_000).fit(X.numpy(), y.numpy())
    np.testing.assert_allclose(found.weight[0].numpy(), theirs.coef_, atol=1e-4)
    ours = objective(X, y, found.weight[0], found.bias[0], C)
    other = objective(X, y, torch.from_numpy(theirs.coef_), torch.from_numpy(theirs.intercept_), C)
    assert ours <= other * (1 + 1e-6)
    assert float(found.objective[0]) == pytest.approx(ours, rel=1e-9)
    assert bool(found.converged[0])


@pytest.mark.parametrize("C", [0.02, 2.0])
def test_two_classes_are_scikit_learns_binary_problem(C: float) -> None:
    X, y = problem(200, 8, 2)
    found = fit_path(X, y, 2, [C], tol=1e-14, max_iter=3000)
    theirs = LogisticRegression(C=C, tol=1e-10, max_iter=50_000).fit(X.numpy(), y.numpy())
    np.testing.assert_allclose((found.weight[0, 1] - found.weight[0, 0]).numpy(), theirs.coef_[0], atol=1e-4)
    assert float(found.bias[0, 1] - found.bias[0, 0]) == pytest.approx(float(theirs.intercept_[0]), abs=1e-4)
    np.testing.assert_allclose(found.weight[0, 0].numpy(), -found.weight[0, 1].numpy(), atol=1e-9)


def test_the_gradient_is_a_finite_difference_of_the_loss() -> None:
    X, y = problem(60, 5, 3)
    w = torch.rand(2, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    start = torch.randn(6, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    design = rotate(X)
    solver = Solver(design, y, 3, w, start)
    for place in [(0, 0, 0), (3, 1, 2), (5, 0, 1)]:
        up, down = start.clone(), start.clone()
        up[place] += 1e-6
        down[place] -= 1e-6
        difference = (Solver(design, y, 3, w, up).loss - Solver(design, y, 3, w, down).loss)[place[1]] / 2e-6
        assert float(solver.slope[place]) == pytest.approx(float(difference), abs=1e-8)


def test_a_weight_of_two_is_two_copies_and_zero_is_none() -> None:
    X, y = problem(80, 6, 3)
    w = torch.ones(80)
    w[:20], w[20:30] = 2, 0
    weighted = fit_path(X, y, 3, [0.5], weights=w, tol=1e-14, max_iter=3000)
    rows = torch.cat([torch.arange(80)[:20], torch.arange(80)[:20], torch.arange(30, 80)])
    copied = fit_path(X[rows], y[rows], 3, [0.5], tol=1e-14, max_iter=3000)
    np.testing.assert_allclose(weighted.weight.numpy(), copied.weight.numpy(), atol=1e-5)
    np.testing.assert_allclose(weighted.bias.numpy(), copied.bias.numpy(), atol=1e-5)


def test_several_weightings_at_once_are_the_same_as_one_by_one() -> None:
    X, y = problem(90, 7, 3)
    w = (torch.arange(90) % 3 != torch.arange(3)[:, None]).double()
    together = fit_path(X, y, 3, [0.01, 1.0], weights=w, tol=1e-13, max_iter=3000)
    assert together.weight.shape == (2, 3, 3, 7) and together.bias.shape == (2, 3, 3)
    for b in range(3):
        alone = fit_path(X, y, 3, [0.01, 1.0], weights=w[b], tol=1e-13, max_iter=3000)
        np.testing.assert_allclose(together.weight[:, b].numpy(), alone.weight.numpy(), atol=1e-5)


def test_a_path_equals_its_strengths_one_by_one_in_the_order_given() -> None:
    X, y = problem(120, 9, 4)
    strengths = [1.0, 0.001, 0.03]
    path = fit_path(X, y, 4, strengths, tol=1e-13, max_iter=3000)
    for i, C in enumerate(strengths):
        alone = fit_path(X, y, 4, [C], tol=1e-13, max_iter=3000)
        np.testing.assert_allclose(path.weight[i].numpy(), alone.weight[0].numpy(), atol=1e-5)


def test_a_start_at_the_solution_needs_no_step() -> None:
    X, y = problem(120, 9, 4)
    first = fit_path(X, y, 4, [0.1], tol=1e-10, max_iter=3000)
    again = fit_path(X, y, 4, [0.1], start=(first.weight[0], first.bias[0]), tol=1e-9)
    assert int(again.iterations[0]) == 0 < int(first.iterations[0])


def test_a_constant_column_gets_no_weight() -> None:
    X, y = problem(100, 5, 3)
    X[:, 2] = 7.0
    found = fit_path(X, y, 3, [1.0], tol=1e-13, max_iter=3000)
    assert float(found.weight[0, :, 2].abs().max()) < 1e-9
    assert bool(torch.isfinite(found.weight).all())


def test_a_class_without_examples_has_probability_zero() -> None:
    X, y = problem(60, 4, 3)
    y = torch.where(y == 1, 3, y)
    found = fit_path(X, y, 5, [1.0], tol=1e-13, max_iter=3000)
    p = torch.softmax(X @ found.weight[0].T + found.bias[0], 1)
    assert float(p[:, [1, 4]].max()) == 0.0
    seen = torch.tensor([0, 2, 3])
    dense = fit_path(X, torch.searchsorted(seen, y), 3, [1.0], tol=1e-13, max_iter=3000)
    np.testing.assert_allclose(found.weight[0, seen].numpy(), dense.weight[0].numpy(), atol=1e-5)


def test_float32_is_close_to_float64() -> None:
    X, y = problem(300, 20, 4)
    fine = fit_path(X, y, 4, [0.1], tol=1e-10, max_iter=3000)
    coarse = fit_path(X.float(), y, 4, [0.1], tol=1e-6)
    assert coarse.weight.dtype == torch.float32
    np.testing.assert_allclose(coarse.weight.numpy(), fine.weight.numpy(), atol=5e-3)


def test_float32_stops_where_it_can_see_no_decrease() -> None:
    X, y = problem(100, 5, 3)
    found = fit_path(X.float(), y, 3, [1.0], tol=1e-30, max_iter=5000)
    assert int(found.iterations[0]) < 5000


def test_too_few_steps_are_said() -> None:
    X, y = problem(100, 5, 3)
    assert not bool(fit_path(X, y, 3, [10.0], tol=1e-14, max_iter=2).converged[0])


def fit(**changes: object) -> Path:
    X, y = problem(30, 3, 3)
    arguments = {"X": X, "y": y, "n_classes": 3, "strengths": [1.0], **changes}
    return fit_path(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strengths": []}, "strength that is not positive"),
        ({"strengths": [1.0, -2.0]}, "strength that is not positive"),
        ({"y": torch.zeros(7, dtype=torch.int64)}, "differ in length"),
        ({"X": torch.zeros(0, 3), "y": torch.zeros(0, dtype=torch.int64)}, "no rows"),
        ({"X": torch.full((30, 3), torch.nan)}, "not finite numbers in row 0"),
        ({"n_classes": 2}, r"label out of range: got \[0, 2\]; allowed: 0\.\.1"),
        ({"weights": -torch.ones(30)}, "negative or not finite"),
        ({"y": torch.ones(30, dtype=torch.int64)}, "fewer than two classes"),
        ({"weights": torch.zeros(30)}, "fewer than two classes"),
    ],
)
def test_what_cannot_be_solved_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        fit(**changes)
