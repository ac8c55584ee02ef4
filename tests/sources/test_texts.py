"""Models of texts from folders: every kind opens, reads and pools as it should, is written and opens again."""

import json
import shutil

import numpy as np
import pytest
import torch
from tests.sources.tiny_texts import LINES, kinds, word_pieces, write

from headstart.data.text_preprocessing import IDS, MASK
from headstart.errors import SourceError
from headstart.sources import load_source, save_model
from headstart.sources.taps import at_layer, tapped, taps_of

pytest.importorskip("transformers")
KINDS = list(kinds())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("texts")
    return {kind: write(root / kind, kind) for kind in KINDS}


def by_hand(folder, texts, pool):
    """Each text alone through transformers' own classes, nothing padded."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    rows = []
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            found = model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
        state, layers = found.last_hidden_state[0], [layer[0] for layer in found.hidden_states]
        rows.append(
            {
                "mean": state.mean(0),
                "cls": state[0],
                "last": state[-1],
                "weighted": torch.stack(layers).mean(0).mean(0),
            }[pool]
        )
    return torch.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pool", ["mean", "cls", "last", "weighted"])
def test_features_are_those_of_transformers(folders, kind, pool):
    source = load_source(str(folders[kind]), pool=pool)
    with torch.inference_mode():
        found = source.backbone(source.preprocessing(LINES))
    torch.testing.assert_close(found, by_hand(folders[kind], LINES, pool), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_opens_again_with_the_same_weights(folders, kind, tmp_path):
    source = load_source(str(folders[kind]))
    assert not source.report.new and source.width == 32
    held = [name for layer in source.layers for name in layer.modules]
    names = [name for name, _ in source.backbone.named_parameters()]
    owners = [[part for part in held if f"{name}.".startswith(f"{part}.")] for name in names]
    assert all(len(found) == 1 for found in owners), "every parameter is in one layer"
    save_model(tmp_path / "m", source, source.backbone, None, ("a", "b"), source.preprocessing, "# card\n")
    again = load_source(str(tmp_path / "m"))
    assert (again.digest, again.preprocessing.size, again.preprocessing.digest) == (
        source.digest, source.preprocessing.size, source.preprocessing.digest,
    )  # fmt: skip
    assert again.report.loaded == again.report.total and again.backbone.pool == source.backbone.pool
    inputs = source.preprocessing(LINES)
    with torch.inference_mode():
        torch.testing.assert_close(again.backbone(inputs), source.backbone(inputs), atol=0, rtol=0)
    torch.testing.assert_close(
        by_hand(tmp_path / "m", LINES, source.backbone.pool), source.backbone(inputs), atol=2e-5, rtol=1e-4
    )
    state = tmp_path / "m" / "model.safetensors"
    from safetensors.torch import load_file, save_file

    tensors = load_file(state)
    tensors[next(key for key in tensors if key.endswith("weight"))] += 0.01
    save_file(tensors, state, metadata={"format": "pt"})
    with pytest.raises(SourceError, match="not those that this folder was written with"):
        load_source(str(tmp_path / "m"))


@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5", "marian", "mpnet", "modernbert"])
def test_a_layer_is_the_mean_over_its_tokens_and_not_over_the_padding(folders, kind):
    source = load_source(str(folders[kind]))
    whole = source.preprocessing(LINES)
    assert len(set(whole[:, MASK].sum(1).tolist())) > 1, "texts of several lengths"
    taps = taps_of(source)
    assert {"block1"} <= {tap.layer for tap in taps}
    side = tapped(source, taps)
    with torch.inference_mode():
        together = side.backbone(whole)
        alone = torch.cat([side.backbone(source.preprocessing([line])) for line in LINES])
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-4)
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folders[kind]).eval()
    model = model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model
    given = source.preprocessing(LINES[:1])
    with torch.inference_mode():
        state = model(input_ids=given[:, IDS], attention_mask=given[:, MASK], output_hidden_states=True).hidden_states[
            1
        ]
        found = at_layer(source, "block1").backbone(given)
    torch.testing.assert_close(found, state.mean(1), atol=2e-5, rtol=1e-4)


def test_the_weights_of_the_layers_are_written_and_read(folders, tmp_path):
    source = load_source(str(folders["bert"]), pool="weighted")
    assert source.layers[-1].fresh and source.report.new == ("mix",)
    source.backbone.mix.data = torch.tensor([0.5, -1.0, 2.0])
    inputs = source.preprocessing(LINES)
    save_model(tmp_path / "m", source, source.backbone, None, ("a",), source.preprocessing, "")
    again = load_source(str(tmp_path / "m"))
    assert again.backbone.pool == "weighted" and again.report.new == ()
    with torch.inference_mode():
        torch.testing.assert_close(again.backbone(inputs), source.backbone(inputs), atol=0, rtol=0)
        plain = load_source(str(tmp_path / "m"), pool="mean")
        torch.testing.assert_close(plain.backbone(inputs), by_hand(tmp_path / "m", LINES, "mean"), atol=2e-5, rtol=1e-4)


def test_chinese_is_read_by_characters(folders):
    tokenizer = load_source(str(folders["bert-chinese"])).preprocessing.tokenizer
    assert tokenizer.tokenize("今天很好") == list("今天很好")


def test_a_linear_head_is_kept_and_another_is_dropped_and_said(tmp_path):
    changes = {"num_labels": 3, "id2label": {0: "no", 1: "so", 2: "yes"}, "pad_token_id": 0}
    source = load_source(str(write(tmp_path / "g", "gpt2", as_class="GPT2ForSequenceClassification", **changes)))
    assert source.classes == ("no", "so", "yes") and source.report.dropped == ()
    from transformers import GPT2ForSequenceClassification

    whole = GPT2ForSequenceClassification.from_pretrained(tmp_path / "g").eval()
    given = source.preprocessing(LINES)
    with torch.inference_mode():
        weight, bias = source.head
        ours = source.backbone(given) @ weight.T + bias
        theirs = torch.cat([whole(input_ids=source.preprocessing([line])[:, IDS]).logits for line in LINES])
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
    source = load_source(str(write(tmp_path / "b", "bert", as_class="BertForSequenceClassification", num_labels=3)))
    assert source.head is None and source.report.dropped == ("classifier.bias", "classifier.weight")
    assert "dropped: classifier.bias, classifier.weight" in source.report.line()


def test_a_tokenizer_that_does_not_fit_is_refused(tmp_path):
    folder = write(tmp_path / "m", "bert", vocab_size=40)
    with pytest.raises(SourceError, match=r"the tokenizer does not fit the model.*allowed: 0 to 39"):
        load_source(str(folder))
    other = write(tmp_path / "n", "bert", pad_token_id=7)
    assert "whose padding is number 0, where the model's is 7" in load_source(str(other)).extra["guessed"]


def test_what_is_missing_is_said(folders, tmp_path):
    bare = write(tmp_path / "bare", "bert", tokenizer=False)
    with pytest.raises(
        SourceError, match="this model of texts has no tokenizer.*allowed: one of tokenizer.json, vocab.txt"
    ):
        load_source(str(bare))
    weightless = tmp_path / "weightless"
    shutil.copytree(folders["bert"], weightless)
    (weightless / "model.safetensors").unlink()
    with pytest.raises(SourceError, match="cannot be read.*model.safetensors"):
        load_source(str(weightless))
    unknown = tmp_path / "unknown"
    shutil.copytree(folders["bert"], unknown)
    config = json.loads((unknown / "config.json").read_text())
    (unknown / "config.json").write_text(json.dumps({**config, "model_type": "brand-new"}))
    with pytest.raises(SourceError, match="cannot be read.*brand-new"):
        load_source(str(unknown))
    unpadded = tmp_path / "unpadded"
    shutil.copytree(folders["bert"], unpadded)
    tokenizer = word_pieces()
    tokenizer.pad_token = tokenizer.unk_token = tokenizer.eos_token = None
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        (unpadded / file).unlink(missing_ok=True)
    tokenizer.save_pretrained(unpadded)
    with pytest.raises(SourceError, match="no token to fill a batch up with"):
        load_source(str(unpadded))


def test_lengths(folders):
    assert load_source(str(folders["roberta"])).preprocessing.size == 64, "66 places, of which two are not for tokens"
    assert load_source(str(folders["t5"])).preprocessing.size == 512, "places are relative: no limit of its own"
    assert load_source(str(folders["bert"]), image_size=16).preprocessing.size == 16
    with pytest.raises(SourceError, match="no places for so many tokens: got 65; allowed: 4 to 64"):
        load_source(str(folders["bert"]), image_size=65)


def test_a_saved_length_is_kept(folders, tmp_path):
    source = load_source(str(folders["bert"]), image_size=16)
    save_model(tmp_path / "m", source, source.backbone, None, ("a",), source.preprocessing, "")
    assert load_source(str(tmp_path / "m")).preprocessing.size == 16


def test_options_of_texts_are_refused_for_images(folders):
    with pytest.raises(SourceError, match="reads images, and these options are for texts.*--pool cls"):
        load_source("bundled/objects", pool="cls")
    with pytest.raises(SourceError, match="unknown pooling of tokens: got 'middle'.*--pool mean"):
        load_source(str(folders["bert"]), pool="middle")
    with pytest.raises(SourceError, match="unknown way with long texts: got 'fold'.*--long truncate"):
        load_source(str(folders["bert"]), long="fold")


@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_random_weights_of_a_source_of_texts(folders, kind):
    name = f"random/{folders[kind]}"
    source = load_source(name)
    assert not source.pretrained and source.report.loaded == 0
    assert source.digest == load_source(name).digest != load_source(str(folders[kind])).digest
    (folders[kind] / "model.safetensors").rename(folders[kind] / "aside")
    try:
        assert load_source(name).digest == source.digest, "no weights are needed"
    finally:
        (folders[kind] / "aside").rename(folders[kind] / "model.safetensors")


def test_in_the_hubs_cache(folders, tmp_path, monkeypatch):
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / "abc"
    shutil.copytree(folders["bert"], snapshot)
    (tmp_path / "models--org--tiny" / "refs").mkdir()
    (tmp_path / "models--org--tiny" / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    import huggingface_hub._snapshot_download as module

    monkeypatch.setattr(module.constants, "HF_HUB_CACHE", str(tmp_path))
    source = load_source("hf/org/tiny", pool="cls", image_size=32)
    assert source.digest == load_source(str(folders["bert"]), pool="cls").digest and source.preprocessing.size == 32
    with pytest.raises(SourceError, match="given as --source FOLDER; for a model of texts also its tokenizer.json"):
        load_source("hf/org/other")


def test_features_do_not_depend_on_what_stands_beside(folders):
    for kind in ("bert", "t5", "modernbert"):
        source = load_source(str(folders[kind]))
        with torch.inference_mode():
            short = source.backbone(source.preprocessing(LINES[4:5]))
            among = source.backbone(source.preprocessing(LINES))[4:5]
        np.testing.assert_allclose(short, among, atol=2e-5)
