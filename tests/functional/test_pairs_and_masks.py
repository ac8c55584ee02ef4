"""All pairs of a batch against lists of pairs; what a language model hides, counted."""

import numpy as np
import pytest
import torch

from headstart.functional.masking import IGNORED, masked_tokens, next_tokens
from headstart.functional.pair_contrast import pair_contrast


def problem(n=9, d=4, k=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, d, generator=generator), torch.arange(n) % k


def test_it_is_the_mean_over_written_out_lists_of_pairs():
    x, y = problem()
    same, other = [], []
    for i in range(len(x)):
        for j in range(i):
            cosine = torch.nn.functional.cosine_similarity(x[i], x[j], dim=0)
            (same if y[i] == y[j] else other).append((cosine - float(y[i] == y[j])) ** 2)
    assert (len(same), len(other)) == (9, 27)
    torch.testing.assert_close(pair_contrast(x, y), (sum(same) / 9 + sum(other) / 27) / 2)


def test_it_is_what_pairs_drawn_at_even_odds_have_on_average():
    """SetFit's sampling: a pair of one label or of two at even odds, the squared difference of its cosine to 1 or 0."""
    x, y = problem()
    rng, values = np.random.default_rng(0), []
    pairs = {True: [], False: []}
    for i in range(len(x)):
        for j in range(i):
            pairs[bool(y[i] == y[j])].append((i, j))
    for _ in range(4000):
        kind = bool(rng.integers(2))
        i, j = pairs[kind][rng.integers(len(pairs[kind]))]
        values.append(float((torch.nn.functional.cosine_similarity(x[i], x[j], dim=0) - int(kind)) ** 2))
    standard_error = np.std(values) / np.sqrt(len(values))
    assert pair_contrast(x, y).item() == pytest.approx(np.mean(values), abs=4 * standard_error)


def test_length_does_not_count_and_gradients_draw_together_and_apart():
    x, y = problem()
    torch.testing.assert_close(pair_contrast(x * torch.rand(9, 1), y), pair_contrast(x, y))
    x = x.requires_grad_()
    before = pair_contrast(x, y)
    before.backward()
    assert pair_contrast(x - 0.5 * x.grad, y) < before
    best = torch.eye(4)[y]
    assert pair_contrast(best, y) == 0
    assert pair_contrast(best, y.roll(1)) == 0, "labels are names only"
    assert pair_contrast(torch.ones(9, 4), y) == pytest.approx(0.5)


def test_several_labels_by_hand():
    """{a}, {a, b}, {b}, {}, {}: three pairs of ten belong together, (a, ab), (ab, b) and the two without a label."""
    half = 0.5**0.5
    x = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [half, half, 0]])
    y = torch.tensor([[1.0, 0], [1, 1], [0, 1], [0, 0], [0, 0]])
    together, apart = [0, 1, 1], [0, 0, 0.5, 0, 0.5, 0, 0.5]
    assert pair_contrast(x, y).item() == pytest.approx((sum(together) / 3 + sum(apart) / 7) / 2)
    one = torch.eye(3)[torch.arange(9) % 3]
    x, y = problem()
    torch.testing.assert_close(pair_contrast(x, one), pair_contrast(x, y), msg="one label an input, written as a row")


@pytest.mark.parametrize(("labels", "value"), [([0, 0], 0.5), ([0, 1], 0.0)])
def test_a_batch_with_one_kind_of_pairs(labels, value):
    assert pair_contrast(torch.eye(2), torch.tensor(labels)).item() == pytest.approx(value)


def hidden(n=400, t=50, share=0.15, seed=0):
    ids = torch.randint(5, 1000, (n, t), generator=torch.Generator().manual_seed(9))
    free = torch.ones_like(ids, dtype=torch.bool)
    free[:, 0] = free[:, 40:] = False
    return (
        ids,
        free,
        *masked_tokens(
            ids, free, share=share, mask_id=4, vocabulary=1000, generator=torch.Generator().manual_seed(seed)
        ),
    )


def test_the_shares_are_those_of_bert():
    ids, free, shown, targets = hidden()
    drawn = targets != IGNORED
    assert (
        not drawn[~free].any() and torch.equal(shown[~drawn], ids[~drawn]) and torch.equal(targets[drawn], ids[drawn])
    )
    assert drawn[free].float().mean().item() == pytest.approx(0.15, abs=0.01)
    now = shown[drawn]
    assert (now == 4).float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert (now == ids[drawn]).float().mean().item() == pytest.approx(0.1, abs=0.02)
    other = now[(now != 4) & (now != ids[drawn])]
    assert len(other) / len(now) == pytest.approx(0.1, abs=0.02)
    assert other.float().mean().item() == pytest.approx(500, abs=40), "any token of the vocabulary"
    again = hidden()
    assert torch.equal(shown, again[2]) and not torch.equal(shown, hidden(seed=1)[2])


def test_something_is_always_hidden_where_there_is_something_to_hide():
    ids = torch.tensor([[1, 7, 2], [1, 2, 0]])
    free = ids == 7
    targets = masked_tokens(ids, free, share=1e-9, mask_id=4, vocabulary=9, generator=torch.Generator())[1]
    assert targets.tolist() == [[IGNORED, 7, IGNORED], [IGNORED] * 3]
    nothing = masked_tokens(ids, free & False, share=0.5, mask_id=4, vocabulary=9, generator=torch.Generator())[1]
    assert (nothing == IGNORED).all()


def test_next_tokens_by_hand_with_padding_on_either_side():
    ids = torch.tensor([[5, 6, 7, 0], [0, 8, 9, 5]])
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    assert next_tokens(ids, mask).tolist() == [[6, 7, IGNORED, IGNORED], [IGNORED, 9, 5, IGNORED]]
