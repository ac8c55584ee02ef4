"""An encoder-decoder of transformers as a backbone: encoded pairs in, the outputs over the vocabulary out."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from headstart.data.sequence_preprocessing import IDS, LABELS, MASK, NONE
from headstart.errors import SourceError, sentence
from headstart.sources.source import Layer


class SequenceBackbone(nn.Module):
    """int64 (B, 3, T), as :class:`headstart.data.sequence_preprocessing.SequencePreprocessing` makes it -> float (B, T, V).

    Teacher forcing: at each place of the target the model has read the text and the true target before that place.

    Args:
        model: of transformers, ``...ForConditionalGeneration`` or ``MarianMTModel``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def config(self) -> Any:
        """Of transformers."""
        return self.model.config

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        longest = inputs.shape[2]
        ids, mask, labels = inputs[:, IDS], inputs[:, MASK], inputs[:, LABELS]
        n = max(int(mask.sum(1).max()), 1)
        m = max(int((labels != NONE).sum(1).max()), 1)
        found = self.model(
            input_ids=ids[:, :n], attention_mask=mask[:, :n], decoder_input_ids=self.shifted(labels[:, :m]), use_cache=False
        ).logits  # fmt: skip
        return nn.functional.pad(found, (0, 0, 0, longest - m))

    def shifted(self, labels: torch.Tensor) -> torch.Tensor:
        """What the decoder reads: its start token, then the target without its last token."""
        first = torch.full_like(labels[:, :1], int(self.config.decoder_start_token_id))
        before = torch.cat([first, labels[:, :-1]], 1)
        return before.masked_fill(before == NONE, int(self.config.pad_token_id))


def sequence_layers(backbone: SequenceBackbone) -> list[Layer]:
    """Stages from the input to the output: embeddings, the encoder's blocks, the decoder's, what comes behind them.

    What the library holds fixed (the places of Marian, sines and cosines) is in none.
    """
    names = {id(module): name for name, module in backbone.named_modules()}
    blocks: list[Layer] = []
    lists: list[str] = []
    for word, half in (("encoder", backbone.model.get_encoder()), ("decoder", backbone.model.get_decoder())):  # type: ignore[operator]
        found = [m for m in half.modules() if isinstance(m, nn.ModuleList) and len(m)]
        if not found:
            raise SourceError(sentence(f"the {word} has no list of blocks to move one by one", got=type(half).__name__))
        largest = max(found, key=lambda m: sum(p.numel() for p in m.parameters()))
        lists.append(names[id(largest)])
        blocks += [Layer(f"{word}{i + 1}", (f"{lists[-1]}.{i}",)) for i in range(len(largest))]
    sides: dict[str, list[str]] = {"embeddings": [], "final": []}
    for name, parameter in backbone.named_parameters():
        if not parameter.requires_grad or any(name.startswith(f"{inside}.") for inside in lists):
            continue
        owner = name.rpartition(".")[0]
        leaf = not any(True for _ in backbone.get_submodule(owner).children())
        item = owner if leaf else name
        side = sides["embeddings" if "embed" in name or "shared" in name else "final"]
        if item not in side:
            side.append(item)
    return [
        *([Layer("embeddings", tuple(sides["embeddings"]))] if sides["embeddings"] else []), *blocks,
        *([Layer("final", tuple(sides["final"]))] if sides["final"] else []),
    ]  # fmt: skip
