"""Whole networks of texts: from one domain to another, without the source's data, for a domain that nobody has seen, and for several tasks."""

import importlib.util
import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.cli.main import run as command
from headstart.deploy.predictor import Predictor
from headstart.errors import DataError, HandshakeError, RecipeError
from headstart.progress import SILENT
from headstart.verbs.domains import read_inputs

_spec = importlib.util.spec_from_file_location("tiny_texts", Path(__file__).parents[1] / "tiny_texts.py")
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)

FAST = {"epochs": 1, "batch_size": 12, "device": "cpu"}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(tiny.save_bert(tmp_path_factory.mktemp("bert"), masked=True))


@pytest.fixture(scope="module")
def domains(tmp_path_factory):
    root = tmp_path_factory.mktemp("domains")
    parts = (tiny.THINGS[:4], tiny.THINGS[3:7], tiny.THINGS[6:])
    return [
        tiny.write_table(root / f"{name}.csv", *tiny.reviews(n, k, part))
        for k, (name, n, part) in enumerate(zip(("shop", "cinema", "hotel"), (40, 24, 28), parts, strict=True))
    ]


@pytest.fixture
def unchecked(monkeypatch):
    """No fresh process, and no network that learns the target's own labels."""
    monkeypatch.setattr("headstart.verbs.save.verify", lambda *args, **options: {"ok": True})
    monkeypatch.setattr("headstart.verbs.multitask_work.verify", lambda *args, **options: {"ok": True})
    monkeypatch.setattr("headstart.verbs.adapt_judge.Judge.target_only", lambda self: None)


def labelled_texts(table):
    return read_inputs(table, "texts", progress=SILENT, needs_label=False)


def says(run, table):
    """Probabilities of a saved model, and what the run wrote."""
    predictor = Predictor(run, "cpu")
    return predictor.probabilities(labelled_texts(table)), predictor


@pytest.mark.parametrize("method", ["finetune+dann", "last(1)+mcc"])
def test_the_whole_network_adapts_and_is_saved_as_a_model_that_predicts(method, bert, domains, tmp_path, unchecked):
    out = tmp_path / "run"
    run = hs.adapt(domains[0], domains[1], method=method, backbone=bert, out=out, **FAST)
    m = run.metrics
    assert m["method"] == method and m["n"]["evaluated"] == 24 and m["reload_check"]["ok"]
    found, predictor = says(out, domains[1])
    table = pd.read_csv(out / "predictions.csv")
    assert np.array(predictor.classes)[found.argmax(1)].tolist() == table["predicted"].tolist()
    told = float((table["predicted"] == pd.read_csv(domains[1])["label"]).mean())
    assert m["target"]["accuracy"]["value"] == pytest.approx(told)
    assert "NEW.csv" in (out / "model" / "README.md").read_text(encoding="utf-8")
    from transformers import AutoModel

    assert AutoModel.from_pretrained(out / "model", local_files_only=True).config.hidden_size == 32


def test_a_fresh_process_predicts_the_same_from_the_command_line(bert, domains, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("headstart.verbs.adapt_judge.Judge.target_only", lambda self: None)
    line = [
        "adapt",
        str(domains[0]),
        str(domains[1]),
        "--method",
        "finetune+deepcoral",
        "--backbone",
        bert,
        "--epochs",
        "1",
        "--batch-size",
        "12",
    ]
    assert command([*line, "--device", "cpu", "--out", str(tmp_path / "run"), "--json"]) == 0
    m = json.loads(capsys.readouterr().out)
    assert m["reload_check"]["ok"] and m["reload_check"]["max_difference"] < 1e-4


def test_a_frozen_backbone_other_than_the_bundled_one_reads_texts(bert, domains, tmp_path):
    out = tmp_path / "run"
    run = hs.adapt(domains[0], domains[1], method="coral", backbone=bert, out=out)
    assert run.metrics["n"]["source"] == 40
    again = hs.predict(out, str(domains[1]), device="cpu")
    assert again["predicted"].tolist() == pd.read_csv(out / "predictions.csv")["predicted"].tolist()


def test_a_run_of_texts_goes_on_to_a_target_without_its_data(bert, domains, tmp_path, unchecked):
    hs.fit(
        str(domains[0]), source=bert, strategy="finetune", baselines="none", verify=False, out=tmp_path / "run", **FAST
    )
    out = tmp_path / "moved"
    m = hs.adapt(tmp_path / "run", domains[1], method="shot", out=out, **FAST).metrics
    own, before = says(tmp_path / "run", domains[1])
    wanted = pd.read_csv(domains[1])["label"]
    accuracy = float((np.array(before.classes)[own.argmax(1)] == wanted).mean())
    assert m["baselines"]["source_only"]["accuracy"]["value"] == pytest.approx(accuracy)
    found, predictor = says(out, domains[1])
    assert (
        np.array(predictor.classes)[found.argmax(1)].tolist()
        == pd.read_csv(out / "predictions.csv")["predicted"].tolist()
    )
    for side in ("weight", "bias"):  # SHOT keeps the head
        k = ("weight", "bias").index(side)
        assert np.allclose(predictor.source.head[k], before.source.head[k])
    assert not np.allclose(own, found)
    with pytest.raises(DataError, match="the run reads texts.*folders of images"):
        (tmp_path / "pictures" / "a").mkdir(parents=True)
        hs.adapt(tmp_path / "run", tmp_path / "pictures", method="shot", out=tmp_path / "no", **FAST)
    with pytest.raises(RecipeError, match="--image-size is for images"):
        hs.adapt(tmp_path / "run", domains[1], method="shot", image_size=32, out=tmp_path / "no", **FAST)


def test_each_domain_is_left_out_of_a_whole_network_of_texts(bert, domains, tmp_path, unchecked):
    run = hs.adapt(domains, None, method="finetune+vrex", backbone=bert, out=tmp_path / "run", **FAST)
    assert [row["n"] for row in run.metrics["sources"]] == [40, 24, 28]
    found, _ = says(tmp_path / "run", domains[2])
    assert found.shape == (28, 2) and np.isfinite(found).all()


def test_length_pool_and_chunks_act_and_the_run_predicts_by_them(bert, domains, tmp_path):
    """Other features give another table, and `predict` reads as the run did."""
    long = tiny.write_table(tmp_path / "long.csv", *tiny.reviews(30, 5, tiny.THINGS[:4]))
    frame = pd.read_csv(long)
    frame["text"] = frame["text"].map(lambda text: f"{text} " * 4)
    frame.to_parquet(tmp_path / "long.parquet")

    def columns(name, **more):
        run = hs.adapt(
            domains[0], tmp_path / "long.parquet", method="source_only", backbone=bert, out=tmp_path / name, **more
        )
        again = hs.predict(run.path, str(tmp_path / "long.parquet"), device="cpu")
        table = pd.read_csv(run.path / "predictions.csv")
        assert again["predicted"].tolist() == table["predicted"].tolist()
        assert hs.evaluate(run.path, tmp_path / "long.parquet")["scores"]["accuracy"]["value"] == pytest.approx(
            run.metrics["target"]["accuracy"]["value"]
        )
        return joblib.load(run.path / "model" / "model.joblib")["scaler"].mean_

    means = [
        columns("a"),
        columns("b", max_length=6),
        columns("c", pool="cls"),
        columns("d", max_length=6, long="chunks"),
    ]
    for i, one in enumerate(means):
        assert all(not np.allclose(one, other) for other in means[:i])
    words = hs.predict(tmp_path / "a", ["a lovely film", "it was awful"], device="cpu")
    assert len(words) == 2 and words["path"][0] == "a lovely film"


def test_augment_acts_on_the_whole_network(bert, domains, tmp_path, unchecked):
    def loss(name, **more):
        out = tmp_path / name
        hs.adapt(domains[0], domains[1], method="finetune+mcc", backbone=bert, out=out, **FAST, **more)
        return json.loads((out / "adaptation.json").read_text(encoding="utf-8"))["history"][-1]["train_loss"]

    assert loss("plain") == loss("none", augment="none") != loss("d", augment={"delete": 0.5})


def test_what_cannot_act_on_texts_is_refused_in_words(bert, domains, tmp_path, image_folder):
    texts = {"method": "finetune+dann", "backbone": bert, "out": tmp_path / "no", **FAST}
    with pytest.raises(
        RecipeError, match=r"coral works on features of a frozen backbone: each input is read once.*--augment light"
    ):
        hs.adapt(domains[0], domains[1], method="coral", augment="light", out=tmp_path / "no")
    with pytest.raises(
        RecipeError, match=r"dann works on features of a frozen backbone: the weights of the layers.*--pool weighted"
    ):
        hs.adapt(domains[0], domains[1], method="dann", pool="weighted", out=tmp_path / "no")
    with pytest.raises(RecipeError, match="unknown augmentation of texts"):
        hs.adapt(domains[0], domains[1], augment="randaugment", **texts)
    for name, value in (("max_length", 9), ("pool", "cls"), ("long", "chunks"), ("text_col", "text")):
        with pytest.raises(RecipeError, match=rf"--{name.replace('_', '-')} is for texts|no column"):
            hs.adapt(image_folder, image_folder, method="coral", out=tmp_path / "no", **{name: value})
    numbers = pd.DataFrame({"x": range(20), "label": [0, 1] * 10})
    numbers.to_csv(tmp_path / "n.csv", index=False)
    with pytest.raises(RecipeError, match="--augment is for images and texts"):
        hs.adapt(tmp_path / "n.csv", tmp_path / "n.csv", method="finetune+dann", augment="light", out=tmp_path / "no")
    with pytest.raises(RecipeError, match="--max-length is out of range"):
        hs.adapt(domains[0], domains[1], max_length=3, **texts)
    with pytest.raises(RecipeError, match="weights of layers are learned in fit"):
        hs.rank(str(domains[0]), sources=[bert], pool="weighted")
    with pytest.raises(RecipeError, match="a layer is read as the mean over its tokens"):
        hs.rank(str(domains[0]), sources=[bert], layers=True, pool="cls")
    with pytest.raises(RecipeError, match="--max-length is for texts"):
        hs.rank(str(image_folder), max_length=9)


def test_rank_reads_texts_as_it_is_told(bert, domains):
    def logme(**more):
        return hs.rank(str(domains[0]), sources=[bert], scores=["logme"], device="cpu", **more).rows[0].logme

    own = logme()
    assert len({own, logme(max_length=5), logme(pool="cls")}) == 3 and logme(pool="mean") == own


def test_feature_maps_are_refused_in_words(bert, domains, tmp_path):
    with pytest.raises(HandshakeError, match="changes feature maps .* but texts and rows of features have none"):
        hs.adapt(domains[:2], domains[2], method="finetune+mixstyle", backbone=bert, out=tmp_path / "run", **FAST)


def test_several_tasks_of_texts_share_a_backbone(bert, domains, tmp_path, unchecked):
    out = tmp_path / "run"
    frame = pd.read_csv(domains[2]).assign(
        stars=lambda t: np.where(t["label"] == "positive", 4.5, 1.5) + np.arange(len(t)) % 3 / 2
    )
    frame[["text", "stars"]].to_csv(tmp_path / "stars.csv", index=False)
    run = hs.multitask(
        {"shop": str(domains[0]), "cinema": str(domains[1]), "stars": str(tmp_path / "stars.csv")}, pairs=True, source=bert,
        label_col={"stars": "stars"}, task={"stars": "regression"}, augment={"delete": 0.1, "mlm": 0.2}, max_length=20, out=out, **FAST,
    )  # fmt: skip
    m = run.metrics
    assert m["inputs"] == "texts" and [row["name"] for row in m["trainings"]][-3:] == [
        "shop + cinema",
        "shop + stars",
        "cinema + stars",
    ]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert (
        "test texts" in page
        and "test images" not in page
        and "TEXTS --head NAME" in (out / "model" / "README.md").read_text()
    )
    predictor = Predictor(out, "cpu", "cinema")
    table = pd.read_csv(out / "predictions" / "cinema.csv")
    found = predictor.probabilities(labelled_texts(domains[1]))
    rows = pd.read_csv(domains[1])["text"].tolist()
    said = dict(zip(rows, np.array(predictor.classes)[found.argmax(1)], strict=True))
    names = {f"row {i + 2}": text for i, text in enumerate(rows)}
    assert [said[names[path]] for path in table["path"]] == table["predicted"].tolist()


def test_images_and_texts_share_no_backbone(bert, domains, image_folder, tmp_path):
    with pytest.raises(DataError, match="one backbone reads images or texts, not both"):
        hs.multitask({"a": str(domains[0]), "b": str(image_folder)}, source=bert, out=tmp_path / "run", **FAST)


def test_fit_varies_texts_as_asked_and_says_why_not(bert, domains, tmp_path, capsys):
    (tmp_path / "s.csv").write_text("film,movie\nlovely,pleasant\nawful,dull\n", encoding="utf-8")
    line = [
        "fit",
        str(domains[0]),
        "--source",
        bert,
        "--strategy",
        "finetune",
        "--baselines",
        "none",
        "--no-verify",
        "--device",
        "cpu",
    ]
    line += ["--epochs", "1", "--batch-size", "12", "--valid-fraction", "0"]

    def loss(name, *more):
        assert command([*line, *more, "--out", str(tmp_path / name), "--quiet"]) == 0, capsys.readouterr().err
        return float(pd.read_csv(tmp_path / name / "history.csv")["train_loss"].iloc[-1])

    lists = str(tmp_path / "s.csv")
    plain, none = loss("plain"), loss("none", "--augment", "none")
    assert plain == none  # nothing is varied by default
    varied = [
        loss("d", "--augment", "{delete: 0.3}"),
        loss("s", "--synonyms", lists),
        loss("m", "--augment", "{mlm: 0.3}"),
    ]
    assert len({plain, *varied}) == 4
    assert loss("again", "--augment", "{delete: 0.3}") == varied[0]
    for more, why in [
        (["--augment", "{flip: 0.5}"], "unknown key of augment for texts"), (["--augment", "randaugment"], "unknown augmentation of texts"),
        (["--synonyms", "none.csv"], "no file of synonyms"), (["--back-translate", "a"], "two folders, there and back"),
        (["--back-translate", f"a,{bert}"], "no translation model in this folder"), (["--repeats", "2"], "but nothing is augmented"),
    ]:  # fmt: skip
        assert command([*line, *more, "--out", str(tmp_path / "no")]) == 2
        assert why in " ".join(capsys.readouterr().err.split()), more


def test_images_are_not_varied_as_texts(image_folder, tiny_source, tmp_path):
    for more, why in [({"augment": {"swap": 0.1}}, "of texts, and the data are images"), ({"synonyms": "s.csv"}, "the data are images, and this is for texts.*--synonyms"),
                      ({"augment": {"swap": 0.1, "flip": 0.5}}, "of texts, and other keys are of images")]:  # fmt: skip
        with pytest.raises((RecipeError, HandshakeError), match=why):
            hs.fit(
                image_folder,
                source=str(tiny_source),
                strategy="finetune",
                baselines="none",
                out=tmp_path / "no",
                **FAST,
                **more,
            )
