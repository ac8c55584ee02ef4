"""What a transformer of texts says of a hidden word: by the head of its checkpoint, or one fitted here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from headstart.errors import HandshakeError, sentence
from headstart.sources.fitted_head import fit_head
from headstart.sources.hidden_words import word_tokens
from headstart.sources.language_head import TiedHead, embeddings, own_head
from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone


@dataclass
class MaskedHead:
    """Hidden states (N, width) -> logits (N, M) of M words.

    Attributes:
        head: the function, tied to the embeddings of these words.
        tokens: int64 (M,), the token of each word.
        model: reads the texts.
        found: share of hidden words of held-out texts that were told, and the losses with and without the text, for one fitted here.
    """

    head: TiedHead
    tokens: np.ndarray
    model: TextBackbone
    found: dict[str, float] | None = None

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        return self.head(states, embeddings(self.model)[torch.as_tensor(self.tokens)].detach().to(states))


def masked_head(source: Source, texts: Sequence[str], *, device: torch.device, seed: int = 0) -> MaskedHead:
    """The head of the source's checkpoint where it has one, else one fitted to the hidden words of ``texts``.

    A source that a phase has moved is asked as it was opened: its head belongs to those weights. The fitted one is judged on a fifth of the
    texts: it has to tell hidden words with a loss 5 % below that of the bare frequencies of the words, or it would write noise.

    Raises:
        HandshakeError: the source cannot be asked for hidden words, or cannot tell them.
    """
    source = source.extra.get("opened", source)
    backbone, tokenizer = can_fill(source)
    words = word_tokens(tokenizer)
    own = own_head(source, masked=True)
    if own is not None:
        return MaskedHead(own.of(torch.as_tensor(words)), words, backbone)
    fitted, tokens, said = fit_head(source, backbone, texts, words, device, seed)
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
