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

POOLS = ("mean", "cls", "last", "weighted")


class TextBackbone(nn.Module):
    """int64 (B, 3, T), as :class:`headstart.data.text_preprocessing.TextPreprocessing` makes it -> float (B, width).

    Args:
        model: of transformers, without a head: ids and mask -> ``last_hidden_state`` (B, T, width).
        pool: ``"mean"`` over the tokens, ``"cls"`` (the first one), ``"last"`` (the last one, for models that read from left to right),
            ``"weighted"``: the mean over the tokens of sum_l softmax(mix)_l h_l, where h_0 is what enters the first block and h_l
            leaves block l, and ``mix`` is learned (Peters et al. 2018, *Deep contextualized word representations*, eq. 1; its factor
            gamma is left to the head). ``mix`` starts at zero: the mean of all layers.
        scaled: bring each vector to the length sqrt(width), a root mean square of 1: the direction of models that were trained to
            unit vectors, at a size that heads learn from.
        window: inputs longer than this are several windows of ``window`` tokens side by side, each a text of its own; their vectors
            are averaged by their numbers of tokens.

    With ``by_token`` set it gives the last hidden states (B, T, width) themselves (:func:`read_tokens`).
    """

    def __init__(
        self, model: nn.Module, pool: str = "mean", *, scaled: bool = False, window: int | None = None
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise SourceError(sentence("unknown pooling of tokens", got=pool, allowed=POOLS, fix="--pool mean"))
        self.model, self.pool, self.scaled, self.window = model, pool, scaled, window
        self.by_token = False
        # GPT-2 takes them too, but as further tokens, whose embeddings it adds
        types = "token_type_ids" in inspect.signature(model.forward).parameters
        self.typed = types and bool(getattr(model.config, "type_vocab_size", 0))
        if pool == "weighted":
            self.mix = nn.Parameter(torch.zeros(int(self.config.num_hidden_layers) + 1))

    @property
    def config(self) -> Any:
        """Of transformers."""
        return self.model.config

    def tokens(self, inputs: torch.Tensor) -> torch.Tensor:
        """The last hidden states, or with ``"weighted"`` the sum over the layers, (B, T, width)."""
        if self.pool != "weighted":
            return self.last_states(inputs)
        states = self.layers(inputs)
        return sum(share * state for share, state in zip(self.mix.softmax(0), states, strict=True))  # type: ignore[return-value]

    def last_states(self, inputs: torch.Tensor) -> torch.Tensor:
        """What leaves the last layer, (B, T, width), whatever is made of the layers."""
        return self._run(inputs).last_hidden_state  # type: ignore[no-any-return]

    def _run(self, inputs: torch.Tensor, **more: Any) -> Any:
        given: dict[str, Any] = {"input_ids": inputs[:, IDS], "attention_mask": inputs[:, MASK]}
        if self.typed:
            given["token_type_ids"] = inputs[:, TYPES]
        return self.model(**given, return_dict=True, **more)

    def layers(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What enters the first block and what leaves each, L + 1 of (B, T, width); for ``"weighted"``."""
        states = self._run(inputs, output_hidden_states=True).hidden_states
        if len(states) != len(self.mix):
            raise SourceError(
                sentence("this model does not give the states of its layers", got=len(states), allowed=len(self.mix), fix="--pool mean")
            )  # fmt: skip
        return states

    def windows(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Encoded texts as the model reads them, (R, 3, T), and of each row which of the B texts it is of: ``None`` where each is one row."""
        if self.window is None or inputs.shape[2] <= self.window:
            return inputs, None
        inputs = nn.functional.pad(inputs, (0, -inputs.shape[2] % self.window))
        rows = inputs.unflatten(2, (-1, self.window)).transpose(1, 2)
        used = rows[:, :, MASK].any(2)
        used[:, 0] = True
        found = rows[used]
        longest = max(1, int(found[:, MASK].sum(1).max()))
        return found[:, :, :longest], used.nonzero()[:, 0]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.by_token:
            return self.tokens(inputs)
        rows, owner = self.windows(inputs)
        # in float32 whatever the model computes in: means over many tokens lose digits
        vectors = pooled_tokens(self.tokens(rows).float(), rows[:, MASK], self.pool)
        vectors = joined(vectors, rows[:, MASK], owner, len(inputs))
        if self.scaled:
            vectors = nn.functional.normalize(vectors, dim=1) * vectors.shape[1] ** 0.5
        return vectors


class LayerMeans(nn.Module):
    """The means over the tokens of every layer of a ``"weighted"`` backbone, side by side: (B, 3, T) -> (B, (L + 1) * width)."""

    def __init__(self, backbone: TextBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        rows, owner = self.backbone.windows(inputs)
        mask = rows[:, MASK]
        means = [pooled_tokens(state.float(), mask, "mean") for state in self.backbone.layers(rows)]
        return joined(torch.cat(means, dim=1), mask, owner, len(inputs))


@torch.no_grad()
def reads_left_to_right(backbone: nn.Module) -> bool:
    """Whether it is a model of texts in which no token sees one that stands behind it: the last one is changed, and the others do not notice."""
    if not isinstance(backbone, TextBackbone):
        return False
    one, other = (dry_input(backbone, 4) for _ in range(2))
    other[:, IDS, -1] = 1
    modes = {module: module.training for module in backbone.modules()}
    backbone.eval()
    device = next(backbone.parameters()).device
    before, after = (backbone.tokens(inputs.to(device))[:, :-1] for inputs in (one, other))
    for module, mode in modes.items():
        module.training = mode
    return torch.allclose(before, after, atol=1e-5)


def joined(vectors: torch.Tensor, mask: torch.Tensor, owner: torch.Tensor | None, n: int) -> torch.Tensor:
    """Vectors of windows (R, width) -> of their ``n`` texts (n, width): the mean, each window weighing as much as it has tokens."""
    if owner is None:
        return vectors
    weight = mask.sum(1, keepdim=True).to(vectors.dtype)
    total = torch.zeros(n, 1, dtype=vectors.dtype, device=vectors.device).index_add(0, owner, weight)
    found = torch.zeros(n, vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
    return found.index_add(0, owner, vectors * weight) / total.clamp(min=1)


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
    if pool in ("mean", "weighted"):
        share = mask.unsqueeze(-1).to(states.dtype)
        return (states * share).sum(1) / share.sum(1).clamp(min=1)
    places = mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)
    at = places.argmax(1) if pool == "last" else mask.argmax(1)
    return states[torch.arange(len(states), device=states.device), at]


EARLY = ("relative_attention_bias", "rel_embeddings")
"""Modules that stand behind the blocks in a model's list and are read by all of them."""


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
        side += [f"{prefix}{key}" for key, _ in module.named_parameters(recurse=False) if module is not backbone]
        for key, child in module.named_children():
            where = f"{prefix}{key}"
            if where == name:
                side = behind
            elif f"{name}.".startswith(f"{where}."):
                walk(child, f"{where}.")
            elif any(True for _ in child.parameters()):
                side.append(where) if key not in EARLY else before.insert(0, where)

    walk(backbone, "")
    if before:
        found.append(Layer("embeddings", tuple(before)))
    found += [Layer(f"block{i + 1}", (f"{name}.{i}",)) for i in range(len(blocks))]
    if behind:
        found.append(Layer("final", tuple(behind)))
    if backbone.pool == "weighted":
        found.append(Layer("weights of layers", ("mix",), fresh=True))
    return found
