"""What an adaptation goes by: the options that the work reads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """The options of `adapt` that the work goes by; ``None`` where the user is silent."""

    method: str
    select: str | None
    target_labels: int
    classifier: str
    task: str
    seed: int
    epochs: int | None = None
    lr: float | None = None
    batch_size: int | None = None
    device: str = "cpu"
