"""The study: which trials there are, whose turn it is, and what becomes of those whose worker died. Kept by Optuna."""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import RecipeError, near, sentence
from headstart.training.search.space import STRATEGY, Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("halving", "median", "hyperband", "none")
STALE = 3600.0
"""Seconds without a sign of life after which a trial of another machine counts as lost (and 60 s where it never gave one)."""
LIVES = 2
"""How often a trial may take its worker with it before it counts as failed."""
REDUCTION = 3
"""Of the trials at a rung, one in so many goes on (halving, hyperband)."""


RATION = 0.4
"""Of what all trials would train for, the share that halving lets them have together (at least three whole trainings a strategy)."""


def need_optuna() -> Any:
    """The package, quiet.

    Raises:
        RecipeError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise RecipeError(
            sentence(
                "the search needs a package that is not installed", got="optuna", fix="pip install 'headstart[tune]'"
            )
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def one_of(what: str, given: str, allowed: Iterable[str]) -> str:
    """``given``, checked.

    Raises:
        RecipeError: it is not one of them; the nearest is offered.
    """
    allowed = list(allowed)
    if given not in allowed:
        close = near(given, allowed, 1)
        raise RecipeError(
            sentence(f"unknown {what}", got=given, allowed=allowed, fix=f"--{what} {close[0]}" if close else None)
        )
    return given


def open_storage(where: str) -> BaseStorage:
    """A journal file, or a database by its address (``sqlite:///file.db``, ``postgresql://...``).

    Raises:
        RecipeError: the address cannot be read, its driver is missing, or nothing answers there.
    """
    optuna = need_optuna()
    if "://" not in where:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        path = Path(where).absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = JournalFileOpenLock(str(path), grace_period=10)
            mend(path, lock)
            return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        except OSError as error:
            raise RecipeError(sentence("cannot open the journal", got=where, allowed=str(error))) from None
        except ValueError:
            raise RecipeError(
                sentence("this file is not a journal of Optuna's", got=where, fix="--storage with another file")
            ) from None
    import sqlalchemy.exc

    extra = {"connect_args": {"timeout": 60}} if where.startswith("sqlite") else {}
    try:
        return optuna.storages.RDBStorage(where, engine_kwargs=extra)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
        said = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise RecipeError(
            sentence(
                "cannot open the storage", got=where, allowed=said, fix="--storage journal.log, or sqlite:///tune.db"
            )
        ) from None


def mend(path: Path, lock: Any) -> None:
    """Cut off a last line that was not written to its end: a machine that went down in the middle of it."""
    from optuna.storages.journal._file import get_lock_file

    if not path.exists() or not path.stat().st_size:
        return
    with get_lock_file(lock), path.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def make_sampler(name: str, seed: int, total: int, place: Callable[[int], int], *, conditional: bool) -> BaseSampler:
    """Samplers whose draws are those of (seed, place of the trial), so that a study that goes on draws what it would have drawn.

    ``tpe``: multivariate TPE (Bergstra et al. 2011; Falkner et al. 2018), the first third of the trials, 3 to 10, at random.
    ``random``: uniform, in the logarithm where the range says so. ``grid``: nothing is drawn, all points are queued.

    Args:
        total: trials asked for.
        place: number of a trial -> how many before it take a place.
        conditional: trials have different parameters.
    """
    optuna = need_optuna()

    class Placed(optuna.samplers.BaseSampler):  # type: ignore[name-defined, misc]
        inner: Any = None

        def before_trial(self, study: Any, trial: Any) -> None:
            state = int(np.random.SeedSequence([seed, place(trial.number)]).generate_state(1)[0])
            if name == "tpe":
                first = min(10, max(3, total // 3))
                self.inner = optuna.samplers.TPESampler(
                    seed=state, n_startup_trials=first, multivariate=True, group=conditional
                )
            else:
                self.inner = optuna.samplers.RandomSampler(seed=state)
            self.inner.before_trial(study, trial)

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self.inner.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self.inner.sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return self.inner.sample_independent(study, trial, param_name, param_distribution)

    return Placed()


def make_pruner(name: str, rungs: int, *, conditional: bool = False) -> BasePruner:
    """``halving``: asynchronous successive halving (Li et al. 2020) from a ninth of the training on, a third of the trials goes on;
    (and together they have four tenths of what they would train for without);
    ``median``: below the median of the earlier trials at the same point (Golovin et al. 2017), after a fifth of the training and
    three whole trials; ``hyperband``: halving with several beginnings (Li et al. 2018); ``none``.

    Args:
        rungs: points of a training.
        conditional: strategies are searched; then a trial is compared with those of its own strategy alone: fine-tuning needs its whole
            schedule to show what it can, and a head that was solved first is ahead of it early on.

    Raises:
        RecipeError: hyperband for several strategies.
    """
    optuna = need_optuna()
    first = first_rung(rungs)
    if name == "hyperband" and conditional:
        raise RecipeError(
            sentence(
                "hyperband would compare early scores of different strategies",
                fix="--pruner halving, or one --strategy",
            )
        )
    kinds = optuna.pruners
    if name == "halving":
        found = kinds.SuccessiveHalvingPruner(min_resource=first, reduction_factor=REDUCTION)
    elif name == "median":
        found = kinds.MedianPruner(n_startup_trials=3, n_warmup_steps=max(1, rungs // 5))
    elif name == "hyperband":
        found = kinds.HyperbandPruner(min_resource=first, max_resource=rungs, reduction_factor=REDUCTION)
    else:
        found = kinds.NopPruner()

    class Among(kinds.BasePruner):  # type: ignore[name-defined, misc]
        def prune(self, study: Any, trial: Any) -> bool:
            return found.prune(_OneStrategy(study, trial.params[STRATEGY]), trial)

    return Among() if conditional else found


def first_rung(rungs: int) -> int:
    """The point at which halving first compares: a ninth of the training."""
    return max(1, round(rungs / REDUCTION**2))


class _OneStrategy:
    """A study with the trials of one strategy alone; everything else is the study's."""

    def __init__(self, study: Any, text: str) -> None:
        self._study, self._text = study, text

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(self, *args: Any, **kwargs: Any) -> list[Any]:
        return [t for t in self._study.get_trials(*args, **kwargs) if t.params.get(STRATEGY) == self._text]


def takes_place(trial: FrozenTrial) -> bool:
    """Whether a trial is one of those asked for: not one whose worker died (it was queued again), not one too many."""
    return not (trial.user_attrs.get("lost") or trial.user_attrs.get("surplus"))


def me() -> dict[str, Any]:
    """This process, so that others can tell whether it lives: its number, and when it began, as numbers come again."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": _stat(os.getpid(), 19)}


def _stat(pid: int, field: int) -> str:
    """A field of /proc/PID/stat behind the name (0: state, 19: when it began); ``""`` where there is no such file."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[field]
    except (OSError, IndexError):
        return ""


def alive(worker: dict[str, Any]) -> bool:
    """Whether a process of this machine still runs."""
    try:
        os.kill(worker["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _stat(worker["pid"], 19) == worker["began"] and _stat(worker["pid"], 0) != "Z"


class Book:
    """The trials of one study.

    Args:
        storage: see :func:`open_storage`.
        name: of the study.
        space: what is searched.
        total: trials asked for.
        sampler, pruner: names.
        rungs: points of the training at which trials are compared.
        seed: of the draws.

    Raises:
        RecipeError: the study at ``storage`` answers another question.
    """

    def __init__(
        self, storage: BaseStorage, name: str, space: Space, *, total: int, sampler: str, pruner: str, rungs: int, seed: int,
        question: str = "",
    ) -> None:  # fmt: skip
        optuna = need_optuna()
        self.storage, self.space, self.total, self.rungs = storage, space, total, rungs
        self.states = optuna.trial.TrialState
        self.study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True,
            pruner=make_pruner(pruner, rungs, conditional=len(space.branches) > 1),
            sampler=make_sampler(sampler, seed, total, self.place, conditional=len(space.branches) > 1),
        )  # fmt: skip
        known = self.study.user_attrs.get("question")
        if known is None:
            self.study.set_user_attr("question", question)
        elif known != question:
            raise RecipeError(
                sentence(
                    "the study in this storage answers another question (data, recipe or space differ)", got=name,
                    fix="--storage with another file or database",
                )
            )  # fmt: skip

    def place(self, number: int) -> int:
        """How many trials before this one take a place."""
        return sum(t.number < number for t in self.trials())

    def trials(self) -> list[FrozenTrial]:
        """All that take a place, in their order."""
        return [t for t in self.study.get_trials(deepcopy=False) if takes_place(t)]

    def finished(self) -> list[FrozenTrial]:
        """Judged, pruned or failed by themselves."""
        return [t for t in self.trials() if t.state.is_finished()]

    def lost(self) -> list[FrozenTrial]:
        """Those whose worker died; each was queued again."""
        return [t for t in self.study.get_trials(deepcopy=False) if t.user_attrs.get("lost")]

    def waits(self) -> int:
        """How many trials are neither finished nor under way."""
        trials = self.trials()
        return self.total - len(trials) + sum(t.state == self.states.WAITING for t in trials)

    @property
    def done(self) -> bool:
        return len(self.finished()) >= self.total

    def begin(self, queue: list[dict[str, Any]]) -> None:
        """Queue the first trials (a grid's points, or the defaults), once in the life of a study."""
        self.study.set_user_attr("trials", max(self.total, self.study.user_attrs.get("trials", 0)))
        if not self.study.get_trials(deepcopy=False):
            for params in queue[: self.total]:
                self.study.enqueue_trial(params)

    @property
    def asked(self) -> int:
        """Trials that the one who began the study asked for."""
        return int(self.study.user_attrs.get("trials", self.total))

    def affords(self, number: int) -> bool:
        """Whether a trial may train to its end, if each of those that have not begun gets to the first rung (:data:`RATION`)."""
        others = [t for t in self.trials() if t.number != number and t.state != self.states.WAITING]
        spent = sum(
            1.0 if t.state == self.states.COMPLETE else max(t.intermediate_values, default=0) / self.rungs
            for t in others
        )
        waits = (self.total - len(others) - 1) * first_rung(self.rungs) / self.rungs
        return spent + 1.0 + waits <= max(3.0 * len(self.space.branches), RATION * self.total)

    def ask(self) -> Trial | None:
        """The next trial to work on, ``None`` where none is left."""
        trials = self.trials()
        if len(trials) >= self.total and not any(t.state == self.states.WAITING for t in trials):
            return None
        trial = self.study.ask()
        trial.set_user_attr("worker", me())
        trial.set_user_attr("seen", time.time())
        if self.place(trial.number) >= self.total:  # another worker took the last one first
            trial.set_user_attr("surplus", True)
            self.study.tell(trial, state=self.states.FAIL)
            return None
        return trial

    def lose(self, trial: FrozenTrial) -> bool:
        """Set aside a trial whose worker died and queue its parameters again; ``False`` where it was settled already."""
        from optuna.exceptions import UpdateFinishedTrialError

        lives = int(trial.user_attrs.get("lost_before", 0)) + 1
        again = lives <= LIVES
        try:
            if again:
                self.storage.set_trial_user_attr(trial._trial_id, "lost", True)
            else:
                why = f"its worker died {lives} times"
                self.storage.set_trial_user_attr(trial._trial_id, "why", why)
            self.storage.set_trial_state_values(trial._trial_id, state=self.states.FAIL)
        except UpdateFinishedTrialError:
            return False
        if again:
            params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            self.study.enqueue_trial(params, user_attrs={"lost_before": lives})
        return True

    def reclaim(self, *, private: bool) -> int:
        """Set aside the trials that nobody works on any more, and say how many.

        Args:
            private: no other process works on this study, so that all that are under way are lost.
        """
        here, count = socket.gethostname(), 0
        for trial in self.trials():
            if trial.state != self.states.RUNNING:
                continue
            worker = trial.user_attrs.get("worker")
            if worker is None:
                began = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
                gone = time.time() - began > 60
            elif worker["host"] == here:
                gone = not alive(worker)
            else:
                gone = time.time() - trial.user_attrs.get("seen", 0.0) > STALE
            if private or gone:
                count += self.lose(trial)
        return count

    def best(self) -> FrozenTrial | None:
        """The judged trial with the highest score; among equals the one with the lowest log loss, then the first."""
        judged = [t for t in self.trials() if t.state == self.states.COMPLETE]
        return max(judged, key=lambda t: (t.value, -t.user_attrs.get("loss", 0.0), -t.number), default=None)
