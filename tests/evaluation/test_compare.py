"""Several runs on the images they share: matched by path, corrected for the number of pairs, refused where there is no question."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headstart.errors import QuestionError, RunError
from headstart.evaluation.compare import compare_runs, holm
from headstart.evaluation.gain import paired_gain

CLASSES = ("cat", "dog")


def run_folder(folder: Path, paths: list[str], labels: list[int], predicted: list[int], classes=CLASSES) -> Path:
    folder.mkdir(parents=True)
    table = pd.DataFrame(
        {
            "path": paths,
            "label": [classes[i] for i in labels],
            "predicted": [classes[i] for i in predicted],
            "confidence": 0.9,
        }
    )
    for c in classes:
        table[f"prob_{c}"] = 0.5
    table.to_csv(folder / "predictions.csv", index=False)
    facts = {"n": {"test": len(paths)}, "source_model": {"name": "bundled/objects"}, "strategy": {"name": folder.name}}
    (folder / "metrics.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def three_runs(tmp_path):
    """``good`` is right on all 60, ``other`` on all but 2, ``bad`` on half; ``good`` lists its images in another order."""
    paths, labels = [f"{i}.jpg" for i in range(60)], [i % 2 for i in range(60)]
    near = [1 - y if i < 2 else y for i, y in enumerate(labels)]
    half = [y if i % 4 < 2 else 1 - y for i, y in enumerate(labels)]
    good = run_folder(tmp_path / "good", paths[::-1], labels[::-1], labels[::-1])
    return [
        good,
        run_folder(tmp_path / "other", paths, labels, near),
        run_folder(tmp_path / "bad", paths, labels, half),
    ]


def test_runs_are_matched_by_path_and_not_by_row(three_runs):
    found = compare_runs(three_runs)
    assert found["n"] == 60
    assert [row["value"] for row in found["runs"]] == [1.0, pytest.approx(58 / 60), 0.5]
    y = np.arange(60) % 2
    half = np.where(np.arange(60) % 4 < 2, y, 1 - y)
    alone = paired_gain(y, half, y)
    pair = next(p for p in found["pairs"] if {p["a"], p["b"]} == {"good", "bad"})
    assert pair["value"] == pytest.approx(0.5)
    assert pair["p_value"] == pytest.approx(alone["p_value"])


def test_ask16_two_images_do_not_make_a_better_run(three_runs):
    verdicts = {(p["a"], p["b"]): p["verdict"] for p in compare_runs(three_runs)["pairs"]}
    assert verdicts["good", "other"] == "no difference beyond the noise"
    assert verdicts["good", "bad"] == "good is better"


def test_p_values_are_corrected_for_the_number_of_pairs(three_runs):
    pairs = compare_runs(three_runs)["pairs"]
    assert len(pairs) == 3
    assert [p["p_holm"] for p in pairs] == pytest.approx(holm([p["p_value"] for p in pairs]))
    assert any(p["p_holm"] > p["p_value"] for p in pairs)


def test_only_shared_images_count(tmp_path):
    a = run_folder(tmp_path / "a", ["1", "2", "3", "4"], [0, 1, 0, 1], [0, 1, 0, 1])
    b = run_folder(tmp_path / "b", ["3", "4", "5"], [0, 1, 1], [1, 1, 1])
    found = compare_runs([a, b])
    assert found["n"] == 2
    assert [row["n_own"] for row in found["runs"]] == [4, 3]
    assert [row["value"] for row in found["runs"]] == [1.0, 0.5]


def test_a_class_named_nan_stays_a_class(tmp_path):
    classes = ("NA", "1")
    a = run_folder(tmp_path / "a", ["x", "y"], [0, 1], [0, 1], classes)
    b = run_folder(tmp_path / "b", ["x", "y"], [0, 1], [1, 1], classes)
    assert [row["value"] for row in compare_runs([a, b])["runs"]] == [1.0, 0.5]


def test_refusals_are_sentences(tmp_path):
    a = run_folder(tmp_path / "a", ["x", "y"], [0, 1], [0, 1])
    with pytest.raises(RunError, match="comparing needs two runs or more"):
        compare_runs([a])
    with pytest.raises(RunError, match=r"the runs share no test image.*same --seed"):
        compare_runs([a, run_folder(tmp_path / "b", ["u", "v"], [0, 1], [0, 1])])
    with pytest.raises(RunError, match="the runs label the same test images differently"):
        compare_runs([a, run_folder(tmp_path / "c", ["x", "y"], [1, 1], [0, 1])])
    with pytest.raises(RunError, match=r"the runs have other classes.*bird"):
        compare_runs([a, run_folder(tmp_path / "d", ["x", "y"], [0, 1], [0, 1], ("cat", "bird"))])
    with pytest.raises(QuestionError, match="unknown metric of a gain"):
        compare_runs([a, run_folder(tmp_path / "e", ["x", "y"], [0, 1], [0, 1])], metric="f2")


def test_runs_of_one_name_are_told_apart_by_their_folder(tmp_path):
    a = run_folder(tmp_path / "one" / "run", ["x", "y"], [0, 1], [0, 1])
    b = run_folder(tmp_path / "two" / "run", ["x", "y"], [0, 1], [0, 1])
    assert [row["run"] for row in compare_runs([a, b])["runs"]] == [str(a), str(b)]


def adapted(
    folder: Path, predicted: str, digest: str = "one", label: bool = True, task: str = "classification"
) -> Path:
    folder.mkdir()
    table = pd.DataFrame({"row": range(8), "label": list("aabbaabb"), "split": ["labelled"] * 2 + ["evaluated"] * 6, "predicted": list(predicted), "prob_a": 0.5, "prob_b": 0.5})  # fmt: skip
    (table if label else table.drop(columns="label")).to_csv(folder / "predictions.csv", index=False)
    facts = {"kind": "adaptation", "task": task, "n": {"source": 9, "target": 8, "evaluated": 6}, "method": folder.name}
    (folder / "metrics.json").write_text(json.dumps(facts))
    (folder / "recipe.yaml").write_text(f"verb: adapt\nbackbone: null\ntarget_digest: {digest}\n")
    return folder


def test_runs_of_adapt_are_compared_on_the_target_rows_they_are_judged_on(tmp_path):
    good, bad = adapted(tmp_path / "dann", "bbbbaabb"), adapted(tmp_path / "dan", "aabbaaaa")
    found = compare_runs([good, bad])
    assert found["n"] == 6 and [run["value"] for run in found["runs"]] == [1.0, pytest.approx(4 / 6)]
    assert [run["strategy"] for run in found["runs"]] == ["dann", "dan"]
    with pytest.raises(RunError, match="adapt to other targets"):
        compare_runs([good, adapted(tmp_path / "other", "aabbaabb", digest="two")])
    with pytest.raises(RunError, match="the target of this run has no labels"):
        compare_runs([good, adapted(tmp_path / "bare", "aabbaabb", label=False)])


def test_runs_of_adapt_that_predict_values_are_compared_in_mean_absolute_error(tmp_path):
    def run(name, off, digest="one"):
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(len(name))
        truth = np.arange(40.0) / 8
        table = pd.DataFrame({"row": range(40), "label": truth, "split": ["labelled"] * 10 + ["evaluated"] * 30})
        table["predicted"] = truth + off * np.sign(rng.standard_normal(40))
        table.loc[:9, "predicted"] = 1e6  # rows that are not judged on
        table.to_csv(folder / "predictions.csv", index=False)
        facts = {
            "kind": "adaptation",
            "task": "regression",
            "n": {"source": 9, "target": 40, "evaluated": 30},
            "method": name,
        }
        (folder / "metrics.json").write_text(json.dumps(facts))
        (folder / "recipe.yaml").write_text(f"verb: adapt\nbackbone: null\ntarget_digest: {digest}\n")
        return folder

    near, far = run("near", 0.1), run("farther", 0.5)
    found = compare_runs([near, far])
    assert found["metric"] == "mae" and found["less_is_better"] and found["n"] == 30
    assert [row["value"] for row in found["runs"]] == pytest.approx([0.1, 0.5])
    (pair,) = found["pairs"]
    assert pair["value"] == pytest.approx(0.4) and pair["verdict"] == "near is better"
    assert compare_runs([near, far], metric="rmse")["runs"][1]["value"] == pytest.approx(0.5)
    with pytest.raises(RunError, match="adapt to other targets"):
        compare_runs([near, run("third", 0.2, digest="two")])
