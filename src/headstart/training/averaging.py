"""Averages of the weights along a training: EMA and SWA, with batch-norm statistics that belong to them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from headstart.data.batch import Batch
from headstart.errors import RecipeError, sentence
from headstart.strategies.tuning.tuning import in_train_mode
from headstart.tasks.task import Model
from headstart.training.objective import Objective


@dataclass(frozen=True)
class Average:
    """``ema(decay)`` or ``swa(share)``; ``str()`` gives the text back.

    Attributes:
        kind: ``"ema"`` (Polyak and Juditsky 1992; ``m <- d m + (1 - d) theta`` after each update, from the first one's
            weights on, where d is ``decay`` and at the t-th update at most ``(1 + t) / (10 + t)``: a training of a
            hundred steps would else remember how it began) or ``"swa"`` (Izmailov et al. 2018: the plain mean of the weights after each update of the
            last ``share`` of them, where the learning rate stays what it was when the averaging began).
        value: decay in (0, 1), or share in (0, 1).
    """

    kind: str
    value: float

    def __str__(self) -> str:
        return f"{self.kind}({self.value:g})"

    def first(self, total: int) -> int:
        """The update, from 0, of ``total`` whose weights are the first in the average."""
        return 0 if self.kind == "ema" else min(total - 1, math.floor(total * (1 - self.value)))


DEFAULTS = {"ema": 0.99, "swa": 0.25}


def parse_average(text: str) -> Average | None:
    """``none``, ``ema``, ``ema(0.99)``, ``swa``, ``swa(0.25)``.

    Raises:
        RecipeError: anything else, or a number outside (0, 1).
    """
    if text == "none":
        return None
    found = re.fullmatch(r"(ema|swa)(?:\(\s*([0-9.eE+-]+)\s*\))?", str(text).strip())
    try:
        value = float(found[2] or DEFAULTS[found[1]]) if found else math.nan
    except ValueError:
        value = math.nan
    if found is None or not 0 < value < 1:
        raise RecipeError(
            sentence(
                "bad value of average",
                where="the recipe",
                got=text,
                allowed=["none", "ema(decay)", "swa(share)", "both numbers between 0 and 1"],
                fix="--average 'ema(0.99)'",
            )
        )
    return Average(found[1], value)


class Averager:
    """Keeps the average of a model while it is trained.

    Args:
        how: which average.
        model: its weights now do not count; the first that do are those after the first averaged update.
        total: updates of the whole training.
    """

    def __init__(self, how: Average, model: Model, total: int) -> None:
        self.how, self.first, self.total = how, how.first(total), total
        self._kept = AveragedModel(model, multi_avg_fn=self._towards if how.kind == "ema" else None)

    def _towards(self, kept: Any, new: Any, t: torch.Tensor | int) -> None:
        """One step of the EMA in place; ``t`` weights have been taken in before."""
        get_ema_multi_avg_fn(min(self.how.value, (1 + int(t)) / (10 + int(t))))(kept, new, t)

    @property
    def count(self) -> int:
        """How many weights are in the average so far."""
        return int(self._kept.n_averaged)

    @property
    def model(self) -> Model:
        """The averaged model; meaningful once ``count`` is positive."""
        model = self._kept.module
        assert isinstance(model, Model)
        return model

    def after(self, update: int, model: Model) -> None:
        """Take in the weights after ``update`` (from 0 over the whole training)."""
        if update >= self.first:
            self._kept.update_parameters(model)

    def held(self, update: int) -> int:
        """The update whose learning rate holds at ``update``: SWA averages at a constant rate."""
        return min(update, self.first) if self.how.kind == "swa" else update

    def settled(self, objective: Objective, batches: Iterable[Batch], progress: float, largest: int | None) -> Model:
        """The averaged model with batch-norm statistics of its own, where those of the trained one follow the images.

        Args:
            batches: those of the epoch that has ended, at the share ``progress`` of the epochs; ``largest`` images at once.
        """
        names = {f"backbone.{name}" for name, _ in in_train_mode(objective.model.backbone, objective.stages, progress)}
        norms = [module for name, module in self.model.named_modules() if name in names]
        device = next(self.model.parameters()).device
        images = (piece.to(device) for b in batches for piece in b.inputs.split(largest or len(b)))
        refresh_batch_norm(self.model, images, norms)
        return self.model

    def said(self, updates: int) -> str:
        """In words: whether the weights after so many updates are an average."""
        return f"{self.how} of the weights" if self.first < updates else f"{self.how} had not begun"

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total, "kept": self._kept.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on; the SWA of a training that is now longer begins anew, at the end of the longer one."""
        if self.how.kind == "ema" or state["total"] == self.total:
            self._kept.load_state_dict(state["kept"])


@torch.no_grad()
def refresh_batch_norm(model: nn.Module, images: Iterable[torch.Tensor], adapting: Iterable[nn.Module]) -> int:
    """Measure the running statistics of the batch norms in ``adapting`` anew: the mean over ``images`` of each batch's.

    As :func:`torch.optim.swa_utils.update_bn`, but only for those that training moved (frozen ones keep the source's), and
    with dropout off, as the model will be used. ``model`` is left in eval mode.

    Args:
        images: batches (B, 3, H, W), on the model's device, as in training.
        adapting: modules of ``model``; those that are no batch norm, or keep no statistics, are passed over.

    Returns:
        How many batch norms were measured.
    """
    norms = [m for m in adapting if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is not None]
    model.eval()
    if not norms:
        return 0
    before = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
            norm.train()
        for batch in images:
            model(batch)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()
    return len(norms)
