"""One batch of images, from the loader to the losses."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch


@dataclass(frozen=True)
class Batch:
    """A batch; what is not there is ``None``.

    Attributes:
        inputs: float32 (B, 3, S, S) images, normalised, or (B, d) rows of features.
        targets: int64 (B,) class indices, float (B, ...) targets of another kind, or ``None`` without labels.
        index: int64 (B,), rows of the data set.
        weak, strong: float32 (U, ...), a weakly and a strongly varied view of the same unlabelled inputs.
        domain: int64 (B,), which of S sources each labelled input is of, S for labelled ones of the target; ``None`` where
            there is one source alone.
        weights: float32 (B,), what each labelled input counts, on average 1 over the data set; ``None``: all alike.
        mixing: float32 (B,), the share of each labelled input in its mixture with another one, where features are mixed (mixup of texts).
        target: float32 (U, ...), unlabelled inputs of the domain that the model is adapted to; those of ``weak`` and
            ``strong``, where these are there too.
        target_index: int64 (U,), their rows of the target's data set.
    """

    inputs: torch.Tensor
    targets: torch.Tensor | None = None
    index: torch.Tensor | None = None
    weak: torch.Tensor | None = None
    strong: torch.Tensor | None = None
    domain: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    mixing: torch.Tensor | None = None
    target: torch.Tensor | None = None
    target_index: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def split(self, k: int) -> list[Batch]:
        """``k`` pieces of even size, each with its share of every part."""
        cut = {name: value.tensor_split(k) for name, value in self._parts().items()}
        return [Batch(**{name: value[i] for name, value in cut.items()}) for i in range(k)]

    def to(self, device: torch.device) -> Batch:
        """The same on another device, images in channels-last order."""
        moved = {name: value.to(device, non_blocking=True) for name, value in self._parts().items()}
        last = torch.channels_last
        return Batch(**{k: v.contiguous(memory_format=last) if v.ndim == 4 else v for k, v in moved.items()})

    def _parts(self) -> dict[str, torch.Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
