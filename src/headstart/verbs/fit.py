"""`headstart fit`: move a source to a target and prove whether that helped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from headstart.errors import QuestionError, RecipeError, sentence
from headstart.folder import (
    PARTIAL,
    begin,
    disk_errors,
    finish,
    next_free,
    partial_of,
    read_json,
    write_json,
    write_text,
)
from headstart.progress import SILENT, Progress
from headstart.recipe import make_recipe, read_recipe
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
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise RecipeError(
            sentence(
                "fit is one process, and every one of them would write the same run", where="WORLD_SIZE",
                got=os.environ["WORLD_SIZE"], fix="headstart fit without torchrun; for several: headstart.training.loop.train",
            )
        )  # fmt: skip
    if sum(map(bool, (resume, extend, continue_from))) > 1:
        raise RecipeError(
            sentence(
                "resume, extend and continue-from are three different things",
                allowed="one of them",
                fix="headstart fit --help",
            )
        )
    keep_head, earlier = False, None
    if (
        resume
        and data is not None
        and out is not None
        and not Path(out).exists()
        and not partial_of(Path(out)).exists()
    ):
        resume = False  # nothing was begun: the same command starts it, so that scripts can always say --resume
    if resume:
        named = {"data": str(data)} if isinstance(data, (str, Path)) else {}
        out, values = _unfinished(out, {**options, **named})
        if data is not None and not named:
            values["data"] = data  # arrays in memory are not in the recipe; their digest is compared below
    else:
        values = read_recipe(recipe) if recipe is not None else {}
        if extend:
            earlier = _of_fit(Run(extend), data)
            values = _longer(earlier, values, options, data)
        elif continue_from:
            if data is None:
                raise RecipeError(
                    sentence(
                        "--continue-from needs the new data", fix=f"headstart fit DATA --continue-from {continue_from}"
                    )
                )
            before = _of_fit(Run(continue_from), data)
            values = {k: v for k, v in before.recipe.items() if k in _KEPT} | values | {"source": str(before.path)}
            keep_head = True
        values |= options
        if data is not None:
            values["data"] = data if not isinstance(data, Path) else str(data)
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
    from headstart.verbs.work import work_through

    try:
        work_through(
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
    "strategy", "layer", "image_size", "max_length", "pool", "long", "optimizer", "schedule", "weight_decay", "warmup", "momentum", "augment", "mixup", "cutmix",
    "label_smoothing", "dropout", "imbalance", "loss", "repeats", "batch_size", "metric", "baselines",
    "task", "label_delimiter", "order", "embedding_loss", "embedding_size", "margin",
)  # fmt: skip
"""What `continue_from` takes over from the earlier run's recipe."""


def _name(data: Any) -> str:
    if isinstance(data, str):
        return Path(data.rstrip("/\\")).stem or "run"
    return "arrays"


def _unfinished(out: str | Path | None, options: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The unfinished run to go on with, and its own recipe."""
    if out is None:
        found = [
            path
            for path in RUNS.glob(f".*{PARTIAL}")
            if not any((path / mark).exists() for mark in ("search.json", "multitask.json"))
        ]
        found.sort(key=lambda p: p.stat().st_mtime)
        if not found:
            raise RecipeError(sentence("there is no unfinished run", where=str(RUNS), fix="headstart fit DATA"))
        out = RUNS / found[-1].name[1 : -len(PARTIAL)]
    out = Path(out)
    work = begin(out, resume=True, force=False)
    if (work / "search.json").exists():
        raise RecipeError(sentence("this is a search", got=str(out), fix=f"headstart tune --resume --out {out}"))
    if (work / "multitask.json").exists():
        raise RecipeError(
            sentence("this is a run of several tasks", got=str(out), fix=f"headstart multitask --resume --out {out}")
        )
    saved = work / "recipe.yaml"
    if not saved.exists():
        shutil.rmtree(work)
        raise RecipeError(
            sentence("the unfinished run had not begun", got=str(out), fix="the same command without --resume")
        )
    values = yaml.safe_load(saved.read_text(encoding="utf-8"))
    given = make_recipe({**values, **options}).model_dump()
    keys = [*options, *(["strategy"] if "freeze" in options else [])]
    changed = [key for key in keys if given[key] not in (values.get(key), "auto")]
    if changed:
        raise RecipeError(
            sentence(
                "a resumed run keeps its own recipe; these options differ from it", got=", ".join(changed),
                fix=f"--resume --out {out} alone, or --force to start again; --extend trains a finished run longer",
            )
        )  # fmt: skip
    return out, values


def _of_fit(run: Run, data: Any) -> Run:
    """The run, if it is one of `fit`.

    Raises:
        RecipeError: it is one of another verb, whose recipe means something else.
    """
    verb = run.recipe.get("verb")
    if verb:
        raise RecipeError(
            sentence(
                f"this is a run of {verb}, which fit cannot go on with",
                got=str(run.path),
                fix=f"headstart fit {data or 'DATA'} --source {run.path}",
            )
        )
    return run


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
    if data is not None and os.path.abspath(str(data)) != os.path.abspath(str(old["data"])):
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
