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
from headstart.sources.folder import TOKENIZERS
from headstart.sources.source import LoadReport, Source
from headstart.sources.text_backbone import TextBackbone, text_layers

LIBRARY = "transformers"
PADDED_PLACES = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer")
"""Kinds whose places begin behind the padding's."""
LONGEST = 512
"""Tokens of a text at most, where neither the source nor the user says fewer."""


def load(
    name: str,
    folder: Path,
    *,
    max_length: int | None = None,
    pool: str | None = None,
    long: str | None = None,
    licence: str = "not stated",
    description: str = "",
    pretrained: bool = True,
) -> Source:
    """A source from ``folder``: config.json with a ``model_type``, weights, tokenizer; and what sentence-transformers keeps beside them.

    Of an encoder and a decoder (T5, Marian) the encoder is taken. A head in the checkpoint is kept where it is linear on the features
    that are read here (``score`` of models that read from left to right, on the last token); others are dropped, as the report says.

    Args:
        max_length: tokens of a text at most, special ones included; default: the source's own limit, at most 512.
        pool: one of :data:`headstart.sources.text_backbone.POOLS`; default: what the folder says, else the last token for models that
            read from left to right and the mean for others.
        long: ``"truncate"`` or ``"chunks"``, see :class:`headstart.data.text_preprocessing.TextPreprocessing`; default: what the folder
            says, else truncate.
        pretrained: ``False`` takes configuration and tokenizer only, and draws the weights (the same each time).

    Raises:
        SourceError: transformers is not installed, the model is of no kind it knows, a file is missing or cannot be read, the tokenizer
            does not fit the model, a length that the model has no places for.
    """
    transformers = required()
    own = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("headstart", {})
    told: dict[str, Any] = {"missing_keys": [], "unexpected_keys": []}
    try:
        with quietly():
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            tokenizer = text_tokenizer(folder)
            if pretrained:
                model, told = transformers.AutoModel.from_pretrained(
                    folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
                )
            else:
                model = drawn(config)
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError, RuntimeError) as error:
        raise SourceError(
            sentence(
                "this folder of a model of texts cannot be read", where=str(folder), got=str(error).splitlines()[0][:160],
                allowed="config.json, model.safetensors and the tokenizer's files of one model",
            )
        ) from None  # fmt: skip
    said, scaled = (own["pool"], own["scaled"]) if "pool" in own else _pooling(folder, config)
    long = long or own.get("long", "truncate")
    size = _limit(folder, config, tokenizer, max_length, own.get("size"))
    backbone = wrap(model, pool or said, bool(scaled), size if long == "chunks" else None)
    if own.get("mix") and backbone.pool == "weighted":
        backbone.mix.data = torch.tensor(own["mix"], dtype=torch.float32)
    note = check_tokenizer(tokenizer, backbone, str(folder))
    names = list(backbone.state_dict())
    missing = {
        f"model.{key.removeprefix('encoder.') if backbone.model is not model else key}" for key in told["missing_keys"]
    }
    missing -= computed(backbone)
    drew = "mix" in names and not own.get("mix")
    new = tuple(sorted({key for key in names if key in missing} | ({"mix"} if drew else set())))
    if not pretrained:
        new = tuple(names)
    elif not drew and (own.get("pool") == "weighted") == (backbone.pool == "weighted"):
        check_digest(own, backbone, str(folder))
    head = head_of(folder, backbone, told["unexpected_keys"]) if pretrained else None
    dropped = tuple(
        sorted(key for key in told["unexpected_keys"] if head is None or key not in ("score.weight", "score.bias"))
    )
    report = LoadReport(len(names) - len(new), new, dropped, len(names))
    source = put_together(
        name, backbone, tokenizer, size, report, long=long, licence=own.get("licence", licence),
        description=own.get("description", description),
    )  # fmt: skip
    if head is not None and head[0].shape[1] == source.width:
        labels = getattr(config, "id2label", None) or {}
        source.head = head
        source.classes = tuple(str(labels.get(i, f"class {i}")) for i in range(len(head[0])))
    if note:
        source.extra["guessed"] = note
    if pretrained:
        source.extra["folder"] = str(folder)
    return source


def computed(backbone: nn.Module) -> set[str]:
    """Names of tensors that are places in waves, which no checkpoint holds."""
    waves = [(name, module) for name, module in backbone.named_modules() if "Sinusoidal" in type(module).__name__]
    return {f"{name}.{key}" for name, module in waves for key in module.state_dict()}


def text_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder.

    Raises:
        SourceError: there is none: transformers would make one that knows no word.
    """
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise SourceError(
            sentence(
                "this model of texts has no tokenizer", where=str(folder), got=sorted(p.name for p in folder.iterdir())[:8],
                allowed=f"one of {', '.join(TOKENIZERS[:5])}", fix="copy the tokenizer's files of the same model into the folder",
            )
        )  # fmt: skip
    tokenizer = required().AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token_id is None:  # models that read from left to right have none; what is padded is masked
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise SourceError(
            sentence(
                "the tokenizer has no token to fill a batch up with", where=str(folder), got="no pad, eos or unk token",
                fix='"pad_token": "<pad>" in its tokenizer_config.json',
            )
        )  # fmt: skip
    tokenizer.padding_side = "right"
    return tokenizer


def check_tokenizer(tokenizer: Any, backbone: TextBackbone, where: str) -> str:
    """A note where the tokenizer may be that of another model, else ``""``.

    Raises:
        SourceError: it has numbers for which the model has no embedding.
    """
    rows = int(backbone.model.get_input_embeddings().weight.shape[0])  # type: ignore[operator]
    largest = max(tokenizer.get_vocab().values())
    if largest >= rows:
        raise SourceError(
            sentence(
                "the tokenizer does not fit the model: it numbers tokens for which the model has no embedding", where=where,
                got=f"number {largest}", allowed=f"0 to {rows - 1}", fix="copy the tokenizer's files of the same model into the folder",
            )
        )  # fmt: skip
    pad = getattr(backbone.config, "pad_token_id", None)
    if pad is not None and tokenizer.pad_token_id != pad:
        return f"read with a tokenizer whose padding is number {tokenizer.pad_token_id}, where the model's is {pad}: it may be another model's"
    return ""


def head_of(folder: Path, backbone: TextBackbone, unexpected: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(weight (K, width), bias (K,)) of a checkpoint's classifier where it is linear on these features."""
    if "score.weight" not in unexpected or backbone.pool != "last" or backbone.scaled:
        return None
    file = folder / "model.safetensors"
    if not file.is_file():
        return None
    from safetensors import safe_open

    with safe_open(file, "pt") as tensors:
        weight = tensors.get_tensor("score.weight").float()
        bias = tensors.get_tensor("score.bias").float() if "score.bias" in unexpected else torch.zeros(len(weight))
    return weight, bias


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
    long: str = "truncate",
    licence: str,
    description: str = "",
) -> Source:
    """A source of a wrapped model and its tokenizer."""
    config = backbone.config
    kind = str(config.model_type)
    model_args: dict[str, Any] = {"pool": backbone.pool, "scaled": backbone.scaled}
    return Source(
        name=name, library=LIBRARY, architecture=kind, model_args=model_args, backbone=backbone.eval(),
        preprocessing=TextPreprocessing(tokenizer, size, long), layers=text_layers(backbone), width=int(config.hidden_size),
        classifier="classifier", licence=licence, digest=source_digest(weights_digest(backbone), LIBRARY, kind, model_args), report=report,
        build=partial(fresh, config, backbone.pool, backbone.scaled, backbone.window), description=description,
    )  # fmt: skip


def wrap(model: nn.Module, pool: str, scaled: bool, window: int | None = None) -> TextBackbone:
    """A model of transformers as a backbone: of two halves the encoder, and without the pooler that nothing reads."""
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()  # type: ignore[operator]
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # type: ignore[assignment]
    return TextBackbone(model, pool, scaled=scaled, window=window)


def fresh(config: Any, pool: str, scaled: bool, window: int | None = None) -> TextBackbone:
    """The same architecture with random weights."""
    return wrap(required().AutoModel.from_config(config, dtype=torch.float32), pool, scaled, window)


def drawn(config: Any) -> nn.Module:
    """A model with random weights, the same each time; the caller's random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return required().AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-any-return]


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


def _limit(folder: Path, config: Any, tokenizer: Any, asked: int | None, said: int | None) -> int:
    """Tokens of a text at most.

    Raises:
        SourceError: more than the model has places for.
    """
    most = min(int(getattr(config, "max_position_embeddings", None) or LONGEST * 100), int(tokenizer.model_max_length))
    if config.model_type in PADDED_PLACES:
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
    if said is not None:
        return min(most, said)
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
