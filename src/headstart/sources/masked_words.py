"""Words of texts written anew by a masked language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from headstart.data.text_units import join_units, split_units
from headstart.data.text_variation import cased
from headstart.sources.hidden_words import hidden_states
from headstart.sources.masked_head import MaskedHead

BEST = 10
"""Words among which one is drawn, by their probabilities."""
ROWS = 256


class MaskedWords:
    """Hides words of texts, asks the model what stood there, and draws one of its ten best answers other than the word itself
    (X. Wu et al., *Conditional BERT contextual augmentation*, ICCS 2019, without the condition).

    Args:
        told: the head, and the model under it.
        preprocessing: of the source.
        barred: words in small letters that are never written.
        device: where the model runs.
    """

    def __init__(self, told: MaskedHead, preprocessing: Any, *, barred: frozenset[str], device: torch.device) -> None:
        self.told, self.preprocessing, self.device = told, preprocessing, device
        tokenizer = preprocessing.tokenizer
        self.words = [
            tokenizer.convert_tokens_to_string([t]).strip()
            for t in tokenizer.convert_ids_to_tokens(told.tokens.tolist())
        ]
        self.barred = torch.tensor([word.casefold() in barred for word in self.words])
        self.places: dict[str, list[int]] = {word.casefold(): [] for word in self.words}
        for k, word in enumerate(self.words):
            self.places[word.casefold()].append(k)

    @torch.inference_mode()
    def __call__(
        self, texts: Sequence[str], places: Sequence[Sequence[int]], rngs: Sequence[np.random.Generator]
    ) -> list[str]:
        """Texts with the units at ``places`` written anew, in all places at once; each by random numbers of its own."""
        states, where = hidden_states(self.told.model, self.preprocessing, texts, places, self.device)
        made = [split_units(text) for text in texts]
        drawn = [rng.random(len(some)) for rng, some in zip(rngs, places, strict=True)]
        for first in range(0, len(where), ROWS):
            some = where[first : first + ROWS]
            logits = self.told(states[first : first + ROWS])
            logits[:, self.barred] = -torch.inf
            for row, (i, place) in enumerate(some):
                logits[row, self.places.get(made[i][0][place].casefold(), [])] = -torch.inf
            top = logits.topk(min(BEST, logits.shape[1]), dim=1)
            shares = top.values.double().softmax(1).cumsum(1)
            for row, (i, place) in enumerate(some):
                if not torch.isfinite(top.values[row, 0]):
                    continue
                u = drawn[i][list(places[i]).index(place)]
                pick = min(int((shares[row] < u).sum()), shares.shape[1] - 1)
                units = made[i][0]
                units[place] = cased(self.words[int(top.indices[row, pick])], units[place])
        return [join_units(list(units), gaps) for units, gaps in made]
