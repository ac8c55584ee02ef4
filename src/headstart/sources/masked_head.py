"""What a transformer of texts says of a hidden word: the head of its checkpoint, or one tied to its input embeddings and fitted here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.errors import HandshakeError, sentence
from headstart.sources.hidden_words import word_tokens
from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone
from headstart.sources.texts import quietly, required
from headstart.sources.tied_head import fit_tied_head


@dataclass
class MaskedHead:
    """Hidden states (N, width) -> logits (N, M) of M words.

    Attributes:
        head: the function.
        tokens: int64 (M,), the token of each word.
        model: reads the texts: the source's own, or that of the checkpoint with the head.
        found: share of hidden words of held-out texts that were told, and the losses with and without the text, for one fitted here.
    """

    head: nn.Module
    tokens: np.ndarray
    model: TextBackbone
    found: dict[str, float] | None = None


def masked_head(source: Source, texts: Sequence[str], *, device: torch.device, seed: int = 0) -> MaskedHead:
    """The head of the source's checkpoint where it has one, else one fitted to the hidden words of ``texts``.

    The fitted one is judged on a fifth of the texts: it has to tell hidden words with a loss 5 % below that of the bare frequencies of the
    words, or it would write noise.

    Raises:
        HandshakeError: the source cannot be asked for hidden words, or cannot tell them.
    """
    backbone, tokenizer = can_fill(source)
    words = word_tokens(tokenizer)
    own = _of_checkpoint(source, backbone, words)
    if own is not None:
        head, model = own
        return MaskedHead(head, words, model)
    fitted, tokens, said = fit_tied_head(source, backbone, texts, words, device, seed)
    return MaskedHead(fitted, tokens, backbone, said)


def can_fill(source: Source) -> tuple[TextBackbone, Any]:
    """The backbone and the tokenizer of a source that can be asked for hidden words.

    Raises:
        HandshakeError: it reads no texts, has no mask, reads from left to right only, or has random weights.
    """
    backbone, tokenizer = source.backbone, getattr(source.preprocessing, "tokenizer", None)
    fix = "--augment '{swap: 0.1, delete: 0.1}', or a masked language model such as BERT as --source"
    why = None
    if not isinstance(backbone, TextBackbone) or tokenizer is None:
        why = "it is no transformer of texts read at its last layer"
    elif tokenizer.mask_token is None:
        why = "its tokenizer has no sign for a hidden word"
    elif getattr(backbone.config, "is_decoder", False) or backbone.config.model_type in ("gpt2", "llama", "gpt_neox"):
        why = "it reads from left to right"
    elif not source.pretrained:
        why = "its weights are random"
    if why is not None:
        raise HandshakeError(
            sentence(
                "mlm asks the source model for hidden words, and it cannot tell them",
                where=source.name,
                got=why,
                fix=fix,
            )
        )
    assert isinstance(backbone, TextBackbone)
    return backbone, tokenizer


def _of_checkpoint(source: Source, backbone: TextBackbone, words: np.ndarray) -> tuple[nn.Module, TextBackbone] | None:
    """The head of masked words in the source's folder, and its model; ``None`` where it has none that is whole."""
    folder = source.extra.get("folder")
    if folder is None or not Path(folder).is_dir():
        return None
    transformers = required()
    try:
        with quietly():
            whole, told = transformers.AutoModelForMaskedLM.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
    except (ValueError, OSError, KeyError):
        return None
    inner = f"{whole.base_model_prefix}."
    if any(not key.startswith(inner) for key in told["missing_keys"]):
        return None
    head = _head_of(whole)
    if head is None:
        return None
    model = TextBackbone(whole.base_model, backbone.pool, scaled=False).eval().requires_grad_(False)
    return _Chosen(head.eval().requires_grad_(False), torch.as_tensor(words)), model


def _head_of(whole: Any) -> nn.Module | None:
    """From the last hidden states to the logits of all tokens, where the head is one module (BERT, RoBERTa and their kin)."""
    if hasattr(whole, "cls"):
        return whole.cls
    if hasattr(whole, "lm_head"):
        return whole.lm_head
    if hasattr(whole, "vocab_transform"):  # DistilBERT
        return nn.Sequential(whole.vocab_transform, whole.activation, whole.vocab_layer_norm, whole.vocab_projector)
    return None


class _Chosen(nn.Module):
    def __init__(self, head: nn.Module, tokens: torch.Tensor) -> None:
        super().__init__()
        self.head, self.tokens = head, tokens

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.head(states)[:, self.tokens.to(states.device)]
