"""What an adaptation goes by: the options of the user, and those that the work reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.progress import Progress

if TYPE_CHECKING:
    from headstart.verbs.domains import Domains


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
    open_set: float | None = None
    augment: Any = None


@dataclass(frozen=True)
class Options:
    """All options of :func:`headstart.verbs.adapt.adapt` as the user gave them, which has their defaults and says what they mean."""

    method: str
    select: str | None
    target_labels: int
    classifier: str
    label: str | None
    text_col: str | None
    domain_col: str | None
    missing: str | None
    task: str
    backbone: str | None
    image_size: int | None
    max_length: int | None
    pool: str | None
    long: str | None
    augment: Any
    epochs: int | None
    lr: float | None
    batch_size: int | None
    open_set: float | None
    out: str | Path | None
    force: bool
    seed: int
    device: str
    workers: int | None

    @property
    def training(self) -> dict[str, Any]:
        """Of gradient steps, as the recipe has them."""
        return {"epochs": self.epochs, "lr": self.lr, "batch_size": self.batch_size, "augment": self.augment}

    @property
    def reading(self) -> dict[str, Any]:
        """Of how the backbone reads its inputs."""
        return {"image_size": self.image_size, "max_length": self.max_length, "pool": self.pool, "long": self.long}

    def folder(self, name: str) -> Path:
        """The run folder, ``runs/NAME`` and numbered unless the user named one.

        Raises:
            RunError: it exists and is not to be overwritten; said before any work is done.
        """
        from headstart.folder import begin, next_free

        folder = Path(self.out) if self.out is not None else next_free(Path("runs"), name)
        if folder.exists() and not self.force:
            begin(folder, resume=False, force=False)
        return folder

    def begin(self, folder: Path) -> Path:
        """The folder to work in beside a run folder; nothing in one that was left is gone on with: an adaptation is minutes."""
        from headstart.folder import begin, partial_of

        if partial_of(folder).exists():
            begin(folder, resume=False, force=True)
            return partial_of(folder)
        return begin(folder, resume=False, force=self.force)

    def read(self, sources: Sequence[str | Path], target: str | Path | None, progress: Progress) -> Domains:
        """All domains, as :func:`headstart.verbs.domains.read_all` reads them."""
        from headstart.verbs.domains import read_all

        return read_all(
            sources, target, label=self.label, task=self.task, backbone=self.backbone, reading=self.reading, text_col=self.text_col,
            domain_col=self.domain_col, device=self.device, workers=self.workers, progress=progress, missing=self.missing, augment=self.augment,
        )  # fmt: skip

    def question(self, task: str, method: str | None = None) -> Question:
        """What the work goes by, with the task as it was found."""
        from headstart.training.device import pick_device

        return Question(
            method or self.method, self.select, self.target_labels, self.classifier, task, self.seed, self.epochs, self.lr, self.batch_size,
            str(pick_device(self.device)), self.open_set, self.augment,
        )  # fmt: skip
