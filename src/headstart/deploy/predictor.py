"""A saved model, ready to predict: the same preprocessing, precision and labels wherever it is loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.data.views import view, view_names
from headstart.deploy.heads import load_head
from headstart.deploy.neck import load_neck
from headstart.deploy.taps import load_taps
from headstart.deploy.test_time import parse_test_time, predict_adapting
from headstart.errors import RunError, sentence
from headstart.features.extract import extract
from headstart.features.precision import fold_batch_norm
from headstart.progress import SILENT, Progress
from headstart.sources import load_source
from headstart.sources.text_backbone import read_tokens
from headstart.tasks.catalogue import TASKS
from headstart.tasks.task import Model, Task
from headstart.training.device import pick_device
from headstart.training.finetune import predict_batches


class Predictor:
    """The model of a run folder (or a model folder with a head).

    Args:
        folder: a run folder, its ``model/`` folder, or a local model folder in timm's layout.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` ...
        head: which of several, by name; default: the run's target, where it has one.

    Raises:
        RunError: the folder has no model with a head, or not the head that is named.
        SourceError: the model in it cannot be loaded.
    """

    def __init__(self, folder: str | Path, device: str = "auto", head: str | None = None) -> None:
        folder = Path(folder)
        self.folder = folder / "model" if (folder / "model").is_dir() else folder
        if (self.folder / "model.joblib").is_file():
            raise RunError(
                sentence(
                    "this run of adapt has a model of features, and no network of images", got=str(folder),
                    fix=f"headstart predict {folder} INPUT, or its report.html for the scores",
                )
            )  # fmt: skip
        if not (self.folder / "config.json").is_file():
            raise RunError(
                sentence(
                    "not a run folder: it has no model/config.json", got=str(folder), fix="headstart fit DATA --out RUN"
                )
            )
        source = load_neck(self.folder, load_taps(self.folder, load_source(str(self.folder))))
        self.source, of_head = load_head(self.folder, head, source)
        if self.source.head is None or not self.source.classes:
            raise RunError(
                sentence(
                    "the model has no head with class names, so it predicts nothing",
                    got=str(folder),
                    fix="headstart fit DATA --source " + str(folder),
                )
            )
        config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        own = config.get("headstart", {})
        self.precision: str = own.get("precision", "fp32")
        self.flip: bool = own.get("flip", False)
        saved = of_head or own.get("task", {"name": "classification"})
        self.task: Task = TASKS[saved["name"]].restore(self.source.classes, saved)
        self.classes = self.source.classes
        self.device = pick_device(device)

    def probabilities(
        self,
        dataset: Dataset,
        *,
        batch_size: int = 64,
        tta: int = 1,
        adapt: str | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """What the task decodes, float32 (n, M), in the order of the data set: class or label probabilities (n, K), a quantity
        (n, 1), embeddings (n, D); for tasks that read tokens what they gather, object (n,).

        Args:
            tta: the mean over this many views of each image (:mod:`headstart.data.views`); 1 is the image alone. Mirrored
                views are among them where training mirrored images too.
            adapt: test-time adaptation to these images, see :mod:`headstart.deploy.test_time`; this model stays as it is.

        Raises:
            RunError: more views than there are; an adaptation that has nothing to adapt, or views besides.
        """
        if self.task.by_token and (adapt is not None or tta != 1):
            raise RunError(sentence("a model that reads tokens has no views and adapts to nothing when it predicts", got=f"adapt {adapt}, tta {tta}", fix="leave them out"))  # fmt: skip
        if adapt is not None:
            if tta != 1:
                raise RunError(
                    sentence(
                        "adapt and tta are not taken together", got=f"adapt {adapt}, tta {tta}", fix="one of the two"
                    )
                )
            assert self.source.head is not None
            return predict_adapting(
                self.source.backbone, self.source.head, self.task, parse_test_time(adapt), dataset, self.source.preprocessing,
                batch_size=batch_size, device=self.device, progress=SILENT if progress is None else progress,
            )  # fmt: skip
        if self.task.by_token:
            return self._by_token(dataset, batch_size)
        source, names = self.source, self._views(tta)
        if tta > 1:
            source = replace(
                source, backbone=Views(fold_batch_norm(source.backbone), names).eval(), width=source.width * tta
            )
        features = extract(
            source,
            dataset,
            cache_dir=None,
            device=str(self.device),
            precision=self.precision,
            batch_size=batch_size,
            progress=progress,
        ).X
        parts = np.split(features, tta, axis=1)
        return np.stack([head_outputs(part, self.source.head, self.task) for part in parts]).mean(0)

    def _by_token(self, dataset: Dataset, batch_size: int) -> np.ndarray:
        """What the task gathers of the windows of each text, object (n,)."""
        assert self.source.head is not None
        weight, bias = self.source.head
        head = nn.Linear(weight.shape[1], weight.shape[0])
        head.load_state_dict({"weight": weight, "bias": bias})
        model = Model(read_tokens(self.source).backbone, head).to(self.device)
        return predict_batches(model, self.task, dataset, self.source.preprocessing, self.device, batch_size=batch_size)

    def _views(self, count: int) -> list[str]:
        try:
            return view_names(count, flip=self.flip)
        except ValueError:
            raise RunError(
                sentence(
                    "test-time augmentation with no such number of views"
                    + ("" if self.flip else " (this run was not trained on mirrored images, so none are added)"),
                    got=count,
                    allowed=f"1 to {10 if self.flip else 5}",
                )
            ) from None


class Views(nn.Module):
    """The features of several views side by side: (B, 3, H, W) -> (B, views * width); each image is decoded once."""

    def __init__(self, backbone: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.backbone, self.names = backbone, names

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not isinstance(images, torch.Tensor):
            raise TypeError("views are not traced: what is inside is folded already")
        return torch.cat([self.backbone(view(images, name)) for name in self.names], dim=1)


def head_outputs(features: np.ndarray, head: Any, task: Task) -> np.ndarray:
    """What the task decodes of features W' + b: float32 (n, width) -> float32 (n, M)."""
    weight, bias = (torch.as_tensor(value, dtype=torch.float32) for value in head)
    return task.decode(torch.as_tensor(features) @ weight.T + bias).numpy()
