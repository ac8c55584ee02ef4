"""`fit` of a model that writes texts: between an open run folder and a finished one."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.wording import Worded, worded
from headstart.deploy.generator import generation_config, write_texts
from headstart.errors import WorkError, sentence
from headstart.evaluation.report import write_report
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.evaluation.scoring.generation import each_chrf
from headstart.evaluation.verdict import verdict
from headstart.folder import disk_errors, write_json
from headstart.progress import Progress
from headstart.recipe import Recipe
from headstart.sources.sequence_save import save_sequence_model
from headstart.sources.sequences import load_sequences
from headstart.sources.source import Source
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.strategy import Strategy
from headstart.tasks.generation import Decoding, Generation
from headstart.training.device import pick_device
from headstart.training.sequence_baselines import BASELINES
from headstart.training.sequences import check_strategy, train_sequences
from headstart.training.stage_table import stage_table
from headstart.training.transfer import Settings, Transferred, for_scratch, task_of
from headstart.verbs.experiment import Clock, Outcome, score
from headstart.verbs.prepare import Prepared, prepare_recipe
from headstart.verbs.sequence_check import baselines_of, check_sequence_recipe
from headstart.verbs.settings import check_obeyed, settings_of
from headstart.verbs.work import over_seeds, peak_mb, same_data, tensorboard
from headstart.verbs.write import write_run_tables

SHOWN = 8
"""Examples of each kind in the report: the best, the worst, and some in between."""


def work_through_sequences(plan: Recipe, work: Path, *, progress: Progress) -> None:
    """Train, write the test texts, compare with the baselines, save, check, report."""
    clock = Clock()
    device = pick_device(plan.device)
    check_sequence_recipe(plan)
    progress = Worded(progress, "text")
    with clock("data"):
        target = prepare_recipe(plan, progress)
    scoring = SCORING[target.dataset.task]
    metric = scoring.check_metric(plan.metric, target.classes)
    check_obeyed(plan, target.dataset.task)
    same_data(work, target)
    train_set, test_set = target.split("train"), target.split("test")
    assert train_set.labels is not None and test_set.labels is not None
    learned = [*train_set.inputs, *train_set.labels.tolist()]
    with clock("source"):
        source = load_sequences(
            plan.source, max_length=plan.max_length, prefix=plan.prefix, task=target.dataset.task,
            texts=lambda: learned,
        )  # fmt: skip
    progress.say(f"source {source.name}: {source.description or source.report.line()}")
    info = {**target.info, "truncated": (cut := truncated(source, target))}
    if any(cut.values()):
        said = f"{cut['texts']} texts and {cut['targets']} targets of {len(target.dataset)} are longer than {source.preprocessing.size} tokens and lose their ends; --max-length says otherwise."  # fmt: skip
        info["warnings"] = [*info["warnings"], said]
        progress.say(said)
    write_json(work / "data.json", info)

    settings = settings_of(plan)
    strategy = parse_strategy("finetune" if plan.strategy == "auto" else plan.strategy)
    task = task_of(train_set, settings)
    assert isinstance(task, Generation)
    task.decoding = decoding_of(plan, source, target)
    check_strategy(strategy, source, task, pretrained=source.pretrained)
    names = baselines_of(plan, target.dataset.task, pretrained=source.pretrained)
    outcomes, scores = [], []
    for i in range(plan.seeds):
        if i:
            progress.say(f"seed {plan.seed + i} ({i + 1} of {plan.seeds})")
        folder = work / "checkpoints" / (f"seed-{plan.seed + i}" if i else "")
        outcomes.append(_experiment(target, source, strategy, task, settings, names, device, plan.seed + i, folder, clock, progress))  # fmt: skip
        with clock("evaluation"):
            scores.append(score(outcomes[-1], test_set.labels, metric))
    outcome, result = outcomes[0], scores[0]
    moved = outcome.moved
    specs = scoring.metrics(target.classes)
    judged = worded(
        verdict(result["gains"], metric=metric, spec=specs[metric], pretrained=source.pretrained, ranks=False), "text"
    )
    judged |= advice(judged["level"], source)
    table = stage_table(source, strategy, moved.stages, moved.options)
    how = generation_config(moved.backbone.model, task.decoding)
    with clock("save"):
        others = {name: (found, outcome.tasks[name]) for name, found in outcome.baselines.items()}
        write_run_tables(work, test_set, (outcome.target, task), others, outcome.history)
        extra = {"task": {"name": task.name, **task.state()}}
        with disk_errors(work / "model"):
            save_sequence_model(
                work / "model", source, moved.backbone, task.classes[0], _card(plan, source, task, result, metric, judged["why"], target), extra, how,  # type: ignore[arg-type]
            )  # fmt: skip
        if "tensorboard" in plan.log:
            tensorboard(work / "events", outcome.history)
    check = None
    if plan.verify:
        with clock("verify"):
            check = verify_writing(work, list(test_set.inputs), outcome.target)
    write_json(
        work / "metrics.json",
        {
            "task": task.name, "modality": "text", "metric": metric, "metrics": {name: asdict(spec) for name, spec in specs.items()}, **result, "source": None,
            **judged, "seeds": over_seeds(scores, plan), "n": {s: len(target.split(s)) for s in ("train", "valid", "test")},
            "strategy": {
                "name": strategy.name, "description": strategy.describe(), "trainable": sum(row["moving"] for row in table),
                "total": source.parameters, "stages": table, "epochs": moved.options.epochs if moved.options else None,
                "lr": moved.options.lr if moved.options else None, "reads": [], "stopped_early": moved.stopped_early, **moved.found,
            },
            "source_model": {
                "name": source.name, "architecture": f"{source.library}/{source.architecture}", "licence": source.licence,
                "report": source.report.line(), "width": source.width, "parameters": source.parameters,
                "size": source.preprocessing.size, "digest": source.digest, "description": source.description,
            },
            "criterion": moved.criterion, **scoring.details(outcome.target, test_set.labels, task), "decoding": asdict(task.decoding),
            "examples": examples(test_set.inputs, test_set.labels, outcome), "reload_check": check, "seed": plan.seed,
            "data_digest": target.dataset.digest, "seconds": {k: round(v, 3) for k, v in clock.seconds.items()},
            "peak_memory_mb": round(peak_mb(), 1),
        },
    )  # fmt: skip
    write_report(work, lang=plan.lang)


def advice(level: str, source: Source) -> dict[str, list[str]]:
    """What to try next, in words for texts that are written, in English and Chinese."""
    if level in ("helped", "not_measured"):
        return {
            "try": ["More pairs: run again with more and see whether the gain stays.", "Wider search: --beams 4, at about four times the cost of writing."],
            "try_zh": ["增加句对后再运行，看增益是否保持。", "加宽搜索：--beams 4，书写代价约为四倍。"],
        }  # fmt: skip
    first = (
        ("A pretrained source: --source FOLDER (Marian, T5, mT5, BART), or one made by headstart pretrain on more pairs.", "使用预训练源：--source FOLDER（Marian、T5、mT5、BART），或用 headstart pretrain 在更多句对上训练一个。")
        if not source.pretrained
        else ("A source nearer to these texts, or --strategy finetune for all of this one.", "换一个更接近这些文本的源，或用 --strategy finetune 训练整个模型。")
    )  # fmt: skip
    return {
        "try": [first[0], "More epochs or pairs: look at the curve of the validation loss, whether it still falls.", "Look at the worst examples in the report."],
        "try_zh": [first[1], "增加轮数或句对：看验证损失曲线是否仍在下降。", "查看报告中最差的例子。"],
    }  # fmt: skip


def truncated(source: Source, target: Prepared) -> dict[str, int]:
    """How many texts and targets are longer than the source reads and writes."""
    preprocessing: Any = source.preprocessing
    data = target.dataset
    assert data.labels is not None
    sides = {"texts": preprocessing.lengths(data.inputs), "targets": preprocessing.lengths(data.labels, target=True)}
    return {name: sum(n > preprocessing.size for n in lengths) for name, lengths in sides.items()}


def decoding_of(plan: Recipe, source: Source, target: Prepared) -> Decoding:
    """How texts are written, with a length that fits the training targets."""
    preprocessing: Any = source.preprocessing
    most = plan.max_new_tokens
    if most is None:
        labels = target.split("train").labels
        assert labels is not None
        longest = min(max(preprocessing.lengths(labels, target=True)), preprocessing.size)
        most = min(preprocessing.size, -(-3 * longest // 2))
    return Decoding(plan.beams, plan.length_penalty, most)


def _experiment(
    target: Prepared, source: Source, strategy: Strategy, task: Generation, settings: Settings, names: tuple[str, ...],
    device: torch.device, seed: int, folder: Path, clock: Clock, progress: Progress,
) -> Outcome:  # fmt: skip
    """Train, write the test texts; then each baseline under the same budget."""
    train_set, valid_set, test_set = (target.split(name) for name in ("train", "valid", "test"))
    texts = list(test_set.inputs)
    preprocessing: Any = source.preprocessing
    history: list[dict[str, Any]] = []

    def trained(name: str, how: Strategy, settings: Settings, pretrained: bool) -> tuple[np.ndarray, Transferred]:
        with clock(name):
            fitted, stages = train_sequences(
                source, how, task, train_set, valid_set, settings, pretrained=pretrained, device=device, seed=seed, folder=folder / name,
                progress=progress, name=name,
            )  # fmt: skip
        history.extend({"model": name} | row for row in fitted.history)
        backbone = fitted.model.backbone.to("cpu")
        with clock("evaluation"):
            found = write_texts(backbone.model, preprocessing, texts, task.decoding, device, progress=progress)  # type: ignore[union-attr,arg-type]
        backbone.to("cpu")
        empty = (torch.zeros(0, 0), torch.zeros(0))
        moved = Transferred(
            backbone=backbone, head=empty, task=task, moved=True, stages=stages, history=fitted.history, criterion=fitted.criterion,
            reads=source, options=fitted.extra.pop("options"), found={"micro_batch": fitted.micro_batch, **fitted.extra},
            stopped_early=fitted.stopped_early,
        )  # fmt: skip
        return found, moved

    found, moved = trained("transfer", strategy, settings, source.pretrained)
    others = {}
    for name in names:
        if name == "scratch":
            others[name] = trained(name, parse_strategy("finetune"), for_scratch(settings), False)[0]
            continue
        with clock(name):
            said = BASELINES[name](train_set, texts)
            others[name] = np.array([*said, None], dtype=object)[:-1]
    return Outcome(moved, found, others, dict.fromkeys(others, task), history)


def examples(texts: Any, labels: np.ndarray, outcome: Outcome) -> dict[str, list[dict[str, Any]]]:
    """The best, the worst, and some test texts from between, by the chrF of each alone; with what the baselines say of them."""
    alone = each_chrf(outcome.target, labels)
    order = np.argsort(alone, kind="stable")
    between = order[np.linspace(0, len(order) - 1, SHOWN + 2).round().astype(int)[1:-1]]
    rows = {"worst": order[:SHOWN], "some": between, "best": order[::-1][:SHOWN]}
    kept = {name: found for name, found in outcome.baselines.items() if name != "copy"}
    return {
        kind: [
            {"text": _cut(texts[i]), "label": _cut(labels[i]), "predicted": _cut(outcome.target[i]), "score": float(alone[i]),
             "others": {name: _cut(found[i]) for name, found in kept.items()}}
            for i in dict.fromkeys(map(int, chosen))
        ]
        for kind, chosen in rows.items()
    }  # fmt: skip


def _cut(text: Any, most: int = 600) -> str:
    text = str(text)
    return text if len(text) <= most else text[: most - 3] + "..."


def _card(plan: Recipe, source: Source, task: Generation, result: Any, metric: str, why: str, target: Prepared) -> str:
    cell = result["target"][metric]
    digits = 1 if metric in ("bleu", "chrf") else 3
    low, high = cell["ci95"]
    return "\n".join(
        [
            f"# {task.says}",
            "",
            f"{task.says}, made by Headstart from `{source.name}` with the strategy `{plan.strategy}`.",
            "",
            f"- Test {metric.replace('_', ' ')}: {cell['value']:.{digits}f} (95 % interval {low:.{digits}f} to {high:.{digits}f}, {len(target.split('test'))} texts)",
            f"- Verdict: {why}",
            f"- Training pairs: {len(target.split('train')) + len(target.split('valid'))}",
            f"- Written with {task.decoding.beams} beams, at most {task.decoding.max_new_tokens} tokens",
            f"- Licence of the source's weights: {source.licence}",
            "",
        ]
    )


def verify_writing(work: Path, texts: list[str], found: np.ndarray, limit: int = 16) -> dict[str, Any]:
    """Load the saved model in a fresh process, write a few test texts, compare.

    Returns:
        ``{"ok": True, "max_difference": 0.0, "n": int}``.

    Raises:
        WorkError: the reloaded model writes something else.
    """
    pick = np.unique(np.linspace(0, len(texts) - 1, min(limit, len(texts))).round().astype(int))
    done = subprocess.run(
        [sys.executable, "-m", "headstart.deploy.verify", str(work)],
        input=json.dumps({"modality": "text", "inputs": [texts[i] for i in pick]}), capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        raise WorkError(
            sentence("the saved model cannot be loaded in a fresh process", where=str(work), got=done.stderr.strip().splitlines()[-1:])
        )  # fmt: skip
    again = json.loads(done.stdout.splitlines()[-1])
    other = [i for i, said in zip(pick, again, strict=True) if said != found[i]]
    if other:
        raise WorkError(
            sentence("the saved model does not write what it wrote before it was saved", where=str(work), got=again[list(pick).index(other[0])],
                     allowed=str(found[other[0]]))
        )  # fmt: skip
    return {"ok": True, "max_difference": 0.0, "n": len(pick)}
