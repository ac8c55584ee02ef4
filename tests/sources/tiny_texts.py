"""Small random models of texts, written in the layout of transformers with a tokenizer trained on a few lines."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch

LINES = [
    "the quick brown fox jumps over the lazy dog",
    "a cat sat on the mat today and slept",
    "a good film, a great film, a lovely evening",
    "a bad film, an awful film, a slow evening",
    "我 今天 很 高兴 房间 很 好",
    "服务 太 差 不 会 再 来",
]
VOCABULARY = 200


def word_pieces(lines: list[str] = LINES, size: int = VOCABULARY) -> Any:
    """As BERT's: pieces of words, Chinese by characters."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(
        lines, trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    )
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        model_max_length=64, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def byte_pairs() -> Any:
    """As GPT-2's: bytes in pairs, no padding, nothing put around a text."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    made = ByteLevelBPETokenizer()
    made.train_from_iterator(LINES, vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=made._tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    )


def unigrams() -> Any:
    """As T5's and XLM-R's: a unigram model, the end marked."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(LINES, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def kinds() -> dict[str, tuple[Any, str, Any]]:
    """Name -> (configuration, class of transformers that is saved, maker of the tokenizer)."""
    import transformers as tf

    usual = {
        "vocab_size": 320,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    }
    two = {"vocab_size": 320, "d_model": 32}
    return {
        "bert": (tf.BertConfig(**usual, max_position_embeddings=64), "BertForMaskedLM", word_pieces),
        "bert-chinese": (tf.BertConfig(**usual, max_position_embeddings=64), "BertModel", word_pieces),
        "roberta": (tf.RobertaConfig(**usual, max_position_embeddings=66, pad_token_id=0), "RobertaForMaskedLM", word_pieces),
        "xlm-roberta": (tf.XLMRobertaConfig(**usual, max_position_embeddings=66, pad_token_id=0), "XLMRobertaModel", unigrams),
        "distilbert": (
            tf.DistilBertConfig(vocab_size=320, dim=32, n_layers=2, n_heads=2, hidden_dim=48, max_position_embeddings=64),
            "DistilBertModel",
            word_pieces,
        ),
        "gpt2": (
            tf.GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0),
            "GPT2LMHeadModel",
            byte_pairs,
        ),
        "t5": (tf.T5Config(**two, num_layers=2, num_heads=2, d_ff=48, d_kv=16), "T5ForConditionalGeneration", unigrams),
        "marian": (
            tf.MarianConfig(
                **two, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=48,
                decoder_ffn_dim=48, max_position_embeddings=64, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
            ),
            "MarianMTModel",
            unigrams,
        ),
        "mpnet": (tf.MPNetConfig(**usual, max_position_embeddings=66, pad_token_id=0), "MPNetModel", word_pieces),
        "modernbert": (
            tf.ModernBertConfig(
                **usual, max_position_embeddings=64, pad_token_id=0, local_attention=16, global_attn_every_n_layers=2,
                bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3,
            ),
            "ModernBertModel",
            word_pieces,
        ),
    }  # fmt: skip


def write(
    folder: Path, kind: str, *, tokenizer: bool = True, seed: int = 1, as_class: str | None = None, **changes: Any
) -> Path:
    """The folder of a small model of a kind."""
    import transformers as tf

    config, saved, make = kinds()[kind]
    for key, value in changes.items():
        setattr(config, key, value)
    torch.manual_seed(seed)
    with contextlib.redirect_stderr(io.StringIO()):
        getattr(tf, as_class or saved)(config).save_pretrained(folder)
        if tokenizer:
            make().save_pretrained(folder)
    return folder
