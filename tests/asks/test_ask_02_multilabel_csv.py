"""Ask 2: several labels an image from a CSV, as lists with a delimiter or as columns of 0 and 1; thresholds a label, never on the test."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import metrics as peer

import headstart as hs
from headstart.errors import HandshakeError, QuestionError
from headstart.functional.thresholds import best_thresholds

LABELS = ("bright", "red", "striped")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """96 small pictures with three independent properties, and the table of them."""
    root, rng = tmp_path_factory.mktemp("several"), np.random.default_rng(0)
    has = (rng.random((96, 3)) < [0.5, 0.4, 0.3]).astype(int)
    for i, (bright, red, striped) in enumerate(has):
        picture = rng.normal(100 + 25 * bright + 20 * rng.normal(), 40, (24, 24, 3))
        picture[..., 0] += 25 * red
        picture[:: 4 if striped else 25] -= 40
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(root / f"{i:02d}.png")
    lists = ["; ".join(name for name, h in zip(LABELS, row, strict=True) if h) for row in has]
    pd.DataFrame({"file": [f"{i:02d}.png" for i in range(96)], "tags": lists}).to_csv(root / "lists.csv", index=False)
    columns = pd.DataFrame(has, columns=LABELS)
    columns.insert(0, "file", [f"{i:02d}.png" for i in range(96)])
    columns.to_csv(root / "columns.csv", index=False)
    return root


@pytest.fixture(scope="module")
def run(pictures, tiny_source, tmp_path_factory):
    return hs.fit(
        str(pictures / "lists.csv"), label_col="tags", source=str(tiny_source), strategy="probe", baselines="raw_pixels",
        out=tmp_path_factory.mktemp("runs") / "lists",
    )  # fmt: skip


def table(run) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    frame = pd.read_csv(run.path / "predictions.csv", keep_default_na=False)
    truth = np.array([[name in cell.split("|") for name in LABELS] for cell in frame.label])
    return frame, truth, frame[[f"prob_{name}" for name in LABELS]].to_numpy()


def test_the_scores_are_scikit_learns_on_the_written_predictions(run):
    assert run.metrics["task"] == "multilabel" and run.metrics["metric"] == "mean_average_precision"
    frame, truth, found = table(run)
    scores = {name: cell["value"] for name, cell in run.metrics["target"].items()}
    assert scores["mean_average_precision"] == pytest.approx(peer.average_precision_score(truth, found), abs=1e-6)
    said = np.array([[name in cell.split("|") for name in LABELS] for cell in frame.predicted])
    assert scores["micro_f1"] == pytest.approx(peer.f1_score(truth, said, average="micro"))
    assert scores["macro_f1"] == pytest.approx(peer.f1_score(truth, said, average="macro"))
    assert scores["mean_average_precision"] > 0.7
    assert run.metrics["transfer_gain"]["versus"] == "raw_pixels"


def test_the_thresholds_are_in_the_model_and_not_those_of_the_test_images(run):
    config = json.loads((run.path / "model" / "config.json").read_text())
    thresholds = config["headstart"]["task"]["thresholds"]
    assert [row["threshold"] for row in run.metrics["per_label"]] == thresholds
    frame, truth, found = table(run)
    said = np.array([[name in cell.split("|") for name in LABELS] for cell in frame.predicted])
    np.testing.assert_array_equal(said, found >= thresholds)
    assert any(t != 0.5 for t in thresholds), "nothing was tuned"
    assert not np.allclose(thresholds, best_thresholds(found, truth)), "tuned on the test images"


def test_columns_of_zeros_and_ones_are_the_same_labels(run, pictures, tiny_source, tmp_path):
    other = hs.fit(
        str(pictures / "columns.csv"), source=str(tiny_source), strategy="probe", baselines="none", verify=False, out=tmp_path / "columns",
    )  # fmt: skip
    assert other.metrics["task"] == "multilabel"
    assert other.metrics["target"] == run.metrics["target"]
    data = json.loads((other.path / "data.json").read_text())
    assert any("3 columns" in note for note in data["notes"]) and data["classes"] == list(LABELS)


def test_runs_are_compared_in_the_metric_of_the_task(run, pictures, tiny_source, tmp_path):
    twin = tmp_path / "twin"
    shutil.copytree(run.path, twin)
    frame = pd.read_csv(twin / "predictions.csv", keep_default_na=False)
    frame[[f"prob_{name}" for name in LABELS]] = 0.5  # knows nothing
    frame.to_csv(twin / "predictions.csv", index=False)
    found = hs.compare([run.path, twin])
    assert found["metric"] == "mean_average_precision" and found["n"] == len(frame)
    _, truth, probabilities = table(run)
    assert found["runs"][0]["value"] == pytest.approx(peer.average_precision_score(truth, probabilities), abs=1e-5)
    assert found["runs"][1]["value"] == pytest.approx(truth.mean())
    assert found["pairs"][0]["value"] == pytest.approx(found["runs"][0]["value"] - truth.mean(), abs=1e-5)
    with pytest.raises(QuestionError, match="unknown metric"):
        hs.compare([run.path, twin], metric="accuracy")


def test_predict_and_evaluate_say_what_the_run_said(run, pictures):
    frame, _, found = table(run)
    again = run.predict([str(pictures / name) for name in frame.path])
    assert again.predicted.tolist() == frame.predicted.tolist()
    np.testing.assert_allclose(again[[f"prob_{name}" for name in LABELS]], found, atol=1e-3)
    scored = run.evaluate(str(pictures / "columns.csv"))
    assert scored["n"] == 96 and scored["missing"] == [] and scored["scores"]["mean_average_precision"]["value"] > 0.7


def test_the_report_has_a_row_a_label(run):
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Label by label" in page and "mean average precision" in page
    for name in LABELS:
        assert f'<td class="name">{name}</td>' in page
    (path := run.report(lang="zh"))
    assert "逐标签结果" in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_steps_learn_several_labels_and_settle_thresholds_on_validation_images(pictures, tiny_source, tmp_path):
    run = hs.fit(
        str(pictures / "lists.csv"), label_col="tags", source=str(tiny_source), strategy="finetune", epochs=4, valid_fraction=0.25,
        baselines="none", mixup=0.2, out=tmp_path / "steps",
    )  # fmt: skip
    history = pd.read_csv(run.path / "history.csv")
    assert history.train_loss.iloc[-1] < history.train_loss.iloc[0]
    assert "valid_mean_average_precision" in history
    config = json.loads((run.path / "model" / "config.json").read_text())
    assert any(t != 0.5 for t in config["headstart"]["task"]["thresholds"])
    assert run.metrics["reload_check"]["ok"]


def test_what_cannot_act_is_refused(pictures, tiny_source):
    how = {"source": str(tiny_source), "label_col": "tags"}
    with pytest.raises(HandshakeError, match="reads one class an image"):
        hs.fit(str(pictures / "lists.csv"), strategy="head2toe", **how)
    with pytest.raises(HandshakeError, match="sampler|imbalance"):
        hs.fit(str(pictures / "lists.csv"), strategy="finetune", imbalance="sampler", **how)
    with pytest.raises(QuestionError, match="unknown metric of --task multilabel"):
        hs.fit(str(pictures / "lists.csv"), metric="accuracy", **how)
    with pytest.raises(HandshakeError, match="order"):
        hs.fit(str(pictures / "lists.csv"), order="a,b", **how)
