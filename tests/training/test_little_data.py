"""Wrong labels, long tails, unlabelled images and repeats in real steps: they act, resume, and refuse what they cannot work with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headstart.data.dataset import Dataset
from headstart.errors import HandshakeError, RecipeError
from headstart.evaluation.metrics import point_metrics
from headstart.progress import SILENT
from headstart.recipe import make_recipe
from headstart.sources import load_source
from headstart.strategies.grammar import parse_strategy
from headstart.tasks.classification import Classification
from headstart.tasks.losses import parse_loss
from headstart.training.finetune import Feeding, set_up, worst_batch
from headstart.training.transfer import Settings, resolve, transfer
from headstart.verbs.settings import check_recipe, settings_of

CPU = torch.device("cpu")
CLASSES = ("a", "b", "c")


def images(n: int, seed: int, labelled: bool = True) -> Dataset:
    """Twice as many images of the first class as of the others."""
    rng = np.random.default_rng(seed)
    labels = np.array([0, 0, 1, 2] * n)[:n]
    pictures = [(rng.normal(90 + 40 * label, 30, (32, 32, 3))).clip(0, 255).astype(np.uint8) for label in labels]
    return Dataset(
        pictures, labels if labelled else None, CLASSES if labelled else (), np.full(n, "train"),
        digests=np.array([f"{seed}-{i}" for i in range(n)]),
    )  # fmt: skip


TRAIN, MORE = images(12, 0), images(7, 1, labelled=False)
PLAIN = Feeding(batch_size=6, augment={"rotate": 10.0}, workers=1)


@pytest.fixture(scope="module")
def source(tiny_source):
    return load_source(str(tiny_source))


def run(source, strategy="finetune", feeding=PLAIN, folder=None, stop_after=None, epochs=2, **settings):
    def stop(row):
        if row["epoch"] == stop_after:
            raise KeyboardInterrupt

    return transfer(
        source, parse_strategy(strategy), CLASSES, TRAIN, None, Settings(feeding, {"epochs": epochs, "lr": 1e-3}, **settings),
        device=CPU, seed=0, score=point_metrics, cache_dir=None, folder=folder, progress=SILENT, on_epoch=stop,
    )  # fmt: skip


def weights(moved):
    return torch.cat([p.detach().flatten() for p in moved.backbone.parameters()] + [moved.head[0].flatten()])


@pytest.fixture(scope="module")
def plain(source):
    return weights(run(source))


WITH = replace(PLAIN, unlabelled=MORE)
ACTS = {
    "elr": {"strategy": "elr"},
    "smallloss": {"strategy": "smallloss(0.4)"},
    "fixmatch": {"strategy": "fixmatch(threshold=0)", "feeding": WITH},
    "pseudo": {"strategy": "pseudo(threshold=0)", "feeding": WITH},
    "meanteacher": {"strategy": "finetune+meanteacher(rampup=0)", "feeding": WITH},
    "focal": {"loss": parse_loss("focal")},
    "logit_adjusted": {"loss": parse_loss("logit_adjusted")},
    "effective": {"imbalance": "effective(0.5)"},
    "repeats": {"feeding": replace(PLAIN, repeats=2)},
}


@pytest.mark.parametrize("name", ACTS)
def test_it_acts_and_resumes_to_the_same(name, source, plain, tmp_path):
    whole = run(source, **ACTS[name])
    assert not torch.equal(weights(whole), plain)
    if name in ("focal", "logit_adjusted", "effective"):
        return  # a loss keeps no state and draws nothing
    with pytest.raises(KeyboardInterrupt):  # after the second epoch, before its checkpoint
        run(source, folder=tmp_path, stop_after=2, **ACTS[name])
    assert torch.equal(weights(run(source, folder=tmp_path, **ACTS[name])), weights(whole))
    term = name if name in ("elr", "smallloss", "fixmatch", "pseudo", "meanteacher") else None
    assert term is None or whole.history[-1][term] != 0


def test_unlabelled_images_that_no_term_uses_change_nothing(source, plain):
    """`fit` refuses them; the scratch baseline of a run with FixMatch is such a case."""
    assert torch.equal(weights(run(source, feeding=WITH)), plain)


@pytest.mark.parametrize(
    ("strategy", "feeding", "words"),
    [
        ("fixmatch", PLAIN, "'fixmatch' learns from unlabelled target images, but there are none.*--unlabelled FOLDER"),
        ("pseudo", PLAIN, "'pseudo' learns from unlabelled target images, but there are none"),
        ("elr", replace(PLAIN, mixup=0.2), "'elr' needs one label an image, but mixup or CutMix mix them"),
        ("smallloss", replace(PLAIN, cutmix=1.0), "'smallloss' needs one label an image, but mixup or CutMix mix them"),
        ("fixmatch+pseudo(ratio=2)", WITH, "share one stream.*fixmatch\\(ratio=1\\) and pseudo\\(ratio=2\\)"),
    ],
)
def test_what_cannot_act_together_is_refused(source, strategy, feeding, words):
    with pytest.raises(HandshakeError, match=words):
        run(source, strategy, feeding)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unlabelled": "u", "strategy": "finetune"}, "no term .* learns from unlabelled images.*strategy 'finetune'"),
        ({"unlabelled": "u"}, "no term .* learns from unlabelled images.*strategy 'auto'"),
        ({"repeats": 40}, "cannot hold one image so often in repeats: got 40; allowed: 1 to the batch size, 32"),
        ({"repeats": 2, "augment": "none"}, "but nothing is augmented"),
        ({"loss": "fokal"}, "unknown loss: got 'fokal'.*Try: focal"),
        ({"imbalance": "effective(7)"}, "bad value of beta"),
        ({"imbalance": "effectiv"}, "bad value of imbalance.*effective\\(beta\\)"),
    ],
)
def test_recipes_that_cannot_act_are_refused_before_any_work(options, words):
    with pytest.raises((RecipeError, HandshakeError), match=words):
        check_recipe(make_recipe({"data": "d", **options}))


def test_what_the_steps_are_given(source):
    """Batches of six labelled images and nine unlabelled ones, a stream that goes on from epoch to epoch."""
    strategy = parse_strategy("fixmatch(ratio=1.5)")
    course = set_up(
        source, source.build(), strategy, Classification(CLASSES), TRAIN, WITH, pretrained=True, device=CPU, seed=0
    )
    assert (course.size, course.steps, course.stream) == (6, 2, (1.5, True))
    first, second = list(course.batches(0)), list(course.batches(1))
    assert [len(b.weak) for b in first + second] == [len(b.strong) for b in first + second] == [9, 9, 9, 9]
    again = list(course.batches(1))
    assert all(torch.equal(a.strong, b.strong) for a, b in zip(second, again, strict=True))
    assert not torch.equal(first[0].weak, second[0].weak)
    worst = worst_batch(4, source.preprocessing, Classification(CLASSES), WITH, course.stream)
    assert (len(worst.inputs), len(worst.weak), len(worst.strong)) == (4, 6, 6)
    only_weak = set_up(
        source, source.build(), parse_strategy("pseudo"), Classification(CLASSES), TRAIN, WITH, pretrained=True, device=CPU, seed=0
    )  # fmt: skip
    assert next(iter(only_weak.batches(0))).strong is None


def test_repeats_make_epochs_longer_and_fewer():
    course_steps = {m: resolve({}, 40 * m, 10, pretrained=True).epochs for m in (1, 2, 4)}
    assert course_steps == {1: 50, 2: 25, 4: 12}


def test_a_course_with_repeats(source):
    feeding = replace(PLAIN, batch_size=7, repeats=3)
    course = set_up(
        source, source.build(), parse_strategy("finetune"), Classification(CLASSES), TRAIN, feeding, pretrained=True, device=CPU, seed=0
    )  # fmt: skip
    found = list(course.batches(0))
    assert (course.size, course.steps, len(found)) == (6, 6, 6)
    assert all(np.unique(b.index.numpy(), return_counts=True)[1].tolist() == [3, 3] for b in found)


def test_memory_is_probed_with_indices_that_a_term_can_keep(source):
    """Six images, four times each, make a batch larger than the training set, whose memory has a row an image."""
    few, feeding = TRAIN.subset(np.arange(6)), replace(PLAIN, batch_size=24, repeats=4)
    task = Classification(CLASSES)
    course = set_up(
        source, source.build(), parse_strategy("elr"), task, few, feeding, pretrained=True, device=CPU, seed=0
    )
    assert course.size == 24
    values = course.objective.losses(worst_batch(24, source.preprocessing, task, feeding, course.stream), 0.0)
    assert torch.isfinite(values["elr"])


def test_the_probes_head_starts_as_the_adjusted_loss_reads_it(source, tmp_path):
    """lpft with logit adjustment: the solved head has learned the shares, so its start has them taken off."""
    loss = parse_loss("logit_adjusted")
    task = Classification(CLASSES, loss=loss, counts=TRAIN.counts)
    torch.testing.assert_close(task.adjustment, torch.tensor([0.5, 0.25, 0.25]).log())
    torch.testing.assert_close(Classification(CLASSES, counts=TRAIN.counts).adjustment, torch.zeros(3))
    frozen = {"epochs": 1, "lr": 1e-12}
    heads = []
    for how in ({}, {"loss": loss}):
        moved = transfer(
            source, parse_strategy("lpft"), CLASSES, TRAIN, None, Settings(PLAIN, frozen, imbalance="none", **how),
            device=CPU, seed=0, score=point_metrics, cache_dir=tmp_path, progress=SILENT,
        )  # fmt: skip
        heads.append(moved.head)
    torch.testing.assert_close(heads[0][0], heads[1][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(heads[0][1] - task.adjustment, heads[1][1], atol=1e-5, rtol=0)


def test_settings_carry_the_fields():
    settings = settings_of(make_recipe({"data": "d", "loss": "focal(3)", "repeats": 2, "imbalance": "effective"}), MORE)
    assert settings.loss == parse_loss("focal(3)")
    assert settings.feeding.repeats == 2
    assert settings.feeding.unlabelled is MORE
