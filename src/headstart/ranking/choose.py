"""Which strategy: candidates trained on the same folds, more folds for those that stay in the race."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.dataset import Dataset
from headstart.errors import WorkError
from headstart.progress import SILENT, Progress
from headstart.sources.source import Source
from headstart.strategies.grammar import parse_strategy
from headstart.training.folds import assign_folds
from headstart.training.transfer import Score, Settings, probabilities, transfer

FOLDS, REPEATS = 5, 2
ENOUGH_FOLDS, ENOUGH_IMAGES = 3, 100
"""Below both, a dear candidate does not win against a cheap one: a single small fold is luck."""
CHEAP = 0.1
"""What costs less than this share of the dearest in the race is run along with it."""
AHEAD, LIGHT = 0.5, 0.25
"""What gets through all folds in this share of the time that is left, and costs at most this share of the dearest, does so at
once, after the first fold."""


@dataclass(frozen=True)
class Candidate:
    """A strategy as users write it, the layer that a solved head reads, and a learning rate other than the default."""

    strategy: str
    layer: str = "last"
    lr: float | None = None

    @property
    def name(self) -> str:
        parts = [self.strategy]
        if self.layer != "last":
            parts.append(f"layer {self.layer}")
        if self.lr is not None:
            parts.append(f"lr {self.lr:.2g}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Trial:
    """What became of one candidate.

    Attributes:
        accuracy: held-out, in 0..1, ``None`` where it was never run; ``se`` its standard error over the images.
        folds: folds that it was trained on; ``images`` that were held out in them.
        seconds: of one training and its evaluation, the mean.
        out: why it left the race, or ``""``.
    """

    name: str
    accuracy: float | None
    se: float | None
    folds: int
    images: int
    seconds: float
    out: str = ""


@dataclass(frozen=True)
class Choice:
    """Attributes:
    chosen, chosen_name: the candidate to train.
    trials: best first.
    why: a sentence for people.
    seconds: of the whole comparison.
    """

    chosen: Candidate
    trials: list[Trial]
    why: str
    seconds: float
    chosen_name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "chosen_name", self.chosen.name)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def choose_strategy(
    source: Source,
    candidates: Sequence[Candidate],
    dataset: Dataset,
    settings: Settings,
    *,
    seconds: float,
    forecast: Callable[[Candidate, int], float] | None = None,
    device: torch.device,
    seed: int,
    score: Score,
    cache_dir: Path | None,
    progress: Progress = SILENT,
    clock: Callable[[], float] = time.perf_counter,
) -> Choice:
    """Successive halving (Jamieson and Talwalkar, AISTATS 2016) over folds.

    Two times five folds, stratified, groups whole; every training is a full one, so that no strategy is judged by a
    schedule cut short. In rung r = 0, 1, ... those in the race are trained on 2^r more folds, then the worse half leaves;
    what costs less than a tenth of the dearest stays as a yardstick. What is light beside the dearest and gets through every fold in half
    of the time that is left after the first one does so at once: a solved head takes a second, and then it is known well. It ends when one is left, or one and yardsticks that
    are two standard errors away from it, when no fold is left, or when the next does not fit into ``seconds``. Two candidates compare on the images that both were tested on; the winner is the cheapest of
    those that are not worse than the best by more than one standard error of the paired difference. What was tested on
    fewer than 3 folds and 100 images does not win against a yardstick.

    Args:
        candidates: at least one; all can be trained on ``source``.
        dataset: training and validation images, labelled; no test image. Labels that are no classes are compared as the classes
            of :attr:`headstart.data.dataset.Dataset.as_classes`.
        forecast: (candidate, images) -> seconds of one training, known before the first.
        seconds: may be overrun by what a forecast was short of, but no fold is begun that is known not to fit.
        clock: for tests.
    """
    began = clock()
    dataset = dataset.as_classes
    assert dataset.labels is not None
    y, n = dataset.labels, len(dataset)
    folds = np.stack([assign_folds(y, folds=FOLDS, groups=dataset.groups, seed=seed + r) for r in range(REPEATS)])
    plan = [(r, k) for r in range(REPEATS) for k in range(int(folds[r].max()) + 1)]
    if len(candidates) == 1 or not plan:
        why = "the only candidate" if len(candidates) == 1 else "too few labels to hold any out, so the first is taken"
        trials = [Trial(c.name, None, None, 0, 0, 0.0, why) for c in candidates]
        return Choice(candidates[0], trials, f"{candidates[0].name}: {why}", clock() - began)
    right = {c: np.full((REPEATS, n), np.nan) for c in candidates}
    spent: dict[Candidate, list[float]] = {c: [] for c in candidates}
    out: dict[Candidate, str] = {}
    live = list(candidates)

    def price(c: Candidate) -> float:
        if spent[c]:
            return float(np.mean(spent[c]))
        return forecast(c, n) if forecast else 0.0

    def run(c: Candidate, r: int, k: int) -> None:
        start = clock()
        held, learn = folds[r] == k, folds[r] != k
        how = replace(settings, optimisation={**settings.optimisation, **({} if c.lr is None else {"lr": c.lr})})
        moved = transfer(
            source, parse_strategy(c.strategy), dataset.classes, dataset.subset(np.flatnonzero(learn)), None, how,
            device=device, seed=seed, score=score, cache_dir=cache_dir, layer=c.layer, progress=SILENT,
        )  # fmt: skip
        test = dataset.subset(np.flatnonzero(held))
        found = probabilities(
            moved, source, dataset.classes, test, device=device, cache_dir=cache_dir,
            workers=settings.feeding.workers, progress=SILENT,
        )  # fmt: skip
        right[c][r, held] = found.argmax(1) == y[held]
        spent[c].append(clock() - start)

    seen: dict[Candidate, set[tuple[int, int]]] = {c: set() for c in candidates}

    def attempt(c: Candidate, r: int, k: int) -> None:
        """Train on one fold, if that was not done yet and fits into the time."""
        left = seconds - (clock() - began)
        if (r, k) in seen[c] or price(c) > left:
            if not spent[c]:
                out[c] = f"one training takes about {price(c):.0f} s, and {max(left, 0):.0f} s were left"
                live.remove(c)
            return
        try:
            run(c, r, k)
            seen[c].add((r, k))
        except WorkError as error:
            out[c] = str(error)
            live.remove(c)
        progress.advance(1)

    done, rung = 0, 0
    progress.start("comparing strategies", total=None, unit="training")
    while done < len(plan) and len(live) > 1:
        for r, k in plan[done : done + 2**rung]:
            for c in list(live):
                attempt(c, r, k)
        for c in sorted(live, key=price) if rung == 0 else []:
            light = price(c) <= LIGHT * max(map(price, live))
            if light and price(c) * (len(plan) - 1) <= AHEAD * (seconds - (clock() - began)):
                for r, k in plan[1:]:
                    if c in live:
                        attempt(c, r, k)
        if not any(np.isfinite(right[c]).any() for c in live):
            break
        done, rung = done + 2**rung, rung + 1
        waiting = [c for c in live if len(seen[c]) < len(plan)]
        if not waiting or min(map(price, waiting)) > seconds - (clock() - began):
            break
        dear = [c for c in live if price(c) >= CHEAP * max(map(price, live))]
        dear.sort(key=lambda c: -_level(right, c))
        for c in dear[-(-len(dear) // 2) :]:
            out[c] = f"in the worse half after {done} folds" if done > 1 else "in the worse half after one fold"
            live.remove(c)
        settled = len(dear) == 1 and not _thin(right[dear[0]], len(spent[dear[0]]))
        if settled and all(_apart(right[c], right[dear[0]]) for c in live if c is not dear[0]):
            break
    progress.done()
    tried = [c for c in candidates if np.isfinite(right[c]).any()]
    if not tried:
        chosen = min(candidates, key=price)
        why = f"{chosen.name}: the cheapest, as {seconds:.0f} s allow no comparison"
    else:
        final = [c for c in tried if c not in out] or tried  # who left the race lost it
        cheap = [c for c in final if price(c) < CHEAP * max(map(price, tried))]
        thin = [c for c in final if c not in cheap and _thin(right[c], len(spent[c]))]
        if cheap and thin:
            final = [c for c in final if c not in thin]
            out |= {
                c: f"{len(spent[c])} of the {ENOUGH_FOLDS} folds that it takes to win against a cheap one" for c in thin
            }
        best = max(final, key=lambda c: (_level(right, c), -price(c)))
        equal = [c for c in final if c is best or not _worse(right[c], right[best])]
        chosen = min(equal, key=lambda c: (price(c), candidates.index(c)))
        why = _why(chosen, best, right, spent)
    trials = [
        Trial(
            c.name, _mean(right[c]) if c in tried else None, _error(right[c]) if c in tried else None, len(spent[c]),
            int(np.isfinite(right[c]).any(0).sum()), price(c), out.get(c, ""),
        )
        for c in sorted(candidates, key=lambda c: -_level(right, c) if c in tried else 1)
    ]  # fmt: skip
    return Choice(chosen, trials, why, clock() - began)


def _images(right: np.ndarray) -> np.ndarray:
    """(n,): how often each image was right, nan where it was never held out."""
    seen = np.isfinite(right).sum(0)
    return np.where(seen > 0, np.nansum(right, 0) / np.maximum(seen, 1), np.nan)


def _mean(right: np.ndarray) -> float:
    each = _images(right)
    return float(np.nanmean(each)) if np.isfinite(each).any() else -1.0


def _level(right: dict[Candidate, np.ndarray], c: Candidate) -> float:
    """The accuracy of c as if it had been tested on every image that any candidate was tested on.

    Folds differ in how hard they are, so the difference to the candidate with the most images is taken on those that
    both have, and added to what that one has on all of its own.
    """
    most = max(right, key=lambda other: int(np.isfinite(right[other]).any(0).sum()))
    both = np.isfinite(right[c]).any(0) & np.isfinite(right[most]).any(0)
    if not both.any():
        return _mean(right[c])
    gap = _images(right[c])[both] - _images(right[most])[both]
    return _mean(right[most]) + float(gap.mean())


def _error(right: np.ndarray) -> float:
    each = _images(right)
    each = each[np.isfinite(each)]
    return float(each.std() / np.sqrt(len(each)))


def _difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """b - a in images, and its standard error if both were equally good, on the held-out answers that both have."""
    both = np.isfinite(a) & np.isfinite(b)
    gap = _images(np.where(both, b - a, np.nan))
    gap = gap[np.isfinite(gap)]
    return float(gap.sum()), float(np.sqrt((gap**2).sum()))


def _thin(right: np.ndarray, folds: int) -> bool:
    return folds < ENOUGH_FOLDS and int(np.isfinite(right).any(0).sum()) < ENOUGH_IMAGES


def _worse(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether a is below b by more than one standard error of the difference."""
    gap, error = _difference(a, b)
    return gap > error + 1e-9


def _apart(a: np.ndarray, b: np.ndarray) -> bool:
    gap, error = _difference(a, b)
    return abs(gap) > 2 * error + 1e-9


def _why(chosen: Candidate, best: Candidate, right: dict[Candidate, np.ndarray], spent: dict[Any, list[float]]) -> str:
    def said(c: Candidate) -> str:
        return f"{_mean(right[c]):.1%} ± {_error(right[c]):.1%}"

    folds = len(spent[chosen])
    where = (
        f"on {int(np.isfinite(right[chosen]).any(0).sum())} held-out images of {folds} fold{'s' if folds > 1 else ''}"
    )
    if chosen is best:
        return f"{chosen.name}: {said(chosen)} {where}, the best of {sum(bool(s) for s in spent.values())} compared"
    times = np.mean(spent[best]) / max(float(np.mean(spent[chosen])), 1e-9)
    return (
        f"{chosen.name}: {said(chosen)} {where}; {best.name} has {said(best)}, not clearly better (within one standard "
        f"error of the difference), and takes {times:.0f} times as long"
    )
