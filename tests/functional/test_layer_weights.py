"""Shares of layers: the closed form of leaving one out, and that the layer that knows is found."""

import numpy as np
import pytest
import torch

from headstart.functional.layer_weights import fit_layer_weights, left_out_error, mixed


def by_fitting(Z, Y, penalty):
    """Ridge with a free intercept on all rows but one, n times; the penalty stays what it is on all rows."""
    wrong = []
    for i in range(len(Z)):
        keep = np.arange(len(Z)) != i
        A = np.column_stack([np.ones(keep.sum()), Z[keep]])
        P = penalty * np.eye(A.shape[1])
        P[0, 0] = 0
        W = np.linalg.solve(A.T @ A + P, A.T @ Y[keep])
        wrong.append(Y[i] - np.r_[1, Z[i]] @ W)
    return np.mean(np.square(wrong))


@pytest.mark.parametrize("n, d", [(12, 30), (30, 5)])
def test_leaving_one_out_is_what_fitting_without_it_gives(n, d):
    rng = np.random.default_rng(n)
    Z, Y = rng.normal(size=(n, d)) + 3, rng.normal(size=(n, 2))
    penalty = 0.3 * np.square(Z - Z.mean(0)).sum() / n
    found = left_out_error(torch.tensor(Z), torch.tensor(Y), torch.tensor(0.3, dtype=torch.float64))
    assert float(found) == pytest.approx(by_fitting(Z, Y, penalty), rel=1e-9)


def layers_with_one_that_knows(knows, n=120, d=8, L=4):
    torch.manual_seed(0)
    layers = torch.randn(L, n, d)
    y = torch.arange(n) % 3
    layers[knows] += 3 * torch.nn.functional.one_hot(y, d).float()
    return layers, torch.nn.functional.one_hot(y, 3).float()


@pytest.mark.parametrize("knows", [0, 2])
def test_the_layer_that_knows_the_labels_gets_the_largest_share(knows):
    layers, Y = layers_with_one_that_knows(knows)
    mix = fit_layer_weights(layers, Y)
    assert mix.softmax(0).argmax() == knows and mix.softmax(0)[knows] > 0.7
    one, other = (
        left_out_error(mixed(layers.double(), m.double()), Y.double(), torch.tensor(0.1, dtype=torch.float64))
        for m in (mix, torch.zeros(4))
    )
    assert one < other


def test_layers_that_are_alike_keep_equal_shares():
    layers = layers_with_one_that_knows(1)[0][1:2].expand(3, -1, -1)
    Y = layers_with_one_that_knows(1)[1]
    torch.testing.assert_close(fit_layer_weights(layers, Y).softmax(0), torch.full((3,), 1 / 3), atol=1e-4, rtol=0)
    assert fit_layer_weights(layers, torch.ones(120, 1)).tolist() == [0, 0, 0], "nothing to predict"


def test_the_sum_is_brought_to_a_length_where_the_source_is():
    layers = torch.randn(2, 5, 16)
    rows = mixed(layers, torch.tensor([0.0, 1.0]), scaled=True)
    torch.testing.assert_close(rows.square().mean(1), torch.ones(5))
