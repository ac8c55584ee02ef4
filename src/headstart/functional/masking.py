"""Which tokens a language model has to guess, and what it is shown in their place."""

from __future__ import annotations

import torch

IGNORED = -100
"""The target of a token that is not guessed."""


def masked_tokens(
    ids: torch.Tensor, free: torch.Tensor, *, share: float, mask_id: int, vocabulary: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hide tokens as BERT does: of those drawn 80 % become the mask, 10 % a token drawn at random, 10 % stay as they are.

    Devlin et al., *BERT*, NAACL 2019, section 3.1. Where no token was drawn in the whole batch, the first free one is.

    Args:
        ids: int64 (B, T).
        free: bool (B, T), tokens that may be drawn: no padding, no special ones.
        share: chance of each to be drawn, in (0, 1).
        mask_id, vocabulary: the number of the mask, and of all tokens.

    Returns:
        What the model is shown, int64 (B, T), and what it is asked for: the token where it was drawn, else :data:`IGNORED`.
    """
    drawn = (torch.rand(ids.shape, generator=generator) < share) & free
    if not drawn.any():
        drawn.view(-1)[free.flatten().int().argmax()] = bool(free.any())
    kind = torch.rand(ids.shape, generator=generator)
    shown = torch.where(drawn & (kind < 0.8), mask_id, ids)
    other = torch.randint(0, vocabulary, ids.shape, generator=generator)
    shown = torch.where(drawn & (kind >= 0.9), other, shown)
    return shown, torch.where(drawn, ids, IGNORED)


def next_tokens(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """int64 (B, T): at each place the token that follows, :data:`IGNORED` where it or the place is padding.

    Args:
        ids, mask: int64 (B, T); ``mask`` is 1 where there is a token.
    """
    targets = torch.full_like(ids, IGNORED)
    there = (mask[:, :-1] * mask[:, 1:]).bool()
    targets[:, :-1] = torch.where(there, ids[:, 1:], IGNORED)
    return targets
