"""A source of texts of one layer, and large tables, for tests in this process and in others."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_rows(path: Path, n: int) -> None:
    """n rows of 100 KB each."""
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as opened:
        opened.write("text,label\n")
        for i in range(n):
            opened.write(f"w{i % 2} w{i % 7} {rng.bytes(50_000).hex().replace('a', ' ')},{'ab'[i % 2]}\n")


def tiny_source(folder: Path) -> Path:
    """A BERT of one layer with random weights, and a tokenizer of some words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(300))]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
    return folder
