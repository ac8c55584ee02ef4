"""Everything between an open run folder of several tasks and a finished one, but for the report."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from headstart.data.augment import augmentation, flips
from headstart.data.checks import WORDS
from headstart.data.dataset import Dataset
from headstart.data.loader import DecodedCache
from headstart.data.rows import ImageRows, TextRows, rows_of
from headstart.data.wording import said
from headstart.deploy.heads import Head, buffers_of, save_heads
from headstart.errors import DataError, sentence
from headstart.evaluation.multitask import all_verdict, in_words, level_of, target_verdict
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.folder import disk_errors, read_json, write_json
from headstart.progress import Progress
from headstart.sources import load_source, save_model
from headstart.sources.bottleneck import Network
from headstart.sources.source import Source
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.strategy import Strategy
from headstart.tasks.task import Model, Task
from headstart.training.device import pick_device
from headstart.training.finetune import DECODED_BYTES
from headstart.training.multitask import Joint, Member, check_shared, train_together
from headstart.training.optim import Optimisation
from headstart.training.stage_table import stage_table
from headstart.training.text_variation import prepared as prepared_texts
from headstart.training.transfer import resolve, task_of
from headstart.verbs.experiment import Clock
from headstart.verbs.multitask import Question, same_data
from headstart.verbs.plan import find_source
from headstart.verbs.prepare import Prepared, prepare_recipe
from headstart.verbs.save import verify
from headstart.verbs.settings import check_obeyed, check_recipe, refuse_by_token, settings_of
from headstart.verbs.work import peak_mb
from headstart.verbs.write import environment, predictions_table, write_table


@dataclass
class Subject:
    """One data set: its images by split, how it is scored, and the member of a training that it is."""

    name: str
    prepared: Prepared
    splits: dict[str, Dataset]
    metric: str
    member: Member
    judged: bool

    @property
    def scoring(self) -> Any:
        return SCORING[self.member.task.name]

    @property
    def labels(self) -> np.ndarray:
        """Of the test images."""
        assert self.splits["test"].labels is not None
        return self.splits["test"].labels


@dataclass
class Training:
    """One training and what it said of the test images of its judged tasks (of all, where everybody is together)."""

    label: str
    names: list[str]
    found: dict[str, tuple[np.ndarray, Task]] = field(default_factory=dict)
    criterion: str = ""
    best_epoch: int = 0
    factors: dict[str, float] = field(default_factory=dict)


def work_through(question: Question, work: Path, progress: Progress) -> None:
    """Read, train together and alone, score, save, write metrics.json."""
    clock, common = Clock(), question.common
    device = pick_device(common.device)
    strategy = parse_strategy(common.strategy)
    check_shared(strategy)
    for recipe in question.recipes.values():
        check_recipe(recipe)
    with clock("data"):
        prepared = {name: prepare_recipe(recipe, progress) for name, recipe in question.recipes.items()}
        for each in prepared.values():
            refuse_by_token(each.dataset.task, "multitask")
        datasets, notes = without_copies(prepared)
        for note in notes:
            progress.say(note)
    same_modality(datasets)
    same_data(work, {name: dataset.digest for name, dataset in datasets.items()})
    write_json(work / "data.json", {name: each.info for name, each in prepared.items()})
    with clock("ranking"):
        source = found_source(question, prepared, work, str(device), progress)
    progress.say(f"source {source.name}: {source.report.line()}")
    subjects = [
        subject_of(question, name, prepared[name], datasets[name], source, cache, frozenset().union(*(each.held_out for each in prepared.values())))
        for cache in [DecodedCache(DECODED_BYTES)] for name in question.recipes
    ]  # fmt: skip
    options, updates = plan_steps(question, subjects, source)
    history: list[dict[str, Any]] = []
    whole: Joint | None = None
    trainings = planned(question, subjects)
    for number, training in enumerate(trainings):
        with clock(training.label):
            joint = trained(question, training, subjects, source, strategy, options, updates, device, work, progress)
        with clock("evaluation"):
            judge(training, joint, subjects, everybody=number == 0)
        history += [{"model": training.label} | row for row in joint.fitted.history]
        whole = whole or joint
    assert whole is not None
    result = scored(question, subjects, trainings)
    with clock("save"):
        write_table(work / "history.csv", pd.DataFrame(history))
        write_json(work / "env.json", environment())
        for subject in subjects:
            write_predictions(work, question, subject, trainings)
        save_models(work, question, subjects, trainings[0], whole, source, result)
    checks = {}
    if common.verify:
        with clock("verify"):
            for s in subjects:
                found, task = trainings[0].found[s.name]
                checks[s.name] = verify(work, s.splits["test"], found, unit=task.unit, head=s.name)
    stages = strategy.stages(source.layers)
    write_json(
        work / "metrics.json",
        {
            "kind": "multitask", **result, "notes": notes, "balance": question.balance, "weights": question.weights, "judged": question.target,
            "strategy": {
                "name": strategy.name, "description": strategy.describe(), "epochs": options.epochs, "updates": updates * options.epochs,
                "batch_size": settings_of(common).feeding.batch_size, "lr": options.lr, "stages": stage_table(source, strategy, stages, options),
            },
            "source_model": {
                "name": source.name, "architecture": f"{source.library}/{source.architecture}", "licence": source.licence,
                "report": source.report.line(), "width": source.width, "parameters": source.parameters,
                "size": source.preprocessing.size, "digest": source.digest, "description": source.description,
            },
            "reload_check": checks or None, "seed": common.seed,
            "data_digest": {name: dataset.digest for name, dataset in datasets.items()},
            "seconds": {k: round(v, 3) for k, v in clock.seconds.items()}, "peak_memory_mb": round(peak_mb(), 1),
        },
    )  # fmt: skip


def without_copies(prepared: Mapping[str, Prepared]) -> tuple[dict[str, Dataset], list[str]]:
    """Each data set without the training and validation images that are exact copies of another's test images; and what was left out.

    Raises:
        DataError: a class has no training image left.
    """
    found, notes = {}, []
    for name, each in prepared.items():
        dataset = each.dataset
        assert dataset.digests is not None
        others = [p.dataset for other, p in prepared.items() if other != name]
        tests = np.concatenate([d.digests[d.splits == "test"] for d in others])  # type: ignore[index]
        copies = np.isin(dataset.digests, tests) & (dataset.splits != "test")
        if copies.any():
            notes.append(
                f"{name}: {int(copies.sum())} {WORDS[dataset.modality]} are test {WORDS[dataset.modality]} of another task too and are not learned from."
            )
            left = dataset.subset(np.flatnonzero(~copies))
            bare = (left.select("train").counts == 0) & (dataset.select("train").counts > 0)
            if bare.any():
                raise DataError(
                    sentence(f"a class has no training {dataset.modality} that is no test {dataset.modality} of another task", where=name,
                             got=dataset.classes[int(np.argmax(bare))], fix="one split for both: --split-col")
                )  # fmt: skip
            dataset = left
        found[name] = dataset
    return found, notes


def same_modality(datasets: Mapping[str, Dataset]) -> None:
    """Raises:
    DataError: images beside texts: no backbone reads both.
    """
    kinds = {name: dataset.modality for name, dataset in datasets.items()}
    if len(set(kinds.values())) > 1:
        got = ", ".join(f"{name} ({WORDS[kind]})" for name, kind in kinds.items())
        raise DataError(sentence("one backbone reads images or texts, not both", got=got, fix="data sets of one kind"))


def found_source(
    question: Question, prepared: Mapping[str, Prepared], work: Path, device: str, progress: Progress
) -> Source:
    """The source that is named; else the one ranked first on the target, or on the first data set, once a run."""
    recipe, kept = question.common, work / "ranking.json"
    if recipe.source == "auto" and kept.exists():
        recipe = recipe.model_copy(update={"source": read_json(kept)["chosen"]})
    if recipe.source != "auto":
        return load_source(recipe.source, **recipe.reading)
    judge = prepared[question.target or next(iter(prepared))]
    source, ranking, _ = find_source(recipe, judge, device=device, progress=progress)
    if ranking:
        write_json(kept, ranking.to_dict())
    return source


def subject_of(
    question: Question, name: str, prepared: Prepared, dataset: Dataset, source: Source, cache: DecodedCache,
    held_out: frozenset[str] = frozenset(),
) -> Subject:  # fmt: skip
    """One data set as the trainings take it; ``held_out`` is what the texts say that judge any of them.

    Raises:
        HandshakeError: options that mean nothing for this task.
    """
    recipe = question.recipes[name]
    check_obeyed(recipe, dataset.task)
    scoring = SCORING[dataset.task]
    metric = scoring.check_metric(recipe.metric, dataset.classes)
    splits = {split: dataset.select(split) for split in ("train", "valid", "test")}
    settings = settings_of(recipe)
    task = task_of(splits["train"], settings)
    judged = question.target in (None, name)

    asked = settings.feeding.augment
    varied: Any = augmentation(asked) if dataset.modality == "image" else prepared_texts(
        asked, source, splits["train"].inputs, task=task.name, classes=dataset.classes, held_out=held_out, pretrained=source.pretrained,
        device=pick_device(recipe.device), seed=recipe.seed,
    )  # fmt: skip

    def rows(split: str) -> ImageRows | TextRows:
        return rows_of(splits[split], source.preprocessing, varied, workers=recipe.workers, cache=cache)

    labels = splits["train"].labels
    assert labels is not None
    says = judged and len(splits["valid"]) > 0
    member = Member(
        name, task, rows("train"), labels, rows("valid") if says else None, splits["valid"].labels if says else None,
        lambda found, labels: scoring.watch(found, labels, dataset.classes),
    )  # fmt: skip
    return Subject(name, prepared, splits, metric, member, judged)


def plan_steps(question: Question, subjects: list[Subject], source: Source) -> tuple[Optimisation, int]:
    """The optimisation, and the updates of an epoch: as many as the target has batches, or the largest data set."""
    settings = settings_of(question.common)
    size = settings.feeding.batch_size
    updates = max(s.member.steps(size) for s in subjects if question.target in (None, s.name))
    options = resolve(
        settings.optimisation,
        updates * size,
        size,
        pretrained=source.pretrained,
        source=source,
    )
    return replace(options, patience=None), updates


def planned(question: Question, subjects: list[Subject]) -> list[Training]:
    """All together first, then each judged task alone, then the pairs."""
    names = [s.name for s in subjects]
    judged = [s.name for s in subjects if s.judged]
    found = [Training("together", names), *(Training(f"{name} alone", [name]) for name in judged)]
    if question.pairs:
        pairs = [pair for pair in combinations(names, 2) if set(pair) & set(judged)]
        found += [Training(" + ".join(pair), list(pair)) for pair in pairs]
    return found


def trained(
    question: Question,
    training: Training,
    subjects: list[Subject],
    source: Source,
    strategy: Strategy,
    options: Optimisation,
    updates: int,
    device: torch.device,
    work: Path,
    progress: Progress,
) -> Joint:
    """Train on a fresh copy of the source."""
    recipe = question.common
    torch.manual_seed(recipe.seed)
    backbone = copy.deepcopy(source.backbone) if source.pretrained else source.build()
    order = [s.name for s in subjects]
    slug = "-".join(["all"] if training.label == "together" else [str(order.index(name)) for name in training.names])
    several = len(training.names) > 1
    joint = train_together(
        Network(backbone, source.layers, source.width, source.pretrained), strategy,
        [s.member for s in subjects if s.name in training.names], options, updates=updates,
        batch_size=settings_of(recipe).feeding.batch_size, dropout=recipe.dropout,
        balance=question.balance if several else "equal", weights=question.weights if several else None, device=device,
        seed=recipe.seed, precision=recipe.precision, folder=work / "checkpoints" / slug, progress=progress, name=training.label,
    )  # fmt: skip
    training.criterion, training.best_epoch = joint.fitted.criterion, joint.fitted.best_epoch
    training.factors = joint.factors
    return joint


def judge(training: Training, joint: Joint, subjects: list[Subject], *, everybody: bool) -> None:
    """Predict the test images; what a task settles on validation images (thresholds) is settled for this model."""
    for s in subjects:
        if s.name not in training.names or not (s.judged or everybody):
            continue
        task = s.member.task
        if task.settles and s.member.valid is not None and s.member.valid_labels is not None:
            task = task.tuned(joint.predict(s.member, s.member.valid), s.member.valid_labels)
        rows = rows_of(s.splits["test"], s.member.rows.preprocessing, workers=getattr(s.member.rows, "workers", None))  # type: ignore[attr-defined]
        training.found[s.name] = (joint.predict(s.member, rows), task)


def scored(question: Question, subjects: list[Subject], trainings: list[Training]) -> dict[str, Any]:
    """Scores of every task, gains over itself alone from every training, and the verdict."""
    alone = {t.names[0]: t.found[t.names[0]] for t in trainings if len(t.names) == 1}
    whole, tasks, words, gains = trainings[0], {}, {}, {}
    modality = subjects[0].splits["train"].modality

    def gain(training: Training, s: Subject) -> dict[str, Any]:
        (a, task), (b, other) = training.found[s.name], alone[s.name]
        return s.scoring.gain(a, b, s.labels, s.metric, (task, other))

    for s in subjects:
        found, task = whole.found[s.name]
        specs = s.scoring.metrics(s.prepared.classes)
        cell: dict[str, Any] = {
            "task": task.name, "metric": s.metric, "metrics": {name: asdict(spec) for name, spec in specs.items()}, "judged": s.judged,
            "classes": list(task.classes), "n": {split: len(images) for split, images in s.splits.items()},
            "together": s.scoring.scores(found, s.labels, task), "factor": whole.factors.get(s.name, 1.0),
        }  # fmt: skip
        if s.judged:
            gains[s.name] = gain(whole, s)
            words[s.name] = said(in_words(gains[s.name], s.metric, specs[s.metric], s.name), modality)
            cell |= {
                "alone": s.scoring.scores(alone[s.name][0], s.labels, alone[s.name][1]), "gain": gains[s.name],
                "level": level_of(gains[s.name]), "words": words[s.name],
            }  # fmt: skip
        tasks[s.name] = cell
    rows = [
        {
            "name": t.label, "tasks": t.names, "criterion": t.criterion, "best_epoch": t.best_epoch, "factors": t.factors,
            "gains": {s.name: gain(t, s) for s in subjects if len(t.names) > 1 and s.judged and s.name in t.names},
        }
        for t in trainings
    ]  # fmt: skip
    result: dict[str, Any] = {
        "tasks": tasks,
        "trainings": rows,
        "target": {},
        "baselines": {},
        "transfer_gain": None,
        "task": "several",
        "inputs": WORDS[modality],
    }
    if question.target is None:
        return result | {"metric": None} | spoken(all_verdict(gains, words), modality)
    s = next(s for s in subjects if s.judged)
    cell, spec = tasks[s.name], s.scoring.metrics(s.prepared.classes)[s.metric]
    result |= {
        "task": cell["task"], "metric": s.metric, "metrics": cell["metrics"], "target": cell["together"], "baselines": {"alone": cell["alone"]},
        "transfer_gain": {"versus": "alone", "metric": s.metric, **cell["gain"]}, "n": cell["n"],
    }  # fmt: skip
    others = [o.name for o in subjects if o is not s]
    return result | spoken(target_verdict(s.name, others, cell["gain"], s.metric, spec), modality)


def spoken(verdict: dict[str, Any], modality: str) -> dict[str, Any]:
    """A verdict in the words of what was judged."""
    return verdict | {"why": said(verdict["why"], modality), "try": [said(line, modality) for line in verdict["try"]]}


def write_predictions(work: Path, question: Question, subject: Subject, trainings: list[Training]) -> None:
    """predictions/NAME.csv of the joint model, predictions/alone/NAME.csv; the target's in predictions.csv too, as `fit` has it."""
    for training in trainings[: 1 + sum(len(t.names) == 1 for t in trainings)]:
        if subject.name in training.found:
            place = work / "predictions" / ("" if training.label == "together" else "alone")
            table = predictions_table(subject.splits["test"], *training.found[subject.name])
            write_table(place / f"{subject.name}.csv", table)
            if training.label == "together" and subject.name == question.target:
                write_table(work / "predictions.csv", table)


def save_models(
    work: Path,
    question: Question,
    subjects: list[Subject],
    whole: Training,
    joint: Joint,
    source: Source,
    result: dict[str, Any],
) -> None:
    """``model/``: the backbone in its library's own layout (with the target's head, where it is one of classes), and every head."""
    heads = {
        name: Head(whole.found[name][1], model.head.weight, model.head.bias, buffers_of(model.backbone))  # type: ignore[arg-type]
        for name, model in joint.models.items()
    }
    first: Model = joint.models[question.target or subjects[0].name]
    default = heads.get(question.target or "")
    plain = default is not None and "class_labels" in default.task.gives
    head = first.head if plain and isinstance(first.head, nn.Linear) else None
    own = {} if default is None else {"task": {"name": default.task.name, **default.task.state()}}
    card = "\n".join(
        [
            f"# {' / '.join(heads)}", "",
            f"One backbone from `{source.name}` with {len(heads)} heads, trained together by Headstart (`{question.balance}`).", "",
            *(f"- `{s.name}`: {heads[s.name].task.says}; test {s.metric.replace('_', ' ')} {cell['value']:.3f} "
              f"(95 % interval {cell['ci95'][0]:.3f} to {cell['ci95'][1]:.3f}, {len(s.splits['test'])} {WORDS[s.splits['test'].modality]})"
              for s in subjects for cell in [result["tasks"][s.name]["together"][s.metric]]),
            f"- Verdict: {result['why']}", f"- Licence of the source's weights: {source.licence}", f"- {source.report.line()}",
            "- Each head, with the batch-norm statistics that go with it, is in heads.safetensors: "
            f"`headstart predict RUN {source.preprocessing.modality.upper()}S --head NAME`", "",
        ]
    )  # fmt: skip
    with disk_errors(work / "model"):
        save_model(
            work / "model", source, first.backbone.cpu(), head, default.task.classes if default else (), source.preprocessing, card,
            extra={"precision": "fp32", "flip": source.preprocessing.modality == "image" and flips(question.common.augment), "reads": [], **own},
        )  # fmt: skip
        save_heads(work / "model", heads, question.target)
