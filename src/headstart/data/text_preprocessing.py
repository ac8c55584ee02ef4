"""How a text becomes what a source model expects: a tokenizer, a length, and the padding of a batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from headstart.data.text_chunks import CHUNKS, in_windows, stride
from headstart.data.text_cut import beginning
from headstart.data.windows import Window, collate
from headstart.errors import SourceError, sentence

Text = str | tuple[str, str]
"""One text, or a pair of them."""

COUNTED = 50_000
"""Letters of a text whose tokens are counted; the rest of a longer one is taken to be like them."""
LONG = ("truncate", "chunks")

IDS, MASK, TYPES = range(3)
"""Planes of an encoded batch (B, 3, T): token numbers, 1 where there is a token, which of two texts it belongs to."""


@dataclass(frozen=True)
class TextPreprocessing:
    """The tokenizer that travels with a source of texts.

    Attributes:
        tokenizer: of transformers; it knows its own special tokens and on which side it pads.
        size: tokens that the model reads at once, special ones included.
        long: what becomes of a longer text: ``"truncate"``, it loses its end; ``"chunks"``, it is read in windows that overlap by a
            quarter, at most :data:`headstart.data.text_chunks.CHUNKS` of them, whose vectors the backbone averages.
    """

    tokenizer: Any = field(repr=False)
    size: int = 128
    long: str = "truncate"
    modality = "text"

    def __post_init__(self) -> None:
        if self.long not in LONG:
            raise SourceError(
                sentence("unknown way with long texts", got=self.long, allowed=LONG, fix="--long truncate")
            )

    @property
    def reach(self) -> int:
        """Tokens of a text that are read at most, special ones of one window included."""
        return self.size if self.long == "truncate" else self.size + (CHUNKS - 1) * stride(self.tokenizer, self.size)

    def __call__(self, texts: Sequence[Text]) -> torch.Tensor:
        """B texts -> int64 (B, 3, T): planes :data:`IDS`, :data:`MASK`, :data:`TYPES`, padded to the longest of them; in chunks as
        :func:`headstart.data.text_chunks.in_windows` lays them out; windows (:mod:`headstart.data.windows`) are encoded already."""
        if len(texts) and isinstance(texts[0], Window):
            return collate(texts, self.tokenizer.pad_token_id or 0)  # type: ignore[arg-type]
        if self.long == "chunks":
            return in_windows(self.tokenizer, texts, self.size)
        given = self.encode(texts, padding=True)
        ids = torch.as_tensor(given["input_ids"])
        mask = torch.as_tensor(given["attention_mask"])
        types = torch.as_tensor(given["token_type_ids"]) if "token_type_ids" in given else torch.zeros_like(ids)
        return torch.stack([ids, mask, types], dim=1)

    def encode(self, texts: Sequence[Text], **more: Any) -> Any:
        """What the tokenizer gives for texts or pairs (``input_ids``, ``attention_mask``, with ``return_offsets_mapping=True`` the places in
        the text), cut to ``size``."""
        if "return_overflowing_tokens" not in more:
            texts = [self._beginning(text) for text in texts]
        pairs = bool(texts) and not isinstance(texts[0], str)
        first = [text if isinstance(text, str) else text[0] for text in texts]
        second = [text[1] for text in texts] if pairs else None
        # of two texts, the longer one is cut
        return self.tokenizer(first, second, truncation=True, max_length=self.size, **more)

    def _beginning(self, text: Text) -> Text:
        if not isinstance(text, str):
            return beginning(text[0], self.size, self._count), beginning(text[1], self.size, self._count)
        return beginning(text, self.size, self._count)

    def _count(self, text: str) -> int:
        """Tokens of a text, special ones left out where the tokenizer can."""
        return len(self.tokenizer([text], truncation=False, verbose=False, add_special_tokens=False)["input_ids"][0])

    def token_ids(self, texts: Sequence[Text]) -> list[list[int]]:
        """The tokens of each text as it is, nothing cut off."""
        pairs = bool(texts) and not isinstance(texts[0], str)
        first = [text if isinstance(text, str) else text[0] for text in texts]
        second = [text[1] for text in texts] if pairs else None
        return list(self.tokenizer(first, second, truncation=False, verbose=False)["input_ids"])

    def lengths(self, texts: Sequence[Text]) -> list[int]:
        """Tokens of each text as it is, nothing cut off; those of a text of more than :data:`COUNTED` letters by its beginning."""
        counted, whole = zip(*map(counted_part, texts), strict=True) if texts else ((), ())
        return [round(len(ids) * share) for ids, share in zip(self.token_ids(counted), whole, strict=True)]

    def noise(self, n: int) -> torch.Tensor:
        """int64 (n, 3, size), in chunks (n, 3, CHUNKS * size): texts as long as they come, for trial steps."""
        ids = torch.randint(0, len(self.tokenizer), (n, self.size * (CHUNKS if self.long == "chunks" else 1)))
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
        long = "" if self.long == "truncate" else f"{self.long}\0"
        return hashlib.sha256(f"{self.size}\0{long}{said}".encode()).hexdigest()[:12]


def of_pairs(texts: Sequence[Text]) -> bool:
    """Whether these are pairs of texts; none are not."""
    return bool(len(texts)) and not isinstance(texts[0], str)


def counted_part(text: Text) -> tuple[Text, float]:
    """What is counted of a text, and how many times longer the whole is."""
    if isinstance(text, str):
        return text[:COUNTED], max(1.0, len(text) / COUNTED)
    some = text[0][:COUNTED], text[1][:COUNTED]
    return some, max(1.0, sum(map(len, text)) / max(1, sum(map(len, some))))


def padded(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Batches one after the other, (sum of B, ...); encoded texts (B, 3, T) are filled up with zeros to the longest T, on the right."""
    if len({part.shape[-1] for part in parts}) > 1 and not parts[0].is_floating_point():
        longest = max(part.shape[-1] for part in parts)
        parts = [torch.nn.functional.pad(part, (0, longest - part.shape[-1])) for part in parts]
    return torch.cat(list(parts))
