"""`fit` end to end on a folder of images: the run folder, its numbers, the proof, and what happens the second time."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score

import headstart as hs
from headstart.errors import DataError, HandshakeError, RecipeError, RunError, SourceError

FAST = {"epochs": 2, "baselines": "none", "verify": False}


@pytest.fixture
def probe_run(image_folder, tiny_source, tmp_path):
    return hs.fit(
        image_folder, source=str(tiny_source), out=tmp_path / "run", baselines="probe,raw_pixels", verify=False
    )


def same(a: dict, b: dict) -> bool:
    """Equal but for clocks and memory."""
    skip = {"seconds", "peak_memory_mb", "reload_check"}
    return {k: v for k, v in a.items() if k not in skip} == {k: v for k, v in b.items() if k not in skip}


def test_the_run_folder_has_what_the_design_says(probe_run):
    names = {p.name for p in probe_run.path.iterdir()}
    assert {"recipe.yaml", "metrics.json", "predictions.csv", "model", "report.html", "data.json", "env.json"} <= names
    assert {p.name for p in (probe_run.path / "model").iterdir()} >= {
        "model.safetensors",
        "config.json",
        "README.md",
        "labels.txt",
    }
    m = probe_run.metrics
    assert set(m["target"]["accuracy"]) == {"value", "ci95"}
    assert m["n"]["train"] + m["n"]["valid"] + m["n"]["test"] == 48
    assert m["transfer_gain"]["versus"] == "raw_pixels"
    assert isinstance(m["why"], str)
    assert m["peak_memory_mb"] > 10


def test_predictions_agree_with_the_metrics(probe_run):
    table = pd.read_csv(probe_run.path / "predictions.csv")
    assert accuracy_score(table.label, table.predicted) == pytest.approx(
        probe_run.metrics["target"]["accuracy"]["value"]
    )
    columns = [c for c in table if c.startswith("prob_")]
    np.testing.assert_allclose(table[columns].sum(axis=1), 1, atol=1e-4)
    assert len(table) == probe_run.metrics["n"]["test"]


def test_same_seed_gives_identical_metrics(image_folder, tiny_source, tmp_path):
    options = {"source": str(tiny_source), "strategy": "l2sp", "baselines": "scratch", "verify": False, "epochs": 2}
    a = hs.fit(image_folder, out=tmp_path / "a", **options)
    b = hs.fit(image_folder, out=tmp_path / "b", **options)
    c = hs.fit(image_folder, out=tmp_path / "c", seed=1, **options)
    assert same(a.metrics, b.metrics)
    assert not same(a.metrics, c.metrics)
    assert (a.path / "predictions.csv").read_text() == (b.path / "predictions.csv").read_text()


def test_the_second_probe_runs_no_forward_pass(image_folder, tiny_source, tmp_path, monkeypatch):
    hs.fit(image_folder, source=str(tiny_source), out=tmp_path / "a", strategy="probe", baselines="none", verify=False)
    import timm.models.resnet

    # loading may try the network once on a dry input; only real batches count
    calls = []
    original = timm.models.resnet.ResNet.forward

    def counting(self, x):
        calls.append(len(x))
        return original(self, x)

    monkeypatch.setattr(timm.models.resnet.ResNet, "forward", counting)
    hs.fit(image_folder, source=str(tiny_source), out=tmp_path / "b", strategy="probe", baselines="none", verify=False)
    assert sum(calls) <= 2, f"forward passes: {calls}"


def test_ask11_reloading_gives_the_same_predictions(image_folder, tiny_source, tmp_path):
    """Saved, loaded in a fresh process, compared, as part of every run."""
    for strategy in ("probe", "finetune"):
        options = {"epochs": 1} if strategy == "finetune" else {}
        run = hs.fit(
            image_folder,
            source=str(tiny_source),
            strategy=strategy,
            out=tmp_path / strategy,
            baselines="none",
            **options,
        )
        check = run.metrics["reload_check"]
        assert check["ok"]
        assert check["n"] >= 5
        assert check["max_difference"] < 5e-3


def test_ask11_a_model_that_changed_on_disk_is_caught(probe_run):
    from safetensors.torch import load_file, save_file

    from headstart.verbs.save import verify

    path = probe_run.path / "model" / "model.safetensors"
    weights = load_file(path)
    weights["fc.bias"] = weights["fc.bias"] + torch.tensor([5.0, 0.0, 0.0])
    save_file(weights, path)
    table = pd.read_csv(probe_run.path / "predictions.csv")
    from headstart.data.dataset import Dataset
    from headstart.errors import HeadstartError

    root = Path(probe_run.recipe["data"])
    images = [str(root / p) for p in table.path]
    test_set = Dataset(images, None, tuple(sorted(table.label.unique())), np.full(len(images), "test"))
    with pytest.raises(HeadstartError, match="does not predict what it predicted|cannot be loaded in a fresh process"):
        verify(probe_run.path, test_set, table[[c for c in table if c.startswith("prob_")]].to_numpy(np.float32))


def test_baselines_none_turns_the_proof_off(image_folder, tiny_source, tmp_path):
    m = hs.fit(image_folder, source=str(tiny_source), out=tmp_path / "r", **FAST | {"strategy": "finetune"}).metrics
    assert m["baselines"] == {}
    assert m["transfer_gain"] is None
    assert m["negative_transfer"] is None


def test_forgetting_is_measured_with_the_sources_own_head(image_folder, tiny_source, tmp_path):
    """A run is the source; its own data are the source data; fine-tuning on swapped labels must cost accuracy there."""
    first = hs.fit(image_folder, source=str(tiny_source), out=tmp_path / "first", baselines="none", verify=False)
    other = tmp_path / "other"
    other.mkdir()
    for old, new in [("across", "x"), ("diagonal", "y"), ("down", "z")]:
        (other / new).symlink_to(image_folder / old)
    run = hs.fit(
        other,
        source=str(first.path),
        source_data=str(image_folder),
        strategy="finetune",
        lr=0.01,
        out=tmp_path / "second",
        **FAST,
    )
    old = run.metrics["source"]
    assert old["read_by"] == "the source's own head"
    assert old["before"]["accuracy"]["value"] > old["after"]["accuracy"]["value"]
    still = hs.fit(
        other,
        source=str(first.path),
        source_data=str(image_folder),
        out=tmp_path / "third",
        baselines="none",
        verify=False,
    )
    assert still.metrics["source"]["before"] == still.metrics["source"]["after"], "a frozen backbone forgets nothing"


def test_ask14_seeds_give_mean_and_spread(image_folder, tiny_source, tmp_path):
    m = hs.fit(image_folder, source=str(tiny_source), strategy="finetune", seeds=3, out=tmp_path / "r", **FAST).metrics
    found = m["seeds"]["target"]["accuracy"]
    assert len(found["values"]) == 3
    assert found["mean"] == pytest.approx(np.mean(found["values"]))
    assert found["sd"] == pytest.approx(np.std(found["values"], ddof=1))


def test_labels_per_class_leaves_the_test_set_alone(image_folder, tiny_source, tmp_path):
    few = hs.fit(
        image_folder, source=str(tiny_source), labels_per_class=2, out=tmp_path / "few", baselines="none", verify=False
    )
    many = hs.fit(image_folder, source=str(tiny_source), out=tmp_path / "many", baselines="none", verify=False)
    assert few.metrics["n"]["train"] == 6
    a, b = (pd.read_csv(r.path / "predictions.csv") for r in (few, many))
    assert set(a.path) == set(b.path)


def test_ask05_extend_is_longer_training_planned_anew(image_folder, tiny_source, tmp_path):
    run = hs.fit(image_folder, source=str(tiny_source), strategy="finetune", out=tmp_path / "r", **FAST)
    longer = hs.fit(extend=run.path, epochs=4)
    assert longer.path == tmp_path / "r-extended"
    history = pd.read_csv(longer.path / "history.csv")
    assert history.epoch.tolist() == [1, 2, 3, 4]
    first = pd.read_csv(run.path / "history.csv")
    assert history.train_loss.iloc[:2].tolist() == first.train_loss.tolist(), (
        "the first epochs are those of the first run"
    )
    assert history.lr.iloc[2] > first.lr.iloc[1], "the schedule was planned anew"
    with pytest.raises(RecipeError, match="--extend needs more epochs than the run had: got 2; allowed: > 2"):
        hs.fit(extend=run.path, epochs=2)
    with pytest.raises(RecipeError, match="--extend changes only the number of epochs"):
        hs.fit(extend=run.path, epochs=4, lr=0.1)


def test_ask05_continue_from_takes_new_data_and_keeps_the_head(image_folder, tiny_source, tmp_path):
    sure = {"strategy": "finetune", "epochs": 8, "lr": 3e-3, "baselines": "none", "verify": False}
    run = hs.fit(image_folder, source=str(tiny_source), out=tmp_path / "r", **sure)
    more = hs.fit(
        image_folder, continue_from=run.path, epochs=1, lr=1e-9, out=tmp_path / "more", baselines="none", verify=False
    )
    assert more.recipe["source"] == str(run.path)
    assert more.recipe["strategy"] == "finetune", "the earlier run's training options are kept"
    a, b = (pd.read_csv(r.path / "predictions.csv").set_index("path") for r in (run, more))
    columns = [c for c in a if c.startswith("prob_")]
    # a head that starts anew would give 1/3 everywhere; batch statistics move a little even at a rate of nothing
    assert np.abs(b[columns] - 1 / 3).to_numpy().mean() > 0.5 * np.abs(a[columns] - 1 / 3).to_numpy().mean()


def test_ask05_resume_of_a_finished_run_says_what_to_do(probe_run):
    with pytest.raises(RunError, match="finished, there is nothing to resume.*--extend.*--continue-from"):
        hs.fit(resume=True, out=probe_run.path)
    with pytest.raises(RecipeError, match="solved head, which no further epoch changes"):
        hs.fit(extend=probe_run.path, epochs=9)


def test_an_existing_run_is_kept_without_force(image_folder, tiny_source, probe_run):
    before = (probe_run.path / "metrics.json").read_bytes()
    with pytest.raises(RunError, match="exists and is not overwritten"):
        hs.fit(image_folder, source=str(tiny_source), out=probe_run.path)
    assert (probe_run.path / "metrics.json").read_bytes() == before
    hs.fit(image_folder, source=str(tiny_source), out=probe_run.path, force=True, baselines="none", verify=False)
    assert probe_run.metrics["baselines"] == {}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"source": "bundled/glyfs"}, SourceError, "glyphs"),
        ({"strategy": "finetun"}, RecipeError, "Try: finetune"),
        ({"strategy": "probe", "epochs": 3}, HandshakeError, "these options would do nothing.*epochs"),
        ({"device": "cuda:99"}, RecipeError, "device"),
        ({"nonsense": 1}, RecipeError, "unknown key in the recipe: got 'nonsense'"),
    ],
)
def test_wrong_questions_leave_nothing_behind(image_folder, tiny_source, tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        hs.fit(image_folder, out=tmp_path / "out" / "r", **{"source": str(tiny_source)} | options)
    left = list((tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else []
    assert left == []


def test_arrays_in_memory(tiny_source, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat(["dark", "light"], 12)
    images = (
        rng.integers(0, 90, (24, 20, 20, 3)).astype(np.uint8)
        + (labels == "light")[:, None, None, None].astype(np.uint8) * 120
    )
    run = hs.fit((images, labels), source=str(tiny_source), out=tmp_path / "r", baselines="none")
    assert run.metrics["target"]["accuracy"]["value"] > 0.9
    assert run.metrics["reload_check"]["ok"]
    assert run.predict(images[0]).predicted[0] == "dark"


def test_chinese_names_everywhere(tiny_source, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for label, name in enumerate(["猫", "狗"]):
        folder = tmp_path / "数据" / name
        folder.mkdir(parents=True)
        for i in range(10):
            picture = rng.integers(0, 255, (24, 24, 3)).astype(np.uint8) // (1 + 2 * label)
            Image.fromarray(picture).save(folder / f"图片{i}.png")
    run = hs.fit(
        tmp_path / "数据",
        source=str(tiny_source),
        out=tmp_path / "结果",
        baselines="raw_pixels",
        verify=True,
        lang="zh",
    )
    assert set(pd.read_csv(run.path / "predictions.csv").label) == {"猫", "狗"}
    assert "猫" in (run.path / "report.html").read_text(encoding="utf-8")
    assert "猫" in (run.path / "metrics.json").read_text(encoding="utf-8") or "猫" in (
        run.path / "model/labels.txt"
    ).read_text(encoding="utf-8")
    found = run.predict(tmp_path / "数据" / "猫" / "图片0.png")
    assert found.predicted[0] in ("猫", "狗")


def test_a_run_is_the_next_source(image_folder, tiny_source, tmp_path):
    first = hs.pretrain(
        image_folder,
        arch="timm/test_resnet",
        image_size=32,
        epochs=1,
        out=tmp_path / "src",
        baselines="none",
        verify=False,
    )
    run = hs.fit(image_folder, source=str(first.path), out=tmp_path / "r", baselines="none", verify=False)
    assert run.metrics["source_model"]["architecture"] == "timm/test_resnet"
    report = run.metrics["source_model"]["report"]
    assert "new: none" in report


def test_tensorboard_events_on_request(image_folder, tiny_source, tmp_path):
    pytest.importorskip("tensorboard")
    run = hs.fit(image_folder, source=str(tiny_source), strategy="head", log="tensorboard", out=tmp_path / "r", **FAST)
    assert list((run.path / "events").iterdir())


def test_evaluate_matches_classes_by_name(probe_run, image_folder, tmp_path):
    found = probe_run.evaluate(image_folder)
    assert found["n"] == 48
    sub = tmp_path / "sub"
    sub.mkdir()
    for name in ("across", "down"):
        (sub / name).symlink_to(image_folder / name)
    part = probe_run.evaluate(sub)
    assert part["missing"] == ["diagonal"]
    assert part["scores"]["accuracy"]["value"] > 0.5, "labels of the sub-folder are matched by name"
    (sub / "sideways").symlink_to(image_folder / "down")
    with pytest.raises(DataError, match="classes that the model does not know.*sideways"):
        probe_run.evaluate(sub)


def test_predict_names_a_bad_file_and_goes_on(probe_run, image_folder, tmp_path):
    (image_folder / "down" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0nothing")
    table = probe_run.predict(image_folder)
    assert len(table) == 49
    bad = table[table.error.notna()] if "error" in table else table[:0]
    assert len(bad) == 1
    assert "broken.jpg" in bad.path.iloc[0]


def test_metrics_are_plain_json(probe_run):
    json.loads((probe_run.path / "metrics.json").read_text())
