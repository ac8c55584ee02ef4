"""Texts through `extract`: batches by tokens, features that depend on no neighbour, chunks, refusals."""

import numpy as np
import pytest
import torch
from tests.sources.tiny_texts import LINES, write

from headstart.data.dataset import Dataset
from headstart.data.text_chunks import CHUNKS, in_windows, overlap
from headstart.data.text_encoding import encoded_batches, filled_up
from headstart.data.text_preprocessing import IDS, MASK
from headstart.data.text_scan import digest
from headstart.errors import DataError, SourceError
from headstart.features.extract import extract
from headstart.features.layers import extract_layers
from headstart.sources import load_source

pytest.importorskip("transformers")
WORDS = " ".join(LINES).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write(tmp_path_factory.mktemp("m") / "bert", "bert"))


def texts(n, seed=0, longest=30):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, longest))) for _ in range(n)]


def of(inputs):
    return Dataset(
        list(inputs), None, (), np.full(len(inputs), ""), digests=np.array([digest(t) for t in inputs]), modality="text"
    )


def alone(source, inputs):
    with torch.inference_mode():
        return torch.cat([source.backbone(source.preprocessing([text])) for text in inputs]).numpy()


def test_batches_hold_each_text_once_within_the_tokens(folder):
    preprocessing = load_source(folder).preprocessing
    inputs = [*texts(150), "a " * 200]
    seen = []
    for batch in encoded_batches(of(inputs), preprocessing, tokens=128):
        assert len(batch.inputs) == 1 or batch.inputs[:, 0].numel() <= 128
        seen += batch.index.tolist()
        lengths = batch.inputs[:, MASK].sum(1)
        assert set(filled_up(lengths.numpy(), 64).tolist()) == {batch.inputs.shape[2]}
        for i, row, length in zip(batch.index.tolist(), batch.inputs, lengths.tolist(), strict=True):
            assert torch.equal(row[:, :length], preprocessing([inputs[i]])[0])
            assert not row[MASK, length:].any()
    assert sorted(seen) == list(range(151))


def test_the_filling_up_of_a_text_grows_with_its_length_only():
    lengths = np.arange(1, 200)
    found = filled_up(lengths, 200)
    assert (found >= lengths).all() and (np.diff(found) >= 0).all() and (found <= lengths * 1.25 + 3).all()
    assert filled_up(np.array([127, 3]), 125).tolist() == [127, 4], "never less than the text itself"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_are_in_order_and_depend_on_no_neighbour(folder, tmp_path, precision):
    source, inputs = load_source(folder), texts(60)
    found = extract(source, of(inputs), cache_dir=tmp_path, precision=precision)
    if precision == "fp32":
        np.testing.assert_allclose(found.X, alone(source, inputs), atol=2e-5)
    some = extract(source, of(inputs[7:9]), cache_dir=None, precision=precision).X
    np.testing.assert_allclose(some, found.X[7:9], atol=1e-5 if precision == "fp32" else 0.01)
    again = extract(source, of([*inputs[::-1], inputs[3]]), cache_dir=tmp_path, precision=precision)
    assert again.computed == 0
    np.testing.assert_array_equal(again.X[:60], found.X[::-1])


def test_the_precision_is_checked_once_a_source(folder):
    source = load_source(folder)
    first = extract(source, of(texts(20)), cache_dir=None)
    again = extract(source, of(texts(20)), cache_dir=None)
    assert again.precision == first.precision and again.cosine is None
    key = next(iter(source.extra["checked"]), None)
    if key is not None:  # the CPU has bf16
        source.extra["checked"][key]["cosine"] = 0.5
        fell = extract(source, of(texts(20)), cache_dir=None)
        assert fell.precision == "fp32" and "had a cosine of only 0.5" in fell.note


def test_layers_of_texts_are_kept_one_by_one(folder, tmp_path):
    source, inputs = load_source(folder), texts(12)
    found = extract_layers(source, of(inputs), cache_dir=tmp_path, precision="fp32")
    assert [tap.layer for tap in found.taps] == ["embeddings", "block1", "block2"]
    np.testing.assert_allclose(found.parts()[-1], alone(source, inputs), atol=2e-5)
    assert extract(source, of(inputs), cache_dir=tmp_path, precision="fp32").computed == 0


def test_long_texts_in_chunks_cover_every_token(folder):
    source = load_source(folder, image_size=16, long="chunks")
    tokenizer = source.preprocessing.tokenizer
    for text in (" ".join(WORDS), " ".join(WORDS[:14]), " ".join(WORDS[:15]), "a"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        rows = in_windows(tokenizer, [text], 16)[0]
        if len(ids) <= 14:
            assert torch.equal(rows[IDS], torch.tensor(tokenizer(text)["input_ids"]))
            continue
        windows = rows.unflatten(1, (-1, 16)).transpose(0, 1)
        got = [w[IDS][w[MASK] == 1].tolist() for w in windows]
        assert all(g[0] == tokenizer.cls_token_id and g[-1] == tokenizer.sep_token_id for g in got)
        joined = got[0][1:-1]
        for one in got[1:]:
            assert one[1 : 1 + overlap(16)] == joined[-overlap(16) :], "each begins with the end of the one before"
            joined += one[1 + overlap(16) : -1]
        assert joined == ids, "and together they are the text"


def test_the_vector_of_a_long_text_is_the_mean_of_its_windows(folder):
    source = load_source(folder, image_size=16, long="chunks")
    inputs = [" ".join(WORDS), "a cat", " ".join(WORDS[:20])]
    with torch.inference_mode():
        found = source.backbone(source.preprocessing(inputs))
        cut = load_source(folder, image_size=16).backbone
        for i, text in enumerate(inputs):
            rows = in_windows(source.preprocessing.tokenizer, [text], 16)
            windows = rows[0].unflatten(1, (-1, 16)).transpose(0, 1) if rows.shape[2] > 16 else rows
            weight = windows[:, MASK].sum(1, keepdim=True).float()
            by_hand = torch.cat([cut(w[None, :, : int(w[MASK].sum())]) for w in windows])
            torch.testing.assert_close(found[i], (by_hand * weight).sum(0) / weight.sum(), atol=2e-5, rtol=1e-4)
        beginning = cut(load_source(folder, image_size=16).preprocessing(inputs[:1]))
    assert not torch.allclose(found[:1], beginning, atol=1e-2), "more is read than the beginning"
    np.testing.assert_allclose(extract(source, of(inputs), cache_dir=None, precision="fp32").X, found, atol=2e-5)
    layers = extract_layers(source, of(inputs), cache_dir=None, precision="fp32")
    np.testing.assert_allclose(layers.parts()[-1], found, atol=2e-5)


def test_chunks_have_a_limit_and_a_key_of_their_own(folder):
    source, cut = load_source(folder, image_size=16, long="chunks"), load_source(folder, image_size=16)
    assert source.preprocessing.digest != cut.preprocessing.digest and cut.preprocessing.reach == 16
    rows = source.preprocessing(["a " * 5000])
    assert rows.shape[2] == CHUNKS * 16 and source.preprocessing.noise(2).shape == (2, 3, CHUNKS * 16)
    new = source.preprocessing.reach - 16
    assert new == (CHUNKS - 1) * (16 - 2 - overlap(16))
    with pytest.raises(DataError, match="a pair of texts cannot be read in chunks.*--long truncate"):
        source.preprocessing([("a", "b")])


def test_images_are_refused_by_a_source_of_texts(folder, tmp_path):
    pictures = Dataset([np.zeros((8, 8, 3), np.uint8)], None, (), np.array([""]))
    with pytest.raises(SourceError, match="the source reads texts, and the data are images.*--source bundled/objects"):
        extract(load_source(folder), pictures, cache_dir=None)
