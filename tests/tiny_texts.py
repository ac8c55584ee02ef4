"""A tiny random BERT with a tokenizer of a few words, and texts of two kinds, for tests of texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

GOOD = ["lovely", "great", "superb", "pleasant", "charming", "bright"]
BAD = ["awful", "dull", "broken", "noisy", "sad", "cheap"]
THINGS = ["phone", "film", "meal", "room", "cable", "story", "waiter", "screen", "bed", "battery"]
REST = ["the", "a", "was", "is", "really", "and", "it", "this", "in", "my", "for", "us"]
LETTERS = list("酒店很好不错房间干净服务态度差")


def save_bert(folder: Path, *, masked: bool = False, mask: bool = True, seed: int = 0) -> Path:
    """A folder of transformers: 2 layers of 32 units; ``masked`` with a head of hidden words; without ``mask`` there is no sign for one."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*GOOD, *BAD, *THINGS, *REST, *LETTERS, "##s", *".,!?", "positive", "negative"]
    vocabulary = {word: i for i, word in enumerate([*special, *words])}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]" if mask else None, model_max_length=48,
    )  # fmt: skip
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=48, initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = BertForMaskedLM(config) if masked else BertModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def reviews(n: int, seed: int, things: list[str] = THINGS) -> tuple[list[str], list[str]]:
    """n texts, half of them good, and their labels."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(n):
        label, words = ("positive", GOOD) if i % 2 else ("negative", BAD)
        thing, one, two = rng.choice(things), *rng.choice(words, 2, replace=False)
        end = " ".join(rng.choice(REST, rng.integers(1, 5)))
        texts.append(f"The {thing} was {one} and {two}, {end}.")
        labels.append(label)
    return texts, labels


def write_table(path: Path, texts: list[str], labels: list[str] | None) -> Path:
    import pandas as pd

    frame = pd.DataFrame({"text": texts} if labels is None else {"text": texts, "label": labels})
    frame.to_csv(path, index=False)
    return path
