"""Several sources on disk: files with the same columns, one table with a column of domains, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from headstart.data.several_domains import read_several, short_names
from headstart.errors import DataError


def table(seed, n=12, classes=("a", "b"), **more):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"x": rng.normal(0, 1, n), "z": rng.normal(seed, 1, n), "label": np.resize(classes, n), **more})


def files(tmp_path, **frames):
    for name, frame in frames.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    return [tmp_path / f"{name}.csv" for name in frames]


def test_files_are_joined_with_their_domain_and_the_classes_of_all(tmp_path):
    a, b, c, t = files(
        tmp_path, one=table(1), two=table(2, 8, ("b", "c"))[["z", "label", "x"]], three=table(3, 6), target=table(4, 5)
    )
    found = read_several([a, b, c], t)
    assert found.names == ("one", "two", "three") and found.task == "classification"
    assert np.bincount(found.domain).tolist() == [12, 8, 6] and found.source.X.shape == (26, 2)
    np.testing.assert_allclose(found.source.X[12:20, 1], pd.read_csv(b)["z"])  # columns in the order of the first
    assert set(found.source.y) == {"a", "b", "c"} and found.target.y is not None and len(found.target.X) == 5
    assert found.source.ids[12].endswith("two.csv:0")
    assert "one has no rows of class c, which other sources have." in found.notes
    assert read_several([a, b], None).target is None


def test_text_columns_take_the_values_of_all_domains(tmp_path):
    a, b, t = files(
        tmp_path,
        a=table(1, colour="red"),
        b=table(2, colour="blue"),
        t=table(3, 4, colour="green").drop(columns="label"),
    )
    found = read_several([a, b], t)
    assert found.source.columns == ["x", "z", "colour=blue", "colour=green", "colour=red"]
    assert found.source.X[:12, 4].all() and found.source.X[12:, 2].all() and found.target.X[:, 3].all()


def test_a_column_names_the_domains_and_one_value_may_be_the_target(tmp_path):
    whole = table(0, 30)
    whole["user"] = np.resize([2, 10, 7], 30)
    (path,) = files(tmp_path, activity=whole)
    found = read_several([path], None, domain_col="user")
    assert found.names == ("2", "7", "10") and found.source.columns == ["x", "z"]
    assert np.bincount(found.domain).tolist() == [10, 10, 10]
    held = read_several([path], "7", domain_col="user")
    assert held.names == ("2", "10") and len(held.target.X) == 10
    np.testing.assert_allclose(held.target.X[:, 0], whole.loc[whole.user == 7, "x"])
    np.savez(
        tmp_path / "u.npz",
        X=whole[["x", "z"]].to_numpy(),
        y=whole.label.to_numpy(dtype=str),
        user=whole.user.to_numpy(),
    )
    arrays = read_several([tmp_path / "u.npz"], "10", domain_col="user")
    assert arrays.names == ("2", "7") and arrays.source.X.shape == (20, 2)


def test_values_are_a_regression_and_the_targets_labels_do_not_tell(tmp_path):
    frames = {name: table(i, 30).assign(label=np.linspace(0, 1, 30)) for i, name in enumerate("ab")}
    a, b, t = files(tmp_path, **frames, t=table(5))
    with pytest.raises(DataError, match="have to be numbers"):
        read_several([a, b], t)
    assert read_several([a, b], None).task == "regression"


def test_what_cannot_be_read_is_said(tmp_path):
    a, _, other, lone, bare = files(
        tmp_path, a=table(1), b=table(2), other=table(3).rename(columns={"z": "w"}), lone=table(1, 1),
        bare=table(2).drop(columns="label"),
    )  # fmt: skip
    for sources, more, says in (
        ([a, a], {}, "a source is named twice"),
        ([a, other], {}, "the two domains have other columns"),
        ([a, lone], {}, "a source has fewer than two rows"),
        ([a, bare], {}, "no column named like a label"),
        ([a], {"domain_col": "user"}, "no column 'user'"),
        ([a], {"domain_col": "x", "target": "q"}, "neither a file nor a value of 'x'"),
    ):
        target = more.pop("target", None)
        with pytest.raises(DataError, match=says):
            read_several(sources, target, **more)
    (one,) = files(tmp_path, one=table(1, user="me"))
    with pytest.raises(DataError, match="does not name several domains"):
        read_several([one], None, domain_col="user")


def test_names_are_short_where_they_differ():
    assert short_names(["d/photo.csv", "d/art.csv"]) == ("photo", "art")
    assert short_names(["a/x.csv", "b/x.csv"]) == ("a/x.csv", "b/x.csv")
    assert short_names(["data/photos/", "data/v1.2"]) == ("photos", "v1")
