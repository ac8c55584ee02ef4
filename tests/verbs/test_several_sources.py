"""`headstart adapt` with several sources, with a column of domains, and without a target."""

import json

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.cli.main import run as command
from headstart.errors import DataError, RecipeError


def rows(seed, shift=0.0, n=40):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return pd.DataFrame(
        {"x": rng.normal(0, 0.5, n) + 3 * y + shift, "z": rng.normal(0, 1, n), "label": np.where(y, "up", "down")}
    )


@pytest.fixture
def files(tmp_path):
    for i, name in enumerate(("a", "b", "c", "t")):
        rows(i, shift=0.5 * i).to_csv(tmp_path / f"{name}.csv", index=False)
    whole = pd.concat([rows(i, 0.3 * i).assign(user=f"u{i}") for i in range(4)])
    whole.to_csv(tmp_path / "users.csv", index=False)
    return tmp_path


def test_several_sources_and_a_target_from_the_command_line(files, capsys):
    paths = [str(files / f"{name}.csv") for name in "abct"]
    assert command(["adapt", *paths, "--method", "mdan", "--epochs", "2", "--out", str(files / "run"), "--quiet"]) == 0
    said = capsys.readouterr().out
    m = json.loads((files / "run" / "metrics.json").read_text())
    assert m["n"]["source"] == 120 and m["n"]["target"] == 40
    assert [row["name"] for row in m["sources"]] == ["a", "b", "c"]
    assert sum(row["terms"]["mdan"]["sources"] for row in m["sources"]) == pytest.approx(1)
    assert "source a" in said and "weight by mdan" in said
    page = (files / "run" / "report.html").read_text()
    assert "Source by source" in page and "mdan: weight" in page


def test_a_shallow_method_gets_the_rows_of_all_sources(files):
    run = hs.adapt([files / "a.csv", files / "b.csv"], files / "t.csv", method="scaler", out=files / "run")
    assert run.metrics["n"]["source"] == 80
    assert run.recipe["source"] == [str(files / "a.csv"), str(files / "b.csv")]


def test_a_value_of_a_column_is_the_target(files):
    run = hs.adapt(files / "users.csv", "u2", domain_col="user", method="dsbn", epochs=2, out=files / "run")
    assert [row["name"] for row in run.metrics["sources"]] == ["u0", "u1", "u3"]
    assert run.metrics["n"] == {"source": 120, "target": 40, "evaluated": 40, "labelled": 0}


def test_without_a_target_each_source_is_left_out(files, capsys):
    paths = [str(files / f"{name}.csv") for name in "abc"]
    out = files / "run"
    given = ["--method", "vrex", "--no-target", "--epochs", "3", "--out", str(out), "--quiet"]
    assert command(["adapt", *paths, *given]) == 0
    said = capsys.readouterr().out
    m = json.loads((out / "metrics.json").read_text())
    table = pd.read_csv(out / "predictions.csv")
    assert m["kind"] == "generalisation" and m["folds"] == 3 and len(table) == 120
    for row, name in zip(m["sources"], "abc", strict=True):
        mine = table[table.source == name]
        assert row["left_out"]["value"] == pytest.approx((mine.label == mine.predicted).mean())
        assert row["erm"]["value"] == pytest.approx((mine.label == mine.erm).mean())
        low, high = row["left_out"]["ci95"]
        assert low <= row["left_out"]["value"] <= high and row["terms"]["vrex"]["losses"] >= 0
    values = [row["left_out"]["value"] for row in m["sources"]]
    assert m["mean_over_sources"]["value"] == pytest.approx(np.mean(values))
    assert "plain training" in m["why"] and "left out" in said
    page = (out / "report.html").read_text()
    assert "plain training (ERM)" in page and "http://" not in page
    again = hs.predict(out, str(files / "t.csv"))
    assert set(again["predicted"]) <= {"up", "down"} and len(again) == 40


def test_a_left_out_source_is_judged_by_a_model_that_has_not_seen_it(files):
    """A source whose labels are turned round is told all wrong; by a model that had seen it, it would not be."""
    turned = rows(9).assign(z=lambda t: t.z + 8, label=lambda t: np.where(t.label == "up", "down", "up"))
    turned.to_csv(files / "turned.csv", index=False)
    names = ("a", "b", "turned")
    run = hs.adapt([files / f"{n}.csv" for n in names], None, method="erm", epochs=20, out=files / "run")
    told = {row["name"]: row["left_out"]["value"] for row in run.metrics["sources"]}
    assert told["a"] > 0.8 and told["b"] > 0.8 and told["turned"] < 0.4
    assert run.metrics["level"] == "not_measured" and run.metrics["baselines"] == {}


@pytest.mark.parametrize(
    ("method", "names", "says"),
    [
        ("auto", "abc", "auto chooses by looking at the target"),
        ("coral", "abc", "coral learns from the target, and there is none"),
        ("dann", "abc", "dann learns from the target, and there is none"),
        ("vrexx", "abc", "unknown method without a target"),
        ("vrex", "ab", "with one of two left out there is one"),
        ("erm", "a", "one source alone says nothing"),
        ("mixstyle", "abc", "rows of features have none"),
    ],
)
def test_what_cannot_generalise_is_refused(files, method, names, says):
    with pytest.raises((RecipeError, DataError, hs.HeadstartError), match=says):
        hs.adapt([files / f"{n}.csv" for n in names], None, method=method, epochs=2, out=files / "run")


def test_bad_questions_of_the_command_line(files, capsys):
    a, b = str(files / "a.csv"), str(files / "b.csv")
    users = str(files / "users.csv")
    for words, says in (
        (["adapt", a], "a source and a target are needed"),
        (["adapt", users, "--domain-col", "user"], "the target is missing"),
        (["adapt", a, a, b, "--method", "mdan"], "a source is named twice"),
        (["adapt", a, b, "--no-target", "--method", "vrex", "--target-labels", "2"], "without a target this option would do nothing"),
        (["adapt", a, str(files), b, "--method", "mdan"], "the domains are of different kinds"),
    ):  # fmt: skip
        assert command([*words, "--out", str(files / "run"), "--quiet"]) == 2
        assert says in " ".join(capsys.readouterr().err.split()), words


def test_the_report_of_a_training_without_a_target_is_written_again(files):
    run = hs.adapt([files / f"{n}.csv" for n in "abc"], None, method="erm", epochs=1, out=files / "run")
    page = (run.path / "report.html").read_text()
    (run.path / "report.html").unlink()
    assert command(["report", str(run.path)]) == 0
    assert (run.path / "report.html").read_text() == page
    assert command(["report", str(run.path), "--lang", "zh"]) == 2
