"""A new head that tells hidden words, fitted to a few texts over a model that stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.text_units import split_units
from headstart.errors import HandshakeError, sentence
from headstart.sources.hidden_words import hidden_states
from headstart.sources.language_head import TiedHead, embeddings, new_head
from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone

HIDDEN = 0.15
"""Share of the words that are hidden at once, as in the training of such models (Devlin et al. 2019)."""
LEAST_EXAMPLES = 400
MOST_EXAMPLES = 8_000
EPOCHS, PATIENCE, BATCH = 60, 3, 64
SPREAD = 0.1
"""Of what the head says at first beside the frequencies."""
ENOUGH = 0.95
"""A fitted head has to bring the loss on held-out texts below this share of that of the bare frequencies."""


def fit_head(
    source: Source, backbone: TextBackbone, texts: Sequence[str], words: np.ndarray, device: torch.device, seed: int
) -> tuple[TiedHead, np.ndarray, dict[str, float]]:
    """The head, its tokens int64 (M,), and how it was judged; arguments as for :func:`headstart.sources.masked_head.masked_head`.

    Its bias stays the logarithm of how often each word is there, so that all it can learn is what the text says beyond that.

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
    table = embeddings(backbone).detach().cpu().float()[torch.as_tensor(known)]
    shares = (counts + 1) / (counts + 1).sum()
    head = new_head(source.width, table, spread=SPREAD)
    head.bias.requires_grad_(False).copy_(shares.log())
    assert head.dense is not None
    groups: list[dict[str, Any]] = [
        {"params": list(head.dense.parameters())},
        {"params": list(head.norm.parameters()), "lr": 1e-2},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.01)
    draws = torch.Generator().manual_seed(seed)
    best, kept, waited = float("inf"), head.state_dict(), 0
    for _ in range(EPOCHS):
        for rows in learn[torch.randperm(len(learn), generator=draws)].split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(H[rows], table), target[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(head(H[judge], table), target[judge]))
        if loss < best:
            best, kept, waited = loss, {k: v.clone() for k, v in head.state_dict().items()}, 0
        else:
            waited += 1
        if waited == PATIENCE:
            break
    head.load_state_dict(kept)
    head.eval().requires_grad_(False)
    bare = float(-shares.log()[target[judge]].mean())
    right = float((head(H[judge], table).argmax(1) == target[judge]).float().mean())
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
