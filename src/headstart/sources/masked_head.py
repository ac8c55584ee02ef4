"""What a transformer of texts says of a hidden word: the head of its checkpoint, or one tied to its input embeddings and fitted here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.text_preprocessing import IDS
from headstart.data.text_units import join_units, split_units
from headstart.errors import HandshakeError, sentence
from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone
from headstart.sources.texts import quietly, required

AT_ONCE = 64
HIDDEN = 0.15
"""Share of the words that are hidden at once, as in the training of such models (Devlin et al. 2019)."""
LEAST_EXAMPLES = 400
MOST_EXAMPLES = 8_000
EPOCHS, PATIENCE, BATCH = 60, 3, 64
ENOUGH = 0.95
"""A fitted head has to bring the loss on held-out texts below this share of that of the bare frequencies."""


class TiedHead(nn.Module):
    """Logits of words from hidden states (N, width): ``s norm(W norm(h) + c) E' + b`` with the input embeddings ``E`` of the words,
    centred, frozen.

    W starts as the identity; b stays the logarithm of how often each word is there, so that a scale of 0 is the bare frequencies.

    Args:
        embeddings: float (M, width).
        shares: float (M,), of each word among all, summing to 1.
    """

    def __init__(self, embeddings: torch.Tensor, shares: torch.Tensor) -> None:
        super().__init__()
        width = embeddings.shape[1]
        self.turn = nn.Linear(width, width)
        nn.init.eye_(self.turn.weight)
        nn.init.zeros_(self.turn.bias)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.scale = nn.Parameter(torch.tensor(0.1))
        centred = embeddings - embeddings.mean(0)
        self.register_buffer("embeddings", centred / centred.norm(dim=1).mean().clamp(min=1e-6))
        self.register_buffer("bias", shares.log())

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.scale * self.norm(self.turn(self.norm(states))) @ self.embeddings.T + self.bias  # type: ignore[operator]


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


def hidden_states(
    backbone: TextBackbone, preprocessing: Any, texts: Sequence[str], places: Sequence[Sequence[int]], device: torch.device
) -> tuple[torch.Tensor, list[tuple[int, int]]]:
    """States (N, width) at the words of each text that are hidden, and where they were: (text, place); what the length cuts off is missing."""
    tokenizer = preprocessing.tokenizer
    mask, mask_id = tokenizer.mask_token, tokenizer.mask_token_id
    shown = []
    for text, hidden in zip(texts, places, strict=True):
        units, gaps = split_units(text)
        away = set(hidden)
        shown.append(join_units([mask if i in away else unit for i, unit in enumerate(units)], gaps))
    # a text that speaks of the sign itself is left as it is
    order = sorted((i for i in range(len(texts)) if len(places[i]) and mask not in texts[i]), key=lambda i: (len(shown[i]), i))
    states, where = [], []
    device_before = next(backbone.parameters()).device
    backbone.to(device)
    training = backbone.training
    backbone.eval()
    with torch.inference_mode():
        for first in range(0, len(order), AT_ONCE):
            some = order[first : first + AT_ONCE]
            inputs = preprocessing([shown[i] for i in some])
            at = inputs[:, IDS] == mask_id
            states.append(backbone.tokens(inputs.to(device))[at.to(device)].float().cpu())
            for row, i in zip(at, some, strict=True):
                where += [(i, place) for place in sorted(places[i])[: int(row.sum())]]
    backbone.train(training).to(device_before)
    if not states:
        return torch.zeros(0, 1), []
    return torch.cat(states).clone(), where


def masked_head(source: Source, texts: Sequence[str], *, device: torch.device, seed: int = 0) -> MaskedHead:
    """The head of the source's checkpoint where it has one, else one fitted to the hidden words of ``texts``.

    The fitted one is judged on a fifth of the texts: it has to tell hidden words with a loss 5 % below that of the bare frequencies of the
    words, or it would write noise.

    Raises:
        HandshakeError: the source cannot be asked for hidden words, or cannot tell them.
    """
    backbone, tokenizer = can_fill(source)
    words = word_tokens(tokenizer)
    own = _of_checkpoint(source, backbone)
    if own is not None:
        head, model = own
        return MaskedHead(head, words, model)
    return _fitted(source, backbone, texts, words, device, seed)


def can_fill(source: Source) -> tuple[TextBackbone, Any]:
    """The backbone and the tokenizer of a source that can be asked for hidden words.

    Raises:
        HandshakeError: it reads no texts, has no mask, reads from left to right only, or has random weights.
    """
    backbone, tokenizer = source.backbone, getattr(source.preprocessing, "tokenizer", None)
    fix = "--augment '{swap: 0.1, delete: 0.1}', or a source such as bundled/minilm or BERT"
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
            sentence("mlm asks the source model for hidden words, and it cannot tell them", where=source.name, got=why, fix=fix)
        )
    assert isinstance(backbone, TextBackbone)
    return backbone, tokenizer


def word_tokens(tokenizer: Any) -> np.ndarray:
    """int64 (M,): tokens that are a whole unit (:func:`headstart.data.text_units.split_units`): no pieces, signs or numbers."""
    vocabulary = tokenizer.get_vocab()
    lead = next((sign for sign in ("Ġ", "▁") if sum(token.startswith(sign) for token in vocabulary) > len(vocabulary) // 10), "")
    special = set(tokenizer.all_special_ids)
    found = []
    for token, number in vocabulary.items():
        text = tokenizer.convert_tokens_to_string([token]).strip() if lead == "Ġ" else token.removeprefix(lead)
        whole = token.startswith(lead) if lead else not token.startswith("##")
        units, gaps = split_units(text)
        spaceless = len(units) == 1 and len(split_units(text + text)[0]) == 2
        if number in special or len(units) != 1 or any(gaps) or not (whole or spaceless) or not units[0][0].isalpha():
            continue
        found.append(number)
    return np.array(sorted(found), dtype=np.int64)


def _of_checkpoint(source: Source, backbone: TextBackbone) -> tuple[nn.Module, TextBackbone] | None:
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
    tokens = word_tokens(source.preprocessing.tokenizer)
    model = TextBackbone(whole.base_model, backbone.pool, scaled=False).eval().requires_grad_(False)
    return _Chosen(head.eval().requires_grad_(False), torch.as_tensor(tokens)), model


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


def _fitted(
    source: Source, backbone: TextBackbone, texts: Sequence[str], words: np.ndarray, device: torch.device, seed: int
) -> MaskedHead:
    rng = np.random.default_rng([seed, 11])
    order = rng.permutation(len(texts))
    aside = set(order[: len(texts) // 5].tolist())
    H, y, held = _examples(backbone, source.preprocessing, texts, set(words.tolist()), aside, rng, device)
    if len(y) < LEAST_EXAMPLES or held.sum() < LEAST_EXAMPLES // 10:
        raise HandshakeError(
            sentence("the checkpoint has no head that tells hidden words, and the texts are too few to fit one", where=source.name,
                     got=f"{len(y)} hidden words", allowed=f"{LEAST_EXAMPLES} or more",
                     fix="more texts (--unlabelled), or --augment '{swap: 0.1, delete: 0.1}'")
        )  # fmt: skip
    known, code = np.unique(y, return_inverse=True)
    target = torch.as_tensor(code)
    learn, judge = torch.as_tensor(np.flatnonzero(~held)), torch.as_tensor(np.flatnonzero(held))
    counts = torch.bincount(target[learn], minlength=len(known)).float()
    embeddings = backbone.model.get_input_embeddings().weight.detach().cpu().float()[torch.as_tensor(known)]  # type: ignore[operator]
    shares = (counts + 1) / (counts + 1).sum()
    head = TiedHead(embeddings, shares)
    slow, fast = [p for p in head.parameters() if p.ndim], [head.scale]
    optimizer = torch.optim.AdamW([{"params": slow}, {"params": fast, "lr": 1e-2}], lr=1e-3, weight_decay=0.01)
    draws = torch.Generator().manual_seed(seed)
    best, kept, waited = float("inf"), head.state_dict(), 0
    for _ in range(EPOCHS):
        for rows in learn[torch.randperm(len(learn), generator=draws)].split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(H[rows]), target[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(head(H[judge]), target[judge]))
        if loss < best:
            best, kept, waited = loss, {k: v.clone() for k, v in head.state_dict().items()}, 0
        else:
            waited += 1
        if waited == PATIENCE:
            break
    head.load_state_dict(kept)
    head.eval().requires_grad_(False)
    bare = float(-shares.log()[target[judge]].mean())
    right = float((head(H[judge]).argmax(1) == target[judge]).float().mean())
    said = {"loss": best, "loss_of_frequencies": bare, "accuracy": right, "words": len(known), "hidden": len(y)}
    if best > ENOUGH * bare:
        raise HandshakeError(
            sentence("the source hardly tells hidden words of these texts better than their frequencies do, so that mlm would write noise",
                     where=source.name, got=f"loss {best:.2f} against {bare:.2f}", fix="--augment '{swap: 0.1, delete: 0.1}', or a checkpoint with a masked-language-model head")
        )  # fmt: skip
    return MaskedHead(head, known, backbone, said)


def _examples(
    backbone: TextBackbone, preprocessing: Any, texts: Sequence[str], words: set[int], aside: set[int],
    rng: np.random.Generator, device: torch.device,
) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:  # fmt: skip
    """States at hidden words that are one token, those tokens int (N,), and which are of the texts ``aside``."""
    tokenizer = preprocessing.tokenizer
    states, tokens, held, n = [], [], [], 0
    units = [split_units(text)[0] for text in texts]
    single: dict[str, int] = {}
    for unit in {unit for row in units for unit in row}:
        ids = tokenizer(f" {unit}", add_special_tokens=False)["input_ids"]
        if len(ids) == 1 and ids[0] in words:
            single[unit] = ids[0]
    fit = [[i for i, unit in enumerate(row) if unit in single] for row in units]
    for _ in range(4):
        places = [
            sorted(rng.choice(f, max(1, round(HIDDEN * len(row))) if len(row) * HIDDEN < len(f) else len(f), replace=False)) if f else []
            for f, row in zip(fit, units, strict=True)
        ]  # fmt: skip
        H, where = hidden_states(backbone, preprocessing, texts, places, device)
        if where:
            states.append(H)
            tokens += [single[units[i][place]] for i, place in where]
            held += [i in aside for i, _ in where]
            n += len(where)
        if n >= MOST_EXAMPLES or not where:
            break
    width = backbone.config.hidden_size
    return torch.cat(states) if states else torch.zeros(0, width), np.array(tokens, dtype=np.int64), np.array(held, dtype=bool)
