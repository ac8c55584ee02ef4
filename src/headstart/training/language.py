"""The steps of a language model on the target's texts: what is hidden, the head that guesses it, and the loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.loader import batches
from headstart.data.text_preprocessing import IDS, MASK, TYPES, Text, TextPreprocessing
from headstart.functional.masking import IGNORED, masked_tokens, next_tokens
from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone
from headstart.strategies.preparation.language_model import LanguageModel, MaskedLM
from headstart.strategies.procedures.procedure import Procedure
from headstart.strategies.terms.term import Penalty, Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model, Task
from headstart.training.preparing import Course, whole_steps

TRAINED = (
    ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
    ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
)
"""Where BERT, RoBERTa and DistilBERT keep the head of their masked language model: a linear layer, a norm, a bias a token."""


class Joined(Sequence[Text]):
    """Texts of several sequences one after the other, read where they are; pairs beside single texts come as one text."""

    def __init__(self, parts: Sequence[Sequence[Text]]) -> None:
        self.parts = [part for part in parts if len(part)]
        self.mixed = len({isinstance(part[0], str) for part in self.parts}) > 1

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, index: Any) -> Any:
        for part in self.parts:
            if index < len(part):
                text = part[index]
                return " ".join(text) if self.mixed and not isinstance(text, str) else text
            index -= len(part)
        raise IndexError(index)


class TiedHead(nn.Module):
    """Hidden states -> a number for each token of the vocabulary, by the input embeddings: ``E g(h) + b``.

    Args:
        width: of the hidden states. inner: of the embeddings. vocabulary: tokens.
        transform: whether g is a linear layer, GELU and a layer norm as in BERT (it starts as the identity in place of the linear layer);
            else g is the identity, as in GPT-2.
        eps: of the norm.
    """

    def __init__(self, width: int, inner: int, vocabulary: int, *, transform: bool, eps: float = 1e-12) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.dense: nn.Linear | None = None
        if transform or width != inner:
            self.dense = nn.Linear(width, inner)
            self.norm = nn.LayerNorm(inner, eps)
            nn.init.eye_(self.dense.weight)
            nn.init.zeros_(self.dense.bias)

    def forward(self, states: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """(N, width) and (V, inner) -> (N, V)."""
        if self.dense is not None:
            states = self.norm(nn.functional.gelu(self.dense(states)))
        return states @ embeddings.T + self.bias


class Tokens(Classification):
    """Mass of a batch: the tokens that are asked for."""

    def mass(self, targets: torch.Tensor) -> float:
        return float((targets != IGNORED).sum())


@dataclass(frozen=True)
class Guessing(Procedure):
    """The mean cross-entropy of the tokens that are asked for."""

    name = "language model"

    def losses(
        self, model: Model, task: Task, batch: Batch, penalties: Mapping[str, Penalty], start: Start, progress: float, step: str = ""
    ) -> dict[str, torch.Tensor]:  # fmt: skip
        assert batch.targets is not None and isinstance(model.backbone, TextBackbone)
        asked = batch.targets != IGNORED
        states = last_states(model.backbone, batch.inputs)[asked]
        if not len(states):
            return {"loss": model.backbone(batch.inputs).sum() * 0.0}
        outputs = model.head(states, embeddings(model.backbone))
        return {"loss": nn.functional.cross_entropy(outputs.float(), batch.targets[asked])}


def last_states(backbone: TextBackbone, inputs: torch.Tensor) -> torch.Tensor:
    """(B, T, width), whatever the backbone makes of its layers."""
    given: dict[str, Any] = {"input_ids": inputs[:, IDS], "attention_mask": inputs[:, MASK]}
    if backbone.typed:
        given["token_type_ids"] = inputs[:, TYPES]
    return backbone.model(**given, return_dict=True).last_hidden_state


def embeddings(backbone: TextBackbone) -> torch.Tensor:
    """The input embeddings, (V, inner): the head shares them."""
    return backbone.model.get_input_embeddings().weight  # type: ignore[operator]


def language_course(
    source: Source, phase: LanguageModel, train_set: Dataset, unlabelled: Dataset | None, *, seed: int
) -> Course:
    """Every text once an epoch, what is hidden drawn anew from (seed, epoch)."""
    preprocessing, backbone = source.preprocessing, source.backbone
    assert isinstance(preprocessing, TextPreprocessing) and isinstance(backbone, TextBackbone)
    texts = Joined([train_set.inputs, *([] if unlabelled is None else [unlabelled.inputs])])
    everything = Dataset(texts, None, (), np.full(len(texts), "train", dtype="U5"), modality="text")
    steps, size = whole_steps(len(texts), int(phase.batch_size))
    tokenizer = preprocessing.tokenizer
    special = torch.tensor(sorted(set(tokenizer.all_special_ids)), dtype=torch.int64)
    vocabulary, inner = embeddings(backbone).shape
    masked = isinstance(phase, MaskedLM)
    eps = float(getattr(backbone.config, "layer_norm_eps", 1e-12))
    head = TiedHead(source.width, inner, vocabulary, transform=masked, eps=eps)
    known = masked and fill_head(head, source.extra.get("folder"))

    def passing(epoch: int) -> Iterator[Batch]:
        order = int(np.random.SeedSequence([seed, 1 + epoch]).generate_state(1)[0])
        draws = torch.Generator().manual_seed(order)
        for step, batch in enumerate(batches(everything, preprocessing, batch_size=size, shuffle_seed=order)):
            if step == steps:
                return
            windows = getattr(backbone, "windows", None)  # a text longer than the model, in rows
            inputs = (windows(batch.inputs)[0] if windows else batch.inputs).clone()
            ids, mask = inputs[:, IDS], inputs[:, MASK]
            if isinstance(phase, MaskedLM):
                free = mask.bool() & ~torch.isin(ids, special)
                inputs[:, IDS], targets = masked_tokens(
                    ids, free, share=phase.share, mask_id=tokenizer.mask_token_id, vocabulary=min(vocabulary, len(tokenizer)),
                    generator=draws,
                )  # fmt: skip
            else:
                targets = next_tokens(ids, mask)
            yield Batch(inputs, targets)

    whose = "the checkpoint's own" if known else "new, tied to the input embeddings"
    said = f"{int(phase.epochs)} epochs over {len(texts)} texts of the target without their labels, {steps} steps each; head {whose}"
    return Course(head, Tokens(("token",)), Guessing(), passing, steps, int(phase.epochs), said)


def fill_head(head: TiedHead, folder: Any) -> bool:
    """Take the head of a masked language model from the checkpoint that the source came from; whether it has one that fits."""
    path = Path(folder) / "model.safetensors" if folder else None
    if path is None or not path.is_file() or head.dense is None:
        return False
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        names = set(file.keys())
        for dense, norm, bias in TRAINED:
            found = {
                "dense.weight": f"{dense}.weight", "dense.bias": f"{dense}.bias", "norm.weight": f"{norm}.weight",
                "norm.bias": f"{norm}.bias", "bias": bias,
            }  # fmt: skip
            if set(found.values()) <= names:
                state = {mine: file.get_tensor(theirs).float() for mine, theirs in found.items()}
                if all(state[key].shape == value.shape for key, value in head.state_dict().items()):
                    head.load_state_dict(state)
                    return True
    return False
