"""`headstart adapt` with deep methods: rows, cached features of images, whole networks; chosen without a label of the target."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.adapters import METHODS
from headstart.cli.adapt import chosen
from headstart.cli.adapt_methods import GROUPS
from headstart.cli.main import run as command
from headstart.errors import DataError, HandshakeError, QuestionError, RecipeError, RunError
from headstart.sources import load_source
from headstart.strategies.terms.domains import DOMAIN_TERMS
from headstart.verbs.adapt_choice import Choice
from headstart.verbs.adapt_names import is_deep, read_method, whole_network, without_target


def domains(seed=0, n=120, d=5):
    rng = np.random.default_rng(seed)
    ys, yt = np.arange(n) % 2, np.arange(n) % 2
    Xs = rng.standard_normal((n, d)) + 3 * ys[:, None] * np.eye(d)[0]
    Xt = rng.standard_normal((n, d)) + 3 * yt[:, None] * np.eye(d)[0] + 1.2 * np.eye(d)[0]
    return Xs.astype(np.float32), ys, Xt.astype(np.float32), yt


@pytest.fixture
def npz(tmp_path):
    Xs, ys, Xt, yt = domains()
    np.savez(tmp_path / "s.npz", X=Xs, y=ys)
    np.savez(tmp_path / "t.npz", X=Xt, y=yt)
    return tmp_path / "s.npz", tmp_path / "t.npz"


@pytest.fixture
def images(tmp_path):
    def make(name, bright):
        rng = np.random.default_rng(0)
        for label in ("a", "b"):
            (tmp_path / name / label).mkdir(parents=True)
            for i in range(8):
                pixels = rng.integers(0, 60, (24, 24, 3)) + bright
                pixels[:, : 12 if label == "a" else 2] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / label / f"{i}.png")
        return tmp_path / name

    return make("source", 0), make("target", 80)


def test_a_deep_term_on_rows_with_its_proof(npz, tmp_path):
    run = hs.adapt(*npz, method="dann", epochs=3, out=tmp_path / "run")
    m = run.metrics
    assert m["method"] == "dann" and m["baselines"].keys() >= {"source_only", "target_only"}
    assert m["level"] in ("helped", "hurt", "no_evidence")
    assert m["source"]["accuracy"]["value"] > 0.5 and m["source_gain"]["n"] == 24
    (choice,) = m["choices"]
    assert choice["what"] == "epoch" and choice["criterion"] == "infomax" and choice["cost"] >= 0
    kept = json.loads((run.path / "adaptation.json").read_text())
    assert len(kept["history"]) == 3 and "dann" in kept["history"][0]
    assert kept["distances"].keys() == kept["maps"].keys() == {"before", "after"}
    assert kept["choices"][0]["worth"][int(choice["taken"]) - 1] == pytest.approx(m["target"]["accuracy"]["value"])
    page = (run.path / "report.html").read_text()
    for words in ("How it was chosen", "looked at afterwards", "How it was trained", "What is kept of the source"):
        assert words in page, words
    table = pd.read_csv(run.path / "predictions.csv")
    again = hs.predict(run.path, str(npz[1]))
    assert again["predicted"].astype(int).tolist() == table["predicted"].tolist()


def test_labels_of_the_target_choose_nothing_and_cost_nothing_where_there_are_none(npz, tmp_path):
    with np.load(npz[1]) as held:
        X, y = held["X"], held["y"]
    np.savez(tmp_path / "turned.npz", X=X, y=1 - y)
    np.savez(tmp_path / "bare.npz", X=X)
    runs = [
        hs.adapt(npz[0], tmp_path / name, method="mcc", select="infomax", epochs=2, out=tmp_path / f"run-{name}")
        for name in ("t.npz", "turned.npz", "bare.npz")
    ]
    said = [pd.read_csv(run.path / "predictions.csv")["predicted"].tolist() for run in runs]
    assert said[0] == said[1] == said[2]
    assert runs[2].metrics["choices"][0]["cost"] is None
    assert "cannot be told" in (runs[2].path / "report.html").read_text()


def test_a_few_labels_of_the_target_join_and_are_not_judged_on(npz, tmp_path):
    run = hs.adapt(*npz, method="dann", target_labels=4, epochs=2, out=tmp_path / "run")
    assert run.metrics["n"] == {"source": 120, "target": 120, "evaluated": 112, "labelled": 8}


def test_a_deep_term_on_cached_features_of_images(images, tmp_path):
    run = hs.adapt(*images, method="dann", backbone="bundled/glyphs", epochs=2, out=tmp_path / "run", device="cpu")
    assert run.recipe["backbone"] == "bundled/glyphs"
    table = pd.read_csv(run.path / "predictions.csv")
    again = hs.predict(run.path, str(images[1]), device="cpu")
    assert again["predicted"].tolist() == table["predicted"].tolist()


def test_the_whole_network_is_saved_as_a_model_and_a_source(images, tmp_path):
    options = {"backbone": "bundled/glyphs", "image_size": 32, "epochs": 1, "batch_size": 8, "device": "cpu"}
    run = hs.adapt(*images, method="finetune+dann", out=tmp_path / "run", **options)
    assert run.metrics["reload_check"]["ok"]
    table = pd.read_csv(run.path / "predictions.csv")
    again = hs.predict(run.path, str(images[1]), device="cpu")
    np.testing.assert_allclose(again["prob_a"], table["prob_a"], atol=1e-4)
    source = load_source(str(run.path))
    was = load_source("bundled/glyphs")
    assert source.width == was.width and source.digest != was.digest


def test_auto_shows_every_candidate_and_its_worth(npz, tmp_path, monkeypatch):
    from headstart.adapters import catalogue
    from headstart.verbs import adapt_methods

    monkeypatch.setitem(catalogue.DEFAULT_SEARCH, "classification", ("source_only", "scaler"))
    monkeypatch.setitem(adapt_methods.DEEP_SEARCH, "classification", ("dann",))
    run = hs.adapt(*npz, epochs=2, select="infomax", out=tmp_path / "run")
    kept = json.loads((run.path / "adaptation.json").read_text())
    rows = {row["method"]: row for row in kept["candidates"]}
    assert rows.keys() == {"source_only", "scaler", "dann"}
    assert kept["candidates"][0]["method"] == run.metrics["method"]
    assert all(0 <= row["worth"] <= 1 for row in rows.values())
    assert rows["source_only"]["noise"] is None and rows["dann"]["noise"] >= 0


def test_values(tmp_path):
    rng = np.random.default_rng(0)
    for name, shift in (("s", 0.0), ("t", 1.0)):
        X = rng.standard_normal((80, 3)) + shift
        np.savez(tmp_path / f"{name}.npz", X=X, y=X @ [1.0, -2.0, 0.5] + 0.01 * rng.standard_normal(80))
    run = hs.adapt(tmp_path / "s.npz", tmp_path / "t.npz", method="dann", epochs=2, out=tmp_path / "run")
    m = run.metrics
    assert m["task"] == "regression" and m["choices"][0]["cost"] >= 0 and m["source_gain"]["metric"] == "mae"
    assert "mean absolute error" in (run.path / "report.html").read_text()


def test_what_a_choice_cost_by_hand():
    y = np.array(["a", "a", "b", "b", "b"])
    said = [np.array(list("aabb")), np.array(list("bbbb")), None]
    choice = Choice("method", "iwv", ["x", "y", "z"], [0.1, 0.9, float("nan")], 1, said, np.array([0, 1, 2, 3]))
    told = choice.told(y, np.arange(5), regression=False)
    assert told["worth"][:2] == [1.0, 0.5] and told["best"] == "x" and told["cost"] == 0.5 and told["n"] == 4
    assert choice.told(y, np.array([2, 3]), regression=False)["cost"] == 0.0
    assert choice.told(None, np.arange(5), regression=False)["cost"] is None
    values = Choice(
        "epoch", "source", ["1", "2"], [0, 0], 0, [np.array([1.0, 2.0]), np.array([1.0, 4.0])], np.array([0, 1])
    )
    assert values.told(np.array([1.0, 4.0]), np.arange(2), regression=True)["cost"] == 1.0


def test_names():
    assert is_deep("dann") and is_deep("finetune+dann") and not is_deep("coral") and not is_deep("auto")
    assert whole_network("last(2)+dann") and not whole_network("dann+mcc") and not whole_network("coral")
    assert without_target("dann") == "finetune"
    assert without_target("last(2)+dann(weight=0.5)+l2sp(weight=0.1)") == "last(n=2)+l2sp(weight=0.1)"
    assert read_method("coral") is None
    assert not set(METHODS) & set(DOMAIN_TERMS), "a name stands for two methods"
    listed = [name for _, names in GROUPS.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(METHODS) <= set(listed)
    assert set(DOMAIN_TERMS) <= set(listed)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"method": "dan n"}, "cannot read the strategy"),
        ({"method": "corall"}, "--method coral or --method deepcoral"),
        ({"method": "finetune+l2sp"}, "no term of the strategy learns from a second domain"),
        ({"method": "probe+dann"}, "solved at once"),
        ({"method": "coral", "epochs": 3}, "coral takes no gradient steps"),
        ({"method": "dann", "epochs": 0}, "--epochs is out of range"),
        ({"method": "dann", "batch_size": 1}, "--batch-size is out of range"),
        ({"method": "dann", "lr": 0.0}, "--lr is out of range"),
        ({"method": "dann", "classifier": "svm"}, "a head of its own"),
        ({"method": "dann", "select": "best"}, "unknown criterion"),
        ({"method": "dann", "image_size": 32}, "--image-size is for images"),
        ({"method": "dann", "backbone": "bundled/objects"}, "--backbone reads images or texts"),
    ],
)
def test_options_that_cannot_act_are_refused(options, words, npz, tmp_path):
    with pytest.raises(RecipeError, match=words):
        hs.adapt(*npz, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["dann(weight=0)", "dann+dann", "mcd+adda", "finetune+mixstyle"])
def test_the_way_out_is_one_of_this_verb(method, npz, tmp_path):
    with pytest.raises(QuestionError) as said:
        hs.adapt(*npz, method=method, out=tmp_path / "run")
    assert "--strategy" not in str(said.value)


def test_more_labels_than_rows_are_told(npz, tmp_path):
    run = hs.adapt(*npz, method="dann", epochs=1, target_labels=500, out=tmp_path / "run")
    assert any("2 of 120 target rows are left to judge by" in note for note in run.metrics["notes"])


def test_a_tie_is_no_cost_and_names_no_other(npz):
    said = [np.array(["a", "b"])] * 3
    told = Choice("epoch", "infomax", ["1", "2", "3"], [0.1, 0.2, 0.3], 2, said, np.arange(2)).told(
        np.array(["a", "a"]), np.arange(2), False
    )
    assert told["best"] == "3" == told["taken"] and told["cost"] == 0
    assert chosen(told, "accuracy").endswith("by them no other is better")


def test_a_run_is_no_source_and_no_network_of_images(npz, tmp_path):
    run = hs.adapt(*npz, method="coral", out=tmp_path / "run")
    with pytest.raises(RunError, match="this run of adapt is a model over features"):
        hs.adapt(run.path, npz[1], method="shot")
    with pytest.raises(DataError, match="a run folder is a model"):
        hs.adapt(npz[0], run.path, method="dann")


def test_the_same_data_twice_is_refused(npz, tmp_path):
    with pytest.raises(DataError, match="the same data"):
        hs.adapt(npz[0], npz[0], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_parts_that_cannot_act_are_refused_in_words(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("s", "t"):
        np.savez(tmp_path / f"{name}.npz", X=rng.standard_normal((60, 3)), y=rng.standard_normal(60))
    with pytest.raises(HandshakeError, match="needs class probabilities"):
        hs.adapt(tmp_path / "s.npz", tmp_path / "t.npz", method="mcc", out=tmp_path / "run")
    from headstart.training.deep_adapter import DeepAdapter

    X, y, *_ = domains()
    with pytest.raises(HandshakeError, match="second domain, but there is none"):
        DeepAdapter("dann").fit(X, y)


def test_domains_that_cannot_be_compared_are_one_sentence(npz, images, tmp_path, capsys):
    _, _, Xt, yt = domains()
    np.savez(tmp_path / "three.npz", X=Xt[:3], y=yt[:3])
    np.savez(tmp_path / "narrow.npz", X=Xt[:, :4], y=yt)
    with pytest.raises(DataError, match="too small to say how its domain differs.*3 rows"):
        hs.adapt(npz[0], tmp_path / "three.npz", method="dann", out=tmp_path / "run")
    with pytest.raises(DataError, match="other columns"):
        hs.adapt(npz[0], tmp_path / "narrow.npz", method="dann", out=tmp_path / "run")
    with pytest.raises(DataError, match="of different kinds"):
        hs.adapt(npz[0], images[1], method="dann", out=tmp_path / "run")
    line = ["adapt", str(npz[0]), str(tmp_path / "three.npz"), "--method", "dann", "--out", str(tmp_path / "run")]
    assert command(line) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    strange = np.where(np.arange(120) < 10, 7, yt)
    np.savez(tmp_path / "strange.npz", X=Xt, y=strange)
    run = hs.adapt(npz[0], tmp_path / "strange.npz", method="dann", epochs=1, out=tmp_path / "run")
    assert any("no rows of class 7" in note for note in run.metrics["notes"])
