"""No option is accepted and ignored: each one changes the training, and the unknown value is refused."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import RecipeError

OPTIONS = [
    {"lr": 0.002}, {"batch_size": 12}, {"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0.5}, {"schedule": "onecycle"}, {"schedule": "slanted"}, {"schedule": "constant"},
    {"weight_decay": 0.5}, {"warmup": 0}, {"augment": "none"}, {"augment": {"flip": 0.5, "rotate": 20}}, {"augment": "randaugment"}, {"mixup": 0.4},
    {"cutmix": 1.0}, {"label_smoothing": 0.1}, {"dropout": 0.3}, {"imbalance": "sampler"}, {"imbalance": {"down": 3.0}}, {"precision": "bf16"},
    {"grad_clip": 0.01}, {"accumulate": 2}, {"image_size": 24}, {"seed": 1},
    {"lr": "auto"}, {"batch_size": "auto"}, {"freeze": "backbone[:-1]"}, {"loss": "focal"}, {"repeats": 2},
]  # fmt: skip


@pytest.fixture(scope="module")
def losses(tmp_path_factory, tiny_source):
    """options -> the training losses of a short run on the same images."""
    root = tmp_path_factory.mktemp("options") / "data"
    rng = np.random.default_rng(0)
    for label, name in enumerate(["across", "diagonal", "down"]):
        (root / name).mkdir(parents=True)
        for i in range(10):
            y, x = np.mgrid[:32, :32]
            wave = np.sin(x * (0.2 + 0.3 * label) + y * 0.2) * 60 + 128 + rng.normal(0, 20, (32, 32))
            Image.fromarray(wave.clip(0, 255).astype(np.uint8)).save(root / name / f"{i}.png")

    def run(**options):
        out = tmp_path_factory.mktemp("run") / "r"
        values = {
            "strategy": "finetune",
            "epochs": 2,
            "batch_size": 8,
            "baselines": "none",
            "verify": False,
            "source": str(tiny_source),
        }
        found = hs.fit(root, out=out, **values | options)
        return pd.read_csv(found.path / "history.csv").train_loss.tolist()

    return run


@pytest.fixture(scope="module")
def plain(losses):
    return losses()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_each_option_changes_the_training(losses, plain, options):
    base = losses(optimizer="sgd") if "momentum" in options else plain
    assert losses(**options) != base


def test_the_same_options_change_nothing(losses, plain):
    assert losses() == plain


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "fp16"}, "fp16 training needs a GPU"),
        ({"augment": "wild"}, "unknown augmentation: got 'wild'"),
        ({"imbalance": {"up": 2.0}}, "unknown class in the class weights: got 'up'"),
        ({"loss": "logit_adjusted"}, "equally many training images, so that logit adjustment would change nothing"),
        (
            {"repeats": 2, "augment": "none"},
            "repeats shows each image in several augmented forms, but nothing is augmented",
        ),
        ({"device": "quantum"}, "unknown device: got 'quantum'"),
    ],
)
def test_values_that_cannot_act_are_refused(losses, options, words):
    with pytest.raises(RecipeError, match=words):
        losses(**options)
