"""`multitask` end to end on folders of images: the run folder, the heads, the proof, and questions that are refused."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.conftest import paint

import headstart as hs
from headstart.cli.main import run as command
from headstart.errors import DataError, HandshakeError, RecipeError, RunError
from headstart.training import loop

FAST = {"epochs": 2, "verify": False}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Stripes in three directions, and other stripes in two: names, 14 pictures a class."""
    root, rng = tmp_path_factory.mktemp("tasks"), np.random.default_rng(0)
    for name, classes in {"shapes": (0, 1, 2), "more": (1, 3)}.items():
        for label in classes:
            (root / name / f"at{label}").mkdir(parents=True)
            for i in range(14):
                paint(label, rng).save(root / name / f"at{label}" / f"{i:02d}.png")
    return root


@pytest.fixture(scope="module")
def target_run(folders, tiny_source, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    data = {"shapes": folders / "shapes", "more": folders / "more"}
    return hs.multitask(
        data, target="shapes", source=str(tiny_source), out=out, epochs=2, balance="pcgrad", verify=False
    )


def same(a, b):
    skip = {"seconds", "peak_memory_mb", "reload_check"}
    return {k: v for k, v in a.items() if k not in skip} == {k: v for k, v in b.items() if k not in skip}


def test_the_run_folder_and_what_it_says(target_run):
    names = {p.name for p in target_run.path.iterdir()}
    assert {
        "recipe.yaml",
        "metrics.json",
        "predictions.csv",
        "predictions",
        "history.csv",
        "model",
        "report.html",
    } <= names
    m = target_run.metrics
    assert m["judged"] == "shapes"
    assert m["transfer_gain"]["versus"] == "alone"
    assert m["tasks"]["shapes"]["level"] == m["level"]
    assert "shapes" in m["why"]
    assert "more" in m["why"]
    assert "gain" not in m["tasks"]["more"]
    table = pd.read_csv(target_run.path / "predictions.csv")
    assert (table.label == table.predicted).mean() == pytest.approx(target_run.accuracy)
    both, alone = (pd.read_csv(target_run.path / "predictions" / p / "shapes.csv") for p in ("", "alone"))
    gain = (both.label == both.predicted).mean() - (alone.label == alone.predicted).mean()
    assert m["transfer_gain"]["value"] == pytest.approx(gain)
    page = (target_run.path / "report.html").read_text(encoding="utf-8")
    for words in ("judged on shapes", "shapes + more", "pcgrad"):
        assert words in page
    history = pd.read_csv(target_run.path / "history.csv")
    assert set(history.model) == {"together", "shapes alone"}
    assert {"loss_shapes", "weight_more"} <= set(history)


def test_the_report_is_written_in_chinese_too(target_run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(target_run.path, copy)
    assert command(["report", str(copy), "--lang", "zh"]) == 0
    page = (copy / "report.html").read_text(encoding="utf-8")
    for words in ("多任务报告", "以 shapes 评判", "准确率", "与 more 共同训练", '<html lang="zh-CN">'):
        assert words in page, words
    for words in ("Which task", "trained with", "Read this first", "The trainings", "points of"):
        assert words not in page.split("recipe.yaml")[0], words
    assert command(["report", str(copy)]) == 0
    assert (copy / "report.html").read_text(encoding="utf-8") == (target_run.path / "report.html").read_text(
        encoding="utf-8"
    )


def test_each_head_predicts_by_name_and_the_target_speaks_where_none_is_named(target_run, folders):
    pictures = folders / "more"
    plain, named, other = (target_run.predict(pictures, **kw) for kw in ({}, {"head": "shapes"}, {"head": "more"}))
    pd.testing.assert_frame_equal(plain, named)
    assert [c for c in other if c.startswith("prob_")] == ["prob_at1", "prob_at3"]
    kept = pd.read_csv(target_run.path / "predictions" / "more.csv").set_index("path")
    fresh = other.set_index("path").loc[[str(pictures / name) for name in kept.index]]
    np.testing.assert_allclose(fresh.prob_at1.to_numpy(), kept.prob_at1.to_numpy(), atol=1e-4)
    found = target_run.evaluate(folders / "more", head="more")
    assert found["n"] == 28
    with pytest.raises(RunError, match=r"no such head.*got 'mor'.*--head more"):
        target_run.predict(pictures, head="mor")


@pytest.mark.slow
def test_every_head_says_in_a_fresh_process_what_it_said(folders, tiny_source, tmp_path):
    run = hs.multitask([folders / "shapes", folders / "more"], source=str(tiny_source), out=tmp_path / "r", epochs=1)
    for check in run.metrics["reload_check"].values():
        assert check["max_difference"] < 1e-3


def test_a_target_run_stands_beside_a_fit_of_the_same_data(target_run, folders, tiny_source, tmp_path):
    fitted = hs.fit(
        folders / "shapes", source=str(tiny_source), strategy="finetune", baselines="none", out=tmp_path / "f", **FAST
    )
    found = hs.compare([fitted.path, target_run.path])
    assert found["n"] == target_run.metrics["n"]["test"]
    assert found["runs"][1]["value"] == pytest.approx(target_run.accuracy)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["last(1)", "finetune(bn=frozen)", "gradual"])
def test_other_tunings_and_a_start_from_random_weights(strategy, folders, tiny_source, tmp_path):
    data = [folders / "shapes", folders / "more"]
    options = {"strategy": strategy, "epochs": 8 if strategy == "gradual" else 1, "verify": False}
    run = hs.multitask(data, target="more", source=str(tiny_source), out=tmp_path / "r", **options)
    moving = [row["trainable"] for row in run.metrics["strategy"]["stages"]]
    assert all(moving) == (strategy != "last(1)")
    assert moving[-1]


def test_without_a_target_every_task_is_judged_and_a_head_must_be_named(folders, tiny_source, tmp_path):
    run = hs.multitask([folders / "shapes", folders / "more"], source=str(tiny_source), out=tmp_path / "r", **FAST)
    m = run.metrics
    assert all(cell["judged"] and "gain" in cell for cell in m["tasks"].values())
    assert [t["name"] for t in m["trainings"]] == ["together", "shapes alone", "more alone"]
    with pytest.raises(RunError, match="several heads"):
        run.predict(folders / "shapes")
    again = hs.multitask(recipe=run.path / "recipe.yaml", out=tmp_path / "again")
    assert same(m, again.metrics)
    assert hs.report(run.path).is_file()
    for how in ("continue_from", "extend"):
        with pytest.raises(RecipeError, match="a run of multitask.*--source"):
            hs.fit(folders / "shapes", epochs=4, **{how: run.path})
    source = hs.fit(
        folders / "shapes",
        source=str(run.path),
        strategy="probe",
        baselines="none",
        verify=False,
        out=tmp_path / "next",
    )
    assert source.metrics["source_model"]["name"] == str(run.path)


def test_an_interrupted_run_goes_on_and_ends_the_same(folders, tiny_source, tmp_path, monkeypatch):
    data = [folders / "shapes", folders / "more"]
    options = {"source": str(tiny_source), "target": "more", "balance": "gradnorm", **FAST}
    whole = hs.multitask(data, out=tmp_path / "whole", **options)
    save, seen = loop.checkpoint.save_last, []

    def stop(folder, content):
        save(folder, content)
        seen.append(folder)
        if len(seen) == 3:  # in the training of one task alone, after the joint one
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.checkpoint, "save_last", stop)
    with pytest.raises(KeyboardInterrupt):
        hs.multitask(data, out=tmp_path / "cut", **options)
    monkeypatch.setattr(loop.checkpoint, "save_last", save)
    assert not (tmp_path / "cut").exists()
    with pytest.raises(RunError, match="unfinished run"):
        hs.multitask(data, out=tmp_path / "cut", **options)
    with pytest.raises(RecipeError, match="differ from it: got 'balance'"):
        hs.multitask(out=tmp_path / "cut", resume=True, balance="pcgrad")
    with pytest.raises(RecipeError, match="headstart multitask --resume"):
        hs.fit(out=tmp_path / "cut", resume=True)
    again = hs.multitask(out=tmp_path / "cut", resume=True)
    assert same(whole.metrics, again.metrics)


@pytest.mark.slow
def test_three_tasks_of_three_kinds_with_pairs_from_one_table(folders, tiny_source, tmp_path):
    paths = sorted((folders / "shapes").rglob("*.png"))
    kinds = [path.parent.name for path in paths]
    table = pd.DataFrame({
        "path": paths, "kind": kinds, "number": [0.5 + int(k[-1]) + 0.01 * i for i, k in enumerate(kinds)],
        "tags": ["low|even" if k == "at0" else "even" if k == "at2" else "low" for k in kinds],
        "split": ["test" if i % 4 == 0 else "train" for i in range(len(paths))],
    })  # fmt: skip
    table.to_csv(tmp_path / "t.csv", index=False)
    run = hs.multitask(
        dict.fromkeys(("kind", "number", "tags"), tmp_path / "t.csv"), target="number", pairs=True, source=str(tiny_source),
        label_col={"kind": "kind", "number": "number", "tags": "tags"}, label_delimiter={"tags": "|"}, task={"number": "regression"},
        balance="uncertainty", out=tmp_path / "r", **FAST,
    )  # fmt: skip
    m = run.metrics
    assert [cell["task"] for cell in m["tasks"].values()] == ["classification", "regression", "multilabel"]
    assert [t["name"] for t in m["trainings"]] == ["together", "number alone", "kind + number", "number + tags"]
    assert all(set(t["gains"]) == {"number"} for t in m["trainings"] if t["name"] != "number alone")
    assert m["metric"] == "rmse"
    assert run.predict(paths[0])["predicted"].dtype.kind == "f"
    assert "kind + number" in (run.path / "report.html").read_text(encoding="utf-8")


def test_test_images_of_one_task_are_no_training_images_of_another(folders, tiny_source, tmp_path):
    paths = sorted((folders / "more").rglob("*.png"))
    table = pd.DataFrame(
        {"path": paths, "a": [p.parent.name for p in paths], "b": [str(i % 2) for i in range(len(paths))]}
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    run = hs.multitask(
        {"a": tmp_path / "t.csv", "b": tmp_path / "t.csv"}, label_col={"a": "a", "b": "b"}, source=str(tiny_source),
        out=tmp_path / "r", test_fraction=0.25, **FAST,
    )  # fmt: skip
    m = run.metrics
    assert len(m["notes"]) == 2
    seen = sum(cell["n"]["train"] + cell["n"]["test"] for cell in m["tasks"].values())
    left_out = sum(int(note.split(": ")[1].split()[0]) for note in m["notes"])
    assert seen + left_out == 2 * len(paths)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (["shapes"], {}, "two data sets or more.*headstart fit"),
        (["shapes", "x=shapes"], {}, "one data set stands there twice.*shapes and x"),
        (["shapes", "shapes"], {}, "two data sets have one name"),
        (["shapes", "more"], {"target": "mores"}, "unknown target: got 'mores'.*--target more"),
        (["shapes", "more"], {"balance": "pcgard"}, "unknown balance.*--balance pcgrad"),
        (["shapes", "more"], {"weight": {"more": 0}}, "would do nothing.*leave more out"),
        (["shapes", "more"], {"weight": {"moer": 1}}, "names no data set"),
        (["shapes", "more"], {"weight": {"more": 2}, "balance": "gradnorm"}, "finds the weights itself"),
        (["shapes", "more"], {"pairs": True}, "one pair"),
        (["shapes", "more"], {"lr": "auto"}, "lr auto"),
        (["shapes", "more"], {"mixup": 0.2}, "not trained with this option"),
        (["shapes", "more"], {"epochs": 0}, "bad value of epochs"),
        (["shapes", "more"], {"task": {"more": "embedding"}}, "an embedding is judged on"),
        (["shapes", "more"], {"task": {"more": "regresion"}}, "bad value of task"),
    ],
)  # fmt: skip
def test_questions_that_are_refused_before_anything_is_read(folders, tmp_path, monkeypatch, data, options, words):
    monkeypatch.chdir(folders)
    with pytest.raises(RecipeError, match=words):
        hs.multitask(data, out=tmp_path / "r", **options)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_act_together_is_refused(folders, tiny_source, tmp_path):
    data = [folders / "shapes", folders / "more"]
    for options, error, words in (
        ({"strategy": "finetune+l2sp"}, HandshakeError, "terms speak of one task"),
        ({"strategy": "head"}, HandshakeError, "share nothing"),
        ({"order": {"more": "at1,at3"}}, HandshakeError, "no use for these options"),
    ):
        with pytest.raises(error, match=words):
            hs.multitask(data, source=str(tiny_source), out=tmp_path / "r", **FAST, **options)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError):
        hs.multitask([folders / "shapes", folders / "nothing"], out=tmp_path / "r")


def test_the_command(folders, tiny_source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["multitask", f"s={folders / 'shapes'}", str(folders / "more"), "--target", "s", "--weight", "more=0.5"]
    arguments += [
        "--labels-per-class",
        "s=4",
        "--source",
        str(tiny_source),
        "--epochs",
        "1",
        "--no-verify",
        "--quiet",
        "--out",
        "r",
    ]
    assert command(arguments) == 0
    shown = capsys.readouterr().out
    for words in ("auxiliary", "report:", "--head s", "together"):
        assert words in shown
    recipe = yaml.safe_load((tmp_path / "r" / "recipe.yaml").read_text())
    assert recipe["weight"] == {"more": 0.5}
    assert recipe["labels_per_class"] == {"s": 4, "more": None}
    assert (
        command(["predict", "r", str(folders / "more" / "at1" / "00.png"), "--head", "more", "--json", "--quiet"]) == 0
    )
    assert "prob_at3" in json.loads(capsys.readouterr().out)["predictions"][0]
    assert command(["multitask", str(folders / "shapes"), "--quiet"]) == 2
    assert "two data sets" in capsys.readouterr().err
    assert command([*arguments, "--json"]) == 2  # the folder exists
