"""`headstart adapt`: learn on a labelled source, predict on a target that looks different, and prove whether adapting helped."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.errors import RecipeError, sentence
from headstart.folder import finish
from headstart.progress import SILENT, Progress
from headstart.run import Run
from headstart.verbs.adapt_words import in_its_words


@in_its_words()
def adapt(
    source: str | Path | Sequence[str | Path],
    target: str | Path | None,
    *,
    method: str = "auto",
    select: str | None = None,
    target_labels: int = 0,
    classifier: str = "logistic",
    label: str | None = None,
    text_col: str | None = None,
    domain_col: str | None = None,
    missing: str | None = None,
    task: str = "auto",
    backbone: str | None = None,
    image_size: int | None = None,
    max_length: int | None = None,
    pool: str | None = None,
    long: str | None = None,
    augment: Any = None,
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    open_set: float | None = None,
    out: str | Path | None = None,
    force: bool = False,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Run:
    """Adapt from a labelled source to a target, whose labels are used for the final evaluation only, and write a run folder.

    Columns are standardised with the source's mean and deviation first, for every method and baseline alike.

    Args:
        source, target: two ``.npz`` files (X, and y), two tables of numbers and categories with a label column, two folders of class
            folders of images, or two data sets of texts of any kind that :func:`headstart.fit` reads. The target may be without labels: then
            nothing can be measured, and the report says so.
            The source may be a run folder of ``fit`` (or of ``adapt finetune+X``) on images or texts, with ``method="shot"``: its model is
            adapted to those of the target without any data of the source.
            Several sources are a list: deep methods are told which source a row is of, shallow ones get the rows of all. Without a
            target (``None``) it is :func:`headstart.verbs.generalise.generalise`: each source in turn is left out.
        method: a shallow method of :func:`headstart.adapters.list_methods`; a deep term (``"dann"``: new layers are trained on
            features of the frozen ``backbone``, or on the rows); a strategy (``"finetune+dann"``: the whole network of images or texts is
            trained); or ``"auto"`` (default): candidates, ``source_only`` among them, chosen without target labels.
        select: criterion of ``"auto"`` (default ``reverse``), and of the epoch of deep methods (default ``infomax``, for regression
            ``source``); or ``iwv``, ``dev``, ``snd``, ``entropy``.
        target_labels: labelled target rows a class (or in all, for regression) given to a method that learns from a few, or to any
            deep one; the rest is for the evaluation.
        classifier: ``"logistic"`` (default), ``"1nn"`` or ``"svm"``, inside shallow methods; for regression ridge regression,
            whatever it says.
        label: column of a table with the label, guessed if left out. text_col: that of the texts, or the two of pairs, with a comma between.
        domain_col: column of one table that names the source of each row; ``target`` may be one of its values.
        missing: what is done about missing values of tables and arrays: ``"mean"`` fills numbers with the mean over the sources' rows (a
            missing text is none of its column's values), and does so when the run predicts; ``"drop"`` leaves out the columns that have
            any. Default: they are refused.
        task: ``"auto"``, ``"classification"`` or ``"regression"``.
        backbone: source that reads images (default ``"bundled/objects"``) or texts (``"bundled/minilm"``).
        image_size: side of images in pixels. Default: the backbone's own.
        max_length, pool, long: how the backbone reads texts, as for :func:`headstart.fit`; ``pool="weighted"`` where the whole network is trained.
        augment: how images (default ``"light"``) or texts (``"none"``) are varied where the whole network is trained, as for :func:`headstart.fit`.
        epochs, lr, batch_size: of deep methods, see :class:`headstart.training.deep_adapter.DeepAdapter`.
        open_set: for a target with classes that the source lacks: the share of held-out source rows that stay known, above 0 and below
            1; target rows that are less sure than these are ``unknown``. Default: no such answer, but for methods with one of their own.
        out: run folder. Default ``runs/adapt-TARGET``, numbered.
        force: overwrite ``out``.

    Returns:
        The :class:`headstart.Run`; ``run.metrics`` has scores, baselines, the gain over the source's model and the verdict.

    Raises:
        DataError: the data cannot be used. RecipeError: options that cannot act. RunError: ``out`` exists.
    """
    from headstart.verbs.adapt_check import check, check_whole, same_twice
    from headstart.verbs.adapt_question import Options
    from headstart.verbs.adapt_source_free import adapt_run, is_run, weight_of
    from headstart.verbs.adapt_work import answer

    options = Options(
        method=method, select=select, target_labels=target_labels, classifier=classifier, label=label, text_col=text_col, domain_col=domain_col, missing=missing,
        task=task, backbone=backbone, image_size=image_size, max_length=max_length, pool=pool, long=long, augment=augment, epochs=epochs, lr=lr,
        batch_size=batch_size, open_set=open_set, out=out, force=force, seed=seed, device=device, workers=workers,
    )  # fmt: skip
    paths = [source] if isinstance(source, (str, Path)) else list(source)
    if any(is_run(path) for path in paths):
        weight = weight_of(options, paths, target)
        assert target is not None
        return adapt_run(paths[0], target, options, weight, progress)
    if target is None:
        from headstart.verbs.generalise import generalise

        return generalise(paths, options, progress)
    folder = options.folder(f"adapt-{Path(target).stem}")
    check(method, select, target_labels, classifier, options.training | options.reading, open_set)
    check_whole(method, augment, pool)
    began = time.perf_counter()
    domains = options.read(paths, target, progress)
    same_twice(domains.source, domains.target)
    if domains.task == "regression" and classifier != "logistic":
        raise RecipeError(
            sentence("--classifier is for classes; these labels are values", got=classifier, fix="leave it out")
        )
    if domains.task == "regression" and open_set is not None:
        raise RecipeError(
            sentence("--open-set tells unknown classes; these labels are values", got=open_set, fix="leave it out")
        )
    question = options.question(domains.task)
    reading = time.perf_counter() - began
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = answer(question, domains, progress)
    result.saved |= {**options.reading, "augment": augment}
    said: list[str] = []
    for warning in caught:
        text = str(warning.message).split("\n")[0]
        if text not in said and not issubclass(warning.category, (DeprecationWarning, FutureWarning, ImportWarning)):
            said.append(text)
    for text in (*result.notes, *said):
        progress.say(f"note: {text}")
    result.notes += said
    result.seconds = {"reading": reading, **result.seconds}
    recipe = {
        "verb": "adapt", "source": str(source) if isinstance(source, (str, Path)) else [str(path) for path in paths], "target": str(target), "method": method, "select": select, "target_labels": target_labels,
        "classifier": classifier, "label": label, "domain_col": domain_col, "missing": missing, "task": domains.task, "backbone": domains.backbone, "text_col": text_col, **options.reading, **options.training, "open_set": open_set, "seed": seed,
        "source_digest": domains.source.digest, "target_digest": domains.target.digest, "out": str(folder),
    }  # fmt: skip
    from headstart.evaluation.adaptation_report import write_adaptation_report
    from headstart.verbs.adapt_save import save

    work = options.begin(folder)
    save(work, recipe, result, domains)
    write_adaptation_report(work, name=folder.name)
    finish(work, folder)
    return Run(folder)
