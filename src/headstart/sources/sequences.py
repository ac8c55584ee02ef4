"""Sources that write texts: encoder-decoders of transformers, from a folder, the hub's cache, or new."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.data.sequence_preprocessing import SequencePreprocessing
from headstart.errors import SourceError, near, sentence
from headstart.sources.fingerprint import source_digest, weights_digest
from headstart.sources.network import online
from headstart.sources.own_tokenizer import train_tokenizer
from headstart.sources.sequence_backbone import SequenceBackbone, sequence_layers
from headstart.sources.source import LoadReport, Source
from headstart.sources.texts import LIBRARY, LONGEST, quietly, required

DEFAULT = "random/transformers/marian"
"""Where the user names no source: there is none that comes with Headstart."""
SIZES = {"": (256, 3, 4000), "mini": (128, 2, 4000), "tiny": (32, 2, 300)}
"""Width, blocks on each side and merges of the tokenizer of a new model."""
KINDS = ("marian", "t5", "bart")
LANGUAGES = ("mbart", "m2m_100", "nllb-moe", "seamless_m4t")
"""Kinds that must be told a language at every call, which is not built."""


def load_sequences(
    name: str,
    *,
    max_length: int | None = None,
    prefix: str | None = None,
    task: str = "translation",
    texts: Callable[[], Sequence[str]] | None = None,
) -> Source:
    """Open an encoder-decoder by name.

    Args:
        name: a folder in the layout of transformers (T5, mT5, Marian, BART, Pegasus, ...), a run of translation or summarization,
            ``hf/ORG/NAME``, or ``random/transformers/KIND[-SIZE]``: ``marian``, ``t5`` or ``bart`` with random weights, 256 wide with three
            blocks a side; ``-mini`` 128 and two, ``-tiny`` 32 and two.
        max_length: tokens of a text and of a target at most; default: the source's own limit, at most 512.
        prefix: stands before each text; default: what the source's own config says for ``task``, else nothing.
        texts: () -> training texts of both sides, which the tokenizer of a new model is trained on.

    Raises:
        SourceError: no such source, or one that reads texts and writes none.
    """
    kind, slash, rest = name.partition("/")
    if name in ("auto", "random"):
        name, kind, slash, rest = DEFAULT, "random", "/", "transformers/marian"
    if kind == "random" and slash:
        return _new(name, rest, max_length, prefix or "", texts)
    folder = _hub(name, rest) if kind == "hf" and slash else Path(name).expanduser()
    if (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    if not (folder / "config.json").is_file():
        raise SourceError(
            sentence("no such source of a model that writes texts", got=name, fix=f"--source {DEFAULT}",
                     allowed=["a folder of transformers", "a run of translation or summarization", "hf/ORG/NAME", "random/transformers/KIND"])
        )  # fmt: skip
    return _folder(name, folder, max_length, prefix, task)


def _folder(name: str, folder: Path, max_length: int | None, prefix: str | None, task: str) -> Source:
    transformers = required()
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    own = written.get("headstart", {})
    kind = str(written.get("model_type", "none"))
    if not (written.get("is_encoder_decoder") or kind in ("t5", "mt5", "marian", "bart", "pegasus")):
        raise SourceError(
            sentence("this model reads texts but writes none", where=str(folder), got=kind, allowed="an encoder-decoder: T5, mT5, Marian, BART, Pegasus",
                     fix=f"--source {DEFAULT}")
        )  # fmt: skip
    if kind in LANGUAGES:
        raise SourceError(
            sentence("this model must be told both languages at every call, which is not built", where=str(folder), got=kind, allowed="T5, mT5, Marian, BART")
        )  # fmt: skip
    try:
        with quietly():
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model, told = transformers.AutoModelForSeq2SeqLM.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise SourceError(
            sentence("this folder of a model of texts cannot be read", where=str(folder), got=str(error).splitlines()[0][:160])
        ) from None  # fmt: skip
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise SourceError(
            sentence("the tokenizer does not fit the model: it knows more tokens", where=str(folder), got=len(tokenizer),
                     allowed=f"at most {model.get_input_embeddings().num_embeddings}", fix="the tokenizer's files of this very model")
        )  # fmt: skip
    backbone = SequenceBackbone(model)
    if "sequence_digest" in own and weights_digest(backbone) != own["sequence_digest"]:
        raise SourceError(
            sentence("the weights are not those that this folder was written with", where=str(folder), allowed=own["sequence_digest"], fix="copy the folder again")
        )  # fmt: skip
    keys = list(backbone.state_dict())
    new = tuple(sorted(key for key in told["missing_keys"] if f"model.{key}" in set(keys)))
    report = LoadReport(len(keys) - len(new), new, tuple(sorted(told["unexpected_keys"])), len(keys))
    asked = (getattr(model.config, "task_specific_params", None) or {}).get(task, {}).get("prefix", "")
    before = own.get("prefix", asked) if prefix is None else prefix
    size = _limit(model.config, tokenizer, max_length, own.get("size"))
    return _put(name, backbone, SequencePreprocessing(tokenizer, size, before), report, own.get("licence", "not stated"),
                own.get("description", ""))  # fmt: skip


def _new(
    name: str, rest: str, max_length: int | None, prefix: str, texts: Callable[[], Sequence[str]] | None
) -> Source:
    required()
    library, _, said = rest.partition("/")
    kind, _, size = said.partition("-")
    if library != LIBRARY or kind not in KINDS or size not in SIZES:
        known = [f"random/transformers/{k}{'-' * bool(s)}{s}" for k in KINDS for s in SIZES]
        raise SourceError(sentence("unknown kind of a new model", got=name, allowed=known, fix=f"--source {next(iter(near(name, known, 1)), DEFAULT)}"))  # fmt: skip
    if texts is None:
        raise SourceError(sentence("a new model of texts has no tokenizer before it has seen training texts", got=name))
    width, blocks, merges = SIZES[size]
    longest = max_length or LONGEST
    tokenizer = train_tokenizer(texts(), merges=merges, longest=longest)
    config = new_config(kind, len(tokenizer), width, blocks, longest)
    backbone = SequenceBackbone(_made(config))
    n = len(backbone.state_dict())
    report = LoadReport(0, (), (), n)
    return _put(name, backbone, SequencePreprocessing(tokenizer, longest, prefix), report, "none needed",
                f"random weights; its {len(tokenizer):,} tokens were learned from the training texts")  # fmt: skip


def new_config(kind: str, vocabulary: int, width: int, blocks: int, longest: int) -> Any:
    """The configuration of a new model: ``kind`` of :data:`KINDS`, its sides alike, feed-forward layers four times as wide."""
    from transformers import BartConfig, MarianConfig, T5Config

    special: dict[str, Any] = {
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
        "vocab_size": vocabulary,
    }
    if kind == "t5":
        return T5Config(
            **special, d_model=width, d_kv=width // 4, d_ff=4 * width, num_layers=blocks, num_decoder_layers=blocks, num_heads=4
        )  # fmt: skip
    made: Any = MarianConfig if kind == "marian" else BartConfig
    return made(
        **special, d_model=width, encoder_layers=blocks, decoder_layers=blocks, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, max_position_embeddings=longest + 2, scale_embedding=True,
        forced_eos_token_id=None, bos_token_id=None, activation_function="relu" if kind == "marian" else "gelu",
    )  # fmt: skip


def _made(config: Any) -> nn.Module:
    with quietly():
        return required().AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32)


def _fresh(config: Any) -> SequenceBackbone:
    return SequenceBackbone(_made(config))


def _put(
    name: str,
    backbone: SequenceBackbone,
    preprocessing: SequencePreprocessing,
    report: LoadReport,
    licence: str,
    description: str,
) -> Source:
    config = backbone.config
    if config.decoder_start_token_id is None:
        raise SourceError(sentence("the model does not say with which token it begins to write", where=name, got="no decoder_start_token_id"))  # fmt: skip
    if preprocessing.tokenizer.pad_token_id is None:
        preprocessing.tokenizer.pad_token = preprocessing.tokenizer.eos_token
    kind = str(config.model_type)
    return Source(
        name=name, library=LIBRARY, architecture=kind, model_args={}, backbone=backbone.eval(), preprocessing=preprocessing,  # type: ignore[arg-type]
        layers=sequence_layers(backbone), width=int(getattr(config, "d_model", None) or config.hidden_size), classifier="lm_head", licence=licence,
        digest=source_digest(weights_digest(backbone), LIBRARY, kind, {}), report=report, build=partial(_fresh, config), description=description,
    )  # fmt: skip


def _limit(config: Any, tokenizer: Any, asked: int | None, kept: int | None) -> int:
    places = getattr(config, "max_position_embeddings", None)
    most = min(int(places or LONGEST * 100), int(tokenizer.model_max_length))
    if asked is not None and not 4 <= asked <= most:
        raise SourceError(
            sentence("the model has no places for so many tokens", got=asked, allowed=f"4 to {most}", fix=f"--max-length {most}")
        )  # fmt: skip
    return asked or kept or min(most, LONGEST)


def _hub(name: str, rest: str) -> Path:
    """The folder of a model in the hub's cache, or fetched into it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    if rest.count("/") != 1 or not all(rest.split("/")):
        raise SourceError(sentence("a hub model is named by two parts", got=name, allowed="hf/ORG/NAME"))
    patterns = ["*.json", "*.safetensors", "*.model", "*.spm", "*.txt"]
    try:
        try:
            return Path(snapshot_download(rest, allow_patterns=patterns, local_files_only=True))
        except LocalEntryNotFoundError:
            if not online():
                raise
            return Path(snapshot_download(rest, allow_patterns=patterns))
    except Exception as error:  # hub clients change their HTTP library, and its exceptions, from version to version
        raise SourceError(
            sentence("this hub model is not to be had", got=name, allowed=str(error).splitlines()[0][:120], fix="its files in a folder, given as --source FOLDER")
        ) from None  # fmt: skip
