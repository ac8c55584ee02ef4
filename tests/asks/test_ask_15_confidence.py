"""Ask 15: confidence that can be trusted: a temperature from held-out images, the error before and after, a right to abstain."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import headstart as hs
from headstart.errors import RecipeError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures whose class is half guesswork: a model that learned them by heart is too sure."""
    from PIL import Image

    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("unsure") / "data"
    for label, name in enumerate(["dark", "light"]):
        (root / name).mkdir(parents=True)
        for i in range(60):
            picture = rng.normal(110 + 16 * label + rng.normal(0, 14), 40, (32, 32, 3))
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(root / name / f"{i}.png")
    return root


def fitted(data, out, source, **options):
    values = {
        "source": str(source),
        "baselines": "none",
        "image_size": 32,
        "test_fraction": 0.4,
        "seed": 1,
        "verify": False,
    }
    return hs.fit(data, out=out, **values | options)


@pytest.mark.parametrize(
    ("options", "by"),
    [({"strategy": "probe"}, "out-of-fold"), ({"strategy": "finetune", "epochs": 3, "lr": 0.01}, "validation images")],
)  # fmt: skip
def test_a_temperature_from_held_out_images_never_from_the_test(data, tiny_source, tmp_path, options, by):
    plain = fitted(data, tmp_path / "plain", tiny_source, **options)
    honest = fitted(
        data, tmp_path / "honest", tiny_source, calibrate="temperature", verify=by == "out-of-fold", **options
    )
    m = honest.metrics
    found = m["calibration"]["applied"]
    assert by in found["fitted_on"]
    assert found["n"] == (m["n"]["valid"] if by.startswith("val") else m["n"]["train"] + m["n"]["valid"])
    # no decision changed, and the confidences are those of the plain run at that temperature
    a, b = (pd.read_csv(run.path / "predictions.csv") for run in (plain, honest))
    assert (a.predicted == b.predicted).all()
    odds = np.log(a.prob_dark / a.prob_light).to_numpy() / found["temperature"]
    assert b.prob_dark.to_numpy() == pytest.approx(1 / (1 + np.exp(-odds)), abs=2e-5)
    # before and after are told apart, on the test images and on those that it was fitted on
    assert m["calibration"]["before"]["ece"] == pytest.approx(plain.metrics["calibration"]["ece"], abs=1e-4)
    assert found["log_loss"]["after"] <= found["log_loss"]["before"] + 0.01  # up to the half image of doubt
    # the temperature is in the weights: whoever opens them has it
    t = found["temperature"]
    heads = [torch.as_tensor(hs_head(run)) for run in (plain, honest)]
    torch.testing.assert_close(heads[1] * t, heads[0], rtol=1e-4, atol=1e-5)
    page = (honest.path / "report.html").read_text()
    assert f"{m['calibration']['before']['ece']:.3f} before, {m['calibration']['ece']:.3f} after" in page
    assert "divided by a temperature" in (honest.path / "model" / "README.md").read_text()


def hs_head(run):
    from headstart.sources import load_source

    return load_source(str(run.path / "model")).head[0]


def test_abstaining_and_sets_by_the_command_line(data, tiny_source, tmp_path, capsys):
    from headstart.cli.main import run as command

    fitted(data, tmp_path / "run", tiny_source, strategy="probe", calibrate="temperature")
    asked = [str(tmp_path / "run"), str(data), "--abstain-below", "0.7", "--coverage", "0.8", "--json", "-q"]
    assert command(["predict", *asked]) == 0
    rows = pd.DataFrame(json.loads(capsys.readouterr().out)["predictions"])
    assert list(rows)[:6] == ["path", "predicted", "confidence", "abstained", "set", "set_size"]
    assert 0 < rows.abstained.sum() < len(rows)
    assert (rows.predicted.isna() == (rows.confidence < 0.7)).all()
    assert set(rows.set) == {"dark", "light", "dark|light", "light|dark"}
    assert (rows.set_size == rows.set.str.count(r"\|") + 1).all()
    top = np.where(rows.prob_dark >= rows.prob_light, "dark", "light")
    assert (rows.set.str.split("|").str[0] == top).all()  # the most likely first
    assert command(["evaluate", *asked]) == 0
    said = json.loads(capsys.readouterr().out)
    answered = rows[~rows.abstained]
    truth = answered.path.str.split("/").str[-2]
    assert said["abstaining"]["answered"]["value"] == pytest.approx(len(answered) / len(rows))
    assert said["abstaining"]["accuracy"]["value"] == pytest.approx((answered.predicted == truth).mean())
    assert said["sets"]["size"] == pytest.approx(rows.set_size.mean())
    assert said["sets"]["covered"]["value"] >= 0.7


def test_without_held_out_images_it_is_said_before_training(data, tiny_source, tmp_path):
    with pytest.raises(
        RecipeError, match="held-out images, and there are none.*calibrate: temperature.*--valid-fraction 0.2"
    ):
        fitted(data, tmp_path / "run", tiny_source, strategy="finetune", valid_fraction=0, calibrate="temperature")
