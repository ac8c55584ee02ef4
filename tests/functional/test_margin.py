"""ArcFace by hand on unit vectors, the triplet loss by brute force over triples."""

import math

import torch

from headstart.functional.margin import arcface_logits, triplet_loss, unit


def test_arcface_turns_the_true_class_by_the_margin():
    angles = torch.tensor([[0.3, 1.2], [2.0, 0.7]], dtype=torch.float64)
    logits = arcface_logits(angles.cos(), torch.tensor([0, 1]), margin=0.5, scale=8.0)
    by_hand = 8 * torch.tensor([[math.cos(0.8), math.cos(1.2)], [math.cos(2.0), math.cos(1.2)]], dtype=torch.float64)
    torch.testing.assert_close(logits, by_hand)


def test_arcface_falls_all_the_way_to_the_opposite_direction():
    angle = torch.linspace(0.01, math.pi - 0.01, 300, dtype=torch.float64)
    cosines = torch.stack([angle.cos(), torch.zeros_like(angle)], 1)
    own = arcface_logits(cosines, torch.zeros(300, dtype=torch.long), margin=0.5, scale=1.0)[:, 0]
    assert (own.diff() < 0).all()
    past = math.pi - 0.2  # 0.5 more is beyond pi
    found = arcface_logits(torch.tensor([[math.cos(past), 0.0]]), torch.tensor([0]), margin=0.5, scale=1.0)[0, 0]
    assert abs(float(found) - (math.cos(past) - 0.5 * math.sin(0.5))) < 1e-6


def test_triplet_loss_is_the_mean_over_the_triples_with_a_loss():
    e = unit(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)))
    y = torch.tensor([0, 0, 1, 1, 1, 2, 2, 0, 3])
    losses = []
    for a in range(9):
        for p in range(9):
            for n in range(9):
                if a != p and y[a] == y[p] and y[a] != y[n]:
                    losses.append(max(0.0, float((e[a] - e[p]).square().sum() - (e[a] - e[n]).square().sum() + 0.2)))
    active = [loss for loss in losses if loss > 0]
    assert 0 < len(active) < len(losses)
    torch.testing.assert_close(
        triplet_loss(e, y, margin=0.2), torch.tensor(sum(active) / len(active)), rtol=1e-5, atol=1e-6
    )
    assert triplet_loss(e, torch.arange(9), margin=0.2) == 0  # no two of one identity
