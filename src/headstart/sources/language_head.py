"""The head of a language model: the checkpoint's own, or a new one; either is tied to the input embeddings of its model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone
from headstart.sources.texts import quietly, required

WHERE = (
    ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
    ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    ("head.dense", "head.norm", "decoder.bias"),
)
"""Where BERT, RoBERTa and MPNet, DistilBERT, and ModernBERT keep the linear layer, the norm and the bias of their heads."""


class TiedHead(nn.Module):
    """Hidden states -> a number for each token, by the input embeddings E: ``g(h) E' + b`` with ``g(h) = norm(act(W h + c))`` as in BERT, or
    ``g(h) = h`` as in GPT-2.

    W starts as the identity, c and b as zero.

    Args:
        width: of the hidden states. inner: of the embeddings. tokens: how many.
        transform: whether there is such a g; where the widths differ there must be.
        act: default the identity. eps: of the norm.
    """

    def __init__(
        self, width: int, inner: int, tokens: int, *, transform: bool, act: Callable[[Any], Any] | None = None, eps: float = 1e-12
    ) -> None:  # fmt: skip
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(tokens))
        self.act = act
        self.dense: nn.Linear | None = None
        if transform or width != inner:
            self.dense, self.norm = nn.Linear(width, inner), nn.LayerNorm(inner, eps)
            nn.init.eye_(self.dense.weight)
            nn.init.zeros_(self.dense.bias)

    def forward(self, states: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """(N, width) and (M, inner) -> (N, M)."""
        if self.dense is not None:
            states = self.dense(states)
            states = self.norm(states if self.act is None else self.act(states))
        return states @ embeddings.T + self.bias

    def of(self, tokens: torch.Tensor) -> TiedHead:
        """The same head for some of the tokens, frozen."""
        self.bias = nn.Parameter(self.bias[tokens])
        return self.eval().requires_grad_(False)


def embeddings(backbone: TextBackbone) -> torch.Tensor:
    """The input embeddings, (V, inner): the head shares them."""
    return backbone.model.get_input_embeddings().weight  # type: ignore[operator, no-any-return]


def new_head(width: int, table: torch.Tensor, *, transform: bool = True, spread: float = 1.0) -> TiedHead:
    """A head for the embeddings ``table`` (M, inner) that begins at the hidden states themselves; with ``transform`` its numbers spread by about ``spread``."""
    head = TiedHead(width, table.shape[1], len(table), transform=transform)
    if head.dense is not None:
        table = table.detach()
        nn.init.constant_(head.norm.weight, spread / float((table - table.mean(0)).norm(dim=1).mean().clamp(min=1e-6)))
    return head


def own_head(source: Source, *, masked: bool) -> TiedHead | None:
    """The head of masked words (or of the next one) in the folder that the source came from; ``None`` where it has none that is whole.

    It is taken if on a few tokens it says what transformers' whole model says, so that no kind of head is taken for another.
    """
    folder = source.extra.get("folder")
    if folder is None or not Path(folder).is_dir():
        return None
    transformers = required()
    kind = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    try:
        with quietly():
            whole, told = kind.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
    except (ValueError, OSError, KeyError):
        return None
    if any(not key.startswith(f"{whole.base_model_prefix}.") for key in told["missing_keys"]):
        return None
    head = (
        _read(whole)
        if masked
        else TiedHead(source.width, source.width, len(whole.get_input_embeddings().weight), transform=False)
    )
    return head if head is not None and _says_the_same(head, whole.eval()) else None


def _read(whole: Any) -> TiedHead | None:
    """The head of masked words of a model of transformers, where it is of the kind of :data:`WHERE`."""
    state, config, table = whole.state_dict(), whole.config, whole.get_input_embeddings().weight
    for names in WHERE:
        found = {
            f"{mine}.{part}": state[f"{theirs}.{part}"]
            for mine, theirs in zip(("dense", "norm"), names, strict=False)
            for part in ("weight", "bias")
            if f"{theirs}.{part}" in state
        }
        if "dense.weight" not in found or names[2] not in state:
            continue
        said = (getattr(config, name, None) for name in ("classifier_activation", "hidden_act", "activation"))
        act = required().activations.ACT2FN[next((name for name in said if name), "gelu")]
        eps = float(getattr(config, "layer_norm_eps", None) or getattr(config, "norm_eps", None) or 1e-12)
        inner, width = found["dense.weight"].shape
        head = TiedHead(width, inner, len(table), transform=True, act=act, eps=eps)
        found["bias"] = state[names[2]]
        if all(found[key].shape == value.shape for key, value in head.state_dict().items() if key in found):
            head.load_state_dict(found, strict=False)  # a bias that the checkpoint has not is zero
            return head
    return None


@torch.no_grad()
def _says_the_same(head: TiedHead, whole: Any) -> bool:
    table = whole.get_input_embeddings().weight
    ids = torch.linspace(0, len(table) - 1, 8).long()[None]
    said, states = whole(input_ids=ids).logits[0], whole.base_model(input_ids=ids).last_hidden_state[0]
    if states.shape[1] != (head.dense.in_features if head.dense is not None else table.shape[1]):
        return False
    return said.shape[1] == len(table) and torch.allclose(
        head(states, table), said, rtol=1e-3, atol=1e-4 * float(said.abs().max())
    )
