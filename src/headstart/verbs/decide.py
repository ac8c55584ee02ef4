"""What `fit` leaves open, decided by evidence within a time: strategy, layer, learning rate, epochs."""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from headstart.data.dataset import Dataset
from headstart.errors import RecipeError, sentence
from headstart.evaluation.metrics import point_metrics
from headstart.folder import cache_root
from headstart.progress import Progress
from headstart.ranking.choose import Candidate, Choice, choose_strategy
from headstart.recipe import Recipe
from headstart.sources.source import Source
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.procedures.head2toe import Head2Toe
from headstart.tasks.task import Task
from headstart.training.finetune import set_up, worst_batch
from headstart.training.fit_memory import MemoryFit, fit_memory
from headstart.training.lr_range import LrRange, lr_range_test
from headstart.training.soup import parse_soup
from headstart.training.timing import PhaseTime, StepTimes, measure_phase, measure_times
from headstart.training.transfer import resolve, seen_before, task_of
from headstart.verbs.prepare import Prepared
from headstart.verbs.settings import settings_of

CHOOSING = 120.0
"""Seconds for the comparison of strategies where no budget is given."""
SHARE = 0.4
"""Share of what a budget leaves that goes into the comparison."""
CLOSING = 15.0
"""Seconds kept for the test images, the check of the saved model in a fresh process, and the report."""
SAFE = 0.97
"""Share of the remaining time that is planned with; where a forecast was short, the loop stops before it would overrun."""


@dataclass(frozen=True)
class Decided:
    """Attributes:
    strategy, layer: for the recipe.
    optimisation: ``epochs``, ``lr``, ``seconds`` that replace the recipe's, where they were decided.
    baselines: those that the time allows.
    choice: the comparison, ``None`` where the strategy was given.
    times: seconds of the parts of training, ``None`` where nothing is trained by steps.
    lr_range, memory: how learning rate and pieces were found, ``None`` where nothing is trained by steps.
    training_seconds: expected for all trainings by steps, phases before them included.
    phases: seconds of the parts of each phase before the strategy.
    notes: what was left out for want of time.
    """

    strategy: str
    layer: str
    optimisation: dict[str, Any]
    baselines: list[str]
    choice: Choice | None = None
    times: StepTimes | None = None
    lr_range: LrRange | None = None
    memory: MemoryFit | None = None
    training_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    phases: list[PhaseTime] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def decide(
    recipe: Recipe,
    target: Prepared,
    source: Source,
    layer: str,
    *,
    until: float | None,
    device: torch.device,
    progress: Progress,
) -> Decided:
    """Compare strategies on folds of the training images, then fit the training into the time that is left.

    Args:
        layer: the layer that a solved head would read best (:func:`headstart.ranking.layers.rank_layers`), or ``"last"``.
        until: when the whole job has to be done, by ``time.perf_counter``; ``None``: 120 s for the comparison, then as long
            as the recipe's epochs take.

    Raises:
        RecipeError: the time does not allow one epoch of what was asked for.
    """
    settings = settings_of(recipe, target.unlabelled, target.held_out)
    if layer == source.layers[-1].name:
        layer = "last"
    train_set, learn = target.split("train"), target.learning
    began = time.perf_counter()

    phases = _phases(recipe, target, source, device)
    first = recipe.seeds * sum(phase.seconds for phase in phases)

    def left() -> float:
        return float("inf") if until is None else (until - time.perf_counter() - CLOSING) * SAFE - first

    if phases and left() <= 0:
        names = " and ".join(phase.name for phase in phases)
        raise RecipeError(
            sentence(
                f"the budget does not allow what comes before the strategy: {names} take{'s' if len(phases) == 1 else ''} about {first:.0f} s, and {max(left() + first, 0):.0f} s are left",
                got=recipe.budget, fix=f"--budget {int((first + CLOSING) / SAFE + 60)}s, or --strategy probe",
            )
        )  # fmt: skip
    candidates = _candidates(recipe, source, layer, task_of(train_set, settings))
    stepwise = [c for c in candidates if parse_strategy(c.strategy).procedure.by_steps]
    pretrained = source.pretrained
    notes: list[str] = []
    times = None
    if stepwise or (until is not None and "scratch" in recipe.baselines):
        how = parse_strategy(stepwise[0].strategy if stepwise else "finetune")
        options = resolve(
            settings.optimisation,
            recipe.repeats * len(train_set),
            settings.feeding.batch_size,
            pretrained=pretrained,
            source=source,
        )
        times = measure_times(
            source, how, task_of(target.split("train"), settings_of(recipe)), train_set, None, settings.feeding, options, pretrained=pretrained, device=device, seed=recipe.seed,
            precision=settings.precision,
        )  # fmt: skip

    def forecast(c: Candidate, n: int) -> float:
        if times is None or c not in stepwise:
            return 0.0
        n_fold = max(1, int(0.8 * n))
        epochs = resolve(
            settings.optimisation,
            recipe.repeats * n_fold,
            settings.feeding.batch_size,
            pretrained=pretrained,
            source=source,
        ).epochs
        return times.training(epochs, n_fold) + times.evaluate * 0.2 * n

    choice, chosen = None, candidates[0]
    if len(candidates) > 1:
        allowed = CHOOSING if until is None else max(0.0, SHARE * left())
        if learn.stand_in:
            notes.append(
                f"strategies were compared by their accuracy on {learn.stand_in}, in place of --task {learn.task}"
            )
        choice = _compare(source, candidates, learn, recipe, allowed, forecast, device, progress)
        chosen = choice.chosen
        progress.say(choice.why)
    lr_range = memory = None
    if chosen in stepwise:
        spent = time.perf_counter() - began
        room = (CHOOSING if until is None else SHARE * (left() + spent)) - spent
        lr_range, memory, better = _tune(
            chosen, choice, source, target, recipe, room, forecast, times, device, progress, notes
        )
        chosen = better
    optimisation, baselines, seconds = _fit_time(
        recipe, source, chosen, chosen.strategy in {c.strategy for c in stepwise}, times, target, left(), first, notes
    )
    for note in notes:
        progress.say(note)
    return Decided(
        chosen.strategy,
        chosen.layer,
        optimisation,
        baselines,
        choice,
        times,
        lr_range,
        memory,
        first + seconds,
        notes,
        phases,
    )


def _phases(recipe: Recipe, target: Prepared, source: Source, device: torch.device) -> list[PhaseTime]:
    """A few steps of each phase before the strategy; each on the source as it is, since what it computes takes the same time."""
    if recipe.strategy == "auto":
        return []
    strategy = parse_strategy(recipe.strategy)
    seen = seen_before(strategy, target.split("train"), target.split("valid"))
    return [
        measure_phase(
            source, phase, seen, target.unlabelled, device=device, seed=recipe.seed, precision=recipe.precision
        )
        for phase in strategy.before
    ]


def _candidates(recipe: Recipe, source: Source, layer: str, task: Task) -> list[Candidate]:
    if recipe.strategy != "auto":
        return [Candidate(recipe.strategy, layer)]
    if not source.pretrained or task.by_token:
        return [Candidate("finetune")]
    solved = [Candidate("probe", layer)] + ([Candidate("probe")] if layer != "last" else [])
    if recipe.layer not in ("last", "auto"):
        return solved[:1]
    if len(source.layers) > 1 and task.gives >= Head2Toe.needs - {"frozen_backbone"}:
        solved.append(Candidate("head2toe"))
    moving = [Candidate("lpft"), Candidate("finetune")]
    return moving if recipe.stepwise_set else solved + moving


def _compare(
    source: Source, candidates: list[Candidate], learn: Dataset, recipe: Recipe, seconds: float, forecast: Any,
    device: torch.device, progress: Progress,
) -> Choice:  # fmt: skip
    settings = settings_of(recipe)
    if learn.task != "classification":  # compared as classes, to which what is said of labels does not apply
        settings = replace(settings, imbalance="auto", label_smoothing=0.0)
    return choose_strategy(
        source, candidates, learn, settings, seconds=seconds, forecast=forecast, device=device, seed=recipe.seed,
        score=point_metrics, cache_dir=cache_root(), progress=progress,
    )  # fmt: skip


def _tune(
    chosen: Candidate, choice: Choice | None, source: Source, target: Prepared, recipe: Recipe, room: float, forecast: Any,
    times: StepTimes | None, device: torch.device, progress: Progress, notes: list[str],
) -> tuple[LrRange | None, MemoryFit | None, Candidate]:  # fmt: skip
    """What fits in memory; and a learning rate from a range test, taken where it does not lose against the default."""
    settings, strategy = settings_of(recipe, target.unlabelled, target.held_out), parse_strategy(chosen.strategy)
    task = task_of(target.split("train"), settings)
    train_set = target.split("train")
    pretrained = source.pretrained
    options = resolve(
        settings.optimisation,
        recipe.repeats * len(train_set),
        settings.feeding.batch_size,
        pretrained=pretrained,
        source=source,
    )
    course = set_up(
        source, copy.deepcopy(source.backbone), strategy, task, train_set, settings.feeding, pretrained=pretrained, device=device, seed=recipe.seed,
    )  # fmt: skip
    memory = fit_memory(
        course.objective, options, lambda n: worst_batch(n, source.preprocessing, task, settings.feeding, course.stream), course.size, device=device,
        precision=settings.precision,
    )  # fmt: skip
    n = len(target.learning)
    if recipe.lr is not None or choice is None:
        return None, memory, chosen
    sweep = times.training(1, len(train_set), find_lr=True) if times else 0.0
    if sweep + 2 * forecast(chosen, n) > room:
        notes.append(
            f"no range test of the learning rate was made: it and its check need about {sweep + 2 * forecast(chosen, n):.0f} s"
        )
        return None, memory, chosen
    start = time.perf_counter()
    tested = lr_range_test(
        course.objective,
        course.batches,
        options,
        device=device,
        seed=recipe.seed,
        precision=settings.precision,
        progress=progress,
    )
    if tested.fell_back or 0.67 < tested.lr / tested.default < 1.5:
        return tested, memory, chosen
    duel = _compare(
        source, [chosen, replace(chosen, lr=tested.lr)], target.learning, recipe,
        max(0.0, room - (time.perf_counter() - start)), forecast, device, progress,
    )  # fmt: skip
    progress.say(duel.why)
    return tested, memory, duel.chosen


def _fit_time(
    recipe: Recipe, source: Source, chosen: Candidate, moving: bool, times: StepTimes | None, target: Prepared, left: float,
    first: float, notes: list[str],
) -> tuple[dict[str, Any], list[str], float]:  # fmt: skip
    """Epochs, and the baselines that are trained, such that all of it ends within ``left`` seconds; ``first`` are those of phases before."""
    settings = settings_of(recipe)
    n, n_valid = len(target.split("train")), len(target.split("valid"))
    values: dict[str, Any] = {} if chosen.lr is None else {"lr": chosen.lr}
    baselines = list(recipe.baselines)
    soup = parse_soup(recipe.soup)
    trainings = (int(moving) * (soup.n if soup else 1) + ("scratch" in baselines)) * recipe.seeds
    if times is None or not trainings:
        return values, baselines, 0.0
    mine, rival = (
        resolve(
            settings.optimisation, recipe.repeats * n, settings.feeding.batch_size, pretrained=p, source=source
        ).epochs
        for p in (source.pretrained, False)
    )
    if left == float("inf"):
        seconds = [times.training(epochs, n, n_valid) for epochs in (mine, rival)]
        own = trainings - recipe.seeds * ("scratch" in baselines)
        return values, baselines, own * seconds[0] + (trainings - own) * seconds[1]
    wanted = max(mine, rival) if "scratch" in baselines else mine
    epochs = min(wanted, times.epochs_within(left / trainings, n, n_valid))
    if epochs < 1 and "scratch" in baselines:
        notes.append(f"scratch is left out: {max(left, 0):.0f} s do not allow an epoch of it")
        baselines.remove("scratch")
        trainings -= recipe.seeds
        wanted = mine
        epochs = min(wanted, times.epochs_within(left / trainings, n, n_valid)) if trainings else wanted
    if not trainings:
        return values, baselines, 0.0
    if epochs < 1:
        one = times.training(1, n, n_valid)
        raise RecipeError(
            sentence(
                f"the budget does not allow one epoch of {chosen.strategy}: it takes about {one:.0f} s, and {max(left, 0):.0f} s are left",
                got=recipe.budget, fix=f"--budget {int((first + one * trainings + CLOSING) / SAFE + 60)}s, or --strategy probe",
            )
        )  # fmt: skip
    if epochs < wanted:
        notes.append(f"{epochs} epochs of {wanted} fit into the budget")
    if epochs < wanted or mine == wanted:  # else the strategy and scratch take their own numbers
        epochs = min(epochs, mine)
        values["epochs"] = epochs
    values["seconds"] = left / trainings
    return values, baselines, trainings * times.training(epochs, n, n_valid)


def read_budget(text: str | None) -> float | None:
    """``"90s"``, ``"10m"``, ``"1.5h"`` or a number of seconds -> seconds.

    Raises:
        RecipeError: anything else, or nothing above 0.
    """
    if text is None:
        return None
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise RecipeError(
            sentence("cannot read the budget", got=text, allowed="a time such as 90s, 10m or 1h", fix="--budget 10m")
        )
    return seconds


def keep(path: Path, decided: Decided) -> None:
    """Write what was decided, so that a run that goes on keeps to it."""
    from headstart.folder import write_json

    write_json(path, decided.to_dict())


def kept(path: Path) -> Decided | None:
    """What an earlier start of the same run decided: the parts that training needs."""
    from headstart.folder import read_json

    if not path.exists():
        return None
    values = read_json(path)
    return Decided(values["strategy"], values["layer"], values["optimisation"], values["baselines"])
