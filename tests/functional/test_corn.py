"""CORN by hand: which questions are asked, and what the answers multiply to."""

import math

import torch

from headstart.functional.corn import corn_loss, questions, rank_probabilities


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def test_loss_by_hand():
    logits = torch.tensor([[0.5, -1.0], [1.5, 2.0], [-0.3, 0.8]])
    # rank 0 answers "above 0?" with no; rank 2 answers both with yes; rank 1 answers yes, then no
    said = [log_sigmoid(-0.5), log_sigmoid(1.5), log_sigmoid(2.0), log_sigmoid(-0.3), log_sigmoid(-0.8)]
    targets = torch.tensor([0, 2, 1])
    assert abs(float(corn_loss(logits, targets)) + sum(said) / 5) < 1e-6
    assert questions(targets, 3) == 5


def test_pieces_weighed_by_their_questions_make_the_whole():
    logits, targets = torch.randn(8, 4), torch.tensor([0, 1, 2, 3, 4, 4, 0, 2])
    parts = [slice(0, 3), slice(3, 8)]
    whole = sum(float(corn_loss(logits[p], targets[p])) * questions(targets[p], 5) for p in parts)
    assert abs(float(corn_loss(logits, targets)) - whole / questions(targets, 5)) < 1e-6


def test_probabilities_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)]])  # 1/2, then 3/4 of it
    torch.testing.assert_close(rank_probabilities(logits), torch.tensor([[0.5, 0.125, 0.375]]))
    many = rank_probabilities(torch.randn(50, 6) * 5)
    assert (many >= 0).all()
    torch.testing.assert_close(many.sum(1), torch.ones(50))
