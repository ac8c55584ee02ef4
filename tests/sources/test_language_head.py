"""The head of a checkpoint's language model says what transformers' own model says; where there is none a new one begins near nothing."""

import importlib.util
from pathlib import Path

import pytest
import torch

from headstart.data.text_preprocessing import IDS, MASK
from headstart.sources import load_source
from headstart.sources.language_head import TiedHead, embeddings, new_head, own_head

transformers = pytest.importorskip("transformers")
_spec = importlib.util.spec_from_file_location("tiny_texts", Path(__file__).parents[1] / "tiny_texts.py")
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
KINDS = {
    "bert": (transformers.BertConfig, SIZES),
    "bert-relu": (transformers.BertConfig, {**SIZES, "hidden_act": "relu", "layer_norm_eps": 1e-3}),
    "roberta": (transformers.RobertaConfig, {**SIZES, "pad_token_id": 0, "max_position_embeddings": 80}),
    "mpnet": (transformers.MPNetConfig, {**SIZES, "pad_token_id": 0}),
    "distilbert": (transformers.DistilBertConfig, {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}),
    "modernbert": (transformers.ModernBertConfig, {**SIZES, "pad_token_id": 0}),
    "gpt2": (transformers.GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 2}),
}


def saved(folder, kind, *, headless=False, **more):
    """A folder with a tokenizer of words and a model with large weights and biases."""
    tiny.save_bert(folder)
    (folder / "model.safetensors").unlink()
    vocabulary = len(transformers.AutoTokenizer.from_pretrained(folder))
    config, options = KINDS[kind]
    made = config(**{"vocab_size": vocabulary, **options, **more})
    torch.manual_seed(0)
    auto = transformers.AutoModelForCausalLM if kind == "gpt2" else transformers.AutoModelForMaskedLM
    model = auto.from_config(made).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.mul_(8 if p.ndim > 1 else 1).add_(0.3 * torch.randn_like(p) if name.endswith("bias") else 0)
    (model.base_model if headless else model).save_pretrained(folder)
    return model


@pytest.mark.parametrize("kind", list(KINDS))
def test_it_says_what_the_whole_model_says(kind, tmp_path):
    whole = saved(tmp_path, kind)
    source = load_source(str(tmp_path), pool="weighted")  # whatever is pooled, the head reads the last layer
    head = own_head(source, masked=kind != "gpt2")
    inputs = source.preprocessing(["The film was lovely.", "The meal was really awful and the room was bright."])
    with torch.no_grad():
        said = whole(input_ids=inputs[:, IDS], attention_mask=inputs[:, MASK]).logits
        found = head(source.backbone.last_states(inputs), embeddings(source.backbone))
    there = inputs[:, MASK].bool()
    torch.testing.assert_close(found[there], said[there], rtol=1e-4, atol=1e-4)
    some = torch.tensor([7, 3])
    torch.testing.assert_close(head.of(some)(source.backbone.last_states(inputs), embeddings(source.backbone)[some])[there], said[there][:, some], rtol=1e-4, atol=1e-4)  # fmt: skip


def test_no_head_is_taken_that_is_not_there_or_of_another_kind(tmp_path):
    saved(tmp_path / "headless", "bert", headless=True)
    assert own_head(load_source(str(tmp_path / "headless")), masked=True) is None
    saved(tmp_path / "untied", "bert", tie_word_embeddings=False)  # its output has a table of its own
    assert own_head(load_source(str(tmp_path / "untied")), masked=True) is None
    saved(tmp_path / "gpt2", "gpt2")
    assert own_head(load_source(str(tmp_path / "gpt2")), masked=True) is None
    assert own_head(load_source(f"random/{tmp_path / 'gpt2'}"), masked=False) is None


def test_a_new_head_begins_with_numbers_of_the_spread_asked_for():
    torch.manual_seed(0)
    table = 0.02 * torch.randn(500, 64) + 0.5
    for spread in (0.1, 1.0):
        said = new_head(64, table, spread=spread)(7 * torch.randn(300, 64), table)
        assert (said - said.mean(1, keepdim=True)).std().item() == pytest.approx(spread, rel=0.1)
    plain = new_head(64, table, transform=False)
    assert plain.dense is None and TiedHead(32, 64, 500, transform=False).dense is not None
