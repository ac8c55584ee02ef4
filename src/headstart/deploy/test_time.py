"""Test-time adaptation: batch norms that follow the images to predict (``bn``), and TENT. The saved model never changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.data.loader import batches
from headstart.data.preprocessing import Preprocessing
from headstart.errors import RunError, sentence
from headstart.functional.test_time import blended, mean_entropy
from headstart.progress import SILENT, Progress
from headstart.tasks.losses import called
from headstart.tasks.task import Task

KINDS: dict[str, tuple[str, float] | None] = {"bn": ("prior", 16.0), "tent": ("lr", 0.001)}
"""Name -> its one argument and the default of that."""

BatchNorm = nn.modules.batchnorm._BatchNorm
Adapted = Callable[[torch.Tensor], torch.Tensor]
"""A batch of inputs -> the outputs of the head, (B, rows), by the model as it adapts to it."""


@dataclass(frozen=True)
class TestTime:
    """How a model adapts to what it predicts.

    Attributes:
        kind: ``"bn"`` or ``"tent"``.
        value: of ``bn`` the source prior N >= 0, in images; of ``tent`` the learning rate, > 0.
    """

    kind: str
    value: float

    __test__ = False  # not a test, whatever its name


def parse_test_time(text: str) -> TestTime:
    """``bn``, ``bn(prior=16)``, ``tent``, ``tent(lr=0.001)``.

    Raises:
        RecipeError: text that is none of these.
        RunError: a value out of range.
    """
    kind, value = called(text, "test-time adaptation", KINDS)
    assert value is not None
    if value < 0 or (kind == "tent" and value == 0):
        allowed = "prior >= 0, in images" if kind == "bn" else "lr > 0"
        raise RunError(sentence("test-time adaptation with a value out of range", got=text, allowed=allowed))
    return TestTime(kind, value)


def chunks(n: int, batch_size: int) -> list[np.ndarray]:
    """All of n images once, int64 rows of each batch, in an order drawn from a fixed seed.

    Drawn, because files come sorted by folder: a batch of one class has the statistics of that class. Of even size, at
    most ``batch_size``, and never a batch of one (then batches are larger by one).
    """
    order = np.random.default_rng(0).permutation(n)
    return np.array_split(order, max(1, min(-(-n // batch_size), n // 2)))


def predict_adapting(
    backbone: nn.Module,
    head: tuple[torch.Tensor, torch.Tensor],
    task: Task,
    how: TestTime,
    dataset: Dataset,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    device: torch.device,
    progress: Progress = SILENT,
) -> np.ndarray:
    """What the task decodes, float32 (n, M), in the order of the data set, by a model that adapts batch by batch.

    A prediction depends on the images that are predicted with it: on all of them together, and on ``batch_size``. The same call
    gives the same answers. The copy that adapts is in fp32.

    Args:
        head: weight (rows, width), bias (rows,).

    Raises:
        RunError: what :func:`refuse` refuses.
    """
    refuse(backbone, task, how, min(len(dataset), batch_size))
    model = adapting(backbone, head, how, device)
    found = np.empty((0, 0), dtype=np.float32)
    progress.start(f"adapting by {how.kind}", total=len(dataset), unit="image")
    for rows, inputs in _passing(dataset, preprocessing, batch_size):
        decoded = task.decode(model(inputs.to(device))).cpu().numpy()
        if not found.size:
            found = np.empty((len(dataset), decoded.shape[1]), dtype=np.float32)
        found[rows] = decoded
        progress.advance(len(rows))
    progress.done()
    return found


def _passing(
    dataset: Dataset, preprocessing: Preprocessing, batch_size: int
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    for rows in chunks(len(dataset), batch_size):
        for batch in batches(dataset.subset(rows), preprocessing, batch_size=len(rows)):
            yield rows, batch.inputs


def refuse(backbone: nn.Module, task: Task, how: TestTime, largest: int) -> None:
    """Refuse what has nothing to adapt, in words.

    Args:
        largest: images in the largest batch.

    Raises:
        RunError: no batch norms, or none with affine parameters that TENT could move; TENT without class probabilities; a
            batch of one image.
    """
    norms = [module for module in backbone.modules() if isinstance(module, BatchNorm)]
    fix = "leave --adapt out"
    if not norms:
        raise RunError(
            sentence("test-time adaptation changes batch norms, but this network has none", got=how.kind, fix=fix)
        )
    if how.kind == "tent" and "class_probabilities" not in task.gives:
        raise RunError(
            sentence("TENT lowers the entropy of class probabilities, but the task gives none", where=f"a model of the task {task.name!r}",
                     got=how.kind, fix="--adapt bn")
        )  # fmt: skip
    if how.kind == "tent" and not any(norm.affine for norm in norms):
        raise RunError(
            sentence(
                "TENT moves the affine parameters of batch norms, but theirs have none", got=how.kind, fix="--adapt bn"
            )
        )
    if largest < 2:
        raise RunError(
            sentence("one image has no batch statistics to adapt to", got="1 image a batch", allowed="2 or more, better 32",
                     fix=f"more images and --batch-size 64, or {fix}")
        )  # fmt: skip


def adapting(
    backbone: nn.Module, head: tuple[torch.Tensor, torch.Tensor], how: TestTime, device: torch.device
) -> Adapted:
    """A copy of the model that adapts to every batch it is given; ``backbone`` and ``head`` stay as they are."""
    return adapt_in_place(copy.deepcopy(backbone).float().to(device), head, how, device)


def adapt_in_place(
    model: nn.Module, head: tuple[torch.Tensor, torch.Tensor], how: TestTime, device: torch.device
) -> Adapted:
    """The same, and ``model`` is the one that changes."""
    model.eval().requires_grad_(False)
    norms = [module for module in model.modules() if isinstance(module, BatchNorm)]
    weight, bias = (torch.as_tensor(part, dtype=torch.float32).to(device) for part in head)

    def outputs(inputs: torch.Tensor) -> torch.Tensor:
        return model(inputs) @ weight.T + bias

    return _statistics(norms, how.value, outputs) if how.kind == "bn" else _tent(norms, how.value, outputs)


def _statistics(norms: list[Any], prior: float, outputs: Adapted) -> Adapted:
    """Each norm takes, for a batch of n, the blend of the source's statistics with those of the n (Schneider et al. 2020).

    The statistics of a norm are those of the batch as the norms before it already left it. Nothing is handed on to the next batch.
    """
    for norm in norms:
        if norm.running_mean is not None:  # one without takes those of the batch anyhow
            norm.register_forward_pre_hook(_blend(norm.running_mean.clone(), norm.running_var.clone(), prior))

    @torch.no_grad()
    def adapt(inputs: torch.Tensor) -> torch.Tensor:
        return outputs(inputs)

    return adapt


def _blend(mean: torch.Tensor, var: torch.Tensor, prior: float) -> Callable[[Any, tuple[torch.Tensor, ...]], None]:
    def hook(norm: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        x = inputs[0]
        found, centre = torch.var_mean(x, [i for i in range(x.ndim) if i != 1], correction=0)
        norm.running_mean = blended(mean, centre, len(x), prior)
        norm.running_var = blended(var, found, len(x), prior)

    return hook


def _tent(norms: list[Any], lr: float, outputs: Adapted) -> Adapted:
    """TENT (Wang et al., ICLR 2021): statistics of the batch, and per batch one Adam step of the norms' scales and shifts down
    the entropy of the predictions, kept for the batches that follow.

    A batch is predicted after its own step; the paper predicts before it, with which a call of one batch would be the
    statistics alone.
    """
    moving = [parameter for norm in norms if norm.affine for parameter in (norm.weight, norm.bias)]
    for norm in norms:
        norm.train()
        norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None
    optimizer = torch.optim.Adam([parameter.requires_grad_() for parameter in moving], lr=lr)

    def adapt(inputs: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        mean_entropy(outputs(inputs)).backward()
        optimizer.step()
        with torch.no_grad():
            return outputs(inputs)

    return adapt
