"""The tokenizers that people have: sentencepiece models of T5, Marian and XLM-R, GPT-2's merges, the characters of BERT-base-Chinese, none of
them with a tokenizer.json; their numbers against sentencepiece's own, a step, and a round trip through our folders."""

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.data.dataset import Dataset
from headstart.data.sequence_preprocessing import IDS, LABELS
from headstart.deploy.generator import generation_config, write_texts
from headstart.progress import SILENT
from headstart.sources import load_source
from headstart.sources.sequence_save import save_sequence_model
from headstart.sources.sequences import load_sequences
from headstart.sources.text_save import save_text_model
from headstart.strategies.grammar import parse_strategy
from headstart.tasks.generation import Decoding, Translation
from headstart.training.sequences import train_sequences
from headstart.training.transfer import Settings

tf = pytest.importorskip("transformers")
sentencepiece = pytest.importorskip("sentencepiece")
_spec = importlib.util.spec_from_file_location("tiny_texts", Path(__file__).with_name("tiny_texts.py"))
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)
LINES = tiny.LINES * 6 + ["Die Katze saß auf der Matte.", "Where is the station? 车站在哪里？"] * 4
TEXTS = ["a lovely evening, 房间 很 好", "the lazy cat sat", "Wo ist die Katze?", "服务 太 差"]
ENCODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def pieces(path, size=120, **numbers):
    """A sentencepiece model, written to ``path``."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=made, vocab_size=size, hard_vocab_limit=False, character_coverage=1.0, minloglevel=2, **numbers
    )  # fmt: skip
    path.write_bytes(made.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())


def save(folder, made, config):
    torch.manual_seed(0)
    made(config).save_pretrained(folder)


def t5(folder):
    """Its 100 extra tokens stand behind those of spiece.model."""
    known = pieces(folder / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
    save(folder, tf.T5ForConditionalGeneration, tf.T5Config(vocab_size=known.get_piece_size() + 100, decoder_start_token_id=0, **sizes))  # fmt: skip
    return [lambda text: [*known.encode(text), 1]] * 2


def marian(folder):
    """Two models of pieces, one list of numbers for both."""
    sides = [pieces(folder / "source.spm"), pieces(folder / "target.spm", 90)]
    names = sorted({m.id_to_piece(i) for m in sides for i in range(3, m.get_piece_size())})
    numbers = {name: i for i, name in enumerate(["</s>", "<unk>", *names, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(numbers, ensure_ascii=False), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"source_lang": "en", "target_lang": "zh"}', encoding="utf-8")
    pad = len(numbers) - 1
    save(folder, tf.MarianMTModel, tf.MarianConfig(
        vocab_size=pad + 1, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_position_embeddings=64, pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0, bos_token_id=0, forced_eos_token_id=0,
    ))  # fmt: skip
    return [lambda text, m=m: [*(numbers.get(piece, 1) for piece in m.encode(text, out_type=str)), 0] for m in sides]


def xlm_roberta(folder):
    """Its own four tokens first, so that every piece is one further than sentencepiece says; the mask last."""
    known = pieces(folder / "sentencepiece.bpe.model")
    save(folder, tf.XLMRobertaForMaskedLM, tf.XLMRobertaConfig(
        vocab_size=known.get_piece_size() + 2, max_position_embeddings=66, pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1, **ENCODER,
    ))  # fmt: skip
    return [lambda text: [0, *(i + 1 if i else 3 for i in known.encode(text)), 2]]


def gpt2(folder):
    from tokenizers import ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    made.train_from_iterator(LINES, vocab_size=400, special_tokens=["<|endoftext|>"], show_progress=False)
    made.save_model(str(folder))
    config = tf.GPT2Config(vocab_size=400, n_embd=16, n_layer=1, n_head=2, n_positions=64, eos_token_id=0, bos_token_id=0)  # fmt: skip
    save(folder, tf.GPT2LMHeadModel, config)
    return [lambda text: made.encode(text).ids]


def bert_chinese(folder):
    """By hand: each Chinese letter a token, marks too, what is not in vocab.txt unknown."""
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"房间很好服务太差，,?", "a", "cat", "the", "evening", "##s"]
    (folder / "vocab.txt").write_text("\n".join(known) + "\n", encoding="utf-8")
    save(folder, tf.BertModel, tf.BertConfig(vocab_size=len(known), max_position_embeddings=64, **ENCODER))
    told = {
        TEXTS[0]: ["a", "[UNK]", "evening", ",", "房", "间", "很", "好"], TEXTS[1]: ["the", "[UNK]", "cat", "[UNK]"],
        TEXTS[2]: ["[UNK]"] * 4 + ["?"], TEXTS[3]: ["服", "务", "太", "差"],
    }  # fmt: skip
    return [lambda text: [2, *map(known.index, told[text]), 3]]


@pytest.mark.parametrize("made", [t5, marian, xlm_roberta, gpt2, bert_chinese])
def test_an_encoder_reads_the_numbers_of_its_tokenizer_and_opens_again(made, tmp_path):
    (tmp_path / "a").mkdir()
    numbers = made(tmp_path / "a")[0]
    assert not (tmp_path / "a" / "tokenizer.json").exists()
    source = load_source(str(tmp_path / "a"))
    inputs = source.preprocessing(TEXTS)
    assert [row[IDS][row[1].bool()].tolist() for row in inputs] == [numbers(text) for text in TEXTS]
    with torch.no_grad():
        for p in source.backbone.parameters():
            p.add_(0.1)
        vectors = source.backbone(inputs)
    save_text_model(tmp_path / "b", source, source.backbone, ("x", "y"), "", {})
    again = load_source(str(tmp_path / "b"))
    assert torch.equal(again.preprocessing(TEXTS), inputs)
    with torch.no_grad():
        torch.testing.assert_close(again.backbone(inputs), vectors, rtol=0, atol=0)


@pytest.mark.parametrize("made", [t5, marian])
@pytest.mark.parametrize("by", ["files", "its own class"])
def test_a_translator_reads_and_writes_by_its_tokenizers_learns_and_opens_again(made, by, tmp_path):
    (tmp_path / "a").mkdir()
    read, write = made(tmp_path / "a")
    if by == "its own class":
        {"t5": tf.T5Tokenizer, "marian": tf.MarianTokenizer}[made.__name__].from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "a")  # fmt: skip
    source = load_sequences(str(tmp_path / "a"), max_length=32)
    targets = TEXTS[::-1]
    planes = source.preprocessing(TEXTS, targets)
    assert [row[IDS][row[1].bool()].tolist() for row in planes] == [read(text) for text in TEXTS]
    assert [row[LABELS][row[LABELS] >= 0].tolist() for row in planes] == [write(text) for text in targets]
    assert source.preprocessing.text(write(TEXTS[3])) == TEXTS[3]

    data = Dataset(TEXTS, np.array(targets, dtype=object), ("zh",), np.full(4, "train"), modality="text", task="translation")  # fmt: skip
    task, settings = Translation(("zh",)), Settings(optimisation={"epochs": 2, "lr": 1e-2})
    fitted, _ = train_sequences(
        source, parse_strategy("finetune"), task, data, None, settings, pretrained=True, device=torch.device("cpu"), seed=0, folder=None,
        progress=SILENT, name="x",
    )  # fmt: skip
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    net, how = fitted.model.backbone, Decoding(1, 1.0, 8)
    said = write_texts(net.model, source.preprocessing, TEXTS, how, torch.device("cpu"), progress=SILENT)
    save_sequence_model(tmp_path / "b", source, net, "zh", "", {}, generation_config(net.model, how))
    again = load_sequences(str(tmp_path / "b"))
    assert torch.equal(again.preprocessing(TEXTS, targets), planes)
    assert write_texts(again.backbone.model, again.preprocessing, TEXTS, how, torch.device("cpu"), progress=SILENT).tolist() == said.tolist()  # fmt: skip
