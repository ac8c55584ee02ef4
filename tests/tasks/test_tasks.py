"""Losses, masses and decoding of the tasks, by hand and against torch."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from headstart.data.dataset import SEQUENCES, Dataset
from headstart.errors import RecipeError
from headstart.tasks.catalogue import TASKS
from headstart.tasks.embedding import Embedding
from headstart.tasks.hierarchical import Hierarchical, levels_of, node_probabilities
from headstart.tasks.multilabel import Multilabel
from headstart.tasks.ordinal import Ordinal
from headstart.tasks.regression import Regression
from headstart.tasks.task import TaskOptions

HEADED = [name for name in TASKS if not TASKS[name].by_token and name not in SEQUENCES]
"""The others have tests of their own: their targets are those of windows, or texts."""
NESTED = ("animal/cat", "animal/dog", "plant/oak")


def dataset(task: str) -> Dataset:
    labels = {
        "multilabel": np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], "regression": np.array([1.0, 2.5, 3.0, 7.0]),
    }.get(task, np.array([0, 1, 2, 0]))  # fmt: skip
    classes = ("age",) if task == "regression" else NESTED
    return Dataset(["a"] * 4, labels, classes, np.full(4, "train"), task=task)


@pytest.mark.parametrize("name", HEADED)
def test_every_task_learns_loses_decodes_and_comes_back_from_its_state(name):
    task = TASKS[name].learn(dataset(name), TaskOptions())
    head = task.head(5)
    assert head.weight.shape == (task.rows, 5)
    features = torch.randn(4, 5)
    outputs, targets = head(features), torch.as_tensor(dataset(name).labels)
    loss = task.loss(outputs, targets)
    assert loss.ndim == 0 and torch.isfinite(loss) and loss.requires_grad
    assert task.some_targets(4).shape == targets.shape
    assert torch.isfinite(task.loss(outputs, task.some_targets(4)))
    with torch.no_grad():
        decoded = task.decode(outputs)
        again = TASKS[name].restore(task.classes, task.state()).decode(F.linear(features, head.weight, head.bias))
    assert decoded.dtype == torch.float32 and decoded.shape[0] == 4
    torch.testing.assert_close(decoded, again)


@pytest.mark.parametrize("name", HEADED)
def test_a_mixture_of_one_is_the_hard_target_and_pieces_make_the_whole(name):
    task = TASKS[name].learn(dataset(name), TaskOptions())
    outputs = task.head(5)(torch.randn(4, 5)).detach() + torch.randn(4, 1) * 0.1
    targets = torch.as_tensor(dataset(name).labels)
    soft = task.soft(targets)
    assert (soft is not None) == ("mixing" in task.obeys)
    if soft is not None:
        torch.testing.assert_close(task.loss(outputs, soft), task.loss(outputs, targets))
    if not (name == "embedding" and task.kind == "triplet"):
        parts = [slice(0, 1), slice(1, 4)]
        whole = sum(float(task.loss(outputs[p], targets[p])) * task.mass(targets[p]) for p in parts)
        assert float(task.loss(outputs, targets)) == pytest.approx(whole / task.mass(targets), rel=1e-5)


def test_multilabel_loss_is_torchs_and_rare_labels_can_be_weighed():
    outputs, targets = torch.randn(6, 3), (torch.rand(6, 3) < 0.4).float()
    torch.testing.assert_close(
        Multilabel(NESTED).loss(outputs, targets), F.binary_cross_entropy_with_logits(outputs, targets)
    )
    data = dataset("multilabel")
    task = Multilabel.learn(data, TaskOptions(imbalance="weights"))
    assert task.positive_weights.tolist() == [1.0, 3.0, 3.0]  # 2 of 4, 1 of 4, 1 of 4 have it
    smooth = Multilabel(NESTED, label_smoothing=0.2).loss(outputs, targets)
    torch.testing.assert_close(smooth, F.binary_cross_entropy_with_logits(outputs, targets * 0.8 + 0.1))
    with pytest.raises(RecipeError, match="animal/cat"):
        Multilabel.learn(data, TaskOptions(imbalance={"animal/cta": 2.0}))


def test_regression_trains_on_the_standardised_scale_and_answers_in_the_labels_unit():
    task = Regression.learn(dataset("regression"), TaskOptions())
    assert task.center == 3.375 and task.scale == pytest.approx(np.std([1, 2.5, 3, 7]))
    perfect = (torch.tensor([[1.0], [7.0]]) - task.center) / task.scale
    assert float(task.loss(perfect, torch.tensor([1.0, 7.0], dtype=torch.float64))) == pytest.approx(0, abs=1e-10)
    torch.testing.assert_close(task.decode(perfect), torch.tensor([[1.0], [7.0]]))
    one_off = task.loss(perfect + 1, torch.tensor([1.0, 7.0]))  # a whole standard deviation
    assert float(one_off) == pytest.approx(1.0, rel=1e-5)


def test_the_hierarchy_sums_its_leaves_in_loss_and_decoding():
    task = Hierarchical(NESTED)
    outputs = torch.tensor([[0.0, math.log(2.0), math.log(5.0)]])  # 1/8, 2/8, 5/8
    by_hand = -(math.log(2 / 8) + math.log(3 / 8)) / 2
    assert float(task.loss(outputs, torch.tensor([1]))) == pytest.approx(by_hand, rel=1e-6)
    leaves = task.decode(outputs).numpy()
    np.testing.assert_allclose(node_probabilities(leaves, levels_of(NESTED)[0][1]), [[3 / 8, 5 / 8]], rtol=1e-6)
    weighed = Hierarchical(NESTED, class_weights=np.array([1.0, 4.0, 1.0]))
    two = torch.randn(2, 3)
    each = [float(task.loss(two[i : i + 1], torch.tensor([i]))) for i in range(2)]
    assert float(weighed.loss(two, torch.tensor([0, 1]))) == pytest.approx((each[0] + 4 * each[1]) / 5, rel=1e-5)


def test_arcface_sees_the_centres_and_the_embedding_does_not_carry_them():
    task = Embedding(("a", "b", "c"), size=4)
    head = task.head(6)
    outputs = head(torch.randn(5, 6))
    assert outputs.shape == (5, 4 + 3)
    decoded = task.decode(outputs)
    assert decoded.shape == (5, 4)
    torch.testing.assert_close(decoded.norm(dim=1), torch.ones(5))
    task.loss(outputs, torch.tensor([0, 1, 2, 0, 1])).backward()
    assert head.centres.grad.abs().sum() > 0 and head.weight.grad.abs().sum() > 0
    triplet = Embedding(("a", "b", "c"), size=4, loss="triplet")
    assert triplet.head(6)(torch.randn(5, 6)).shape == (5, 4)


def test_centres_start_at_the_mean_embeddings_of_a_solved_head():
    task = Embedding(("a", "b"), size=3)
    outputs, targets = torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 1, 1])
    head = task.head(4)
    state = task.head_state((torch.ones(3, 4), torch.zeros(3), *task.beside(outputs, targets)))
    head.load_state_dict(state)
    directions = F.normalize(outputs, dim=1)
    torch.testing.assert_close(head.centres.detach()[1], F.normalize(directions[3:].mean(0), dim=0))
    assert set(Embedding(("a",), size=3, loss="triplet").head_state((torch.ones(3, 4), torch.zeros(3)))) == {
        "weight",
        "bias",
    }


def test_ordinal_has_a_row_less_than_ranks():
    task = Ordinal(("low", "middle", "high"))
    assert task.rows == 2 and task.mass(torch.tensor([0, 1, 2])) == 5
    torch.testing.assert_close(task.decode(torch.zeros(1, 2)), torch.tensor([[0.5, 0.25, 0.25]]))


def test_triplets_come_in_runs_of_one_identity_and_every_image_once():
    from headstart.training.finetune import together

    labels = np.repeat(np.arange(50), 6)
    order = together(labels, Embedding(("a",), loss="triplet").at_once, seed=1)
    assert sorted(order.tolist()) == list(range(300))
    assert order.tolist() != together(labels, 4, seed=2).tolist()
    batches = [labels[order[i : i + 32]] for i in range(0, 288, 32)]
    pairs = [sum(n * (n - 1) // 2 for n in np.bincount(b)) for b in batches]
    assert min(pairs) >= 20  # by chance 32 of 300 would hold 8 pairs on average
