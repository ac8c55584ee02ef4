"""How a text becomes what a source model expects: a tokenizer, a length, and the padding of a batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from headstart.data.windows import Window, collate

Text = str | tuple[str, str]
"""One text, or a pair of them."""

IDS, MASK, TYPES = range(3)
"""Planes of an encoded batch (B, 3, T): token numbers, 1 where there is a token, which of two texts it belongs to."""


@dataclass(frozen=True)
class TextPreprocessing:
    """The tokenizer that travels with a source of texts.

    Attributes:
        tokenizer: of transformers; it knows its own special tokens and on which side it pads.
        size: tokens of a text at most, special ones included; what is longer loses its end.
    """

    tokenizer: Any = field(repr=False)
    size: int = 128
    modality = "text"

    def __call__(self, texts: Sequence[Text]) -> torch.Tensor:
        """B texts -> int64 (B, 3, T): planes :data:`IDS`, :data:`MASK`, :data:`TYPES`, padded to the longest of them; windows of texts
        (:mod:`headstart.data.windows`) are encoded already."""
        if texts and isinstance(texts[0], Window):
            return collate(texts, self.tokenizer.pad_token_id or 0)  # type: ignore[arg-type]
        given = self.encode(texts, padding=True)
        ids = torch.as_tensor(given["input_ids"])
        mask = torch.as_tensor(given["attention_mask"])
        types = torch.as_tensor(given["token_type_ids"]) if "token_type_ids" in given else torch.zeros_like(ids)
        return torch.stack([ids, mask, types], dim=1)

    def encode(self, texts: Sequence[Text], **more: Any) -> Any:
        """What the tokenizer gives for texts or pairs (``input_ids``, ``attention_mask``, with ``return_offsets_mapping=True`` the places in
        the text), cut to ``size``."""
        pairs = bool(texts) and not isinstance(texts[0], str)
        first = [text if isinstance(text, str) else text[0] for text in texts]
        second = [text[1] for text in texts] if pairs else None
        # of two texts, the longer one is cut
        return self.tokenizer(first, second, truncation=True, max_length=self.size, **more)

    def lengths(self, texts: Sequence[Text]) -> list[int]:
        """Tokens of each text as it is, nothing cut off."""
        pairs = bool(texts) and not isinstance(texts[0], str)
        first = [text if isinstance(text, str) else text[0] for text in texts]
        second = [text[1] for text in texts] if pairs else None
        found = self.tokenizer(first, second, truncation=False, verbose=False)["input_ids"]
        return [len(ids) for ids in found]

    def noise(self, n: int) -> torch.Tensor:
        """int64 (n, 3, size): texts as long as they come, for trial steps."""
        ids = torch.randint(0, len(self.tokenizer), (n, self.size))
        return torch.stack([ids, torch.ones_like(ids), torch.zeros_like(ids)], dim=1)

    def resized(self, size: int) -> TextPreprocessing:
        """The same tokenizer at another length."""
        return replace(self, size=size)

    @cached_property
    def digest(self) -> str:
        """A short hash that changes when the tokens of any text may; part of the feature cache's key."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            said = json.dumps(sorted(self.tokenizer.get_vocab().items()))
        else:
            made = json.loads(backend.to_str())
            made["truncation"] = made["padding"] = None  # they change with each call
            said = json.dumps(made, sort_keys=True)
        return hashlib.sha256(f"{self.size}\0{said}".encode()).hexdigest()[:12]


def padded(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Batches one after the other, (sum of B, ...); encoded texts (B, 3, T) are filled up with zeros to the longest T, on the right."""
    if len({part.shape[-1] for part in parts}) > 1 and not parts[0].is_floating_point():
        longest = max(part.shape[-1] for part in parts)
        parts = [torch.nn.functional.pad(part, (0, longest - part.shape[-1])) for part in parts]
    return torch.cat(list(parts))
