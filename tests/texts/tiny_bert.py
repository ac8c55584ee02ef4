"""A BERT of two layers with random weights, and sentences whose labels stand in plain sight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

WORDS = {
    "good": ["good", "fine", "great", "lovely", "brilliant", "superb"],
    "bad": ["bad", "awful", "poor", "dreadful", "boring", "dull"],
    "odd": ["odd", "strange", "weird", "curious", "peculiar", "queer"],
}
FILLER = [
    "the",
    "film",
    "was",
    "a",
    "story",
    "of",
    "people",
    "and",
    "places",
    "in",
    "an",
    "old",
    "town",
    "with",
    "music",
    "by",
    "somebody",
]
汉 = {"好评": "很好满意干净舒服", "差评": "很差失望肮脏吵闹"}


def sentences(n: int, classes: int = 2, seed: int = 0) -> tuple[list[str], list[str]]:
    """n sentences, of each class in turn; one or two of their words tell the class."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(n):
        label = list(WORDS)[i % classes]
        words = [*rng.choice(FILLER, rng.integers(3, 9)), *rng.choice(WORDS[label], 2)]
        texts.append(" ".join(rng.permutation(words)) + f" {i} .")
        labels.append(label)
    return texts, labels


def chinese(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """n sentences in Chinese of two classes."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(n):
        label = list(汉)[i % 2]
        words = [汉[label][k : k + 2] for k in (0, 2, 4, 6)]
        texts.append(f"这家酒店{rng.choice(words)}，房间{rng.choice(words)}，第{i}次。")
        labels.append(label)
    return texts, labels


def table(path: Path, texts: list, labels: list, test: int = 0) -> Path:
    """A CSV of columns text, label and, where ``test`` rows are for the test, split."""
    frame = pd.DataFrame({"text": texts, "label": labels})
    if test:
        frame["split"] = ["train"] * (len(frame) - test) + ["test"] * test
    frame.to_csv(path, index=False)
    return path


def tiny_bert(folder: Path, *, size: int = 32, seed: int = 0) -> Path:
    """A model folder with a WordPiece tokenizer of the words above."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    lines = [
        " ".join(FILLER),
        *(" ".join(words) for words in WORDS.values()),
        *汉.values(),
        "这家酒店，房间第次。",
        "0123456789 . , ! ' -",
    ]
    tokenizer.train_from_iterator(
        lines, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        model_max_length=128,
    )  # fmt: skip
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(fast), hidden_size=size, num_hidden_layers=2, num_attention_heads=2, intermediate_size=2 * size,
        max_position_embeddings=128,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
