"""`headstart evaluate` of runs of `adapt` over features gives the scores that the run has."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.cli.main import run as command
from headstart.errors import DataError, RecipeError


def table(path, seed, shift=0.0, values=False, classes=("up", "down"), n=60):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % len(classes)
    X = rng.standard_normal((n, 3)) + 2 * y[:, None] + shift
    label = X @ [1.0, -1.0, 0.5] + rng.standard_normal(n) if values else np.array(classes)[y]
    pd.DataFrame(X, columns=list("abc")).assign(quality=label).to_csv(path, index=False)
    return path


def same(found, metrics):
    """The scores of ``evaluate`` are those of the run."""
    for name, cell in metrics["target"].items():
        assert found["scores"][name]["value"] == pytest.approx(cell["value"], abs=1e-6), name
        assert found["scores"][name]["ci95"] == pytest.approx(cell["ci95"], abs=1e-6), name


@pytest.mark.parametrize("method", ["coral", "dann"])
def test_classes_of_tables(method, tmp_path, capsys):
    s, t = table(tmp_path / "s.csv", 0), table(tmp_path / "t.csv", 1, 0.7)
    more = {"epochs": 2} if method == "dann" else {}
    run = hs.adapt(s, t, label="quality", method=method, out=tmp_path / "run", **more)
    found = hs.evaluate(run.path, t, label_col="quality")
    same(found, run.metrics)
    assert found["n"] == 60 and found["missing"] == found["unknown"] == []
    line = ["evaluate", str(run.path), str(t), "--label-col", "quality", "--min", "accuracy=1.01"]
    assert command(line) == 4
    assert "60 rows (all)" in capsys.readouterr().out


def test_values_of_arrays(tmp_path):
    for name, seed in (("s", 0), ("t", 1)):
        frame = pd.read_csv(table(tmp_path / f"{name}.csv", seed, 0.3 * seed, values=True))
        np.savez(tmp_path / f"{name}.npz", X=frame[list("abc")].to_numpy(), y=frame["quality"])
    run = hs.adapt(tmp_path / "s.npz", tmp_path / "t.npz", method="coral", out=tmp_path / "run")
    found = hs.evaluate(run.path, tmp_path / "t.npz")
    same(found, run.metrics)
    assert "mae" in found["less_is_better"] and "unknown" in found
    with pytest.raises(RecipeError, match="array y"):
        hs.evaluate(run.path, tmp_path / "t.npz", label_col="y")


def test_images_by_their_folders(tmp_path):
    rng = np.random.default_rng(0)
    for name, bright in (("s", 0), ("t", 60)):
        for k, label in enumerate("ab"):
            (tmp_path / name / label).mkdir(parents=True)
            for i in range(8):
                pixels = rng.integers(0, 60, (24, 24, 3)) + bright
                pixels[:, : 12 - 10 * k] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / label / f"{i}.png")
    given = {"backbone": "bundled/glyphs", "device": "cpu", "out": tmp_path / "run"}
    run = hs.adapt(tmp_path / "s", tmp_path / "t", method="coral", **given)
    found = hs.evaluate(run.path, tmp_path / "t", device="cpu")
    same(found, run.metrics)
    assert found["things"] == "images"


def test_a_class_that_the_run_does_not_know_is_wrong_or_unknown(tmp_path):
    s, t = table(tmp_path / "s.csv", 0, n=200), table(tmp_path / "t.csv", 1, 0.3)
    three = table(tmp_path / "three.csv", 2, classes=("up", "down", "strange"))
    closed = hs.adapt(s, t, label="quality", method="coral", out=tmp_path / "closed")
    found = hs.evaluate(closed.path, three, label_col="quality")
    assert found["unknown"] == ["strange"] and found["scores"]["accuracy"]["value"] <= 40 / 60
    opened = hs.adapt(s, three, label="quality", method="coral", open_set=0.95, out=tmp_path / "open")
    same(hs.evaluate(opened.path, three, label_col="quality"), opened.metrics)


def test_what_cannot_act_or_be_judged_is_refused(tmp_path):
    s, t = table(tmp_path / "s.csv", 0), table(tmp_path / "t.csv", 1, 0.3)
    run = hs.adapt(s, t, label="quality", method="coral", out=tmp_path / "run").path
    for options in ({"coverage": 0.9}, {"adapt": "bn"}, {"tta": 2}, {"head": "a"}, {"split": "test"}):
        with pytest.raises(RecipeError, match="would do nothing"):
            hs.evaluate(run, t, label_col="quality", **options)
    with pytest.raises(DataError, match="--label-col COLUMN"):
        hs.evaluate(run, t)
    other = table(tmp_path / "o.csv", 3, classes=("left", "right"))
    with pytest.raises(DataError, match="none of the classes of the run"):
        hs.evaluate(run, other, label_col="quality")
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataError, match="evaluated on rows of features"):
        hs.evaluate(run, tmp_path / "pictures")
