"""A head that tells hidden words, tied to the input embeddings of its model and fitted to a few texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.text_units import split_units
from headstart.errors import HandshakeError, sentence
from headstart.sources.hidden_words import hidden_states
from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone

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


def fit_tied_head(
    source: Source, backbone: TextBackbone, texts: Sequence[str], words: np.ndarray, device: torch.device, seed: int
) -> tuple[TiedHead, np.ndarray, dict[str, float]]:
    """The head, its tokens int64 (M,), and how it was judged; arguments as for :func:`headstart.sources.masked_head.masked_head`.

    Raises:
        HandshakeError: too few texts, or a source that cannot tell hidden words.
    """
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
    groups: list[dict[str, Any]] = [
        {"params": [p for p in head.parameters() if p.ndim]},
        {"params": [head.scale], "lr": 1e-2},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.01)
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
    return head, known, said


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
    return (
        torch.cat(states) if states else torch.zeros(0, width),
        np.array(tokens, dtype=np.int64),
        np.array(held, dtype=bool),
    )
