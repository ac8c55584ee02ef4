"""A transformer of texts as a backbone: encoded texts in, one vector a text out."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from headstart.data.text_preprocessing import IDS, MASK, TYPES
from headstart.errors import SourceError, sentence
from headstart.sources.source import Layer, Source

POOLS = ("mean", "cls", "last")


class TextBackbone(nn.Module):
    """int64 (B, 3, T), as :class:`headstart.data.text_preprocessing.TextPreprocessing` makes it -> float (B, width).

    Args:
        model: of transformers, without a head: ids and mask -> ``last_hidden_state`` (B, T, width).
        pool: ``"mean"`` over the tokens, ``"cls"`` (the first one), ``"last"`` (the last one, for models that read from left to right).
        scaled: bring each vector to the length sqrt(width), a root mean square of 1: the direction of models that were trained to
            unit vectors, at a size that heads learn from.

    With ``by_token`` set it gives the last hidden states (B, T, width) themselves (:func:`read_tokens`).
    """

    def __init__(self, model: nn.Module, pool: str = "mean", *, scaled: bool = False) -> None:
        super().__init__()
        if pool not in POOLS:
            raise SourceError(sentence("unknown pooling of tokens", got=pool, allowed=POOLS))
        self.model, self.pool, self.scaled = model, pool, scaled
        self.by_token = False
        self.typed = "token_type_ids" in inspect.signature(model.forward).parameters

    @property
    def config(self) -> Any:
        """Of transformers."""
        return self.model.config

    def tokens(self, inputs: torch.Tensor) -> torch.Tensor:
        """The last hidden states, (B, T, width)."""
        given: dict[str, Any] = {"input_ids": inputs[:, IDS], "attention_mask": inputs[:, MASK]}
        if self.typed:
            given["token_type_ids"] = inputs[:, TYPES]
        return self.model(**given, return_dict=True).last_hidden_state

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.by_token:
            return self.tokens(inputs)
        vectors = pooled_tokens(self.tokens(inputs), inputs[:, MASK], self.pool)
        if self.scaled:
            vectors = nn.functional.normalize(vectors, dim=1) * vectors.shape[1] ** 0.5
        return vectors


def dry_input(backbone: nn.Module, size: int) -> torch.Tensor:
    """One input of zeros of the kind that a backbone takes: an image of ``size`` pixels, a text of ``size`` tokens."""
    if not any(isinstance(module, TextBackbone) for module in backbone.modules()):
        return torch.zeros(1, 3, size, size)
    inputs = torch.zeros(1, 3, size, dtype=torch.int64)
    inputs[:, MASK] = 1
    return inputs


def read_tokens(source: Source) -> Source:
    """The source with the last hidden states as its features, (B, T, width), for heads that read each token.

    Raises:
        SourceError: no source of texts.
    """
    if not isinstance(source.backbone, TextBackbone):
        raise SourceError(
            sentence("spans are read from the tokens of a text, which this source has none of", got=source.name, fix="--source bundled/minilm")
        )  # fmt: skip
    return replace(source, backbone=_by_token(source.backbone), build=partial(_built_by_token, source.build))


def _by_token(backbone: nn.Module) -> nn.Module:
    """The same weights, read by token."""
    found = copy.copy(backbone)
    found.by_token = True  # type: ignore[assignment]
    return found


def _built_by_token(build: Callable[[], nn.Module]) -> nn.Module:
    return _by_token(build())


def pooled_tokens(states: torch.Tensor, mask: torch.Tensor, pool: str) -> torch.Tensor:
    """(B, T, width) and mask (B, T) of 0 and 1 -> (B, width)."""
    if pool == "mean":
        share = mask.unsqueeze(-1).to(states.dtype)
        return (states * share).sum(1) / share.sum(1).clamp(min=1)
    places = mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)
    at = places.argmax(1) if pool == "last" else mask.argmax(1)
    return states[torch.arange(len(states), device=states.device), at]


def text_layers(backbone: TextBackbone) -> list[Layer]:
    """Stages from the input to the output: what stands before the blocks, each block, what comes behind them."""
    lists = [(name, m) for name, m in backbone.named_modules() if isinstance(m, nn.ModuleList) and len(m)]
    if not lists:
        raise SourceError(
            sentence("this model has no list of blocks to move one by one", got=type(backbone.model).__name__)
        )
    name, blocks = max(lists, key=lambda item: sum(p.numel() for p in item[1].parameters()))
    found: list[Layer] = []
    before: list[str] = []
    behind: list[str] = []
    side = before

    def walk(module: nn.Module, prefix: str) -> None:
        nonlocal side
        side += [f"{prefix}{key}" for key, _ in module.named_parameters(recurse=False)]
        for key, child in module.named_children():
            where = f"{prefix}{key}"
            if where == name:
                side = behind
            elif f"{name}.".startswith(f"{where}."):
                walk(child, f"{where}.")
            elif any(True for _ in child.parameters()):
                side.append(where)

    walk(backbone, "")
    if before:
        found.append(Layer("embeddings", tuple(before)))
    found += [Layer(f"block{i + 1}", (f"{name}.{i}",)) for i in range(len(blocks))]
    if behind:
        found.append(Layer("final", tuple(behind)))
    return found
