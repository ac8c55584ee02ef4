"""Temperature scaling against a generic optimiser, its gradient, and what a handful of images may say."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from headstart.functional.temperature import at_temperature, fit_temperature


def problem(n=400, k=5, sharp=3.0, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1, (n, k))
    y = np.array([rng.choice(k, p=row) for row in at_temperature(z, 1.0)])
    return z * sharp, y


def loss(z, y, t):
    return -np.log(at_temperature(z, t)[np.arange(len(y)), y]).mean()


@pytest.mark.parametrize("sharp", [0.3, 1.0, 3.0])
def test_the_temperature_is_scipys_minimum_and_its_gradient_is_zero(sharp):
    z, y = problem(sharp=sharp)
    t = fit_temperature(z, y)
    by_scipy = minimize_scalar(
        lambda u: loss(z, y, np.exp(u)), bounds=(-3, 3), method="bounded", options={"xatol": 1e-10}
    )
    assert t == pytest.approx(np.exp(by_scipy.x), rel=1e-6)
    step = 1e-5
    assert (loss(z, y, t + step) - loss(z, y, t - step)) / (2 * step) == pytest.approx(0, abs=1e-7)
    assert t == pytest.approx(
        sharp, rel=0.2
    )  # labels were drawn at temperature 1 of the logits before they were sharpened


def test_log_probabilities_do_as_well_and_no_decision_changes():
    z, y = problem()
    t = fit_temperature(z, y)
    assert fit_temperature(np.log(at_temperature(z, 1.0)), y) == pytest.approx(t, rel=1e-9)
    assert (at_temperature(z, t).argmax(1) == z.argmax(1)).all()


def test_a_few_images_that_are_all_right_give_no_certainty():
    z = np.eye(3)[[0, 1, 2] * 3] * 2.0
    y = np.array([0, 1, 2] * 3)
    assert fit_temperature(z, y) == 0.05  # the loss falls for ever
    doubted = fit_temperature(z, y, doubt=1)
    # nine right at logit 2 and one image with every class alike: p(top) = (9 + 1/3) / 10 by the derivative set to zero
    assert at_temperature(z, doubted)[0, 0] == pytest.approx((9 + 1 / 3) / 10, rel=1e-9)
    many, labels = problem(4000)
    assert fit_temperature(many, labels, doubt=1) == pytest.approx(fit_temperature(many, labels), rel=0.01)


def test_logits_that_fit_worse_the_larger_they_are_give_the_highest_temperature():
    assert fit_temperature(np.eye(2), np.array([1, 0])) == 20.0
    assert fit_temperature(np.array([[0.0, -np.inf]]), np.array([0])) == 0.05
