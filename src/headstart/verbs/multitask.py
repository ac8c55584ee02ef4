"""`headstart multitask`: one backbone for several tasks, and which task helped which."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headstart.errors import QuestionError, RecipeError, near, sentence
from headstart.folder import PARTIAL, begin, finish, next_free, read_json, write_json, write_text
from headstart.progress import SILENT, Progress
from headstart.recipe import Recipe, make_recipe, read_recipe
from headstart.run import Run

RUNS = Path("runs")
MARK = "multitask.json"
BALANCES = ("equal", "uncertainty", "gradnorm", "pcgrad")
OWN = (
    "task",
    "label_col",
    "path_col",
    "text_col",
    "split_col",
    "label_delimiter",
    "order",
    "group",
    "labels_per_class",
    "metric",
)
"""Fields of the recipe that each data set may have for itself."""
COMMON = (
    "source", "sources", "arch", "strategy", "image_size", "max_length", "pool", "long", "epochs", "lr", "batch_size", "optimizer", "momentum", "weight_decay",
    "schedule", "warmup", "grad_clip", "augment", "synonyms", "back_translate", "dropout", "precision", "test_fraction", "valid_fraction", "on_bad_sample", "seed",
    "verify", "device", "workers",
)  # fmt: skip
"""Fields of the recipe that hold for all of them."""


@dataclass(frozen=True)
class Question:
    """What is asked, checked as far as it can be without the data.

    Attributes:
        recipes: one for each data set, by name.
        target: the one that is judged; ``None``: all.
        balance: one of :data:`BALANCES`.
        weights: of tasks by name, for ``equal``.
        pairs: also train every pair.
    """

    recipes: dict[str, Recipe]
    target: str | None
    balance: str
    weights: dict[str, float]
    pairs: bool

    @property
    def common(self) -> Recipe:
        """One of the recipes: they agree on all fields that the data sets share."""
        return self.recipes[self.target or next(iter(self.recipes))]


def multitask(
    data: Any = None,
    *,
    target: str | None = None,
    balance: str | None = None,
    weight: Mapping[str, float] | None = None,
    pairs: bool | None = None,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress = SILENT,
    **options: Any,
) -> Run:
    """Train one backbone with a head for each data set, and each data set alone at as many updates; say which helped which.

    Args:
        data: two data sets or more, each as for :func:`headstart.fit`: a mapping from names to them, or a list of paths (a name is
            the folder's or the file's, or ``"name=path"``).
        target: name of the data set that counts; the others are auxiliary. Default: all of them count.
        balance: how the gradients of the tasks are joined: ``"equal"`` (default), ``"uncertainty"`` (Kendall et al. 2018),
            ``"gradnorm"`` (Chen et al. 2018) or ``"pcgrad"`` (Yu et al. 2020); see :mod:`headstart.training.balance`.
        weight: of tasks by name, > 0, for ``"equal"``; 1 where none is given.
        pairs: also train every pair (with a target: the target with each other one).
        recipe: YAML file with any of these; options given here win.
        out, resume, force: as for :func:`headstart.fit`.
        progress: told of what goes on.
        **options: the fields of :class:`headstart.recipe.Recipe` named in :data:`COMMON`; and those in :data:`OWN`, a value for all or
            a mapping from names to values.

    Returns:
        The finished run; its ``metrics["tasks"]`` has scores together and alone with the gain of each task.

    Raises:
        QuestionError: the question was wrong, in one sentence.
        WorkError: the work failed; what was finished is kept for ``resume``.
    """
    own = {"target": target, "balance": balance, "weight": dict(weight) if weight else None, "pairs": pairs}
    options = {key: value for key, value in {**own, **options}.items() if value is not None}
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise RecipeError(
            sentence("multitask is one process", where="WORLD_SIZE", got=os.environ["WORLD_SIZE"], fix="headstart multitask without torchrun")
        )  # fmt: skip
    if data is not None:
        options["data"] = named(data)
    if resume:
        out, values = unfinished(out, options)
        values |= {"data": options.get("data", values["data"])}
    else:
        values = {**(read(recipe) if recipe is not None else {}), **options}
    question = ask(values)
    if out is None:
        out = next_free(RUNS, "-".join(question.recipes)[:60])
    out = Path(out)
    work = begin(out, resume=resume, force=force)
    if not resume:
        write_text(work / "recipe.yaml", to_yaml(question))
        write_json(work / MARK, {})
    from headstart.evaluation.multitask_report import write_multitask_report
    from headstart.verbs.multitask_work import work_through

    try:
        work_through(question, work, progress)
    except QuestionError:
        if not resume and not (work / "checkpoints").exists():
            shutil.rmtree(work, ignore_errors=True)
        raise
    write_multitask_report(work, name=out.name)
    finish(work, out)
    return Run(out)


def read(recipe: str | Path) -> dict[str, Any]:
    """The keys of a recipe; data sets are relative to its file.

    Raises:
        RecipeError: no such file, or not a table of keys.
    """
    values = {key: value for key, value in read_recipe(recipe).items() if value is not None and key != "verb"}
    data = named(values["data"]) if values.get("data") else {}

    def found(value: Any) -> Any:
        beside = Path(recipe).parent / str(value)
        return str(beside) if isinstance(value, str) and beside.exists() else value

    return values | {"data": {name: found(value) for name, value in data.items()}}


def named(data: Any) -> dict[str, Any]:
    """Data sets by name.

    Raises:
        RecipeError: one name twice, or nothing that names data sets.
    """
    if isinstance(data, Mapping):
        return {str(name): value if not isinstance(value, Path) else str(value) for name, value in data.items()}
    if isinstance(data, (str, Path)):
        data = [data]
    found: dict[str, Any] = {}
    for item in data:
        if not isinstance(item, (str, Path)):
            raise RecipeError(
                sentence(
                    "data sets in memory need names",
                    got=type(item).__name__,
                    fix="data={'a': (images, labels), 'b': ...}",
                )
            )
        left, equals, right = str(item).partition("=")
        name, path = (
            (left, right) if equals and not Path(item).exists() else (Path(str(item).rstrip("/\\")).stem, str(item))
        )
        if name in found:
            raise RecipeError(
                sentence("two data sets have one name", got=name, fix=f"{name}={found[name]} other={path}")
            )
        found[name] = path
    return found


def ask(values: dict[str, Any]) -> Question:
    """Check what was asked.

    Raises:
        RecipeError: an unknown key or name, a value out of range, fewer than two data sets, one data set twice.
    """
    values = dict(values)
    data = values.pop("data", None)
    if not isinstance(data, Mapping):
        data = named(data) if data is not None else {}
    if len(data) < 2:
        raise RecipeError(
            sentence("several tasks need two data sets or more", got=", ".join(data) or "none",
                     fix="headstart multitask DATA DATA, or headstart fit DATA for one")
        )  # fmt: skip
    names = list(data)
    for name in names:
        if not name or any(sign in name for sign in "=,/\\\n"):
            raise RecipeError(sentence("this cannot be the name of a data set", got=name, fix="NAME=PATH"))
    target, weights = values.pop("target", None), values.pop("weight", None) or {}
    balance, pairs = values.pop("balance", None) or "equal", bool(values.pop("pairs", False))
    if target is not None and target not in names:
        close = near(str(target), names, 1)
        raise RecipeError(
            sentence("unknown target", got=target, allowed=names, fix=f"--target {close[0] if close else names[0]}")
        )
    if balance not in BALANCES:
        close = near(str(balance), BALANCES, 1)
        raise RecipeError(
            sentence(
                "unknown balance", got=balance, allowed=list(BALANCES), fix=f"--balance {close[0]}" if close else None
            )
        )
    if pairs and len(names) == 2:
        raise RecipeError(
            sentence("two data sets are one pair, which is trained anyway", got="--pairs", fix="leave --pairs out")
        )
    own: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key in OWN:
        for name, value in spread(key, values.pop(key, None), names).items():
            own[name][key] = value
    for key in values:
        if key not in COMMON:
            close = near(key, [*COMMON, *OWN, "target", "balance", "weight", "pairs"], 1)
            raise RecipeError(
                sentence(
                    "several tasks are not trained with this option",
                    got=key,
                    fix=close[0] if close else "headstart multitask --help",
                )
            )
    for key in ("lr", "batch_size"):
        if values.get(key) == "auto":
            raise RecipeError(
                sentence(
                    f"{key} auto is measured on one task, and there are several",
                    fix=f"a number, or leave --{key.replace('_', '-')} out",
                )
            )
    if values.get("precision") == "fp16":
        raise RecipeError(
            sentence("gradients of several tasks are joined in fp32 or bf16", got="fp16", fix="--precision bf16")
        )
    values = {"strategy": "finetune", **values}
    recipes = {name: make_recipe({**values, **own[name], "data": data[name]}) for name in names}
    for name, one in recipes.items():
        if one.task == "embedding":
            raise RecipeError(
                sentence("an embedding is judged on identities that nobody learned from, and stands beside no other task", where=name,
                         fix=f"--task {name}=classification, or headstart fit --task embedding")
            )  # fmt: skip
    checked(recipes)
    return Question(recipes, target, balance, weighed(weights, names, balance), pairs)


def spread(key: str, value: Any, names: Sequence[str]) -> dict[str, Any]:
    """What one option says to each data set: a value for all, or a mapping from names.

    Raises:
        RecipeError: a name that is none.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    for name in value:
        if name not in names:
            close = near(str(name), names, 1)
            raise RecipeError(
                sentence(
                    f"--{key.replace('_', '-')} names no data set",
                    got=name,
                    allowed=list(names),
                    fix=close[0] if close else None,
                )
            )
    return dict(value)


def weighed(weights: Any, names: Sequence[str], balance: str) -> dict[str, float]:
    """The weights, checked.

    Raises:
        RecipeError: a weight that is not above 0, or a way of balancing that finds its own.
    """
    found = spread("weight", weights, names)
    if not found:
        return {}
    if balance != "equal":
        raise RecipeError(
            sentence(f"--balance {balance} finds the weights itself", got="--weight", fix="--balance equal")
        )
    for name, value in found.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = -1.0
        if not 0 < number < float("inf"):
            raise RecipeError(
                sentence("a task of this weight would do nothing, or harm", where=f"--weight {name}", got=value, allowed="> 0",
                         fix=f"leave {name} out")
            )  # fmt: skip
        found[name] = number
    return found


def checked(recipes: Mapping[str, Recipe]) -> None:
    """Refuse one data set under two names, unless it is read as two tasks.

    Raises:
        RecipeError: it is.
    """
    seen: dict[Any, str] = {}
    for name, recipe in recipes.items():
        key = (
            (os.path.realpath(recipe.data), recipe.label_col, recipe.text_col, recipe.task)
            if isinstance(recipe.data, str)
            else id(recipe.data)
        )
        if key in seen:
            raise RecipeError(
                sentence(
                    "one data set stands there twice, so that nothing could be learned beside it", got=f"{seen[key]} and {name}",
                    fix="another data set, or another column of this one: --label-col NAME=COLUMN",
                )
            )  # fmt: skip
        seen[key] = name


def to_yaml(question: Question) -> str:
    """The recipe of the run: everything needed to do it again."""
    recipes = {name: recipe.model_dump() for name, recipe in question.recipes.items()}
    common = question.common.model_dump()
    values: dict[str, Any] = {
        "verb": "multitask",
        "data": {name: r["data"] if isinstance(r["data"], str) else "<arrays in memory>" for name, r in recipes.items()},
        "target": question.target, "balance": question.balance, "weight": question.weights or None, "pairs": question.pairs,
        **{key: {name: r[key] for name, r in recipes.items()} for key in OWN if any(r[key] != Recipe.model_fields[key].default for r in recipes.values())},
        **{key: common[key] for key in COMMON},
    }  # fmt: skip
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def unfinished(out: str | Path | None, options: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The unfinished run to go on with, and its own recipe.

    Raises:
        RecipeError: there is none, it is of another verb, or options differ from its own.
    """
    if out is None:
        found = sorted((p for p in RUNS.glob(f".*{PARTIAL}") if (p / MARK).exists()), key=lambda p: p.stat().st_mtime)
        if not found:
            raise RecipeError(
                sentence(
                    "there is no unfinished run of several tasks", where=str(RUNS), fix="headstart multitask DATA DATA"
                )
            )
        out = RUNS / found[-1].name[1 : -len(PARTIAL)]
    out = Path(out)
    work = begin(out, resume=True, force=False)
    if not (work / MARK).exists():
        raise RecipeError(
            sentence("this is no run of several tasks", got=str(out), fix=f"headstart fit --resume --out {out}")
        )
    saved = (work / "recipe.yaml").read_text(encoding="utf-8")
    values = {key: value for key, value in yaml.safe_load(saved).items() if key != "verb" and value is not None}
    again = yaml.safe_load(to_yaml(ask({**values, **options})))
    differ = [key for key, value in yaml.safe_load(saved).items() if again.get(key) != value]
    if differ:
        raise RecipeError(
            sentence("a resumed run keeps its own recipe; these options differ from it", got=", ".join(differ),
                     fix=f"--resume --out {out} alone, or --force to start again")
        )  # fmt: skip
    return out, values


def same_data(work: Path, digests: dict[str, str]) -> None:
    """A resumed run goes on only with the data it began with.

    Raises:
        RecipeError: they are others.
    """
    known = read_json(work / MARK)
    if known and known != digests:
        raise RecipeError(
            sentence("the data are not those that this run began with", where=str(work), fix="--force to start again")
        )
    write_json(work / MARK, digests)
