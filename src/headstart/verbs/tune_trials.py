"""The trials of a search: what one process needs to work on them, and the loop that does."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from headstart.data.dataset import Dataset
from headstart.data.loader import DecodedCache
from headstart.errors import HeadstartError, QuestionError, WorkError, sentence
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.features.layers import extract_layers
from headstart.folder import cache_root
from headstart.recipe import Recipe, make_recipe
from headstart.sources import load_source
from headstart.sources.source import Source
from headstart.strategies.grammar import parse_strategy
from headstart.training.device import pick_device
from headstart.training.finetune import DECODED_BYTES
from headstart.training.search.book import Book, first_rung, open_storage
from headstart.training.search.judge import Judged, cut, judge, with_epochs
from headstart.training.search.space import Space
from headstart.training.transfer import solved_head, task_of
from headstart.verbs.decide import CLOSING
from headstart.verbs.prepare import Prepared, prepare_recipe
from headstart.verbs.settings import settings_of
from headstart.verbs.tune_space import apply

OWN = (
    "device",
    "workers",
    "budget",
    "lang",
    "verify",
    "log",
    "baselines",
    "seeds",
    "data",
    "unlabelled",
    "source",
    "sources",
    "arch",
)
"""Fields of the recipe that may differ between machines that work on one study (data and source count by their digests), or that
no trial reads."""


SIGN = 30.0
"""Seconds between two signs of life of a trial."""


@dataclass(frozen=True)
class Question:
    """What is searched, on which images, and how: all that a worker is told.

    Attributes:
        values: the recipe as keys; ``data`` is where this machine has it.
        space: of :meth:`headstart.training.search.space.Space.to_dict`.
        trials: how many.
        sampler, pruner: names.
        folds: parts that are held out in turn; 0: the solver's own cross-validation.
        storage: journal file or address of a database.
        rungs: see :class:`headstart.verbs.tune_space.Searched`.
        digest, source_digest, unlabelled_digest: of the data, of the source's weights, and of the images without labels.
        queue: parameters of the first trials.
        until: when everything has to be done, in seconds since 1970; ``None`` for no limit.
    """

    values: dict[str, Any]
    space: dict[str, Any]
    trials: int
    sampler: str
    pruner: str
    folds: int
    storage: str
    rungs: int
    digest: str
    source_digest: str
    unlabelled_digest: str | None = None
    queue: list[dict[str, Any]] = field(default_factory=list)
    until: float | None = None

    @property
    def fingerprint(self) -> str:
        """The same for every machine that may work on the study."""
        recipe = make_recipe({**self.values, "data": "-"}).model_dump()
        said = {key: value for key, value in recipe.items() if key not in OWN}
        what: tuple[Any, ...] = (
            said,
            self.space,
            self.sampler,
            self.pruner,
            self.folds,
            self.rungs,
            self.digest,
            self.source_digest,
        )
        what += (
            () if self.unlabelled_digest is None else (self.unlabelled_digest,)
        )  # as they were called before there were any
        return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:16]

    @property
    def study(self) -> str:
        """The name of the study, so that one storage can hold many."""
        return f"headstart-{self.fingerprint}"

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        values["values"] = {k: v if k != "data" or isinstance(v, str) else None for k, v in self.values.items()}
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Question:
        return cls(**values)

    def book(self) -> Book:
        """The study, made where it is not there yet."""
        return Book(
            open_storage(self.storage), self.study, Space.from_dict(self.space), total=self.trials, sampler=self.sampler,
            pruner=self.pruner, rungs=self.rungs, seed=int(self.values.get("seed") or 0), question=self.fingerprint,
        )  # fmt: skip


class Bench:
    """What the trials of one process share: opened sources, decoded images, solved heads, folds; features are in the cache on disk.

    Args:
        target: its training and validation images are learned from, and those without labels; no test image.
    """

    def __init__(self, question: Question, target: Prepared, device: str | None = None) -> None:
        learning = target.learning
        self.question, self.learning, self.unlabelled = question, learning, target.unlabelled
        self.space = Space.from_dict(question.space)
        self.base = {k: v for k, v in question.values.items() if k != "data"} | {"data": "-"}
        if device is not None:
            self.base["device"] = device
        seed = int(self.base.get("seed") or 0)
        self.folds = cut(learning, question.folds, seed) if question.folds else None
        self.own_split = "valid" in set(map(str, learning.splits))
        self.scoring = SCORING[learning.task]
        self.decoded = DecodedCache(DECODED_BYTES)
        self.sources: dict[tuple[Any, ...], Source] = {}
        self.heads: dict[tuple[Any, ...], Any] = {}

    def judge(self, params: dict[str, Any], on_share: Callable[[float, float], None] | None = None) -> Judged:
        """Train and score the model that these parameters make."""
        recipe = make_recipe(apply(self.base, params))
        strategy = parse_strategy(recipe.strategy)
        source = self._source(recipe, all_layers="layer" in params)
        settings = settings_of(recipe, self.unlabelled)
        n = len(self.folds[0][0]) if self.folds else len(self.learning)
        settings = replace(settings, feeding=replace(settings.feeding, decoded=self.decoded))
        settings = with_epochs(settings, n, source)
        device = pick_device(recipe.device)

        def head(fold: int, train_set: Dataset) -> Any:
            key = (source.digest, source.preprocessing.digest, fold, str(recipe.imbalance), recipe.loss)
            if key not in self.heads:
                self.heads[key] = solved_head(
                    source,
                    task_of(train_set, settings),
                    train_set,
                    device=device,
                    seed=recipe.seed,
                    cache_dir=cache_root(),
                )
            return self.heads[key]

        return judge(
            source, strategy, settings, self.learning, self.folds, score=self._score, metric=self.metric(recipe), device=device,
            seed=recipe.seed, cache_dir=cache_root(), layer="last" if recipe.layer == "auto" else recipe.layer, head=head,
            best_epoch=self.own_split, on_share=on_share,
        )  # fmt: skip

    def metric(self, recipe: Recipe) -> str:
        """The score that is maximised."""
        return self.scoring.watched(
            self.scoring.check_metric(recipe.metric, self.learning.classes), self.learning.classes
        )

    def _score(self, found: Any, labels: Any) -> dict[str, float]:
        return self.scoring.watch(found, labels, self.learning.classes)

    def _source(self, recipe: Recipe, *, all_layers: bool) -> Source:
        key = (recipe.source, *recipe.reading.values(), all_layers)
        if key not in self.sources:
            source = load_source(recipe.source, **recipe.reading)
            if all_layers:  # one pass over the images makes the features of every layer
                device = str(pick_device(recipe.device))
                extract_layers(source, self.learning, cache_dir=cache_root(), device=device, workers=recipe.workers)
            self.sources[key] = source
        return self.sources[key]


class Ended(Exception):
    """The trial is given up, not for its score: ``why`` in words."""


def work(
    question: Question,
    target: Prepared,
    *,
    device: str | None = None,
    after: Callable[[Book], None] | None = None,
    on_epoch: Callable[[], None] | None = None,
) -> None:
    """Take trials and judge them until none is left or the time is over.

    Args:
        device: instead of the recipe's.
        after: called after each trial.
        on_epoch: called after each epoch; what it raises ends the work, and the trial is queued again.

    Raises:
        WorkError: the first three trials failed.
    """
    from optuna.exceptions import TrialPruned

    book = question.book()
    bench = Bench(question, target, device)
    clock = Deadline(question, book)
    first = first_rung(question.rungs) if question.pruner == "halving" else 0
    while not clock.over() and (trial := book.ask()) is not None:
        began = time.perf_counter()
        rung, seen = 0, time.time()

        def on_share(share: float, score: float, trial: Any = trial, began: float = began) -> None:
            nonlocal rung, seen
            if on_epoch:
                on_epoch()
            if time.time() - seen > SIGN:
                seen = time.time()
                trial.set_user_attr("seen", seen)
            now = int(share * question.rungs + 1e-9)
            if share >= 1 or now <= rung:
                return
            early, rung = rung < first <= now, now
            trial.report(score, step=now)
            if clock.cuts(share, time.perf_counter() - began):
                raise Ended("the time was over")
            if trial.should_prune() or (early and not book.affords(trial.number)):
                raise TrialPruned

        state, value = book.states.FAIL, None
        try:
            params = book.space.suggest(trial)
            judged = _seen_before(book, trial) or bench.judge(params, on_share)
            state, value = book.states.COMPLETE, judged.score
            if judged.loss is not None:
                trial.set_user_attr("loss", judged.loss)
        except TrialPruned:
            state = book.states.PRUNED
        except (Ended, WorkError) as error:  # a rate that diverges is a finding, too
            trial.set_user_attr("why", str(error))
            state = book.states.PRUNED
        except QuestionError as error:
            trial.set_user_attr("why", str(error))
        except Exception as error:
            trial.set_user_attr("why", f"{type(error).__name__}: {error}")
        except BaseException:
            book.lose(book.study.trials[trial.number])
            raise
        trial.set_user_attr("seconds", time.perf_counter() - began)
        book.study.tell(trial, value, state=state)
        if after:
            after(book)
        hopeless(book)


def _seen_before(book: Book, trial: Any) -> Judged | None:
    """The result of an earlier trial with the same parameters: the same training would give the same."""
    for old in book.trials():
        if old.state == book.states.COMPLETE and old.params == trial.params:
            trial.set_user_attr("why", f"as trial {old.number}")
            return Judged(float(old.value or 0.0), old.user_attrs.get("loss"))
    return None


def hopeless(book: Book) -> None:
    """Stop a search of which nothing comes.

    Raises:
        WorkError: three trials or more are finished, and all of them failed.
    """
    finished = book.finished()
    if len(finished) >= min(3, book.total) and all(
        t.state != book.states.COMPLETE and "why" in t.user_attrs for t in finished
    ):
        raise WorkError(
            sentence("no trial could be judged", where=f"{len(finished)} trials", got=finished[-1].user_attrs["why"])
        )


class Deadline:
    """Keeps back the time that the final training will take, as the trials tell it."""

    def __init__(self, question: Question, book: Book) -> None:
        self.until, self.book = question.until, book
        recipe = make_recipe({**question.values, "data": "-"})
        self.trainings = recipe.seeds * (1 + ("scratch" in recipe.baselines))

    def left(self, longest: float = 0.0) -> float:
        """Seconds for trials; ``longest``: what a whole trial takes, if it is known."""
        if self.until is None:
            return float("inf")
        whole = [t.user_attrs.get("seconds", 0.0) for t in self.book.finished() if t.state == self.book.states.COMPLETE]
        return self.until - time.time() - CLOSING - 1.25 * self.trainings * max([longest, *whole])

    def over(self) -> bool:
        return self.left() <= 0

    def cuts(self, share: float, seconds: float) -> bool:
        """Whether a trial that has done this share in this time has to end; the first one may finish where it still can."""
        if self.until is None:
            return False
        if not any(t.state == self.book.states.COMPLETE for t in self.book.finished()):
            return time.time() > self.until - CLOSING
        return self.left(seconds / share) <= 0


def worker(path: str, device: str | None = None) -> int:
    """The work of one process, from the question in a file; gives its exit code.

    A worker whose parent is gone stops at the next epoch, and its trial is queued again.
    """
    from pathlib import Path

    from headstart.folder import read_json
    from headstart.progress import SILENT

    parent = os.getppid()

    def orphaned() -> None:
        if os.getppid() != parent:
            raise SystemExit(3)

    try:
        question = Question.from_dict(read_json(Path(path)))
        target = prepare_recipe(make_recipe(question.values), SILENT)
        work(question, target, device=device, after=lambda book: orphaned(), on_epoch=orphaned)
    except HeadstartError as error:
        print(error, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    import sys

    path, threads, device = sys.argv[1:]
    torch.set_num_threads(int(threads))
    sys.exit(worker(path, device or None))
