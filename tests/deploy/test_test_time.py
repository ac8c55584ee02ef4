"""Batch norms that follow the test images, and TENT: by hand, in what they may change, and where the theory says they help."""

import copy
import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import headstart
from headstart.data.dataset import Dataset
from headstart.deploy import test_time
from headstart.deploy.predictor import Predictor
from headstart.deploy.test_time import TestTime, adapt_in_place, adapting, chunks, parse_test_time, refuse
from headstart.errors import QuestionError, RunError
from headstart.functional.test_time import blended, mean_entropy
from headstart.tasks.classification import Classification
from headstart.tasks.regression import Regression
from headstart.verbs.predict import check_options

CPU = torch.device("cpu")
CLASSES = Classification(("a", "b", "c"))


@pytest.fixture
def small():
    """A backbone with one batch norm, whose features are what it gives; and a head."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(2)
    with torch.no_grad():
        norm.running_mean.copy_(torch.tensor([1.0, -1.0]))
        norm.running_var.copy_(torch.tensor([4.0, 0.25]))
        norm.weight.copy_(torch.tensor([2.0, 1.0]))
        norm.bias.copy_(torch.tensor([0.0, 3.0]))
    backbone = nn.Sequential(norm, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    return backbone, (torch.randn(3, 2), torch.randn(3))


def test_the_blend_of_statistics_by_hand():
    # 16 images of prior beside 4: four fifths of the source's
    assert blended(torch.tensor([1.0]), torch.tensor([6.0]), 4, 16).item() == pytest.approx(0.8 * 1 + 0.2 * 6)
    assert blended(torch.tensor([1.0]), torch.tensor([6.0]), 4, 0).item() == 6
    assert blended(torch.tensor([1.0]), torch.tensor([6.0]), 4, 1e12).item() == pytest.approx(1.0)


def test_entropy_is_that_of_scipy():
    from scipy.stats import entropy

    logits = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    assert mean_entropy(logits).item() == pytest.approx(
        entropy(torch.softmax(logits, 1).numpy(), axis=1).mean(), rel=1e-5
    )
    assert mean_entropy(torch.zeros(2, 4)).item() == pytest.approx(np.log(4))


def test_bn_normalises_by_the_blend_worked_out_in_numpy(small):
    backbone, (weight, bias) = small
    x = torch.randn(6, 2, 3, 3) * 3 + 5
    found = adapting(backbone, (weight, bias), TestTime("bn", 2.0), CPU)(x).numpy()
    v = x.double().numpy()
    mean, var = v.mean((0, 2, 3)), v.var((0, 2, 3))
    mean = 2 / 8 * np.array([1.0, -1.0]) + 6 / 8 * mean
    var = 2 / 8 * np.array([4.0, 0.25]) + 6 / 8 * var
    z = (v - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)
    z = z * np.array([2.0, 1.0])[:, None, None] + np.array([0.0, 3.0])[:, None, None]
    assert found == pytest.approx(z.mean((2, 3)) @ weight.double().numpy().T + bias.double().numpy(), abs=1e-4)


def test_a_large_prior_is_plain_prediction_and_batches_do_not_remember_each_other(small):
    backbone, (weight, bias) = small
    x = torch.randn(6, 2, 3, 3) + 2
    plain = backbone(x) @ weight.T + bias
    assert torch.allclose(adapting(backbone, small[1], TestTime("bn", 1e9), CPU)(x), plain, atol=1e-5)
    model = adapting(backbone, small[1], TestTime("bn", 16.0), CPU)
    first = model(x)
    model(x * 100)
    assert torch.equal(model(x), first)
    assert not torch.allclose(first, plain, atol=1e-2)


def deep():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5),
    ).eval()  # fmt: skip


def only_scales_and_shifts_moved(before, model):
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    return changed == {"1.weight", "1.bias", "4.weight", "4.bias"}


def falls(values):
    return all(b < a for a, b in pairwise(values))


@pytest.mark.parametrize("fault", ["none", "entropy raised", "convolutions move too"])
def test_tent_moves_affine_parameters_alone_and_lowers_the_entropy(monkeypatch, fault):
    """And the two checks see a wrong sign and a wrong list of parameters."""
    backbone, head = deep(), (torch.randn(3, 8) * 2, torch.zeros(3))
    before = {name: value.clone() for name, value in backbone.named_parameters()}
    adam = torch.optim.Adam
    if fault == "entropy raised":
        monkeypatch.setattr(test_time, "mean_entropy", lambda logits: -mean_entropy(logits))
    if fault == "convolutions move too":
        monkeypatch.setattr(
            torch.optim, "Adam", lambda moving, lr: adam([*moving, backbone[0].weight.requires_grad_()], lr=lr)
        )
    model = adapt_in_place(backbone, head, TestTime("tent", 0.01), CPU)
    x = torch.randn(16, 3, 8, 8)
    entropies = [mean_entropy(model(x)).item() for _ in range(8)]
    assert falls(entropies) == (fault != "entropy raised"), entropies
    assert only_scales_and_shifts_moved(before, backbone) == (fault != "convolutions move too")


def test_tent_begins_anew_in_each_call(tiny_source):
    predictor = Predictor(tiny_source, device="cpu")
    kept = {name: value.clone() for name, value in predictor.source.backbone.state_dict().items()}
    dataset = noise(9)
    found = [predictor.probabilities(dataset, adapt="tent(lr=0.01)", batch_size=4) for _ in range(2)]
    assert np.array_equal(*found)
    assert all(torch.equal(value, kept[name]) for name, value in predictor.source.backbone.state_dict().items())
    assert found[0].sum(1) == pytest.approx(np.ones(9), abs=1e-5)
    plain, bn = predictor.probabilities(dataset), predictor.probabilities(dataset, adapt="bn", batch_size=4)
    for a, b in [(plain, found[0]), (plain, bn), (bn, found[0])]:
        assert not np.allclose(a, b, atol=1e-4)
    assert np.array_equal(predictor.probabilities(dataset), plain)


def noise(n):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(n)]
    return Dataset(images, None, tuple("abcde"), np.full(n, ""))


@pytest.mark.parametrize(("n", "size"), [(2, 64), (3, 2), (10, 3), (64, 64), (65, 64), (1000, 64)])
def test_batches_are_even_hold_each_image_once_and_never_one_alone(n, size):
    found = chunks(n, size)
    sizes = [len(part) for part in found]
    assert sorted(np.concatenate(found)) == list(range(n))
    assert min(sizes) >= 2
    assert max(sizes) <= size + 1
    assert max(sizes) - min(sizes) <= 1
    if n > 64:  # sorted files come mixed
        assert np.ptp(found[0]) > n / 2


def test_how_images_are_cut_matters_and_their_answers_keep_their_places(tiny_source):
    predictor = Predictor(tiny_source, device="cpu")
    dataset = noise(8)
    whole = predictor.probabilities(dataset, adapt="bn(prior=0)", batch_size=8)
    assert not np.allclose(whole, predictor.probabilities(dataset, adapt="bn(prior=0)", batch_size=4), atol=1e-4)
    images = torch.stack([predictor.source.preprocessing(torch.as_tensor(i).permute(2, 0, 1)) for i in dataset.inputs])
    trained = copy.deepcopy(predictor.source.backbone).train()  # the statistics of the batch, as in training
    with torch.no_grad():
        weight, bias = predictor.source.head
        assert whole == pytest.approx(torch.softmax(trained(images) @ weight.T + bias, 1).numpy(), abs=1e-4)


def test_what_has_nothing_to_adapt_is_refused():
    bare, normed = nn.Sequential(nn.Conv2d(3, 2, 3), nn.LayerNorm(4)), nn.BatchNorm2d(2)
    bn, tent = TestTime("bn", 16), TestTime("tent", 0.001)
    for how in (bn, tent):
        with pytest.raises(RunError, match="changes batch norms, but this network has none.*leave --adapt out"):
            refuse(bare, CLASSES, how, 8)
        with pytest.raises(RunError, match="one image has no batch statistics.*allowed: 2 or more.*--batch-size"):
            refuse(normed, CLASSES, how, 1)
    with pytest.raises(
        RunError, match="TENT lowers the entropy of class probabilities, but the task gives none.*--adapt bn"
    ):
        refuse(normed, Regression(()), tent, 8)
    refuse(normed, Regression(()), bn, 8)  # statistics need no classes
    with pytest.raises(RunError, match="affine parameters of batch norms, but theirs have none"):
        refuse(nn.BatchNorm2d(2, affine=False), CLASSES, tent, 8)


def test_the_option_is_read_and_refused_in_words():
    assert parse_test_time("bn") == TestTime("bn", 16.0)
    assert parse_test_time("bn(0)") == TestTime("bn", 0.0)
    assert parse_test_time("tent(lr=0.01)") == TestTime("tent", 0.01)
    for text, words in (
        ("tnet", "unknown test-time adaptation.*tnet"),
        ("tent(0)", "lr > 0"),
        ("bn(prior=-1)", "prior >= 0"),
    ):
        with pytest.raises(QuestionError, match=words):
            check_options(None, "lac", None, 1, text)
    with pytest.raises(RunError, match="adapt goes neither with coverage.*got 'adapt bn, coverage 0.9'"):
        check_options(0.9, "lac", None, 1, "bn")
    with pytest.raises(RunError, match="nor with tta: got 'adapt bn, tta 4'"):
        check_options(None, "lac", None, 4, "bn")


def trained(seed):
    """A small network trained on dark and bright stripes of three kinds at plain contrast."""
    torch.manual_seed(seed)
    backbone, head = deep().train(), nn.Linear(8, 3)
    optimizer = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=0.02)
    x, y = stripes(240, seed)
    for _ in range(12):
        for rows in torch.randperm(240).split(40):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(backbone(x[rows])), y[rows]).backward()
            optimizer.step()
    return backbone.eval(), (head.weight.detach(), head.bias.detach())


def stripes(n, seed):
    """n noisy pictures (n, 3, 12, 12) of stripes across, diagonal or down, and their kinds."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    y, x = np.mgrid[:12, :12]
    angle = labels[:, None, None] * np.pi / 4
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 1.2 + rng.uniform(0, 6.28, (n, 1, 1)))
    images = np.repeat(wave[:, None], 3, axis=1) + rng.normal(0, 0.5, (n, 3, 12, 12))
    return torch.as_tensor(images, dtype=torch.float32), torch.as_tensor(labels)


def test_under_another_brightness_and_contrast_both_beat_plain_prediction():
    gains = {"bn": [], "tent": []}
    for seed in range(4):
        backbone, head = trained(seed)
        x, y = stripes(192, 100 + seed)
        x = 0.35 * x + 0.8  # less contrast, brighter
        plain = ((backbone(x) @ head[0].T + head[1]).argmax(1) == y).float().mean().item()
        for kind, value in (("bn", 16.0), ("tent", 0.001)):
            model = adapting(backbone, head, TestTime(kind, value), CPU)
            found = torch.cat([model(part) for part in x.split(64)])
            gains[kind].append((found.argmax(1) == y).float().mean().item() - plain)
    assert all(min(gain) > 0.1 for gain in gains.values()), gains


def test_a_batch_of_one_class_is_where_it_must_not_be_used():
    """The shift that its statistics show is the class itself; why batches are drawn from all images of a call."""
    backbone, head = trained(0)
    x, y = stripes(192, 100)
    for part, good in ((x[y == 0], False), (x[:64], True)):
        wanted = y[y == 0] if not good else y[:64]
        found = adapting(backbone, head, TestTime("bn", 0.0), CPU)(part).argmax(1)
        plain = (backbone(part) @ head[0].T + head[1]).argmax(1)
        assert (plain == wanted).float().mean() > 0.95
        assert ((found == wanted).float().mean() > 0.95) == good


def test_predict_takes_it_and_the_files_of_the_run_stay(tiny_source, image_folder):
    files = {path: path.read_bytes() for path in tiny_source.iterdir()}
    plain = headstart.predict(tiny_source, image_folder)
    found = headstart.predict(tiny_source, image_folder, adapt="tent", batch_size=16)
    assert list(found["path"]) == list(plain["path"])
    assert not np.allclose(found["confidence"], plain["confidence"], atol=1e-4)
    assert {path: path.read_bytes() for path in tiny_source.iterdir()} == files
    with pytest.raises(RunError, match="one image has no batch statistics"):
        headstart.predict(tiny_source, next(image_folder.rglob("*.png")), adapt="bn")
    predictor = Predictor(tiny_source, device="cpu")
    predictor.source = dataclasses.replace(predictor.source, backbone=nn.Sequential(nn.Conv2d(3, 4, 3)))
    with pytest.raises(RunError, match="this network has none"):
        predictor.probabilities(noise(4), adapt="bn")
