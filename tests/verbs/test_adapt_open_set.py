"""`headstart adapt` where the target has classes that the source lacks."""

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.cli.main import run as command
from headstart.errors import RecipeError


@pytest.fixture(scope="module")
def domains(tmp_path_factory):
    """Three classes at corners; the target is moved a little, and a quarter of it lies in the middle, of two other classes."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("open")
    means = np.array([[5.0, 0, 0], [-2.5, 4.3, 0], [-2.5, -4.3, 0], [0, 0, 4], [0, 0, 4]])
    y, yt = np.arange(240) % 3, np.repeat([0, 1, 2, 3, 4], [60, 60, 60, 30, 30])
    names = np.array(["ant", "bee", "cat", "yak", "zebu"])
    for name, labels in (("s", y), ("t", yt)):
        X = means[labels] + rng.normal(0, 0.7, (240, 3)) + (0.3 if name == "t" else 0)
        np.savez(folder / f"{name}.npz", X=X, y=names[labels])
    return str(folder / "s.npz"), str(folder / "t.npz")


@pytest.mark.parametrize(
    "options", [{"method": "coral", "open_set": 0.95}, {"method": "osbp", "epochs": 25, "lr": 0.003}]
)
def test_unknown_classes_are_answered_and_scored(domains, tmp_path, options):
    run = hs.adapt(*domains, **options, out=tmp_path / "run")
    target = run.metrics["target"]
    assert {"os", "os_star", "unk", "hos"} <= set(target)
    assert target["unk"]["value"] > 0.5 and target["os_star"]["value"] > 0.7
    table = pd.read_csv(run.path / "predictions.csv")
    lacks = table.label.isin(["yak", "zebu"])
    assert (table.predicted == "unknown")[lacks].mean() == pytest.approx(target["unk"]["value"])
    assert [row["class"] for row in run.metrics["per_class"]] == ["ant", "bee", "cat", "unknown"]
    assert (hs.predict(run.path, domains[1])["predicted"] == table.predicted).all()
    page = (run.path / "report.html").read_text()
    assert "unknown" in page and "OS*" in page and "os star" not in page
    assert any("right where they are predicted as unknown" in note for note in run.metrics["notes"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "osbp", "open_set": 0.9}, "answers 'unknown' by itself.*leave out --open-set"),
        ({"method": "finetune+dann", "open_set": 0.9}, "a threshold is not one of them.*--method finetune.osbp"),
        ({"method": "coral", "open_set": 1.0}, "--open-set is out of range: got 1"),
        ({"method": "osbp", "target_labels": 2}, "labelled target rows show every class"),
    ],
)
def test_what_cannot_act_is_refused(domains, options, words):
    with pytest.raises(RecipeError, match=words):
        hs.adapt(*domains, **options)


def test_values_have_no_unknown_class(tmp_path, capsys):
    rng = np.random.default_rng(0)
    paths = []
    for name in ("s", "t"):
        X = rng.normal(0, 1, (60, 3))
        np.savez(tmp_path / f"{name}.npz", X=X, y=X @ [1.0, 2, 3])
        paths.append(str(tmp_path / f"{name}.npz"))
    assert command(["adapt", *paths, "--method", "coral", "--open-set", "0.9", "--out", str(tmp_path / "run")]) == 2
    assert "--open-set tells unknown classes; these labels are values" in " ".join(capsys.readouterr().err.split())
