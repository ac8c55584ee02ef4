"""`headstart evaluate`: how good a run is on labelled data it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.errors import DataError, sentence
from headstart.folder import cache_root
from headstart.progress import SILENT, Progress


def evaluate(
    run: str | Path,
    data: Any,
    *,
    split: str | None = None,
    coverage: float | None = None,
    sets: str = "lac",
    abstain_below: float | None = None,
    tta: int = 1,
    adapt: str | None = None,
    head: str | None = None,
    path_col: str | None = None,
    text_col: str | None = None,
    label_col: str | None = None,
    split_col: str | None = None,
    label_delimiter: str | None = None,
    beams: int | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Score the model of a run on labelled images; classes are matched by name, never by position.

    A run of `adapt` over features is scored on labelled tables, arrays, texts or images, whichever it was made of, as `adapt` scored it:
    a class that it does not know counts as wrong (in an open set, as unknown). Of the options ``label_col`` acts there, and ``text_col`` on texts.

    Args:
        run: a run folder.
        data: as for :func:`headstart.fit`; for a run of `adapt` over features as its target was.
        head: as for :func:`headstart.predict`.
        coverage, sets, abstain_below, tta, adapt: as for :func:`headstart.predict`; scores of the sets and of what is answered come on
            top.
        beams: for a run that writes texts: how many are kept while one is written; default: as the run was told.
        split: only this split of the data (``"test"``); default: ``test`` where the data names one, else everything.

    Returns:
        ``{"scores": {metric: {value, ci95}}, "n": int, "modality": "image" or "text", "missing": [classes without an image], "bad": [[path, reason]],
        "less_is_better": [metrics]}``, with ``"sets"`` and ``"abstaining"`` where they were asked for
        (:mod:`headstart.evaluation.selective`); for a run over features with ``"things"`` (what was counted) and ``"unknown"`` (classes that
        the run does not know).

    Raises:
        DataError: a class that the model does not know, or no images in the split.
        RunError: ``run`` is no run folder.
    """
    from headstart.deploy.generator import writes
    from headstart.verbs.sequence_predict import evaluate_texts, for_writing, refuse, told

    if writes(run):
        refuse(run, told([("coverage", coverage, None), ("sets", sets, "lac"), ("abstain_below", abstain_below, None), ("tta", tta, 1), ("adapt", adapt, None), ("head", head, None), ("path_col", path_col, None), ("label_delimiter", label_delimiter, None)]))  # fmt: skip
        columns = {"text_col": text_col, "label_col": label_col, "split_col": split_col}
        return evaluate_texts(run, data, split=split, columns=columns, beams=beams, device=device, progress=progress)
    for_writing(run, {"beams": beams})
    from headstart.data.labels import align
    from headstart.data.readers import read_dataset
    from headstart.data.scan import scan
    from headstart.deploy.held_out import sets_of
    from headstart.deploy.predictor import Predictor
    from headstart.evaluation.scoring.catalogue import SCORING
    from headstart.evaluation.selective import answered_scores, set_scores
    from headstart.sources.modality import check_modality
    from headstart.verbs.predict import check_options, check_task, check_views

    check_options(coverage, sets, abstain_below, tta, adapt)
    if (Path(run) / "model" / "model.joblib").is_file():
        from headstart.verbs.evaluate_features import evaluate_features

        options = {
            "split": split, "coverage": coverage, "abstain_below": abstain_below, "tta": None if tta == 1 else tta, "adapt": adapt, "head": head,
            "path_col": path_col, "split_col": split_col, "label_delimiter": label_delimiter,
        }  # fmt: skip
        return evaluate_features(
            Path(run), data, label=label_col, text_col=text_col, options=options, device=device, progress=progress
        )
    predictor = Predictor(run, device, head)
    task = predictor.task
    check_task(task, coverage, abstain_below, tta)
    check_views(predictor.source.preprocessing.modality, tta, adapt)
    # the order of ranks is the model's, so that data which lack one can be read too
    dataset = read_dataset(
        data, path_col=path_col, text_col=text_col, label_col=label_col, split_col=split_col, label_delimiter=label_delimiter,
        task="classification" if task.name == "ordinal" else task.name,
    )  # fmt: skip
    check_modality(predictor.source, dataset.modality)
    dataset = align(dataset, predictor.classes, str(data), f"headstart fit {data} --continue-from {run}")
    dataset, scanned = scan(dataset, cache_dir=cache_root(), progress=progress)
    if split is None and "test" in set(dataset.splits):
        split = "test"
    if split is not None:
        dataset = dataset.select(split)
    if not len(dataset):
        raise DataError(
            sentence(
                f"no {dataset.modality}s to evaluate", where=str(data), got=f"split {split!r}", fix="leave --split out"
            )
        )
    assert dataset.labels is not None
    labels, scoring = dataset.labels, SCORING[task.name]
    found = predictor.probabilities(dataset, tta=tta, adapt=adapt, progress=progress)
    less = [name for name, metric in scoring.metrics(task.classes).items() if not metric.larger]
    more: dict[str, Any] = {}
    if coverage is not None:
        assert dataset.digests is not None
        inside = sets_of(predictor.folder, found, dataset.digests, coverage, sets)
        more["sets"] = {"asked": coverage, "kind": sets, **set_scores(inside, labels)}
    if abstain_below is not None:
        more["abstaining"] = {"below": abstain_below, **answered_scores(found, labels, abstain_below)}
    return {
        "scores": scoring.scores(found, dataset.labels, task),
        "n": len(dataset),
        "split": split or "all",
        "modality": dataset.modality,
        "missing": scoring.missing(dataset.labels, task.classes),
        "bad": [list(row) for row in scanned.bad],
        "less_is_better": [*less, "log_loss", "ece"],
        **more,
    }
