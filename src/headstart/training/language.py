"""The steps of a language model on the target's texts: what is hidden, and the loss of guessing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.loader import batches
from headstart.data.text_preprocessing import IDS, MASK, Text, TextPreprocessing
from headstart.functional.masking import IGNORED, masked_tokens, next_tokens
from headstart.sources.language_head import embeddings, new_head, own_head
from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone
from headstart.strategies.preparation.language_model import LanguageModel, MaskedLM
from headstart.strategies.procedures.procedure import Procedure
from headstart.strategies.terms.term import Penalty, Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model, Task
from headstart.training.preparing import Course, whole_steps


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
        states = model.backbone.last_states(batch.inputs)[asked]
        if not len(states):
            return {"loss": model.backbone(batch.inputs).sum() * 0.0}
        outputs = model.head(states, embeddings(model.backbone))
        return {"loss": nn.functional.cross_entropy(outputs.float(), batch.targets[asked])}


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
    table, masked = embeddings(backbone), isinstance(phase, MaskedLM)
    own = own_head(source, masked=masked)
    head = new_head(source.width, table, transform=masked) if own is None else own

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
                    ids, free, share=phase.share, mask_id=tokenizer.mask_token_id, vocabulary=min(len(table), len(tokenizer)),
                    generator=draws,
                )  # fmt: skip
            else:
                targets = next_tokens(ids, mask)
            yield Batch(inputs, targets)

    whose = "the checkpoint's own" if own is not None else "new, tied to the input embeddings"
    said = f"{int(phase.epochs)} epochs over {len(texts)} texts of the target without their labels, {steps} steps each; head {whose}"
    return Course(head, Tokens(("token",)), Guessing(), passing, steps, int(phase.epochs), said)
