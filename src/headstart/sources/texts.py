"""A source of texts: a folder in the layout of transformers, with its tokenizer."""

from __future__ import annotations

import contextlib
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.data.text_preprocessing import TextPreprocessing
from headstart.errors import SourceError, sentence
from headstart.sources.fingerprint import source_digest, weights_digest
from headstart.sources.source import LoadReport, Source
from headstart.sources.text_backbone import TextBackbone, text_layers

LIBRARY = "transformers"
LONGEST = 512
"""Tokens of a text at most, where neither the source nor the user says fewer."""


def load(
    name: str, folder: Path, *, max_length: int | None = None, licence: str = "not stated", description: str = ""
) -> Source:
    """A source from ``folder``: config.json with a ``model_type``, weights, tokenizer; and what sentence-transformers keeps beside them.

    Args:
        max_length: tokens of a text at most, special ones included; default: the source's own limit, at most 512.

    Raises:
        SourceError: transformers is not installed, the model is of no kind it knows, or its files cannot be read.
    """
    transformers = required()
    try:
        with quietly():
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model, told = transformers.AutoModel.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise SourceError(
            sentence(
                "this folder of a model of texts cannot be read",
                where=str(folder),
                got=str(error).splitlines()[0][:160],
            )
        ) from None
    own = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("headstart", {})
    pool, scaled = own.get("pool"), own.get("scaled")
    if pool is None:
        pool, scaled = _pooling(folder, config)
    backbone = wrap(model, pool, bool(scaled))
    names = list(backbone.state_dict())
    new = tuple(sorted(f"model.{key}" for key in told["missing_keys"] if f"model.{key}" in set(names)))
    check_digest(own, backbone, str(folder))
    report = LoadReport(len(names) - len(new), new, tuple(sorted(told["unexpected_keys"])), len(names))
    source = put_together(
        name,
        backbone,
        tokenizer,
        _limit(folder, config, tokenizer, max_length),
        report,
        licence=own.get("licence", licence),
        description=own.get("description", description),
    )
    source.extra["folder"] = str(folder)
    return source


def check_digest(own: dict[str, Any], backbone: nn.Module, where: str) -> None:
    """Raises:
    SourceError: the weights are not those that the folder recorded when it was written.
    """
    digest = weights_digest(backbone) if "digest" in own else None
    if digest != own.get("digest"):
        raise SourceError(
            sentence("the weights are not those that this folder was written with", where=where, got=f"digest {digest}", allowed=own["digest"], fix="copy the folder again")
        )  # fmt: skip


def put_together(
    name: str,
    backbone: TextBackbone,
    tokenizer: Any,
    size: int,
    report: LoadReport,
    *,
    licence: str,
    description: str = "",
) -> Source:
    """A source of a wrapped model and its tokenizer."""
    if tokenizer.pad_token_id is None:  # models that read from left to right have none; what is padded is masked
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    config = backbone.config
    kind = str(config.model_type)
    model_args = {"pool": backbone.pool, "scaled": backbone.scaled}
    return Source(
        name=name, library=LIBRARY, architecture=kind, model_args=model_args, backbone=backbone.eval(),
        preprocessing=TextPreprocessing(tokenizer, size), layers=text_layers(backbone), width=int(config.hidden_size),
        classifier="classifier", licence=licence, digest=source_digest(weights_digest(backbone), LIBRARY, kind, model_args), report=report,
        build=partial(fresh, config, backbone.pool, backbone.scaled), description=description,
    )  # fmt: skip


def wrap(model: nn.Module, pool: str, scaled: bool) -> TextBackbone:
    """A model of transformers as a backbone: of two halves the encoder, and without the pooler that nothing reads."""
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()  # type: ignore[operator]
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # type: ignore[assignment]
    return TextBackbone(model, pool, scaled=scaled)


def fresh(config: Any, pool: str, scaled: bool) -> TextBackbone:
    """The same architecture with random weights."""
    return wrap(required().AutoModel.from_config(config, dtype=torch.float32), pool, scaled)


def _pooling(folder: Path, config: Any) -> tuple[str, bool]:
    """How a folder of sentence-transformers pools its tokens, and whether it scales; else the mean, or for models that read from left
    to right the last token."""
    modules = folder / "modules.json"
    if modules.is_file():
        kinds = [m["type"].rpartition(".")[2] for m in json.loads(modules.read_text(encoding="utf-8"))]
        place = next(iter(folder.glob("*_Pooling/config.json")), None)
        said = json.loads(place.read_text(encoding="utf-8")) if place else {}
        pool = "cls" if said.get("pooling_mode_cls_token") else "last" if said.get("pooling_mode_lasttoken") else "mean"
        return pool, "Normalize" in kinds
    causal = any(word in str(config.architectures) for word in ("CausalLM", "LMHead")) or config.model_type in (
        "gpt2",
        "llama",
    )
    return ("last" if causal else "mean"), False


def _limit(folder: Path, config: Any, tokenizer: Any, asked: int | None) -> int:
    """Tokens of a text at most.

    Raises:
        SourceError: more than the model has places for.
    """
    most = min(int(getattr(config, "max_position_embeddings", None) or LONGEST * 100), int(tokenizer.model_max_length))
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        most = min(most, int(config.max_position_embeddings) - 2)  # its places begin behind the padding's
    if asked is not None:
        if not 4 <= asked <= most:
            raise SourceError(
                sentence(
                    "the model has no places for so many tokens",
                    got=asked,
                    allowed=f"4 to {most}",
                    fix=f"--max-length {most}",
                )
            )
        return asked
    limits = folder / "sentence_bert_config.json"
    if limits.is_file():
        most = min(most, int(json.loads(limits.read_text(encoding="utf-8"))["max_seq_length"]))
    return min(most, LONGEST)


def required() -> Any:
    """The package transformers.

    Raises:
        SourceError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise SourceError(
            sentence(
                "texts need a package that is not installed", got="transformers", fix="pip install 'headstart[text]'"
            )
        ) from None
    return transformers


@contextlib.contextmanager
def quietly():  # type: ignore[no-untyped-def]
    """Without transformers' reports on standard error."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(before)
