"""`headstart adapt RUN TARGET --method shot`: the model of a run moves to a target without the data it was trained on."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import DataError, HandshakeError, RecipeError, RunError, sentence
from headstart.folder import finish, read_json
from headstart.progress import SILENT, Progress
from headstart.run import Run
from headstart.verbs.adapt_question import Options, Question

WAYS = ("shot", "shot(weight=0.1)")
CARD = """# An adapted model

Method `{method}` (classification), made of the model of `{source}` and of the {n} {what} of {target}, without the data that the model was trained
on. {why}

`headstart predict {run} {given}` uses it, and `--source {run}` takes its backbone further."""
NOTE = (
    "The data of the source was not read: SHOT trained the backbone on the target alone, under the head as it was, and the last epoch was taken. "
    "It makes all classes equally frequent, so do not trust it where the target lacks classes or has them in very unequal shares."
)


OF_DATA = ("select", "target_labels", "classifier", "label", "domain_col", "missing", "task", "backbone", "open_set")
"""Options that act on data of the source, on labels of the target, or choose another model."""


def is_run(path: str | Path) -> bool:
    """Whether a finished run with a model is there."""
    return (Path(path) / "metrics.json").is_file() and (Path(path) / "model").is_dir()


def weight_of(options: Options, sources: Sequence[str | Path], target: str | Path | None) -> float:
    """The weight of the pseudo-labels, if these options can act on a run.

    Args:
        options: none may be set that acts on data of the source or on labels of the target.

    Raises:
        RecipeError: they cannot.
    """
    from headstart.strategies.terms.shot import SHOT
    from headstart.verbs.adapt_names import read_method

    method = options.method
    run = next(path for path in sources if is_run(path))
    if len(sources) > 1:
        raise RecipeError(
            sentence("a run folder is a model and not data, so that it is the only source", got=f"{run} among {len(sources)} sources",
                     fix=f"headstart adapt {run} TARGET --method shot")
        )  # fmt: skip
    if target is None:
        raise RecipeError(
            sentence("the model of a run is adapted to a target, and with --no-target there is none", got=str(run), fix="a target, or labelled data as sources")
        )  # fmt: skip
    if not re.match(r"shot\b", method.strip()):
        raise RecipeError(
            sentence(
                "the source is a run folder, a model without its data, and this method learns from data of the source", got=f"--method {method}",
                allowed=WAYS, fix="--method shot, or the data that the run was trained on as SOURCE",
            )
        )  # fmt: skip
    strategy = read_method(method)
    assert strategy is not None
    term = strategy.terms[0]
    if len(strategy.terms) > 1 or not isinstance(term, SHOT):
        raise RecipeError(
            sentence("the other terms beside shot act on data of the source, and a run folder has none", got=f"--method {method}", allowed=WAYS, fix="--method shot")
        )  # fmt: skip
    if term.source and term != SHOT(term.weight):
        raise RecipeError(
            sentence("source= is a share of the training on data of the source, and a run folder has none", got=f"--method {method}", fix=f"--method 'shot(weight={term.weight:g})'")
        )  # fmt: skip
    given = {name: getattr(options, name) for name in OF_DATA}
    for name, value in given.items():
        if name == "target_labels" and not value:
            continue
        if value not in (None, "logistic", "auto", "classification"):
            raise RecipeError(
                sentence("with a run folder as source this option would do nothing: the target's labels are for the evaluation alone, and the model is the run's",
                         got=f"--{name.replace('_', '-')} {value}", fix="leave it out")
            )  # fmt: skip
    return term.weight


def adapt_run(run: str | Path, target: str | Path, options: Options, weight: float, progress: Progress = SILENT) -> Run:
    """Adapt the model of a run folder to images or texts, whichever it reads, and write a run folder; the options are those of :func:`headstart.verbs.adapt.adapt`.

    Args:
        weight: of the pseudo-labels, see :class:`headstart.strategies.terms.shot.SHOT`.

    Raises:
        RunError: a run over features or with several heads, or ``out`` exists. HandshakeError: a task without classes, or a head that reads
            earlier layers. RecipeError: another image size. DataError: a target that cannot be used, or with none of the run's classes.
    """
    from headstart.evaluation.adaptation_report import write_adaptation_report
    from headstart.verbs.adapt_check import check, too_few
    from headstart.verbs.adapt_save import save_network, save_tables
    from headstart.verbs.domains import KINDS, images_of, kind_of, labelled_texts

    method, image_size = options.method, options.image_size
    if options.out is not None and Path(options.out).resolve() == Path(run).resolve():
        raise RunError(
            sentence(
                "the run would be overwritten by what is made of it", got=f"--out {options.out}", fix="another --out"
            )
        )
    folder = options.folder(f"adapt-{Path(target).stem}")
    check(method, None, 0, "logistic", options.training)
    predictor = opened(Path(run), options.device)
    size = predictor.source.preprocessing.size
    if image_size not in (None, size) and predictor.source.preprocessing.modality == "image":
        raise RecipeError(
            sentence("the run reads images of another size, and its head was trained on them", got=f"--image-size {image_size}", allowed=size, fix="leave it out")
        )  # fmt: skip
    kind, reads = kind_of(target), f"{predictor.source.preprocessing.modality}s"
    if kind != reads:
        raise DataError(sentence(f"the run reads {reads}", got=f"{target} ({KINDS[kind]})", allowed=KINDS[reads]))
    if reads == "texts" and image_size is not None:
        raise RecipeError(sentence("--image-size is for images", got=image_size, where=KINDS[kind], fix="leave it out"))
    began = time.perf_counter()
    images = (
        labelled_texts(target) if reads == "texts" else images_of(target, options.workers, progress, needs_label=False)
    )
    too_few(len(images), str(target))
    labels = None if images.labels is None else np.array(images.classes)[images.labels]
    notes = [NOTE, *of_classes(labels, predictor.classes, str(target), reads)]
    seconds = {"reading": time.perf_counter() - began}
    question = options.question("classification")
    result = moved(question, weight, predictor, images, labels, str(target), options.workers, progress)
    result.notes, result.seconds = notes, seconds | result.seconds
    for text in notes:
        progress.say(f"note: {text}")
    recipe = {
        "verb": "adapt", "source": str(run), "target": str(target), "method": method, "task": "classification", **options.training, "seed": options.seed,
        "source_digest": predictor.source.digest, "target_digest": images.digest, "out": str(folder),
    }  # fmt: skip
    card = CARD.format(
        method=method, source=run, n=len(images), target=target, why=result.metrics["why"], run=folder, what=reads,
        given="IMAGES" if reads == "images" else "NEW.csv",
    )  # fmt: skip
    reader, neck = bare(predictor)
    work = options.begin(folder)
    checked = save_network(work, result, reader, images, card, neck=neck)
    save_tables(work, recipe, result, {"reload_check": checked})
    write_adaptation_report(work, name=folder.name)
    finish(work, folder)
    return Run(folder)


def opened(run: Path, device: str) -> Any:
    """The :class:`headstart.deploy.predictor.Predictor` of a run that SHOT can move.

    Raises:
        RunError, HandshakeError: it cannot.
    """
    from headstart.deploy.heads import HEADS
    from headstart.deploy.predictor import Predictor
    from headstart.sources.taps import Tapped

    if (run / "model" / "model.joblib").is_file():
        raise RunError(
            sentence("SHOT trains a network of images or texts, and this run of adapt is a model over features", got=str(run),
                     fix="a run of headstart fit, or of headstart adapt --method finetune+dann")
        )  # fmt: skip
    if read_json(run / "metrics.json").get("kind") == "multitask" or (run / "model" / HEADS).is_file():
        raise RunError(
            sentence(
                "SHOT moves a model of one head, and this run has several", got=str(run), fix="a run of headstart fit"
            )
        )
    predictor = Predictor(run, device)
    if predictor.task.name != "classification":
        raise HandshakeError(
            sentence("SHOT needs class probabilities", where=str(run), got=f"a run of --task {predictor.task.name}", allowed="classification")
        )  # fmt: skip
    if isinstance(predictor.source.backbone, Tapped):
        raise HandshakeError(
            sentence("SHOT trains the layers that the head reads, but the head of this run reads earlier ones than the last", where=str(run),
                     fix="a run of headstart fit --strategy finetune or probe")
        )  # fmt: skip
    return predictor


def bare(predictor: Any) -> tuple[Any, bool]:
    """The source without the layers behind it, and whether there are such."""
    from headstart.deploy.neck import NECK
    from headstart.sources import load_source

    if not (predictor.folder / NECK).is_file():
        return predictor.source, False
    return load_source(str(predictor.folder)), True


def of_classes(labels: np.ndarray | None, known: Sequence[str], where: str, what: str = "images") -> list[str]:
    """What a person should know of classes that one side lacks.

    Raises:
        DataError: the target is labelled, with none of the run's classes.
    """
    if labels is None:
        return []
    there = set(map(str, labels))
    unknown, gone = sorted(there - set(known)), sorted(set(known) - there)
    if len(unknown) == len(there):
        raise DataError(
            sentence("the target has none of the classes of the run", where=where, got=", ".join(unknown[:5]), allowed=list(known)[:10],
                     fix="headstart fit on the target, with the run as --source")
        )  # fmt: skip
    notes = []
    if unknown:
        share = float(np.isin(labels, unknown).mean())
        notes.append(
            f"The run knows no class {', '.join(unknown[:5])}, {share:.1%} of the target: they can never be predicted, and count as wrong."
        )
    if gone:
        notes.append(
            f"The target has no {what} of class {', '.join(gone[:5])}: SHOT, which wants all classes, may be misled by it."
        )
    return notes


class Moved:
    """The adapted network as an estimator: images in, probabilities of the run's classes out."""

    def __init__(self, fitted: Any, task: Any) -> None:
        self.model_, self.task_, self.classes_ = fitted.model.cpu().eval(), task, task.classes
        self.history_, self.said_ = fitted.history, fitted.extra.get("terms", {})

    def predict_proba(self, rows: Any) -> np.ndarray:
        """(n, K)"""
        import torch

        from headstart.training.adapt import outputs_of

        return outputs_of(self.model_, self.task_, rows, torch.device("cpu"))[1]


class AsItIs:
    """The model of the run as an estimator; it says what `headstart predict` says."""

    history_ = ()

    def __init__(self, predictor: Any) -> None:
        self.predictor, self.classes_ = predictor, predictor.classes

    def predict_proba(self, rows: Any) -> np.ndarray:
        """(n, K)"""
        return self.predictor.probabilities(rows.dataset)


def moved(
    question: Question,
    weight: float,
    predictor: Any,
    images: Any,
    labels: np.ndarray | None,
    origin: str,
    workers: int | None,
    progress: Progress,
) -> Any:
    """Adapt and measure; returns the :class:`headstart.verbs.adapt_work.Answer` that is saved."""
    import torch

    from headstart.data.augment import augmentation
    from headstart.data.feature_tables import FeatureTable
    from headstart.data.loader import DecodedCache
    from headstart.data.rows import rows_of
    from headstart.training.deep_adapter import usual_epochs
    from headstart.training.finetune import DECODED_BYTES
    from headstart.training.optim import Optimisation, default_lr
    from headstart.training.source_free import source_free_images
    from headstart.verbs.adapt_deep import FOLDS_ON_IMAGES, network
    from headstart.verbs.adapt_judge import Judge
    from headstart.verbs.adapt_methods import Adapted
    from headstart.verbs.adapt_work import Answer

    source, n, size = predictor.source, len(images), question.batch_size or 32
    rows = rows_of(
        images, source.preprocessing, augmentation("light") if images.modality == "image" else None, workers=workers,
        cache=DecodedCache(DECODED_BYTES),
    )  # fmt: skip
    options = Optimisation(
        usual_epochs(n, size) if question.epochs is None else question.epochs,
        question.lr or default_lr("adamw", pretrained=True, source=source), weight_decay=1e-3,
    )  # fmt: skip
    began = time.perf_counter()
    fitted = source_free_images(
        source, rows, options, weight=weight, batch_size=size, device=torch.device(question.device), seed=question.seed, progress=progress,
    )  # fmt: skip
    seconds = {"adapting": time.perf_counter() - began}
    began = time.perf_counter()
    model, nobody = Moved(fitted, predictor.task), np.zeros(0, dtype=np.int64)
    adapted = Adapted(
        question.method, model, AsItIs(predictor), (None, rows), lambda: network(question, "finetune", source, select=None),
        FOLDS_ON_IMAGES, nobody, None, None, baseline_is="the run's model as it is",
    )  # fmt: skip
    table = FeatureTable(
        np.zeros((n, 0), np.float32),
        labels,
        [],
        origin,
        [images.name(i) for i in range(n)] if images.modality == "text" else [str(image) for image in images.inputs],
    )
    judged = Judge(question, None, table, np.arange(n), adapted, progress)
    metrics = {**judged.metrics(), "choices": []}
    seconds["comparing"] = time.perf_counter() - began
    extras = {
        "distances": {}, "maps": {}, "candidates": [], "choices": [], "facts": {},
        "classes": {"source": list(predictor.classes), "target": None if labels is None else labels.tolist()},
        "history": model.history_, "terms": model.said_,
    }  # fmt: skip
    return Answer(
        adapted, {"classes": judged.classes}, metrics, judged.table(), extras, judged.said["adapted"], [], seconds
    )
