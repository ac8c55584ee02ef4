"""Everything between an open run folder and a finished one."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import SEQUENCES
from headstart.data.text_lengths import in_windows, token_facts, token_sentences
from headstart.data.wording import Worded, said_again, worded
from headstart.deploy.held_out import save_held_out
from headstart.errors import HeadstartError, RecipeError, sentence
from headstart.evaluation.calibration import calibration
from headstart.evaluation.pictures import collect_pictures
from headstart.evaluation.report import write_report
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.evaluation.telling import Reading
from headstart.evaluation.texts import collect_texts
from headstart.evaluation.verdict import verdict
from headstart.folder import cache_root, read_json, write_json, write_text
from headstart.progress import Progress
from headstart.recipe import Recipe
from headstart.run import Run
from headstart.sources.modality import check_modality
from headstart.sources.source import Source
from headstart.sources.taps import taps_read
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import handshake
from headstart.tasks.catalogue import TASKS
from headstart.training.device import pick_device
from headstart.training.finetune import facts
from headstart.training.stage_table import stage_table
from headstart.training.transfer import task_of
from headstart.verbs.after import after_of, check_after, check_words
from headstart.verbs.decide import decide, keep, kept, read_budget
from headstart.verbs.experiment import Clock, experiment, score
from headstart.verbs.forgetting import source_scores
from headstart.verbs.plan import find_source, recipe_of, source_for
from headstart.verbs.prepare import Prepared, prepare, prepare_recipe
from headstart.verbs.save import save, verify
from headstart.verbs.settings import check_inputs, check_obeyed, check_recipe, settings_of
from headstart.verbs.write import write_run_tables


def work_through(plan: Recipe, work: Path, out: Path, *, keep_head: bool, progress: Progress) -> None:
    """Everything between an open run folder and a finished one."""
    if plan.task in SEQUENCES:
        from headstart.verbs.sequence_work import work_through_sequences

        work_through_sequences(plan, work, progress=progress)
        return
    try:
        _work_through(plan, work, out, keep_head=keep_head, progress=progress)
    except HeadstartError as error:
        known = (work / "data.json").exists()
        raise said_again(
            error, read_json(work / "data.json").get("modality", "image") if known else "image"
        ) from error.__cause__


def _work_through(plan: Recipe, work: Path, out: Path, *, keep_head: bool, progress: Progress) -> None:
    clock, cache = Clock(), cache_root()
    budget = read_budget(plan.budget)
    until = time.perf_counter() + budget if budget else None
    device = pick_device(plan.device)
    check_words(plan)
    check_recipe(plan)
    with clock("data"):
        target = prepare_recipe(plan, progress)
    scoring = SCORING[target.dataset.task]
    metric = scoring.check_metric(plan.metric, target.classes)
    check_obeyed(plan, target.dataset.task)
    modality = target.dataset.modality
    check_inputs(plan, modality)
    progress = Worded(progress, modality)
    same_data(work, target)
    write_json(work / "data.json", target.info)

    with clock("ranking"):
        source, layer = _source(plan, target, work, device=str(device), progress=progress)
    check_modality(source, target.dataset.modality)
    progress.say(f"source {source.name}: {source.report.line()}")
    if target.dataset.modality == "text":
        tokens = token_facts(target.dataset, source.preprocessing, seed=plan.seed)
        target.info["tokens"] = tokens = in_windows(tokens) if TASKS[target.dataset.task].by_token else tokens
        for line in token_sentences(tokens, source.name):
            progress.say(line)
        write_json(work / "data.json", target.info)
    pretrained = source.pretrained
    settings = settings_of(plan, target.unlabelled, target.held_out)
    if plan.strategy == "auto" or until is not None:
        with clock("choosing"):
            decided = kept(work / "plan.json")
            if decided is None:
                decided = decide(plan, target, source, layer, until=until, device=device, progress=progress)
                keep(work / "plan.json", decided)
                # what was open is in the recipe from now on: a run that goes on, or trains longer, decides nothing anew
                fixed = plan.model_copy(update=recipe_of(plan, source, decided))
                write_text(work / "recipe.yaml", fixed.to_yaml())
        layer = decided.layer
        plan = plan.model_copy(update={"strategy": decided.strategy, "baselines": decided.baselines})
        settings = replace(settings, optimisation={**settings.optimisation, **decided.optimisation})
    strategy = parse_strategy(plan.strategy)
    handshake(
        strategy,
        source.layers,
        (task := task_of(target.split("train"), settings, by_steps=strategy.procedure.by_steps)),
        pretrained=pretrained,
        has=facts(source, settings.feeding),
        stepwise_options=plan.stepwise_set,
        layer=layer,
    )
    check_after(plan, by_steps=strategy.procedure.by_steps, pretrained=pretrained, n_valid=len(target.split("valid")))
    head = None
    if keep_head and strategy.procedure.by_steps:
        if source.head is not None and source.classes == target.classes and len(source.head[0]) == task.rows:
            head = source.head
        else:
            progress.say("the earlier run's head is for other classes or other layers, so the head starts anew")

    reference = None
    if plan.source_data is not None:
        with clock("data"):
            reference = prepare(
                plan.source_data,
                task="classification",
                seed=plan.seed,
                on_bad=plan.on_bad_sample,
                workers=plan.workers,
                progress=progress,
            ).dataset

    test_set = target.split("test")
    assert test_set.labels is not None
    outcomes, scores = [], []
    for i in range(plan.seeds):
        if i:
            progress.say(f"seed {plan.seed + i} ({i + 1} of {plan.seeds})")
        outcome = experiment(
            target, source, strategy, settings, plan.baselines, metric=metric, device=device, seed=plan.seed + i,
            cache_dir=cache, pretrained=pretrained, folder=work / "checkpoints" / (f"seed-{plan.seed + i}" if i else ""), head=head,
            layer=layer, workers=plan.workers, after=after_of(plan), calibration=plan.calibrate, clock=clock, progress=progress,
        )  # fmt: skip
        outcomes.append(outcome)
        with clock("evaluation"):
            scores.append(score(outcome, test_set.labels, metric))
    outcome, result = outcomes[0], scores[0]
    moved = outcome.moved

    old = None
    if reference is not None:
        with clock("evaluation"):
            old = source_scores(
                source,
                moved,
                reference,
                test_set,
                target.classes,
                plan.strategy,
                result,
                device=device,
                cache_dir=cache,
                seed=plan.seed,
                workers=plan.workers,
                progress=progress,
            )
    specs = scoring.metrics(target.classes)
    judged = worded(
        verdict(result["gains"], metric=metric, spec=specs[metric], ranked=not moved.task.by_token), modality
    )
    table = stage_table(source, strategy, moved.stages, moved.options)
    move = sum(row["moving"] for row in table) + sum(t.numel() for t in moved.head)
    with clock("save"):
        others = {name: (found, outcome.tasks[name]) for name, found in outcome.baselines.items()}
        write_run_tables(work, test_set, (outcome.target, moved.task), others, outcome.history)
        temperature = (outcome.calibrated or {}).get("temperature")
        save(work, source, moved, target, judged["why"], metric, result["target"], plan, temperature)
        if outcome.held is not None:
            save_held_out(work / "model", outcome.held)
        if "tensorboard" in plan.log:
            tensorboard(work / "events", outcome.history)
    with clock("mistakes"):
        worst = scoring.worst(outcome.target, test_set.labels, moved.task, target.classes)
        if modality == "image":
            write_json(work / "pictures.json", collect_pictures(target.dataset, test_set, worst))
        else:
            reading = Reading(moved.backbone if moved.moved else moved.reads.backbone, moved.head, source.preprocessing)
            found = collect_texts(target.dataset, test_set, worst, outcome.target, moved.task, reading, seed=plan.seed)
            if moved.task.by_token:
                found["lengths"] |= {"windowed": found["lengths"]["cut"], "cut": 0}
            write_json(work / "texts.json", found)
    check = None
    if plan.verify:
        with clock("verify"):
            check = verify(work, test_set, moved.task.compared(outcome.target), unit=moved.task.unit)
    write_json(
        work / "metrics.json",
        {
            "task": moved.task.name, "modality": modality, "metric": metric, "metrics": {name: asdict(spec) for name, spec in specs.items()}, **result, "source": old, **judged,
            "seeds": over_seeds(scores, plan),
            "n": {split: len(target.split(split)) for split in ("train", "valid", "test")}
            | ({} if target.unlabelled is None else {"unlabelled": len(target.unlabelled)}),
            "strategy": {
                "name": plan.strategy, "description": strategy.describe(), "trainable": move,
                "total": source.parameters + sum(t.numel() for t in moved.head), "stages": table,
                "epochs": moved.options.epochs if moved.options else None, "lr": moved.options.lr if moved.options else None,
                "reads": [{"layer": tap.layer, "features": tap.kept, "of": tap.width} for tap in taps_read(moved.reads)],
                "stopped_early": moved.stopped_early, **moved.found, "cross_validated": moved.cross_validated,
            },
            "source_model": {
                "name": source.name, "architecture": f"{source.library}/{source.architecture}", "licence": source.licence,
                "report": source.report.line(), "width": source.width, "parameters": source.parameters,
                "size": source.preprocessing.size, "digest": source.digest, "description": source.description,
            },
            "criterion": moved.criterion, **scoring.details(outcome.target, test_set.labels, moved.task),
            **({"calibration": calibration(outcome.target, test_set.labels, outcome.calibrated)} if outcome.calibrated else {}),
            "reload_check": check, "seed": plan.seed, "data_digest": target.dataset.digest,
            "seconds": {k: round(v, 3) for k, v in clock.seconds.items()}, "peak_memory_mb": round(peak_mb(), 1),
        },
    )  # fmt: skip
    write_report(work, lang=plan.lang)


def same_data(work: Path, target: Prepared) -> None:
    """A resumed or extended run goes on only with the data it began with, the unlabelled ones included."""
    state = read_json(work / "origin.json")
    digest = target.dataset.digest
    unlabelled = target.unlabelled.digest if target.unlabelled is not None else None
    known, beside = state.get("data_digest"), state.get("unlabelled_digest", unlabelled)
    if known is None and state.get("extends"):
        earlier = Run(state["extends"])
        known = earlier.metrics["data_digest"]
        beside = read_json(earlier.path / "data.json").get("unlabelled", {}).get("digest")
    if known not in (None, digest) or beside != unlabelled:
        raise RecipeError(
            sentence(
                "the data are not those that this run began with",
                where=str(work),
                fix="--force to start again, or --continue-from RUN for new data",
            )
        )
    write_json(work / "origin.json", {**state, "data_digest": digest, "unlabelled_digest": unlabelled})


def _source(plan: Recipe, target: Prepared, work: Path, *, device: str, progress: Progress) -> tuple[Source, str]:
    """The source and the layer to read, ranked on the training images where they are open; both once a run."""
    ranked, layered = work / "ranking.json", work / "layers.json"
    if plan.source == "auto" and ranked.exists():
        plan = plan.model_copy(update={"source": read_json(ranked)["chosen"]})
    if layered.exists():
        open_ = "auto" in (plan.strategy, plan.layer)
        source = source_for(plan.source, plan, target)
        return source, read_json(layered)["chosen"] if open_ else plan.layer
    source, ranking, layers = find_source(plan, target, device=device, progress=progress)
    if ranking:
        write_json(ranked, ranking.to_dict())
    if layers:
        write_json(layered, layers.to_dict())
    return source, layers.chosen if layers else "last" if plan.layer == "auto" else plan.layer


def over_seeds(scores: Sequence[dict[str, Any]], plan: Recipe) -> dict[str, Any] | None:
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


def tensorboard(folder: Path, history: list[dict[str, Any]]) -> None:
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


def peak_mb() -> float:
    """Peak resident memory of this process in MB (2^20 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
