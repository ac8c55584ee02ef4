"""`headstart adapt RUN TARGET --method shot`: the model of a run moves to a target, and the data it was trained on is gone."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import headstart as hs
from headstart.cli.main import run as command
from headstart.deploy.predictor import Predictor
from headstart.errors import DataError, HandshakeError, RecipeError, RunError
from headstart.sources import load_source
from headstart.verbs.adapt_source_free import of_classes

FAST = {"epochs": 1, "batch_size": 8, "device": "cpu"}


def paint(folder, bright, classes=("a", "b"), n=8):
    rng = np.random.default_rng(0)
    for label in classes:
        (folder / label).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 60, (32, 32, 3)) + bright
            pixels[:, : 16 if label == "a" else 3] += 100
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_source):
    """A run whose data is deleted."""
    root = tmp_path_factory.mktemp("run")
    data = paint(root / "data", 0, n=12)
    hs.fit(
        data,
        source="bundled/glyphs",
        image_size=32,
        strategy="probe",
        baselines="none",
        verify=False,
        device="cpu",
        out=root / "run",
    )
    shutil.rmtree(data)
    return root / "run"


@pytest.fixture
def target(tmp_path):
    return paint(tmp_path / "target", 80)


@pytest.fixture
def unchecked(monkeypatch):
    """No fresh process, and no network that learns the target's own labels: one test pays for them."""
    monkeypatch.setattr("headstart.verbs.save.verify", lambda *args, **options: {"ok": True})
    monkeypatch.setattr("headstart.verbs.adapt_judge.Judge.target_only", lambda self: None)


def test_a_run_goes_on_to_a_target_without_its_data(run, target, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in (run / "model").iterdir()}
    out = tmp_path / "new"
    line = ["adapt", str(run), str(target), "--method", "shot", "--epochs", "2", "--batch-size", "8", "--device", "cpu"]
    assert command([*line, "--out", str(out), "--json"]) == 0
    m = json.loads(capsys.readouterr().out)
    assert {path.name: path.read_bytes() for path in (run / "model").iterdir()} == before
    assert m["method"] == "shot" and m["n"] == {"source": 0, "target": 16, "evaluated": 16, "labelled": 0}
    assert m["reload_check"]["ok"] and m["reload_check"]["n"] == 16
    assert m["level"] in ("helped", "hurt", "no_evidence") and m["transfer_gain"]["n"] == 16
    own = hs.evaluate(run, target, device="cpu")["scores"]["accuracy"]["value"]
    assert m["baselines"]["source_only"]["accuracy"]["value"] == pytest.approx(own)
    gain = m["target"]["accuracy"]["value"] - own
    assert m["transfer_gain"]["value"] == pytest.approx(gain)
    assert [row["class"] for row in m["per_class"]] == ["a", "b"]

    table, again = pd.read_csv(out / "predictions.csv"), hs.predict(out, str(target), device="cpu")
    np.testing.assert_allclose(again["prob_a"], table["prob_a"], atol=1e-4)
    asked = hs.predict(run, str(target), device="cpu")
    assert asked["predicted"].tolist() == table["source_only"].tolist()
    old, new = Predictor(run, "cpu").source, Predictor(out, "cpu").source
    assert all(map(torch.equal, old.head, new.head)), "SHOT keeps the head"
    assert old.digest != new.digest == load_source(str(out)).digest
    page = (out / "report.html").read_text()
    for words in ("without the source", "sure of each row", "How it was trained", "none of the source", "last epoch"):
        assert words in page, words
    assert "How far apart" not in page
    assert len(json.loads((out / "adaptation.json").read_text())["history"]) == 2
    assert hs.load(out).recipe["source"] == str(run)
    hs.load(out).report()


def test_labels_of_the_target_teach_nothing(run, target, tmp_path, unchecked):
    flat = tmp_path / "flat"
    flat.mkdir()
    for label in "ab":
        for path in (target / label).iterdir():
            shutil.copy(path, flat / f"{label}{path.name}")
    (a, b) = (hs.adapt(run, data, method="shot", out=tmp_path / data.name[0], **FAST) for data in (target, flat))
    assert b.metrics["level"] == "not_measured" and b.metrics["target"] is None
    said = [pd.read_csv(each.path / "predictions.csv")["prob_a"] for each in (a, b)]
    np.testing.assert_allclose(*said, atol=1e-5)


def test_the_weight_of_the_labels_and_the_rate_arrive(run, target, tmp_path, unchecked):
    said = []
    for i, options in enumerate([{}, {"method": "shot(weight=3)"}, {"lr": 1e-2}]):
        made = hs.adapt(run, target, out=tmp_path / str(i), **{"method": "shot", **FAST, **options})
        said.append(pd.read_csv(made.path / "predictions.csv")["prob_a"].to_numpy())
    assert all(np.abs(said[0] - other).max() > 1e-6 for other in said[1:])


def test_a_class_that_the_run_does_not_know_is_named_and_counts_as_wrong(run, target, tmp_path, unchecked):
    paint(tmp_path / "more", 80, classes=("c",))
    shutil.move(tmp_path / "more" / "c", target / "c")
    made = hs.adapt(run, target, method="shot", out=tmp_path / "new", **FAST)
    assert any("knows no class c, 33.3%" in note for note in made.metrics["notes"])
    assert made.metrics["per_class"][2]["adapted"] == made.metrics["per_class"][2]["source_only"] == 0
    assert made.metrics["target"]["accuracy"]["value"] <= 16 / 24
    assert (made.path / "model" / "labels.txt").read_text().split() == ["a", "b"]


def test_classes_that_one_side_lacks():
    assert of_classes(None, ("a", "b"), "t") == of_classes(np.array(["a", "b"]), ("a", "b"), "t") == []
    (note,) = of_classes(np.array(["a", "a"]), ("a", "b"), "t")
    assert "no images of class b" in note
    with pytest.raises(DataError, match="none of the classes of the run.*got 'x'.*allowed: a, b"):
        of_classes(np.array(["x", "x"]), ("a", "b"), "t")


@pytest.mark.slow
def test_a_whole_network_with_new_layers_goes_on(target, tmp_path, tiny_source, unchecked):
    source = paint(tmp_path / "source", 0)
    first = hs.adapt(source, target, method="finetune+dann", backbone=str(tiny_source), out=tmp_path / "first", **FAST)
    shutil.rmtree(source)
    made = hs.adapt(first.path, target, method="shot", out=tmp_path / "new", **FAST)
    old, new = Predictor(first.path, "cpu").source, Predictor(made.path, "cpu").source
    assert all(map(torch.equal, old.head, new.head))
    name = "bottleneck.0.weight"
    assert not torch.equal(old.backbone.state_dict()[name], new.backbone.state_dict()[name])
    table, again = pd.read_csv(made.path / "predictions.csv"), hs.predict(made.path, str(target), device="cpu")
    np.testing.assert_allclose(again["prob_a"], table["prob_a"], atol=1e-4)
    assert load_source(str(made.path)).width == load_source(str(tiny_source)).width


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"method": "auto"}, RecipeError, "learns from data of the source.*--method shot"),
        ({"method": "coral"}, RecipeError, "got '--method coral'.*allowed: shot"),
        ({"method": "finetune+dann"}, RecipeError, "learns from data of the source"),
        ({"method": "shot+dann"}, RecipeError, "other terms beside shot"),
        ({"method": "shot(source=0.3)"}, RecipeError, "share of the training on data of the source"),
        ({"select": "infomax"}, RecipeError, "--select infomax"),
        ({"target_labels": 5}, RecipeError, "--target-labels 5"),
        ({"domain_col": "site"}, RecipeError, "--domain-col site"),
        ({"backbone": "bundled/objects"}, RecipeError, "--backbone"),
        ({"classifier": "svm"}, RecipeError, "--classifier svm"),
        ({"label": "y"}, RecipeError, "--label y"),
        ({"task": "regression"}, RecipeError, "--task regression"),
        ({"open_set": 0.9}, RecipeError, "--open-set 0.9"),
        ({"image_size": 64}, RecipeError, "images of another size.*allowed: 32"),
        ({"epochs": 0}, RecipeError, "--epochs is out of range"),
        ({"batch_size": 1}, RecipeError, "--batch-size is out of range"),
    ],
)
def test_options_that_cannot_act_are_refused(options, error, words, run, target, tmp_path):
    with pytest.raises(error, match=words):
        hs.adapt(run, target, out=tmp_path / "new", **{"method": "shot", **options})
    assert not (tmp_path / "new").exists()


def test_sources_and_targets_that_cannot_be_used_are_one_sentence(run, target, tmp_path, capsys):
    start = ["adapt", str(run), "--method", "shot", "--out", str(tmp_path / "new")]
    np.savez(tmp_path / "t.npz", X=np.zeros((9, 2)))
    few = paint(tmp_path / "few", 0, n=2)
    for more, words in [
        ([str(target), str(target)], "the only source"),
        ([str(target), "--no-target"], "the only source"),
        (["--no-target"], "there is none"),
        ([str(few)], "too small"),
        ([str(tmp_path / "t.npz")], "the run reads images"),
    ]:
        assert command([*start, *more]) == 2
        said = capsys.readouterr().err
        assert words in " ".join(said.split()) and "Traceback" not in said, said
    with pytest.raises(RunError, match="overwritten by what is made of it"):
        hs.adapt(run, target, method="shot", out=run, force=True)
    assert not (tmp_path / "new").exists()


def test_runs_that_have_no_network_of_classes_are_refused(run, target, tmp_path, monkeypatch):
    from headstart.sources.taps import Tapped, taps_of

    features = tmp_path / "features"
    (features / "model").mkdir(parents=True)
    (features / "model" / "model.joblib").touch()
    (features / "metrics.json").write_text("{}")
    with pytest.raises(RunError, match="over features"):
        hs.adapt(features, target, method="shot", out=tmp_path / "new")
    several = tmp_path / "several"
    shutil.copytree(run, several)
    (several / "metrics.json").write_text('{"kind": "multitask"}')
    with pytest.raises(RunError, match="a model of one head"):
        hs.adapt(several, target, method="shot", out=tmp_path / "new")
    ranks = tmp_path / "ranks"
    shutil.copytree(run, ranks)
    config = json.loads((ranks / "model" / "config.json").read_text())
    config["headstart"]["task"] = {"name": "multilabel", "thresholds": [0.5, 0.5]}
    (ranks / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(HandshakeError, match="a run of --task multilabel"):
        hs.adapt(ranks, target, method="shot", out=tmp_path / "new")

    class Early(Predictor):
        def __init__(self, *args):
            super().__init__(*args)
            self.source.backbone = Tapped(self.source.backbone, taps_of(self.source)[:1])

    monkeypatch.setattr("headstart.deploy.predictor.Predictor", Early)
    with pytest.raises(HandshakeError, match="reads earlier ones than the last"):
        hs.adapt(run, target, method="shot", out=tmp_path / "new")
