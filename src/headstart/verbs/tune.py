"""`headstart tune`: search the recipe, then do what `fit` does with the best one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.errors import QuestionError, RecipeError, RunError, WorkError, sentence
from headstart.folder import PARTIAL, begin, finish, next_free, partial_of, read_json, write_json, write_text
from headstart.progress import SILENT, Progress
from headstart.recipe import OF_TUNE, Recipe, make_recipe, read_recipe
from headstart.run import Run

SEARCH = "search.json"
"""In the run folder: what is searched, and how."""
JOURNAL = "study.journal"
TRIALS = 20


def tune(
    data: Any = None,
    *,
    recipe: str | Path | None = None,
    space: str | Mapping[str, Any] | None = None,
    trials: int | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
    folds: int | None = None,
    workers: int | None = None,
    storage: str | None = None,
    join: bool = False,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress = SILENT,
    **options: Any,
) -> Run | int:
    """Search hyperparameters on folds of the training images, then fit with the best and score it on the locked test images.

    The evaluation is nested: trials see training and validation images alone, so that the figure which chose the best of them is
    too high, and the figure reported is that of test images which chose nothing. Both are in ``metrics.json["tuning"]``.
    A trial starts from what the trials before it left: cached features, decoded images, the solved head.

    Args:
        data: as for :func:`headstart.fit`.
        recipe: YAML file with any of the options, ``space:`` among them; options given here win.
        space: ``"lr=1e-5..1e-2:log,weight_decay=0|0.01"`` or a table of the same; default: the built-in space of the strategy
            (:func:`headstart.verbs.tune_space.built_in`), without what the recipe sets. Where no strategy is named, the strategy is
            searched, too.
        trials: finished trials in all, default 20; a space with no more points than that is visited whole, point by point.
        sampler: ``"tpe"`` (default), ``"random"`` or ``"grid"`` (every point of the space).
        pruner: ``"halving"`` (default), ``"median"``, ``"hyperband"`` or ``"none"``.
        folds: 1 to 5 fifths of the training images that are held out in turn, default 1 (the data's own validation split where
            there is one); heads that are solved are judged by their cross-validation.
        workers: processes that work on trials, default 1; 0: the trials run in this process (the default where heads are solved, and for
            arrays in memory). Each decodes with its share of the cores.
        storage: journal file or database (``sqlite:///tune.db``, ``postgresql://...``) that several machines can reach; default: a
            journal in the run folder.
        join: only add trials to the study at ``storage`` that the same command without ``join`` began elsewhere; no run folder.
        out, resume, force: as for :func:`headstart.fit`; a resumed search may ask for more trials, other workers or another budget, which
            counts from then on.
        progress: told of what goes on.
        **options: the fields of :class:`headstart.recipe.Recipe` but ``workers``; ``budget`` is for search and final training together.

    Returns:
        The finished run; with ``join`` the number of finished trials of the study.

    Raises:
        QuestionError: the question was wrong, in one sentence.
        WorkError: the work failed; finished trials are kept for ``resume``.
    """
    from headstart.training.search.book import PRUNERS, SAMPLERS, need_optuna, one_of

    need_optuna()
    given = {k: str(v) if isinstance(v, Path) else v for k, v in options.items() if v is not None}
    own = {
        "space": space, "trials": trials, "sampler": sampler, "pruner": pruner, "folds": folds, "storage": storage
    }  # fmt: skip
    own = {k: v for k, v in own.items() if v is not None}
    if out is not None and join:
        raise RecipeError(
            sentence("a joined search writes no run folder", got=f"--out {out}", fix="--join without --out")
        )
    if resume and not join and data is not None and out is not None:
        resume = Path(out).exists() or partial_of(Path(out)).exists()  # nothing was begun: the same command starts it
    if resume and not join:
        out, work = _unfinished(out)
        values, own = _same(read_json(work / SEARCH)["asked"], given, own, data, work)
    else:
        values = read_recipe(recipe) if recipe is not None else {}
        own = {k: values.pop(k) for k in OF_TUNE if k in values} | own
        values |= given
        if data is not None:
            values["data"] = data if not isinstance(data, Path) else str(data)
    plan = make_recipe(values)
    one_of("sampler", str(own.get("sampler", "tpe")), SAMPLERS)
    one_of("pruner", str(own.get("pruner", "halving")), PRUNERS)
    for name, least, most in (("trials", 1, None), ("folds", 1, 5)):
        _whole(name, own.get(name), least, most)
    _whole("workers", workers, 0, None)
    from headstart.verbs.after import check_words
    from headstart.verbs.decide import read_budget
    from headstart.verbs.settings import refuse_sequences, settings_of
    from headstart.verbs.tune_space import declared_space

    refuse_sequences(plan.task)
    budget = read_budget(plan.budget)
    check_words(plan)
    settings_of(plan)
    declared_space(own.get("space"))
    if not isinstance(plan.data, str) and (join or workers):
        raise RecipeError(
            sentence("arrays in memory cannot be read by another process", fix="workers=0, or images in files")
        )
    if join:
        if "storage" not in own:
            raise RecipeError(sentence("--join needs the storage of the study", fix="--storage journal.log"))
        return _join(plan, values, own, workers, budget, progress)
    if not resume:
        if out is None:
            from headstart.verbs.fit import RUNS, _name

            out = next_free(RUNS, f"{_name(plan.data)}-tuned")
        work = begin(Path(out), resume=False, force=force)
        asked = {k: v for k, v in values.items() if k != "data" or isinstance(v, str)}
        write_json(work / SEARCH, {"asked": asked, "own": _plain(own)})
        write_text(work / "recipe.yaml", plan.to_yaml())
        write_json(work / "origin.json", {"keep_head": False, "extends": None})
    out = Path(out)  # type: ignore[arg-type]
    try:
        _through(plan, values, own, work, out, workers, budget, progress)
    except QuestionError:
        if not resume and not (work / "metrics.json").exists() and not (work / JOURNAL).exists():
            shutil.rmtree(work, ignore_errors=True)
        raise
    finish(work, out)
    return Run(out)


def _through(
    plan: Recipe, values: dict[str, Any], own: dict[str, Any], work: Path, out: Path, workers: int | None, budget: float | None,
    progress: Progress,
) -> None:  # fmt: skip
    """Everything between an open run folder and a finished one."""
    from headstart.data.wording import Worded
    from headstart.verbs.prepare import prepare_recipe
    from headstart.verbs.tune_report import report_search
    from headstart.verbs.tune_trials import Deadline
    from headstart.verbs.work import work_through

    began = time.time()
    kept = read_json(work / SEARCH)
    target = prepare_recipe(plan, progress)
    progress = Worded(progress, target.dataset.modality)
    question = _question(
        plan, values, own, target, progress, kept=kept, work=work, until=began + budget if budget else None
    )
    write_json(work / SEARCH, {**kept, "question": question.to_dict()})
    book = _search(question, target, work, own, workers, progress)
    searched = time.time() - began
    best = book.best()
    if best is None:
        raise WorkError(
            sentence(
                "no trial was finished within the budget", got=plan.budget, fix=f"--resume --out {out} --budget 1h"
            )
        )
    final = report_search(book, question, target, best, work, searched, progress)
    if "scratch" in final.baselines and Deadline(question, book).left() < 0:
        progress.say("the baseline scratch is left out: the budget has no time for it")
        final = final.model_copy(update={"baselines": [name for name in final.baselines if name != "scratch"]})
    write_text(work / "recipe.yaml", final.to_yaml())
    work_through(final, work, out, keep_head=False, progress=progress)
    metrics = read_json(work / "metrics.json")
    tuning = read_json(work / "tuning.json")
    metrics["tuning"] = {
        "optimised": tuning["optimised"], "reported": metrics["target"][tuning["metric"]], "metric": tuning["metric"],
        "params": tuning["params"], "trials": tuning["counts"], "sampler": question.sampler, "pruner": question.pruner,
        "importance": tuning["importance"], "seconds": round(searched, 3),
    }  # fmt: skip
    metrics["seconds"]["search"] = round(searched, 3)
    write_json(work / "metrics.json", metrics)
    shutil.rmtree(work / "workers", ignore_errors=True)
    (work / "worker.json").unlink(missing_ok=True)


def _question(
    plan: Recipe, values: dict[str, Any], own: dict[str, Any], target: Any, progress: Progress, *, kept: dict[str, Any], work: Path | None,
    until: float | None,
) -> Any:  # fmt: skip
    """What the workers are told; of a search that goes on, what they were told before."""
    from headstart.evaluation.scoring.catalogue import SCORING
    from headstart.sources import load_source
    from headstart.sources.modality import check_modality
    from headstart.strategies.grammar import parse_strategy
    from headstart.training.device import pick_device
    from headstart.training.search.book import make_pruner
    from headstart.verbs.after import check_after
    from headstart.verbs.plan import find_source
    from headstart.verbs.settings import check_obeyed, refuse_by_token
    from headstart.verbs.tune_space import declared_space, make_space
    from headstart.verbs.tune_trials import Question

    where = str(own.get("storage") or (work / JOURNAL if work else ""))
    unlabelled = target.unlabelled.digest if target.unlabelled is not None else None
    if "question" in kept:
        known = Question.from_dict(kept["question"])
        if (known.digest, known.unlabelled_digest) != (target.dataset.digest, unlabelled):
            raise RecipeError(
                sentence("the data are not those that this search began with", fix="--force to start again")
            )
        return Question.from_dict({
            **kept["question"], "values": {**known.values, "data": plan.data, "device": plan.device}, "storage": where, "until": until,
            "trials": min(int(own.get("trials", known.trials)), known.trials if known.sampler == "grid" else 10**9),
        })  # fmt: skip
    check_obeyed(plan, target.dataset.task)
    refuse_by_token(target.dataset.task, "tune")
    SCORING[target.dataset.task].check_metric(plan.metric, target.classes)
    declared = declared_space(own.get("space"))
    device = pick_device(plan.device)
    first = (
        str(declared["source"].ends[0]) if declared and "source" in declared and plan.source == "auto" else plan.source
    )
    if first == "auto":
        # as for a strategy that is given: the search finds the layer, so that none is ranked before it
        ranked = plan.model_copy(update={"strategy": "finetune", "layer": "last"})
        source, ranking, _ = find_source(ranked, target, device=str(device), progress=progress)
        if ranking and work:
            write_json(work / "ranking.json", ranking.to_dict())
    else:
        source = load_source(first, **plan.reading)
        check_modality(source, target.dataset.modality)
    found = make_space(plan, source, target.split("train"), declared)
    by_steps = any(parse_strategy(text).procedure.by_steps for text in found.space.branches)
    check_after(plan, by_steps=by_steps, pretrained=source.pretrained, n_valid=len(target.split("valid")))
    make_pruner(str(own.get("pruner", "halving")), found.rungs, conditional=len(found.space.branches) > 1)
    size, asked = found.space.size, own.get("trials")
    sampler = str(own.get("sampler", "tpe"))
    total = int(asked or TRIALS)
    if sampler == "grid":
        grid = found.space.grid()
        if asked is not None and total < len(grid):
            raise RecipeError(
                sentence(
                    "a grid visits every point of the space, and these are fewer trials", got=f"--trials {total}", allowed=f"{len(grid)} points",
                    fix="--sampler random, or leave --trials out",
                )
            )  # fmt: skip
        total = len(grid)
    elif size is not None and size <= total:
        progress.say(f"the space has {size} points, so each of them is visited")
        sampler, total = "grid", size
    folds = int(own.get("folds", 0 if found.by_cross_validation else 1))
    fixed = {k: v for k, v in values.items() if k != "budget" and (k, v) != ("layer", "auto")}
    return Question(
        values={**fixed, "source": source.name if plan.source == "auto" else plan.source},
        space=found.space.to_dict(), trials=total, sampler=sampler, pruner=str(own.get("pruner", "halving")), folds=folds,
        storage=where, rungs=found.rungs * max(1, folds), digest=target.dataset.digest, source_digest=source.digest,
        unlabelled_digest=unlabelled,
        queue=found.space.grid() if sampler == "grid" else found.starts, until=until,
    )  # fmt: skip


def _search(
    question: Any, target: Any, work: Path, own: dict[str, Any], workers: int | None, progress: Progress
) -> Any:
    """Work on trials until they are done."""
    from headstart.evaluation.scoring.catalogue import SCORING
    from headstart.verbs.tune_trials import Deadline, hopeless
    from headstart.verbs.tune_trials import work as work_on

    book = question.book()
    shared = "storage" in own
    book.begin(question.queue)
    book.reclaim(private=False)
    count = len(book.finished())
    if count:
        progress.say(f"{count} trials of this search are finished already")
    progress.start(f"search ({question.sampler}, {question.pruner})", total=question.trials, unit="trial")
    progress.advance(count)

    def look(now: Any) -> None:
        nonlocal count
        finished, best = len(now.finished()), now.best()
        if finished > count:
            progress.advance(finished - count, **({f"valid_{metric}": abs(best.value)} if best else {}))
            count = finished

    scoring = SCORING[target.dataset.task]
    metric = scoring.check_metric(make_recipe({**question.values, "data": "-"}).metric, target.classes)
    in_files = isinstance(question.values.get("data"), str)
    n = (
        int(in_files and question.folds > 0) if workers is None else workers
    )  # a solved head takes less time than a process
    if n == 0:
        work_on(question, target, after=look)
        while not shared and not book.done and book.reclaim(private=True):
            work_on(question, target, after=look)
    else:
        from headstart.verbs.tune_workers import commands, supervise

        path = work / "worker.json"
        write_json(path, question.to_dict())
        clock = Deadline(question, book)

        def check(now: Any) -> None:
            look(now)
            hopeless(now)

        device = str(question.values.get("device") or "auto")
        supervise(
            book, commands(path, n, device), work / "workers", private=not shared, over=clock.over, look=check, progress=progress
        )  # fmt: skip
    progress.done()
    return book


def _join(
    plan: Recipe,
    values: dict[str, Any],
    own: dict[str, Any],
    workers: int | None,
    budget: float | None,
    progress: Progress,
) -> int:
    """Work on the trials of a study that was begun elsewhere."""
    import tempfile

    from headstart.verbs.prepare import prepare_recipe

    target = prepare_recipe(plan, progress)
    until = time.time() + budget if budget else None
    question = _question(plan, values, own, target, progress, kept={}, work=None, until=until)
    from headstart.training.search.book import need_optuna, open_storage

    storage = open_storage(question.storage)
    if question.study not in need_optuna().get_all_study_names(storage):
        raise RunError(
            sentence(
                "no search of these data with these options was begun there", got=question.storage,
                fix="the same command without --join, on one machine",
            )
        )  # fmt: skip
    if "trials" not in own:  # as many as the one who began it asked for
        question = replace(question, trials=question.book().asked)
    with tempfile.TemporaryDirectory() as aside:
        return len(_search(question, target, Path(aside), own, workers, progress).finished())


def _unfinished(out: str | Path | None) -> tuple[Path, Path]:
    """The unfinished search to go on with, and the folder that it is in."""
    from headstart.verbs.fit import RUNS

    if out is None:
        found = [p for p in RUNS.glob(f".*{PARTIAL}") if (p / SEARCH).exists()]
        if not found:
            raise RecipeError(sentence("there is no unfinished search", where=str(RUNS), fix="headstart tune DATA"))
        out = RUNS / max(found, key=lambda p: p.stat().st_mtime).name[1 : -len(PARTIAL)]
    work = begin(Path(out), resume=True, force=False)
    if not (work / SEARCH).exists():
        raise RunError(sentence("this is not a search", got=str(out), fix=f"headstart fit --resume --out {out}"))
    return Path(out), work


def _same(
    asked: dict[str, Any], given: dict[str, Any], own: dict[str, Any], data: Any, work: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Recipe and search of an unfinished run; what may differ is taken from the new command, anything else is refused."""
    before = read_json(work / SEARCH)["own"]
    known = make_recipe({**asked, "data": asked.get("data", "-")}).model_dump()
    now = make_recipe({**asked, **given, "data": asked.get("data", "-")}).model_dump()
    free = ("budget", "device", "workers")
    changed = [key for key in given if key not in free and now[key] != known[key]]
    changed += [key for key, value in _plain(own).items() if key != "trials" and value != before.get(key)]
    if isinstance(data, (str, Path)) and make_recipe({"data": str(data)}).data != known["data"]:
        changed.append("data")
    if changed:
        raise RecipeError(
            sentence(
                "a resumed search keeps its question; these options differ from it", got=", ".join(changed),
                fix="--resume with --trials, --workers or --budget alone, or --force to start again",
            )
        )  # fmt: skip
    values = asked | {k: v for k, v in given.items() if k in free}
    if data is not None:
        values["data"] = data if not isinstance(data, Path) else str(data)
    return values, {**before, **own}


def _whole(name: str, value: Any, least: int, most: int | None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        allowed = f"a whole number from {least}" + (f" to {most}" if most is not None else " on")
        raise RecipeError(sentence(f"bad value of {name}", got=value, allowed=allowed))


def _plain(own: dict[str, Any]) -> dict[str, Any]:
    """Ready for JSON."""
    import json

    return json.loads(json.dumps(own, default=str))
