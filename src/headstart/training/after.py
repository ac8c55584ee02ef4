"""After training: a soup of several trainings, and the line from the source's weights to the tuned ones (WiSE-FT)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from headstart.errors import HandshakeError, sentence
from headstart.functional.weights import State, interpolate
from headstart.progress import Progress
from headstart.sources.source import Source
from headstart.strategies.tuning.tuning import Stage, in_train_mode
from headstart.tasks.task import Model
from headstart.training.averaging import refresh_batch_norm
from headstart.training.loop import Fitted
from headstart.training.soup import Rank, Soup, cook, recipe_of

ALPHAS = tuple(i / 10 for i in range(11))
"""The places on the line that are looked at."""

Validate = Callable[[Model], dict[str, float]]


@dataclass(frozen=True)
class After:
    """What is done with the weights once training has ended.

    Attributes:
        soup: of how many trainings, or ``None`` for one training.
        wise: the place between the source's weights (0) and the tuned ones (1), ``"auto"`` for the best on validation
            images, or ``None`` for the tuned weights.
        ends: keep the weights of both ends, so that the whole line can be drawn.
    """

    soup: Soup | None = None
    wise: float | str | None = None
    ends: bool = False


PLAIN = After()
"""Nothing comes after training."""


def finish(
    after: After,
    train_one: Callable[[int, int, float], Fitted],
    source: Source,
    head: Callable[[], tuple[torch.Tensor, ...]],
    *,
    seed: int,
    images: Callable[[], Iterable[torch.Tensor]],
    stages: Sequence[Stage],
    validate: Validate | None,
    metric: str,
    progress: Progress,
) -> tuple[Fitted, dict[str, Any], tuple[State, State] | None]:
    """Train once or for a soup, then go to the asked place on the line.

    Args:
        head: gives (weight (K, width), bias (K,)) of the source's end of the line: what training started from, or a head
            solved on the source where that was zero.

    Returns:
        The model, what was found (``soup``, ``wise``), and both ends of the line where they are to be kept.

    Raises:
        HandshakeError: the strategy changed the network, so that there is no line.
    """
    judged: dict[str, Any] = {"validate": validate, "metric": metric, "progress": progress}
    found: dict[str, Any] = {}
    if after.soup:
        fitted, found["soup"] = make_soup(after.soup, train_one, seed=seed, images=images, stages=stages, **judged)
    else:
        fitted = train_one(0, seed, 1.0)
    if after.wise is None and not after.ends:
        return fitted, found, None
    start = {f"backbone.{k}": v.detach().cpu().clone() for k, v in source.backbone.state_dict().items()}
    start |= {f"head.{name}": v.detach().float().cpu() for name, v in zip(("weight", "bias"), head(), strict=True)}
    end = {k: v.detach().cpu().clone() for k, v in fitted.model.state_dict().items()}
    if start.keys() != end.keys():
        if after.wise is None:
            return fitted, found, None
        raise HandshakeError(
            sentence(
                "there is no line between weights of other names: the strategy changed the network",
                got=", ".join(sorted(start.keys() ^ end.keys())[:3]),
                fix="--wise none",
            )
        )
    if after.wise is not None:
        found["wise"] = walk_line(fitted.model, start, end, after.wise, **judged)
        fitted.criterion += "; weights at {alpha:g} between the source (0) and the tuned ones (1): {why}".format(
            **found["wise"]
        )
    return fitted, found, (start, end) if after.ends else None


def make_soup(
    soup: Soup,
    train_one: Callable[[int, int, float], Fitted],
    *,
    seed: int,
    images: Callable[[], Iterable[torch.Tensor]],
    stages: Sequence[Stage],
    validate: Validate | None,
    metric: str,
    progress: Progress,
) -> tuple[Fitted, dict[str, Any]]:
    """Train several times from the same start and average the weights.

    Args:
        train_one: (number of the training, its seed, factor on its learning rate) -> the best epoch of that training.
        images: one pass over training images, for the batch norms of a mean.
        validate: model -> scores with ``metric`` and ``loss``; a greedy soup needs it.

    Returns:
        The first training with the weights of the soup, and what is in it, ready for JSON.
    """
    fits = [train_one(i, *recipe_of(i, seed)) for i in range(soup.n)]
    states = [{k: v.detach().cpu().clone() for k, v in fit.model.state_dict().items()} for fit in fits]
    first = fits[0]
    model = first.model
    norms = [module for _, module in in_train_mode(model.backbone, stages)]

    def judge(state: State, mean: bool) -> tuple[Rank, dict[str, torch.Tensor]]:
        settle(model, state, norms, images if mean else None)
        weights = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
        return (rank_of(validate(model), metric) if validate else ()), weights

    cooked = cook(states, judge, greedy=soup.kind == "greedy")
    settle(model, cooked.weights, norms, None)
    trainings = [
        {
            "seed": s,
            "lr_factor": f,
            **({metric: rank[0], "loss": -rank[1]} if rank else {}),
            "in_soup": i in cooked.chosen,
        }
        for i, ((s, f), rank) in enumerate(zip((recipe_of(i, seed) for i in range(soup.n)), cooked.ranks, strict=True))
    ]
    found: dict[str, Any] = {"kind": soup.kind, "n": soup.n, "chosen": list(cooked.chosen), "trainings": trainings}
    if cooked.rank:
        found |= {metric: cooked.rank[0], "loss": -cooked.rank[1]}
    first.criterion = f"{soup.kind} soup of {len(cooked.chosen)} of {soup.n} trainings, each at its best epoch"
    if validate is None:
        first.criterion = f"uniform soup of {soup.n} trainings, each at its last epoch"
    progress.say(f"soup: {len(cooked.chosen)} of {soup.n} trainings are in it")
    return first, found


def walk_line(
    model: Model,
    start: State,
    end: State,
    wise: float | str,
    *,
    validate: Validate | None,
    metric: str,
    progress: Progress,
) -> dict[str, Any]:
    """Put ``model`` at its place between ``start`` and ``end``.

    Returns:
        ``{"alpha", "why", "curve": [{"alpha", metric, "loss"}]}``, the curve over the validation images where there are any
        and the place was to be found; of equal places the one nearer to the tuned weights is taken.
    """
    curve: list[dict[str, float]] = []
    if wise == "auto":
        assert validate is not None
        for alpha in ALPHAS:
            settle(model, interpolate(start, end, alpha), [], None)
            scores = validate(model)
            curve.append({"alpha": alpha, metric: scores[metric], "loss": scores["loss"]})
        best = max(curve, key=lambda row: (row[metric], -row["loss"], row["alpha"]))
        alpha = best["alpha"]
        why = f"the best validation {metric.replace('_', ' ')} of {len(ALPHAS)} places"
    else:
        alpha, why = float(wise), "asked for"
    settle(model, interpolate(start, end, alpha), [], None)
    progress.say(f"weights at {alpha:g} between the source (0) and the tuned ones (1): {why}")
    return {"alpha": alpha, "why": why, "curve": curve}


def settle(
    model: Model, state: State, norms: Sequence[nn.Module], images: Callable[[], Iterable[torch.Tensor]] | None
) -> None:
    """Load weights; measure the statistics of ``norms`` anew where ``images`` are given."""
    model.load_state_dict(dict(state))
    model.eval()
    if images is not None and norms:
        device = next(model.parameters()).device
        refresh_batch_norm(model, (batch.to(device, memory_format=torch.channels_last) for batch in images()), norms)


def rank_of(scores: dict[str, float], metric: str) -> Rank:
    """A better score first, then a lower loss: how epochs are compared too."""
    return scores[metric], -scores["loss"]
