"""After training, by the public function: averages, soups and the line of weights act, compose and end where they say."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import headstart as hs
from headstart.errors import HandshakeError, RecipeError
from headstart.progress import Progress


@pytest.fixture(scope="module")
def fit(tmp_path_factory, tiny_source):
    root = tmp_path_factory.mktemp("after")
    rng = np.random.default_rng(0)
    for label, name in enumerate(["dark", "light"]):
        (root / "data" / name).mkdir(parents=True)
        for i in range(24):
            picture = rng.normal(100 + 50 * label, 40, (32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(picture).save(root / "data" / name / f"{i}.png")
    made = iter(range(100))

    def run(**options):
        values = {"source": str(tiny_source), "strategy": "finetune", "epochs": 2, "baselines": "none", "verify": False}
        out = {"out": root / f"run-{next(made)}"}
        return hs.fit(root / "data", **out | values | {"batch_size": 8} | options)

    return run


def weights(run):
    return load_file(run.path / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def plain(fit):
    return fit()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_the_ends_of_the_line_are_bit_for_bit_the_source_and_the_tuned_model(fit, plain, tiny_source):
    assert same(weights(fit(wise=1.0)), weights(plain))
    start = weights(fit(wise=0.0))
    source = load_file(tiny_source / "model.safetensors")
    backbone = [k for k in start if not k.startswith("fc.")]
    assert len(backbone) > 50 and all(torch.equal(start[k], source[k]) for k in backbone)
    assert start["fc.weight"].abs().sum() > 0  # a solved head, not the zero that steps begin from


def test_the_best_place_is_chosen_on_validation_images(fit):
    run = fit(wise="auto", valid_fraction=0.25)
    found = run.metrics["strategy"]["wise"]
    assert f"; weights at {found['alpha']:g} between the source (0) and the tuned ones (1)" in run.metrics["criterion"]
    assert [row["alpha"] for row in found["curve"]] == [i / 10 for i in range(11)]
    best = max(found["curve"], key=lambda row: (row["accuracy"], -row["loss"], row["alpha"]))
    assert found["alpha"] == best["alpha"]


def test_a_soup_of_averages_is_trained_resumed_and_told(fit, plain):
    run = fit(soup=2, average="ema(0.9)", valid_fraction=0.25)
    told = run.metrics["strategy"]["soup"]
    assert told["n"] == 2 and told["kind"] == "greedy" and set(told["chosen"]) <= {0, 1}
    assert told["trainings"][0]["seed"] == 0 and told["trainings"][1]["seed"] != 0
    assert told["accuracy"] >= max(t["accuracy"] for t in told["trainings"])
    assert "soup of" in run.metrics["criterion"]
    assert (run.path / "checkpoints" / "transfer" / "soup-1" / "best.safetensors").is_file()
    assert not same(weights(run), weights(plain))
    assert len(pd.read_csv(run.path / "history.csv")) == 2  # the curves are those of the first training
    json.dumps(told)


def test_a_uniform_soup_needs_no_held_out_images_and_is_the_mean(fit):
    run = fit(soup="uniform(2)", valid_fraction=0)
    ends = [load_file(run.path / "checkpoints" / "transfer" / part / "best.safetensors") for part in ("", "soup-1")]
    found = weights(run)
    for name, value in found.items():
        if value.ndim == 4:
            torch.testing.assert_close(value, (ends[0][f"backbone.{name}"] + ends[1][f"backbone.{name}"]) / 2)
    name = next(k for k in found if k.endswith("running_mean"))
    middle = (ends[0][f"backbone.{name}"] + ends[1][f"backbone.{name}"]) / 2
    assert not torch.allclose(found[name], middle, atol=1e-4)  # measured anew, not averaged


class Interrupted(Progress):
    """Ctrl-C in the second epoch of the second training."""

    name = ""
    steps = 0

    def start(self, name, **_):
        self.name, self.steps = name, 0

    def advance(self, n=1, **_):
        self.steps += n
        if self.name == "transfer 2 of 2" and self.steps > 5:
            raise KeyboardInterrupt


def test_a_soup_of_averages_that_was_interrupted_ends_as_if_it_had_not(fit, tmp_path):
    options = {"soup": 2, "average": "swa(0.6)", "wise": 0.7, "valid_fraction": 0.25, "epochs": 3}
    whole = fit(**options)
    with pytest.raises(KeyboardInterrupt):
        fit(**options, out=tmp_path / "parts", progress=Interrupted())
    again = fit(**options, out=tmp_path / "parts", resume=True)
    assert same(weights(whole), weights(again))
    assert whole.metrics["strategy"]["soup"] == again.metrics["strategy"]["soup"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"average": "mean"}, RecipeError, "bad value of average.*ema\\(decay\\)"),
        ({"soup": "thick"}, RecipeError, "bad value of soup.*uniform"),
        (
            {"source": "random/timm/test_resnet", "soup": 2, "image_size": 32},
            RecipeError,
            "this one is random.*soup.*ema",
        ),
        ({"wise": 1.5}, RecipeError, "bad value of wise"),
        ({"batch_size": 1}, HandshakeError, "one image has no statistics for batch norms that train.*bn=frozen"),
        ({"batch_size": 1, "mixup": 0.2}, RecipeError, "a batch holds one"),
        ({"strategy": "smallloss", "epochs": 1}, HandshakeError, "'smallloss' warms up.*warmup=0"),
        (
            {"soup": 2, "valid_fraction": 0},
            RecipeError,
            "held-out images, and there are none.*soup: greedy\\(2\\).*uniform",
        ),
        (
            {"wise": "auto", "valid_fraction": 0},
            RecipeError,
            "held-out images, and there are none.*wise: auto.*--wise 0.5",
        ),
        (
            {"strategy": "probe", "epochs": None, "batch_size": None, "wise": 0.5},
            HandshakeError,
            "would do nothing.*wise",
        ),
        (
            {"strategy": "probe", "epochs": None, "batch_size": None, "average": "ema"},
            HandshakeError,
            "nothing.*average",
        ),
    ],
)
def test_what_cannot_act_is_refused_before_training(fit, options, error, words):
    with pytest.raises(error, match=words):
        fit(**options)
