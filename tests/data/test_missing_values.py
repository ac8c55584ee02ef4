"""Missing values of tables: refused in one sentence, filled by the source's means, or left out with their columns."""

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.cli.main import run as command
from headstart.data.feature_tables import read_domains, read_rows
from headstart.data.missing_values import Missing
from headstart.errors import DataError, RecipeError


@pytest.fixture
def files(tmp_path):
    source = pd.DataFrame({"a": ["1", "?", "3", "8"], "b": [1.0, 2.0, 3.0, 4.0], "c": ["x", "y", "", "x"]})
    target = pd.DataFrame({"a": [100.0, np.nan], "b": [5.0, 6.0], "c": ["y", None]})
    source.assign(label=list("pqpq")).to_csv(tmp_path / "s.csv", index=False)
    target.assign(label=list("pq")).to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "s.csv", tmp_path / "t.csv"


def test_the_refusal_names_the_columns_and_what_to_type(files):
    with pytest.raises(DataError, match=r"missing in 2 of 3 columns.*a \(2\), c \(2\).*--missing mean.*--missing drop"):
        read_domains(*files)


def test_numbers_become_the_mean_of_the_source_alone_and_texts_none_of_the_values(files):
    holes = Missing("mean")
    source, target, _ = read_domains(*files, missing=holes)
    assert source.columns == target.columns == ["a", "b", "c=x", "c=y"]
    # by hand: (1 + 3 + 8) / 3 = 4; the target's 100 is not in it
    np.testing.assert_array_equal(source.X, [[1, 1, 1, 0], [4, 2, 0, 1], [3, 3, 0, 0], [8, 4, 1, 0]])
    np.testing.assert_array_equal(target.X, [[100, 5, 0, 1], [4, 6, 0, 0]])
    assert holes.fill == {"a": 4.0, "b": 2.5} and "a (2), c (2)" in holes.notes[0]


def test_rows_that_come_later_are_filled_by_the_same_numbers(files, tmp_path):
    new = tmp_path / "new.csv"
    pd.DataFrame({"b": [None, 7.0], "a": ["NA", "2"], "c": ["", "y"]}).to_csv(new, index=False)
    found = read_rows(new, ["a", "b", "c=x", "c=y"], {"a": 4.0, "b": 2.5})
    np.testing.assert_array_equal(found, [[4, 2.5, 0, 0], [2, 7, 0, 1]])
    with pytest.raises(DataError, match="values are missing or no numbers"):
        read_rows(new, ["a", "b", "c=x", "c=y"])


def test_a_column_is_left_out_whichever_domain_lacks_a_value(files):
    holes = Missing("drop")
    source, target, _ = read_domains(*files, missing=holes)
    assert source.columns == ["b"] and "left out: a (2), c (2)" in holes.notes[0]
    np.testing.assert_array_equal(target.X, [[5], [6]])


def test_arrays_keep_their_precision(tmp_path):
    X = np.array([[1, np.nan], [2, 4], [3, 6]], dtype=np.float32)
    np.savez(tmp_path / "s.npz", X=X, y=[0, 1, 0])
    np.savez(tmp_path / "t.npz", X=X[1:], y=[0, 1])
    source, _, _ = read_domains(tmp_path / "s.npz", tmp_path / "t.npz", missing=Missing("mean"))
    assert source.X.dtype == np.float32 and source.X[0, 1] == 5


def test_what_cannot_act_is_refused(files, tmp_path):
    with pytest.raises(RecipeError, match="--missing median"):
        read_domains(*files, missing=Missing("median"))
    frame = pd.DataFrame({"a": [None, None], "label": ["p", "q"]})
    frame.to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(DataError, match="no value in the source"):
        read_domains(tmp_path / "e.csv", tmp_path / "e.csv", missing=Missing("mean"))
    with pytest.raises(DataError, match="none would be left"):
        read_domains(tmp_path / "e.csv", tmp_path / "e.csv", missing=Missing("drop"))
    (tmp_path / "texts" / "p").mkdir(parents=True)
    (tmp_path / "texts" / "p" / "1.txt").write_text("one")
    with pytest.raises(RecipeError, match="--missing is for tables"):
        hs.adapt(tmp_path / "texts", tmp_path / "texts", missing="mean", out=tmp_path / "run")


def test_a_run_fills_when_it_predicts(tmp_path, capsys):
    rng = np.random.default_rng(0)
    paths = []
    for name, shift in (("s", 0.0), ("t", 0.5)):
        y = np.arange(60) % 2
        frame = pd.DataFrame(rng.standard_normal((60, 3)) + 3 * y[:, None] + shift, columns=list("abc"))
        frame.loc[rng.permutation(60)[:9], "b"] = np.nan
        paths.append(str(tmp_path / f"{name}.csv"))
        frame.assign(label=np.where(y, "up", "down")).to_csv(paths[-1], index=False)
    out = ["--out", str(tmp_path / "run")]
    assert command(["adapt", *paths, "--method", "coral", "--quiet", *out]) == 2
    assert "--missing mean" in capsys.readouterr().err
    assert command(["adapt", *paths, "--method", "coral", "--missing", "mean", "--quiet", *out]) == 0
    run = hs.Run(tmp_path / "run")
    assert run.recipe["missing"] == "mean" and any("filled with the mean" in note for note in run.metrics["notes"])
    again = hs.predict(run.path, paths[1])
    assert again["predicted"].tolist() == pd.read_csv(run.path / "predictions.csv")["predicted"].tolist()
