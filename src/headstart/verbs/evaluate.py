"""`headstart evaluate`: how good a run is on labelled data it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

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
    path_col: str | None = None,
    label_col: str | None = None,
    split_col: str | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Score the model of a run on labelled images; classes are matched by name, never by position.

    Args:
        run: a run folder.
        data: as for :func:`headstart.fit`.
        coverage, sets, abstain_below, tta: as for :func:`headstart.predict`; scores of the sets and of what is answered come on top.
        split: only this split of the data (``"test"``); default: ``test`` where the data names one, else everything.

    Returns:
        ``{"scores": {metric: {value, ci95}}, "n": int, "missing": [classes without an image], "bad": [[path, reason]]}``,
        with ``"sets"`` and ``"abstaining"`` where they were asked for (:mod:`headstart.evaluation.selective`).

    Raises:
        DataError: a class that the model does not know, or no images in the split.
        RunError: ``run`` is no run folder.
    """
    from headstart.data.readers import read_dataset
    from headstart.data.scan import scan
    from headstart.deploy.held_out import sets_of
    from headstart.deploy.predictor import Predictor
    from headstart.evaluation.metrics import classification_metrics
    from headstart.evaluation.selective import answered_scores, set_scores
    from headstart.verbs.predict import check_options

    check_options(coverage, sets, abstain_below, tta)
    predictor = Predictor(run, device)
    dataset = read_dataset(data, path_col=path_col, label_col=label_col, split_col=split_col)
    unknown = [name for name in dataset.classes if name not in predictor.classes]
    if unknown:
        raise DataError(
            sentence(
                "classes that the model does not know",
                where=str(data),
                got=", ".join(unknown[:5]),
                allowed=list(predictor.classes[:20]),
                fix=f"headstart fit {data} --continue-from {run}",
            )
        )
    dataset, scanned = scan(dataset, cache_dir=cache_root(), progress=progress)
    if split is None and "test" in set(dataset.splits):
        split = "test"
    if split is not None:
        dataset = dataset.select(split)
    if not len(dataset):
        raise DataError(
            sentence("no images to evaluate", where=str(data), got=f"split {split!r}", fix="leave --split out")
        )
    assert dataset.labels is not None
    labels = np.array([predictor.classes.index(name) for name in dataset.classes])[dataset.labels]
    found = predictor.probabilities(dataset, tta=tta, progress=progress)
    present = set(labels.tolist())
    more: dict[str, Any] = {}
    if coverage is not None:
        assert dataset.digests is not None
        inside = sets_of(predictor.folder, found, dataset.digests, coverage, sets)
        more["sets"] = {"asked": coverage, "kind": sets, **set_scores(inside, labels)}
    if abstain_below is not None:
        more["abstaining"] = {"below": abstain_below, **answered_scores(found, labels, abstain_below)}
    return {
        "scores": classification_metrics(found, labels, predictor.classes),
        "n": len(labels),
        "split": split or "all",
        "missing": [name for i, name in enumerate(predictor.classes) if i not in present],
        "bad": [list(row) for row in scanned.bad],
        **more,
    }
