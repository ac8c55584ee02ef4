"""Weights on a line and in the mean: end points bit for bit, and what they mean for a linear model."""

import pytest
import torch
from torch import nn

from headstart.functional.weights import interpolate, mean_weights


def two():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_the_end_points_are_bit_for_bit_and_copies():
    a, b = (m.state_dict() for m in two())
    for alpha, end in ((0.0, a), (1.0, b)):
        found = interpolate(a, b, alpha)
        assert all(torch.equal(found[k], end[k]) for k in end)
        found["0.weight"].add_(1)
        assert not torch.equal(found["0.weight"], end["0.weight"])


def test_a_linear_model_interpolates_its_outputs():
    torch.manual_seed(1)
    a, b, between = nn.Linear(5, 3), nn.Linear(5, 3), nn.Linear(5, 3)
    between.load_state_dict(interpolate(a.state_dict(), b.state_dict(), 0.3))
    x = torch.randn(7, 5)
    torch.testing.assert_close(between(x), 0.7 * a(x) + 0.3 * b(x))


def test_a_soup_of_two_linear_models_is_the_mean_of_their_outputs():
    torch.manual_seed(1)
    a, b, soup = nn.Linear(5, 3), nn.Linear(5, 3), nn.Linear(5, 3)
    soup.load_state_dict(mean_weights([a.state_dict(), b.state_dict()]))
    x = torch.randn(7, 5)
    torch.testing.assert_close(soup(x), (a(x) + b(x)) / 2)


def test_counters_stay_whole_and_one_state_is_itself():
    a, b = (m.state_dict() for m in two())
    b["1.num_batches_tracked"].fill_(7)
    assert interpolate(a, b, 0.7)["1.num_batches_tracked"] == 7
    assert interpolate(a, b, 0.2)["1.num_batches_tracked"] == 0
    assert mean_weights([b, a])["1.num_batches_tracked"] == 7
    alone = mean_weights([a])
    assert all(torch.equal(alone[k], a[k]) and alone[k].dtype == a[k].dtype for k in a)


def test_weights_of_other_models_are_refused():
    a, b = nn.Linear(2, 2).state_dict(), nn.Linear(2, 3).state_dict()
    with pytest.raises(ValueError, match="weight is"):
        mean_weights([a, b])
    with pytest.raises(ValueError, match="other tensors"):
        interpolate(a, {"weight": a["weight"]}, 0.5)
    with pytest.raises(ValueError, match="not in"):
        interpolate(a, a, 1.5)
    with pytest.raises(ValueError, match="no weights"):
        mean_weights([])
