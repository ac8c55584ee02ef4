"""Runs of texts from end to end: what they are compared with, what they say, what they refuse, and the estimator."""

import json
import os
import pickle
import re

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.data.wording import said
from headstart.errors import DataError, HandshakeError, RunError, SourceError
from headstart.progress import Progress

from .tiny_bert import WORDS, chinese, sentences, table

IMAGES = re.compile(r"\b(images?|pictures?|pixels?|px)\b|图像|张", re.IGNORECASE)


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []

    def start(self, name, total=None, unit=""):
        self.lines.append(f"{name}: {unit}")

    def say(self, line):
        self.lines.append(line)


def shown(page: str) -> str:
    """What a reader of the report sees, the recipe apart."""
    body = re.sub(r"<(style|pre)>.*?</\1>", " ", page[page.index("<body") :], flags=re.S)
    return re.sub(r"<[^>]+>", " ", body)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run of a whole network with all baselines, on 2 classes with 20 test texts, and what was said on the way."""
    root = tmp_path_factory.mktemp("runs")
    pytest.importorskip("transformers")
    from .tiny_bert import tiny_bert

    before = os.environ.get("HEADSTART_CACHE")
    os.environ["HEADSTART_CACHE"] = str(root / "cache")
    data, told = table(root / "reviews.csv", *sentences(60), test=20), Told()
    run = hs.fit(
        data, source=str(tiny_bert(root / "tiny")), strategy="finetune", epochs=1, out=root / "run", progress=told
    )
    if before is not None:
        os.environ["HEADSTART_CACHE"] = before
    return run, told, data


def test_the_classical_baseline_is_always_there_and_the_stronger_rival_counts(own):
    m = own[0].metrics
    assert (
        set(m["baselines"]) >= {"scratch", "probe", "classical"}
        and "raw_pixels" not in m["baselines"]
        and m["modality"] == "text"
    )
    accuracy = {name: m["baselines"][name]["accuracy"]["value"] for name in ("scratch", "classical")}
    assert accuracy["classical"] > 0.9 > accuracy["scratch"]
    assert m["transfer_gain"]["versus"] == "classical" and m["level"] == "hurt" and "TF-IDF" in m["why"]
    own_table, theirs = (pd.read_csv(own[0].path / name) for name in ("predictions.csv", "baselines/classical.csv"))
    assert list(own_table.path) == list(theirs.path) and list(own_table.columns) == list(theirs.columns)
    assert (theirs.label == theirs.predicted).mean() == accuracy["classical"]
    # rates of transformers, by their width, not of networks of images
    assert m["strategy"]["lr"] == 3e-4


def test_nothing_that_the_run_shows_speaks_of_images(own, capsys):
    from headstart.cli.summary import show_run

    run, told, _ = own
    show_run(run)
    out = capsys.readouterr().out
    page = shown((run.path / "report.html").read_text(encoding="utf-8"))
    card = (run.path / "model" / "README.md").read_text(encoding="utf-8")
    why = json.dumps({k: run.metrics[k] for k in ("why", "why_zh", "try", "try_zh", "criterion")}, ensure_ascii=False)
    for name, text in {
        "summary": out,
        "report": page,
        "card": card,
        "verdict": why,
        "progress": "\n".join(told.lines),
    }.items():
        assert not IMAGES.findall(text.replace(str(run.path), "")), name
    assert out.rstrip().endswith("TEXTS") and "Text classification into 2 classes" in card


def test_the_report_shows_texts_and_no_picture(own):
    run = own[0]
    page, found = (
        (run.path / "report.html").read_text(encoding="utf-8"),
        json.loads((run.path / "texts.json").read_text()),
    )
    assert "<img" not in page and not (run.path / "pictures.json").exists()
    first = found["mistakes"][0]
    mine = pd.read_csv(run.path / "predictions.csv").set_index("path").loc[first["path"]]
    assert "".join(letters for letters, _ in first["pieces"]) == mine.text
    assert (first["label"], first["predicted"]) == (mine.label, mine.predicted) and mine.label != mine.predicted
    assert max(abs(weight) for _, weight in first["pieces"]) == 1
    for words in (
        "speaks for the true label",
        "says a",
        "How long the texts are",
        "What is taken for what, in examples",
        "128 tokens",
    ):
        assert words in page, words
    wrong = pd.read_csv(run.path / "predictions.csv").query("label != predicted")
    assert sum(row["n"] for row in found["confusions"]) == len(wrong)
    assert {row["label"] for row in found["samples"]} == {"good", "bad"}
    assert found["lengths"]["cut"] == 0 and sum(found["lengths"]["shares"]["model"]) == pytest.approx(1)


def test_chinese_texts_labels_and_report(tiny, tmp_path):
    data = table(tmp_path / "酒店.csv", *chinese(60), test=20)
    run = hs.fit(
        data, source=str(tiny), strategy="probe", baselines="classical", lang="zh", verify=False, out=tmp_path / "运行"
    )
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "好评" in page and "差评" in page and not IMAGES.findall(shown(page).replace(str(tmp_path), ""))
    assert "经典" in page or "TF-IDF" in page
    assert run.metrics["baselines"]["classical"]["accuracy"]["value"] > 0.9
    from headstart.evaluation.fonts import font_for

    assert ("Headstart CJK" in page and "font/woff" in page) or font_for("酒店") is None


def test_what_is_made_for_images_is_refused(own, tiny, tmp_path):
    run, _, data = own
    for more, error, words in (
        ({"baselines": "raw_pixels"}, HandshakeError, "for images.*raw_pixels.*classical"),
        ({"image_size": 64}, HandshakeError, "the data are texts.*--image-size"),
        ({"source": "bundled/glyphs"}, SourceError, "reads images, and the data are texts.*bundled/minilm"),
    ):
        with pytest.raises(error, match=words):
            hs.fit(data, **{"source": str(tiny), "strategy": "probe", "out": tmp_path / "no", **more})
    for more in ({"tta": 4}, {"adapt": "tent"}):
        with pytest.raises(RunError, match="images, and this run reads texts"):
            hs.evaluate(run.path, data, **more)
        with pytest.raises(RunError, match="images, and this run reads texts"):
            hs.predict(run.path, ["a text"], **more)
    assert not (tmp_path / "no").exists()


def test_classical_is_refused_for_images(image_folder, tiny_source, tmp_path):
    with pytest.raises(HandshakeError, match="the data are images, and this is for texts.*classical.*raw_pixels"):
        hs.fit(image_folder, source=str(tiny_source), strategy="probe", baselines="classical", out=tmp_path / "no")


def test_plan_rank_and_evaluate_speak_of_texts(own, tiny):
    run, _, data = own
    told = Told()
    found = hs.plan(data, source=str(tiny), epochs=1, strategy="auto", progress=told)
    spoken = [*told.lines, *found.better, *(f"{s.value} {s.why}" for s in found.steps)]
    assert not IMAGES.findall("\n".join(spoken)) and found.recipe["strategy"]
    ranked = hs.rank(data, sources=[str(tiny)])
    assert ranked.modality == "text" and not IMAGES.findall(ranked.why)
    scores = hs.evaluate(run.path, data)
    assert scores["scores"]["accuracy"]["value"] == run.metrics["target"]["accuracy"]["value"] and scores["n"] == 20
    assert hs.compare([run.path, run.path])["modality"] == "text"


@pytest.mark.parametrize(("task", "make"), [
    ("multilabel", lambda y: ["a|b" if v == "good" else "b" if v == "bad" else "a" for v in y]),
    ("regression", lambda y: [1.5 * list(WORDS).index(v) + 0.1 * (i % 3) for i, v in enumerate(y)]),
    ("ordinal", lambda y: y),
])  # fmt: skip
def test_other_tasks_have_their_classical_rival_and_telling_words(tiny, tmp_path, task, make):
    texts, y = sentences(90, classes=3)
    data = table(tmp_path / "data.csv", texts, make(y), test=30)
    more = (
        {"order": ["bad", "odd", "good"]}
        if task == "ordinal"
        else {"label_delimiter": "|"}
        if task == "multilabel"
        else {}
    )
    run = hs.fit(
        data,
        source=str(tiny),
        strategy="probe",
        baselines="classical",
        task=task,
        out=tmp_path / "run",
        verify=False,
        **more,
    )
    assert run.metrics["transfer_gain"]["versus"] == "classical"
    found = json.loads((run.path / "texts.json").read_text())
    if found["mistakes"]:
        assert found["told"] and any(weight for _, weight in found["mistakes"][0]["pieces"])
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert not IMAGES.findall(shown(page).replace(str(tmp_path), ""))


def test_texts_in_memory(tiny, tmp_path):
    texts, labels = sentences(48)
    run = hs.fit(
        (texts, labels), source=str(tiny), strategy="probe", baselines="classical", out=tmp_path / "run", verify=False
    )
    assert run.metrics["modality"] == "text" and run.metrics["n"]["test"] == 10
    pairs = [(text, "a film ?") for text in texts]
    run = hs.fit(
        (pairs, labels), source=str(tiny), strategy="probe", baselines="classical", out=tmp_path / "pairs", verify=True
    )
    assert run.metrics["reload_check"]["ok"] and " | a film ?" in (run.path / "predictions.csv").read_text()


def test_the_estimator_reads_sentences(tiny):
    from sklearn.model_selection import cross_val_score

    texts, labels = sentences(60)
    model = hs.TransferClassifier(str(tiny))
    assert cross_val_score(model, texts, labels, cv=2).mean() > 0.6
    model.fit(np.array(texts), np.array(labels))
    assert model.modality_ == "text" and model.predict(texts[:3]).shape == (3,)
    again = pickle.loads(pickle.dumps(model))
    assert np.allclose(again.predict_proba(texts[:5]), model.predict_proba(texts[:5]), atol=1e-6)
    assert hs.TransferClassifier(str(tiny)).fit(pd.Series(texts), labels).score(pd.Series(texts), labels) > 0.7
    pairs = [(text, "a film ?") for text in texts]
    assert hs.TransferClassifier(str(tiny), max_length=16).fit(pairs, labels).predict(pairs[:2]).shape == (2,)
    with pytest.raises(DataError, match=r"reads texts.*pairs"):
        model.predict([1, 2])
    with pytest.raises(HandshakeError, match="--image-size"):
        hs.TransferClassifier(str(tiny), image_size=32).fit(texts, labels)


def test_sentences_are_said_again_for_texts():
    assert (
        said("one image at a time does not fit: a smaller --image-size", "text")
        == "one text at a time does not fit: a smaller --max-length"
    )
    assert said("an image's label, Images and pictures.", "text") == "a text's label, Texts and texts."
    assert (
        said("what 12 images say in images/cats.png of image-net/x", "text")
        == "what 12 texts say in images/cats.png of image-net/x"
    )
    assert (
        said("the source reads images, and the data are texts", "text")
        == "the source reads images, and the data are texts"
    )
    assert said("现有 5 张，12 张测试图像，逐图配对", "text") == "现有 5 条，12 条测试文本，逐条配对"
    assert said("12 images", "image") == "12 images"
