"""Encoder-decoders as sources: folders of transformers, new ones with a tokenizer of their own, layers, what is refused."""

import json

import pytest
import torch

pytest.importorskip("transformers")

from headstart.data.sequence_preprocessing import LABELS, NONE
from headstart.errors import SourceError
from headstart.sources.own_tokenizer import train_tokenizer
from headstart.sources.sequences import KINDS, load_sequences

TEXTS = ["Hello, world! It's 3 o'clock.", "The station is there.", "你好，世界！", "车站在那里。", "Tom 在 Paris 买了 2 本书。"] * 4  # fmt: skip


def tiny(kind="marian"):
    torch.manual_seed(0)
    return load_sequences(f"random/transformers/{kind}-tiny", max_length=32, texts=lambda: TEXTS)


def test_a_trained_tokenizer_reads_back_what_it_read():
    tokenizer = train_tokenizer(TEXTS, merges=30)
    for text in TEXTS[:5]:
        ids = tokenizer(text)["input_ids"]
        assert ids[-1] == 1
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.unk_token_id in tokenizer("猫")["input_ids"]  # never seen


@pytest.mark.parametrize("kind", KINDS)
def test_layers_hold_what_can_move_exactly_once(kind):
    source = tiny(kind)
    owned = [id(p) for layer in source.layers for name in layer.modules for p in _parameters(source.backbone, name)]
    free = {id(p) for p in source.backbone.parameters() if p.requires_grad}
    assert len(owned) == len(set(owned))
    assert set(owned) == free
    names = [layer.name for layer in source.layers]
    assert names[:5] == ["embeddings", "encoder1", "encoder2", "decoder1", "decoder2"]


def _parameters(backbone, name):
    parent, _, last = name.rpartition(".")
    item = getattr(backbone.get_submodule(parent) if parent else backbone, last)
    return list(item.parameters()) if isinstance(item, torch.nn.Module) else [item]


@pytest.mark.parametrize("kind", KINDS)
def test_teacher_forcing_is_that_of_transformers(kind):
    source = tiny(kind)
    inputs = source.preprocessing(["Hello, world!", "Hi"], ["你好", "世界！你好，世界！"])
    labels = inputs[:, LABELS].contiguous()
    model = source.backbone.model
    with torch.no_grad():
        ours = source.backbone(inputs)
        theirs = model(input_ids=inputs[:, 0], attention_mask=inputs[:, 1], labels=labels)
    known = labels != NONE
    torch.testing.assert_close(ours[known], theirs.logits[: labels.shape[0], : labels.shape[1]][known], rtol=1e-4, atol=1e-5)  # fmt: skip
    loss = torch.nn.functional.cross_entropy(ours[known], labels[known])
    assert loss.item() == pytest.approx(theirs.loss.item(), rel=1e-5)


def test_what_is_padded_changes_nothing():
    source = tiny()
    alone = source.preprocessing(["Hi"], ["你好"])
    beside = source.preprocessing(["Hi", "The station is there."], ["你好", "车站在那里。车站在那里。"])
    with torch.no_grad():
        one, both = source.backbone(alone), source.backbone(beside)
    n = int((alone[0, LABELS] != NONE).sum())
    torch.testing.assert_close(one[0, :n], both[0, :n], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_transformers_opens(kind, tmp_path):
    source = tiny(kind)
    source.backbone.model.save_pretrained(tmp_path)
    source.preprocessing.tokenizer.save_pretrained(tmp_path)
    again = load_sequences(str(tmp_path))
    inputs = source.preprocessing(TEXTS[:3], TEXTS[2:5])
    with torch.no_grad():
        torch.testing.assert_close(again.backbone(inputs), source.backbone(inputs))
    assert again.digest == source.digest
    assert again.report.new == () and again.pretrained and not source.pretrained
    assert again.preprocessing(TEXTS[:1])[0, 0].tolist() == source.preprocessing(TEXTS[:1])[0, 0].tolist()
    with torch.no_grad():  # a new model of the same kind has other weights
        assert not torch.allclose(again.build().eval()(inputs), again.backbone(inputs))


def test_the_prefix_of_a_t5_is_read_from_its_config(tmp_path):
    source = tiny("t5")
    source.backbone.model.save_pretrained(tmp_path)
    source.preprocessing.tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["task_specific_params"] = {"summarization": {"prefix": "summarize: ", "num_beams": 4}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_sequences(str(tmp_path), task="summarization").preprocessing.prefix == "summarize: "
    assert load_sequences(str(tmp_path), task="translation").preprocessing.prefix == ""
    assert load_sequences(str(tmp_path), task="summarization", prefix="tl;dr ").preprocessing.prefix == "tl;dr "


def test_a_marian_with_two_sentencepieces_opens(tmp_path):
    """As Helsinki's models come: the text by one tokenizer, the target by another, one vocabulary."""
    spm = pytest.importorskip("sentencepiece")
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    sides = {"source": ["a red cat", "a big dog", "the red dog"] * 9, "target": ["红猫", "大狗", "红狗"] * 9}
    vocabulary = {"</s>": 0, "<unk>": 1}
    for name, lines in sides.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
        spm.SentencePieceTrainer.train(input=str(tmp_path / f"{name}.txt"), model_prefix=str(tmp_path / name), vocab_size=40, hard_vocab_limit=False, minloglevel=2)  # fmt: skip
        (tmp_path / f"{name}.model").rename(tmp_path / f"{name}.spm")
        pieces = spm.SentencePieceProcessor(model_file=str(tmp_path / f"{name}.spm"))
        for i in range(pieces.get_piece_size()):
            vocabulary.setdefault(pieces.id_to_piece(i), len(vocabulary))
    pad = vocabulary["<pad>"] = len(vocabulary)
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    places = [str(tmp_path / name) for name in ("source.spm", "target.spm", "vocab.json")]
    tokenizer = MarianTokenizer(*places, model_max_length=32)
    config = MarianConfig(vocab_size=len(vocabulary), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32, pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad)  # fmt: skip
    MarianMTModel(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    source = load_sequences(str(tmp_path / "model"))
    inputs = source.preprocessing(["a red cat"], ["红猫"])
    assert source.preprocessing.text(inputs[0, LABELS].tolist()) == "红猫"
    read = inputs[0, 0][inputs[0, 1] == 1].tolist()
    assert source.preprocessing.tokenizer.convert_ids_to_tokens(read[0]).startswith("▁") and read[-1] == 0
    assert source.preprocessing.lengths(["红猫"], target=True)[0] == int((inputs[0, LABELS] != NONE).sum())


def test_what_cannot_write_is_refused(tmp_path):
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=40)).save_pretrained(tmp_path / "bert")  # fmt: skip
    with pytest.raises(SourceError, match="reads texts but writes none.*bert"):
        load_sequences(str(tmp_path / "bert"))
    with pytest.raises(SourceError, match="no such source"):
        load_sequences("bundled/minilm")
    with pytest.raises(SourceError, match="unknown kind of a new model.*--source random/transformers/marian"):
        load_sequences("random/transformers/marin", texts=lambda: TEXTS)
    with pytest.raises(SourceError, match="two parts"):
        load_sequences("hf/marian")


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    source = tiny()
    source.backbone.model.save_pretrained(tmp_path)
    more = train_tokenizer([*TEXTS, *["completely different words come here twice"] * 3], merges=200)
    assert len(more) > len(source.preprocessing.tokenizer)
    more.save_pretrained(tmp_path)
    with pytest.raises(SourceError, match="tokenizer does not fit the model"):
        load_sequences(str(tmp_path))


def test_more_tokens_than_places_are_refused(tmp_path):
    source = tiny()
    source.backbone.model.save_pretrained(tmp_path)
    source.preprocessing.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(SourceError, match="no places for so many tokens.*--max-length"):
        load_sequences(str(tmp_path), max_length=500)
