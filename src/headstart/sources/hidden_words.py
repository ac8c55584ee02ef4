"""Words of texts hidden from a transformer, and which of its tokens are words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from headstart.data.text_preprocessing import IDS
from headstart.data.text_units import join_units, split_units
from headstart.sources.text_backbone import TextBackbone

AT_ONCE = 64


def hidden_states(
    backbone: TextBackbone,
    preprocessing: Any,
    texts: Sequence[str],
    places: Sequence[Sequence[int]],
    device: torch.device,
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
    order = sorted(
        (i for i in range(len(texts)) if len(places[i]) and mask not in texts[i]), key=lambda i: (len(shown[i]), i)
    )
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
            states.append(backbone.last_states(inputs.to(device))[at.to(device)].float().cpu())
            for row, i in zip(at, some, strict=True):
                where += [(i, place) for place in sorted(places[i])[: int(row.sum())]]
    backbone.train(training).to(device_before)
    if not states:
        return torch.zeros(0, 1), []
    return torch.cat(states).clone(), where


def word_tokens(tokenizer: Any) -> np.ndarray:
    """int64 (M,): tokens that are a whole unit (:func:`headstart.data.text_units.split_units`): no pieces, signs or numbers."""
    vocabulary = tokenizer.get_vocab()
    lead = next(
        (sign for sign in ("Ġ", "▁") if sum(token.startswith(sign) for token in vocabulary) > len(vocabulary) // 10), ""
    )
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
