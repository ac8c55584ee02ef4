"""`headstart fit`: move a source to a target and prove whether that helped."""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from headstart.progress import SILENT, Progress

from headstart.errors import QuestionError, RecipeError, sentence
from headstart.folder import (
    PARTIAL,
    begin,
    cache_root,
    disk_errors,
    finish,
    next_free,
    read_json,
    write_json,
    write_text,
)
from headstart.recipe import Recipe, make_recipe, read_recipe
from headstart.run import Run

RUNS = Path("runs")


def fit(
    data: Any = None,
    *,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    extend: str | Path | None = None,
    continue_from: str | Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
    **options: Any,
) -> Run:
    """Fit a model to ``data`` by transfer, compare it with its baselines, write a run folder.

    Args:
        data: a folder of class folders, a .zip of the same, a table of paths and labels, or ``(images, labels)``.
        recipe: YAML file with any of the options; options given here win.
        out: run folder to make; default ``runs/NAME`` with the next free number.
        resume: go on with the unfinished run at ``out`` (default: the newest one under ``runs/``); it ends as if it
            had never stopped.
        extend: a finished run to train longer: its data, ``epochs`` more than it had, schedule planned anew.
        continue_from: a finished run whose model is the start for other ``data``; its head is kept where the classes are the same.
        force: replace what is at ``out``, once the new run is whole.
        progress: told of what goes on.
        **options: the fields of :class:`headstart.recipe.Recipe`.

    Returns:
        The finished run.

    Raises:
        QuestionError: the question was wrong, in one sentence.
        WorkError: the work failed; what was finished is kept for ``resume``.
    """
    options = {key: value for key, value in options.items() if value is not None}
    if sum(map(bool, (resume, extend, continue_from))) > 1:
        raise RecipeError(
            sentence(
                "resume, extend and continue-from are three different things",
                allowed="one of them",
                fix="headstart fit --help",
            )
        )
    keep_head, earlier = False, None
    if resume and data is not None and out is not None and not Path(out).exists() and not partial_of(Path(out)).exists():
        resume = False  # nothing was begun: the same command starts it, so that scripts can always say --resume
    if resume:
        out, values = _unfinished(out, {**options, **({"data": str(data)} if data is not None else {})})
    else:
        values = read_recipe(recipe) if recipe is not None else {}
        if extend:
            earlier = Run(extend)
            values = _longer(earlier, values, options, data)
        elif continue_from:
            if data is None:
                raise RecipeError(
                    sentence(
                        "--continue-from needs the new data", fix=f"headstart fit DATA --continue-from {continue_from}"
                    )
                )
            before = Run(continue_from)
            values = {k: v for k, v in before.recipe.items() if k in _KEPT} | values | {"source": str(before.path)}
            keep_head = True
        values |= options
        if data is not None:
            values["data"] = data if not isinstance(data, Path) else str(data)
        values = {k: v for k, v in values.items() if v is not None}
    plan = make_recipe(values)
    if out is None:
        name = f"{earlier.path.name}-extended" if earlier else _name(plan.data)
        out = next_free(earlier.path.parent if earlier else RUNS, name)
    out = Path(out)
    work = begin(out, resume=resume, force=force)
    if not resume:
        write_text(work / "recipe.yaml", plan.to_yaml())
        write_json(work / "origin.json", {"keep_head": keep_head, "extends": str(earlier.path) if earlier else None})
        if earlier:
            with disk_errors(work):
                shutil.copytree(earlier.path / "checkpoints", work / "checkpoints", dirs_exist_ok=True)
            _reopen(work / "checkpoints")
    try:
        _work(
            plan,
            work,
            out,
            keep_head=keep_head or bool(resume and read_json(work / "origin.json")["keep_head"]),
            progress=progress,
        )
    except QuestionError:
        if not resume and not (work / "metrics.json").exists():
            shutil.rmtree(work, ignore_errors=True)
        raise
    finish(work, out)
    return Run(out)


_KEPT = (
    "strategy", "image_size", "optimizer", "schedule", "weight_decay", "warmup", "momentum", "augment", "mixup", "cutmix",
    "label_smoothing", "dropout", "imbalance", "batch_size", "metric", "baselines",
)  # fmt: skip
"""What `continue_from` takes over from the earlier run's recipe."""


def _name(data: Any) -> str:
    if isinstance(data, str):
        return Path(data.rstrip("/\\")).stem or "run"
    return "arrays"


def _unfinished(out: str | Path | None, options: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The unfinished run to go on with, and its own recipe."""
    if out is None:
        found = sorted(RUNS.glob(f".*{PARTIAL}"), key=lambda p: p.stat().st_mtime)
        if not found:
            raise RecipeError(sentence("there is no unfinished run", where=str(RUNS), fix="headstart fit DATA"))
        out = RUNS / found[-1].name[1 : -len(PARTIAL)]
    out = Path(out)
    work = begin(out, resume=True, force=False)
    saved = work / "recipe.yaml"
    if not saved.exists():
        shutil.rmtree(work)
        raise RecipeError(
            sentence("the unfinished run had not begun", got=str(out), fix="the same command without --resume")
        )
    values = yaml.safe_load(saved.read_text(encoding="utf-8"))
    given = make_recipe({**values, **options}).model_dump()
    changed = [key for key in options if given[key] != values.get(key)]
    if changed:
        raise RecipeError(
            sentence(
                "a resumed run keeps its own recipe; these options differ from it", got=", ".join(changed),
                fix=f"--resume --out {out} alone, or --force to start again; --extend trains a finished run longer",
            )
        )  # fmt: skip
    return out, values


def _longer(earlier: Run, values: dict[str, Any], options: dict[str, Any], data: Any) -> dict[str, Any]:
    """The recipe of a run to train longer."""
    old = earlier.recipe
    had = earlier.metrics["strategy"].get("epochs")
    if had is None:
        raise RecipeError(
            sentence(
                "this run has a solved head, which no further epoch changes",
                got=str(earlier.path),
                fix=f"headstart fit {old['data']} --source {earlier.path} --strategy finetune",
            )
        )
    if data is not None and str(data) != str(old["data"]):
        raise RecipeError(
            sentence(
                "--extend goes on with the data of its run",
                got=str(data),
                allowed=str(old["data"]),
                fix=f"headstart fit {data} --continue-from {earlier.path}",
            )
        )
    epochs = options.get("epochs", values.get("epochs"))
    if epochs is None or int(epochs) <= had:
        raise RecipeError(
            sentence(
                "--extend needs more epochs than the run had",
                got=epochs,
                allowed=f"> {had}",
                fix=f"--extend {earlier.path} --epochs {2 * had}",
            )
        )
    other = [
        key
        for key in (*options, *values)
        if key not in ("epochs", "baselines", "lang", "verify", "log", "device", "workers")
    ]
    if other:
        raise RecipeError(
            sentence(
                "--extend changes only the number of epochs",
                got=", ".join(other),
                fix=f"--continue-from {earlier.path}",
            )
        )
    return {**old, **values}


def _reopen(folder: Path) -> None:
    """Let checkpoints of a finished run go on: early stopping counts from zero again."""
    from headstart.training.checkpoint import load_last, save_last

    for each in (path.parent for path in folder.rglob("last.pt")):
        state = load_last(each)
        if state:
            save_last(each, {**state, "stopped": False, "stale": 0})


def _work(plan: Recipe, work: Path, out: Path, *, keep_head: bool, progress: Progress) -> None:
    """Everything between an open run folder and a finished one."""

    from headstart.evaluation.calibration import calibration
    from headstart.evaluation.pictures import collect_pictures
    from headstart.evaluation.report import write_report
    from headstart.evaluation.verdict import verdict

    from headstart.sources import load_source
    from headstart.strategies.handshake import handshake
    from headstart.strategies.presets import parse_strategy
    from headstart.tasks.classification import Classification
    from headstart.training.device import pick_device
    from headstart.training.transfer import stage_table
    from headstart.verbs.experiment import Clock, experiment, score, source_scores
    from headstart.verbs.prepare import prepare
    from headstart.verbs.save import save, verify
    from headstart.verbs.settings import settings_of
    from headstart.verbs.write import write_run_tables

    clock, cache = Clock(), cache_root()
    device = pick_device(plan.device)
    strategy = parse_strategy(plan.strategy)
    with clock("data"):
        target = prepare(
            plan.data, path_col=plan.path_col, label_col=plan.label_col, split_col=plan.split_col, group=plan.group,
            test_fraction=plan.test_fraction, valid_fraction=plan.valid_fraction, labels_per_class=plan.labels_per_class,
            on_bad=plan.on_bad_sample, seed=plan.seed, workers=plan.workers, progress=progress,
        )  # fmt: skip
    _same_data(work, target.dataset.digest)
    write_json(work / "data.json", target.info)

    name = plan.source
    if name == "auto":
        with clock("ranking"):
            name = _choose(plan, target, work, device=str(device), progress=progress)
    with clock("source"):
        source = load_source(name, arch=plan.arch, image_size=plan.image_size)
    progress.say(f"source {source.name}: {source.report.line()}")
    handshake(
        strategy, source.layers, Classification(target.classes), pretrained=True, stepwise_options=plan.stepwise_set
    )
    head = None
    if keep_head and strategy.procedure.by_steps:
        if source.head is not None and source.classes == target.classes:
            head = source.head
        else:
            progress.say("the classes differ from the earlier run's, so the head starts anew")

    settings = settings_of(plan)
    reference = None
    if plan.source_data is not None:
        with clock("data"):
            reference = prepare(
                plan.source_data, seed=plan.seed, on_bad=plan.on_bad_sample, workers=plan.workers, progress=progress
            ).dataset

    test_set = target.split("test")
    assert test_set.labels is not None
    outcomes, scores = [], []
    for i in range(plan.seeds):
        if i:
            progress.say(f"seed {plan.seed + i} ({i + 1} of {plan.seeds})")
        outcome = experiment(
            target, source, strategy, settings, plan.baselines, metric=plan.metric, device=device, seed=plan.seed + i,
            cache_dir=cache, folder=work / "checkpoints" / (f"seed-{plan.seed + i}" if i else ""), head=head,
            workers=plan.workers, clock=clock, progress=progress,
        )  # fmt: skip
        outcomes.append(outcome)
        with clock("evaluation"):
            scores.append(score(outcome, test_set.labels, target.classes, plan.metric))
    outcome, result = outcomes[0], scores[0]
    moved = outcome.moved

    old = None
    if reference is not None:
        with clock("evaluation"):
            old = source_scores(
                source,
                moved,
                reference,
                device=device,
                cache_dir=cache,
                seed=plan.seed,
                workers=plan.workers,
                progress=progress,
            )
    judged = verdict(result["gains"], metric=plan.metric)
    table = stage_table(source, moved.stages, moved.options)
    move = sum(row["parameters"] for row in table if row["trainable"]) + sum(t.numel() for t in moved.head)
    with clock("save"):
        write_run_tables(work, test_set, outcome.target, outcome.baselines, outcome.history)
        save(work, source, moved, target, judged["why"], result["target"], plan)
        write_json(work / "pictures.json", collect_pictures(target.dataset, test_set, outcome.target))
        if "tensorboard" in plan.log:
            _tensorboard(work / "events", outcome.history)
    check = None
    if plan.verify:
        with clock("verify"):
            check = verify(work, test_set, outcome.target)
    write_json(
        work / "metrics.json",
        {
            "task": "classification", "metric": plan.metric, **result, "source": old, **judged,
            "seeds": _over_seeds(scores, plan),
            "n": {split: len(target.split(split)) for split in ("train", "valid", "test")},
            "strategy": {
                "name": plan.strategy, "description": strategy.describe(), "trainable": move,
                "total": source.parameters + sum(t.numel() for t in moved.head), "stages": table,
                "epochs": moved.options.epochs if moved.options else None, "lr": moved.options.lr if moved.options else None,
                "stopped_early": moved.stopped_early, "cross_validated": moved.cross_validated,
            },
            "source_model": {
                "name": source.name, "architecture": f"{source.library}/{source.architecture}", "licence": source.licence,
                "report": source.report.line(), "width": source.width, "parameters": source.parameters,
                "size": source.preprocessing.size, "digest": source.digest, "description": source.description,
            },
            "criterion": moved.criterion, "calibration": calibration(outcome.target, test_set.labels),
            "reload_check": check, "seed": plan.seed, "data_digest": target.dataset.digest,
            "seconds": {k: round(v, 3) for k, v in clock.seconds.items()}, "peak_memory_mb": round(_peak_mb(), 1),
        },
    )  # fmt: skip
    write_report(work, lang=plan.lang)
    progress.say(judged["why"])


def _same_data(work: Path, digest: str) -> None:
    """A resumed or extended run goes on only with the data it began with."""
    state = read_json(work / "origin.json")
    known = state.get("data_digest") or (Run(state["extends"]).metrics["data_digest"] if state.get("extends") else None)
    if known not in (None, digest):
        raise RecipeError(
            sentence(
                "the data are not those that this run began with",
                where=str(work),
                fix="--force to start again, or --continue-from RUN for new data",
            )
        )
    write_json(work / "origin.json", {**state, "data_digest": digest})


def _choose(plan: Recipe, target: Any, work: Path, *, device: str, progress: Progress) -> str:
    """Rank the candidates on the training images and take the first."""
    from headstart.verbs.rank import candidates, rank_prepared

    path = work / "ranking.json"
    if path.exists():
        return read_json(path)["chosen"]
    ranking = rank_prepared(target, candidates(plan.sources), device=device, seed=plan.seed, progress=progress)
    write_json(path, ranking.to_dict())
    progress.say(ranking.why)
    return ranking.chosen


def _over_seeds(scores: Sequence[dict[str, Any]], plan: Recipe) -> dict[str, Any] | None:
    """Mean and standard deviation of each score and gain over the seeds."""
    if len(scores) < 2:
        return None

    def spread(values: list[float]) -> dict[str, Any]:
        return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)), "values": values}

    return {
        "n": len(scores),
        "target": {key: spread([s["target"][key]["value"] for s in scores]) for key in scores[0]["target"]},
        "gains": {key: spread([s["gains"][key]["value"] for s in scores]) for key in scores[0]["gains"]},
        "same": "the split and the labels; weights, batches and augmentation differ",
    }


def _tensorboard(folder: Path, history: list[dict[str, Any]]) -> None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise RecipeError(
            sentence(
                "writing TensorBoard events needs a package that is not installed", fix="pip install 'headstart[track]'"
            )
        ) from None
    with SummaryWriter(str(folder)) as writer:
        for row in history:
            for key, value in row.items():
                if isinstance(value, (int, float)) and key not in ("epoch", "step"):
                    writer.add_scalar(f"{row['model']}/{key}", value, row["epoch"])


def _peak_mb() -> float:
    """Peak resident memory of this process in MB (2^20 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
