"""A tiny encoder of texts, and small problems whose answers and spans stand in plain sight."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

NAMES = ["anna", "bert", "carla", "dora", "emil", "frida", "gustav", "hanna"]
CITIES = ["berlin", "paris", "oslo", "rome", "vienna", "madrid", "lisbon", "athens"]
FOODS = ["bread", "rice", "fish", "soup", "cake", "apples", "cheese", "nuts"]


def tiny_bert(folder: Path, lines: list[str], *, size: int = 32, seed: int = 0) -> Path:
    """A BERT of two layers of ``size`` units with random weights and a WordPiece tokenizer of the words of ``lines``."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        lines, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]", model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(fast), hidden_size=size, num_hidden_layers=2, num_attention_heads=2, intermediate_size=2 * size, max_position_embeddings=128,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def questions(n: int, *, seed: int = 0, impossible: bool = False) -> dict:
    """SQuAD json: who lives where and eats what; with ``impossible`` a third of the questions is about somebody else."""
    rng = np.random.default_rng(seed)
    paragraphs = []
    for i in range(n):
        name, other = rng.permutation(NAMES)[:2]
        city, food = rng.choice(CITIES), rng.choice(FOODS)
        context = f"{name} lives in {city} and eats {food}."
        who = other if impossible and i % 3 == 0 else name
        answers = [] if who == other else [{"text": city, "answer_start": context.index(city)}]
        qas = [{"id": f"q{i}", "question": f"where does {who} live?", "answers": answers, "is_impossible": not answers}]
        paragraphs.append({"context": context, "qas": qas})
    return {"version": "v2.0", "data": [{"title": "people", "paragraphs": paragraphs}]}


def columns(n: int, *, seed: int = 0, scheme: str = "BIO") -> str:
    """CoNLL columns: names are PER, cities (some of two words) LOC."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(n):
        name, city, food = rng.choice(NAMES), rng.choice(CITIES), rng.choice(FOODS)
        long = rng.random() < 0.5
        place = (
            [("new", "B-LOC"), (city, "I-LOC" if scheme == "BIO" else "E-LOC")]
            if long
            else [(city, "B-LOC" if scheme == "BIO" else "S-LOC")]
        )
        rows = [
            (name, "B-PER" if scheme == "BIO" else "S-PER"),
            ("likes", "O"),
            (food, "O"),
            ("in", "O"),
            *place,
            (".", "O"),
        ]
        lines += [f"{word} x {tag}" for word, tag in rows] + [""]
    return "\n".join(lines)


def vocabulary() -> list[str]:
    """Sentences with all the words."""
    return [
        f"{n} lives in new {c} and eats {f}. where does {n} live? who likes {f}"
        for n in NAMES
        for c in CITIES
        for f in FOODS
    ]


def write_questions(path: Path, n: int, **how) -> Path:
    path.write_text(json.dumps(questions(n, **how)), encoding="utf-8")
    return path
