"""`headstart adapt`: two domains in, a proof and a model that predicts elsewhere out."""

import json

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.cli.main import run as command
from headstart.errors import DataError, RecipeError, RunError


@pytest.fixture(autouse=True)
def shallow_search(monkeypatch):
    """Auto among the shallow methods alone; with deep ones: test_adapt_deep.py."""
    monkeypatch.setattr("headstart.verbs.adapt_methods.DEEP_SEARCH", {"classification": (), "regression": ()})


def domains(seed=0, n=150):
    """Two classes; the target is turned and stretched, so that a source model is wrong there and CORAL is not."""
    rng = np.random.default_rng(seed)
    ys, yt = rng.integers(0, 2, n), rng.integers(0, 2, n)
    Xs = rng.standard_normal((n, 5)) + 3 * ys[:, None] * np.eye(5)[0]
    Xt = rng.standard_normal((n, 5)) + 3 * yt[:, None] * np.eye(5)[0] + np.array([2.5, 0, 0, 0, 0])
    return Xs, ys, Xt, yt


@pytest.fixture
def npz(tmp_path):
    Xs, ys, Xt, yt = domains()
    np.savez(tmp_path / "s.npz", X=Xs, y=ys)
    np.savez(tmp_path / "t.npz", X=Xt, y=yt)
    return tmp_path / "s.npz", tmp_path / "t.npz"


def test_a_moved_target_is_found_again_and_the_gain_is_proved(npz, tmp_path):
    run = hs.adapt(*npz, method="scaler", out=tmp_path / "run")
    m = run.metrics
    assert m["kind"] == "adaptation"
    assert m["level"] == "helped"
    assert m["negative_transfer"] is False
    assert m["target"]["accuracy"]["value"] > m["baselines"]["source_only"]["accuracy"]["value"] + 0.15
    assert m["transfer_gain"]["p_value"] < 0.001
    table = pd.read_csv(run.path / "predictions.csv", dtype={"label": str, "predicted": str})
    assert (table.label == table.predicted).mean() == pytest.approx(m["target"]["accuracy"]["value"])
    assert {p.name for p in run.path.iterdir()} >= {
        "recipe.yaml",
        "metrics.json",
        "predictions.csv",
        "report.html",
        "model",
    }
    d = json.loads((run.path / "adaptation.json").read_text())["distances"]
    assert d["before"]["mmd"]["p_value"] < 0.01
    assert d["after"]["mmd"]["value"] < d["before"]["mmd"]["value"] / 5
    page = (run.path / "report.html").read_text()
    for words in ("The adaptation helped", "Before", "After", "proxy A", "source only", "target only", "recipe.yaml"):
        assert words in page, words
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_target_labels_choose_nothing(npz, tmp_path):
    first = hs.adapt(*npz, out=tmp_path / "a")
    with np.load(npz[1]) as held:
        X, y = held["X"], held["y"]
    np.savez(tmp_path / "permuted.npz", X=X, y=np.random.default_rng(1).permutation(y))
    np.savez(tmp_path / "bare.npz", X=X)
    again = hs.adapt(npz[0], tmp_path / "permuted.npz", out=tmp_path / "b")
    bare = hs.adapt(npz[0], tmp_path / "bare.npz", out=tmp_path / "c")
    said = [pd.read_csv(run.path / "predictions.csv")["predicted"].tolist() for run in (first, again, bare)]
    assert said[0] == said[1] == said[2]
    assert first.metrics["method"] == again.metrics["method"]
    assert bare.metrics["level"] == "not_measured"
    assert bare.metrics["target"] is None
    assert "no labels" in (bare.path / "report.html").read_text()
    candidates = json.loads((first.path / "adaptation.json").read_text())["candidates"]
    assert {row["method"] for row in candidates} >= {"source_only", "coral", "kmm"}
    assert candidates[0]["method"] == first.metrics["method"]


def test_a_model_that_is_saved_predicts_the_same_elsewhere(npz, tmp_path, capsys):
    run = hs.adapt(*npz, method="coral", out=tmp_path / "run")
    table = pd.read_csv(run.path / "predictions.csv")
    again = hs.predict(run.path, str(npz[1]))
    assert again["predicted"].astype(int).tolist() == table["predicted"].tolist()


def test_tables_with_text_columns_and_a_regression(tmp_path):
    rng = np.random.default_rng(0)
    for name, shift in (("s", 0.0), ("t", 0.5)):
        x, colour = rng.standard_normal(120) + shift, rng.choice(["red", "blue"], 120)
        pd.DataFrame(
            {"x": x, "colour": colour, "price": 2 * x + (colour == "red") + 0.1 * rng.standard_normal(120)}
        ).to_csv(tmp_path / f"{name}.csv", index=False)
    run = hs.adapt(tmp_path / "s.csv", tmp_path / "t.csv", label="price", method="logistic_ratio", out=tmp_path / "run")
    m = run.metrics
    assert m["task"] == "regression"
    assert m["target"]["r2"]["value"] > 0.9
    assert m["level"] in ("no_evidence", "helped", "hurt")
    assert json.loads((run.path / "adaptation.json").read_text())["facts"]["effective_sample_size"] > 10
    assert hs.predict(run.path, str(tmp_path / "t.csv"))["predicted"].std() > 1


def test_a_few_target_labels_are_kept_out_of_the_evaluation(npz, tmp_path):
    run = hs.adapt(*npz, method="source_regularized", target_labels=4, out=tmp_path / "run")
    table = pd.read_csv(run.path / "predictions.csv")
    assert (table["split"] == "labelled").sum() == 8
    assert run.metrics["n"] == {"source": 150, "target": 150, "evaluated": 142, "labelled": 8}


def test_label_shift_is_told_with_its_interval(tmp_path):
    rng = np.random.default_rng(0)
    for name, share in (("s", 0.5), ("t", 0.85)):
        y = (rng.random(400) < share).astype(int)
        np.savez(tmp_path / f"{name}.npz", X=rng.standard_normal((400, 3)) + 2 * y[:, None], y=y)
    run = hs.adapt(tmp_path / "s.npz", tmp_path / "t.npz", method="bbse", out=tmp_path / "run")
    prior = json.loads((run.path / "adaptation.json").read_text())["facts"]["target_prior"]["1"]
    assert prior["ci95"][0] < 0.85 < prior["ci95"][1]
    assert "Estimated share of each class" in (run.path / "report.html").read_text()


def test_images_go_through_the_cached_backbone(tmp_path, make_images):
    source, target = make_images("source"), make_images("target", bright=True)
    run = hs.adapt(source, target, method="scaler", backbone="bundled/glyphs", out=tmp_path / "run", device="cpu")
    assert run.metrics["n"]["source"] == 16
    assert run.recipe["backbone"] == "bundled/glyphs"


@pytest.fixture
def make_images(tmp_path):
    from PIL import Image

    def make(name, bright=False):
        rng = np.random.default_rng(0)
        for label in ("a", "b"):
            (tmp_path / name / label).mkdir(parents=True)
            for i in range(8):
                pixels = rng.integers(0, 60, (24, 24, 3)).astype(np.uint8) + (80 if bright else 0)
                pixels[:, : 12 if label == "a" else 2] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / label / f"{i}.png")
        return tmp_path / name

    return make


def test_a_class_that_the_source_lacks_is_said(tmp_path):
    Xs, ys, Xt, yt = domains()
    yt = yt.copy()
    yt[:10] = 2
    np.savez(tmp_path / "s.npz", X=Xs, y=ys)
    np.savez(tmp_path / "t.npz", X=Xt, y=yt)
    run = hs.adapt(tmp_path / "s.npz", tmp_path / "t.npz", method="jda", out=tmp_path / "run")
    assert any("no rows of class 2" in note for note in run.metrics["notes"])
    assert "no rows of class 2" in (run.path / "report.html").read_text()


def broken(tmp_path, **changes):
    Xs, ys, Xt, yt = domains()
    parts = {"Xs": Xs, "ys": ys, "Xt": Xt, "yt": yt, **changes}
    np.savez(tmp_path / "s.npz", X=parts["Xs"], y=parts["ys"])
    np.savez(tmp_path / "t.npz", X=parts["Xt"], y=parts["yt"])
    return tmp_path / "s.npz", tmp_path / "t.npz"


def with_nan():
    X = domains()[2].copy()
    X[3:6, 2] = np.nan
    return X


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"Xt": domains()[2][:, :4]}, "other columns"),
        ({"Xt": with_nan()}, "missing in 1 of 5 columns.*x2 .3."),
        ({"Xt": np.empty((0, 5)), "yt": np.empty(0)}, "no rows"),
        ({"ys": np.zeros(150, int)}, "one class only"),
        ({"ys": np.arange(20)}, "other lengths"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(changes, words, tmp_path):
    with pytest.raises(DataError, match=words):
        hs.adapt(*broken(tmp_path, **changes), method="coral", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.glob(".run*"))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"method": "corall"}, "--method coral"),
        ({"method": "coral", "select": "iwv"}, "a method without epochs was named"),
        ({"method": "coral", "target_labels": 3}, "uses no target labels"),
        ({"method": "tradaboost"}, "--target-labels 5"),
        ({"select": "best"}, "unknown criterion"),
        ({"classifier": "tree"}, "unknown classifier"),
        ({"method": "jda", "task": "regression"}, "not for regression"),
    ],
)
def test_options_that_cannot_act_are_refused(options, words, npz, tmp_path):
    with pytest.raises(RecipeError, match=words):
        hs.adapt(*npz, out=tmp_path / "run", **options)


def test_the_command_prints_json_and_never_overwrites(npz, tmp_path, capsys):
    line = ["adapt", str(npz[0]), str(npz[1]), "--method", "coral", "--out", str(tmp_path / "run"), "--json"]
    assert command(line) == 0
    assert json.loads(capsys.readouterr().out)["method"] == "coral"
    assert command(line) == 2
    assert "not overwritten" in capsys.readouterr().err
    with pytest.raises(RunError):
        hs.adapt(*npz, method="coral", out=tmp_path / "run")
    assert command([*line, "--force"]) == 0


def test_a_table_without_a_label_names_its_columns(tmp_path, capsys):
    pd.DataFrame({"a": [1, 2], "b": [3, 4]}).to_csv(tmp_path / "s.csv", index=False)
    assert command(["adapt", str(tmp_path / "s.csv"), str(tmp_path / "s.csv")]) == 2
    said = capsys.readouterr().err
    assert "a, b" in said
    assert "--label COLUMN" in said


def test_the_report_can_be_written_again(npz, tmp_path):
    run = hs.adapt(*npz, method="coral", out=tmp_path / "run")
    before = (run.path / "report.html").read_text()
    (run.path / "report.html").unlink()
    assert hs.report(run.path).read_text() == before
    with pytest.raises(RecipeError, match="English"):
        hs.report(run.path, lang="zh")
