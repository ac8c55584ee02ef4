"""`headstart predict`: what a run says of new images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.deploy.test_time import parse_test_time
from headstart.errors import RunError, sentence
from headstart.folder import cache_root, read_json
from headstart.progress import SILENT, Progress
from headstart.tasks.task import Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from headstart.data.dataset import Dataset


def predict(
    run: str | Path,
    inputs: Any,
    *,
    coverage: float | None = None,
    sets: str = "lac",
    abstain_below: float | None = None,
    tta: int = 1,
    adapt: str | None = None,
    head: str | None = None,
    beams: int | None = None,
    text_col: str | None = None,
    batch_size: int = 64,
    device: str = "auto",
    progress: Progress = SILENT,
) -> pd.DataFrame:
    """Predict files, folders, archives, arrays or PIL images, or texts, with the model of a run.

    Args:
        run: a run folder (or its ``model/``).
        inputs: one of, or a list of: a path of an image, folder or .zip; an array (H, W[, C]); a PIL image. For a run of
            ``adapt`` over features: what the run read: tables or ``.npz`` files with the source's columns, images, texts.
            For a run of texts: texts, pairs of them, tables, .txt files, folders, ``"-"`` (:func:`headstart.data.text_new.read_new_texts`).
        text_col: column of a table with the texts; guessed if left out.
        coverage: in (0, 1): also give a set of classes that holds the true one for this share of images like the held-out
            ones of the run (split conformal prediction, :mod:`headstart.functional.conformal`).
        sets: ``"lac"`` (the smallest on average) or ``"aps"`` (larger for harder images).
        abstain_below: in (0, 1]: predict nothing where the confidence is lower.
        tta: mean over this many views of each image, 1 to 10 (:mod:`headstart.data.views`).
        adapt: ``"bn"`` or ``"tent"``: test-time adaptation of a copy of the model to the images of this call
            (:mod:`headstart.deploy.test_time`); the run stays as it is. Predictions then depend on what is predicted together.
        head: for a run of several tasks (:func:`headstart.multitask`): which of them; default: its target.
        beams: for a run of translation or summarization, whose inputs are texts, tables or files of lines: how many texts are kept while
            one is written; default: as the run was told. Its rows are ``path``, ``text`` and ``predicted``.
        batch_size: images a forward pass.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` ...

    Returns:
        One row an image: ``path``, ``predicted``, ``confidence`` and ``prob_<class>`` columns for classes, ranks and nested
        classes (these with ``level_<i>``); ``predicted`` (names joined by a bar) and ``prob_<label>`` for several labels; ``predicted``
        for a quantity; ``e0``, ``e1``, ... for an embedding; for answers and spans see :func:`headstart.verbs.predict_spans.predict_spans`. A file that cannot be
        decoded has a row with the reason in ``error`` and nothing predicted. With ``abstain_below`` also ``abstained`` (and no
        ``predicted`` there), with ``coverage`` also ``set`` (names joined by ``|``, the most likely first) and ``set_size``.

    Raises:
        RunError: ``run`` is no run folder, keeps no held-out scores, or too few for ``coverage``; a value out of range; an
            adaptation that has nothing to adapt.
        DataError: an input is missing, or there is no image in it.
    """
    import pandas as pd

    from headstart.deploy.generator import writes
    from headstart.verbs.sequence_predict import for_writing, predict_texts, refuse, told

    if writes(run):
        refuse(run, told([("coverage", coverage, None), ("sets", sets, "lac"), ("abstain_below", abstain_below, None), ("tta", tta, 1), ("adapt", adapt, None), ("head", head, None)]))  # fmt: skip
        return predict_texts(
            run, inputs, beams=beams, text_col=text_col, batch_size=batch_size, device=device, progress=progress
        )
    for_writing(run, {"beams": beams})
    check_options(coverage, sets, abstain_below, tta, adapt)
    if (Path(run) / "model" / "model.joblib").is_file():
        from headstart.verbs.adapt_predict import predict_rows

        if coverage is not None or abstain_below is not None or tta != 1 or adapt is not None or head is not None:
            raise RunError(
                sentence(
                    "coverage, abstain-below, tta, adapt and head are for networks of images; this run of adapt reads features",
                    got=str(run),
                    fix=f"headstart predict {run} INPUT",
                )
            )

        return predict_rows(Path(run), inputs, text_col=text_col, device=device, progress=progress)
    from headstart.data.readers import read_images
    from headstart.data.scan import scan
    from headstart.deploy.held_out import sets_of
    from headstart.deploy.predictor import Predictor
    from headstart.verbs.write import predictions_table

    predictor = Predictor(run, device, head)
    check_task(predictor.task, coverage, abstain_below, tta)
    if predictor.task.by_token:
        from headstart.verbs.predict_spans import predict_spans

        return predict_spans(predictor, inputs, text_col=text_col, batch_size=batch_size, progress=progress)
    check_views(predictor.source.preprocessing.modality, tta, adapt)
    if isinstance(inputs, Path):
        inputs = str(inputs)
    listed = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    if predictor.source.preprocessing.modality == "text":
        dataset = new_texts(predictor.folder, listed, text_col)
        for note in dataset.notes:
            progress.say(note)
    elif text_col is not None:
        raise RunError(
            sentence("--text-col is for runs of texts, and this one reads images", got=text_col, fix="leave it out")
        )
    else:
        dataset = read_images(listed)
    good, scanned = scan(dataset, cache_dir=cache_root(), progress=progress)
    frame = pd.DataFrame()
    if len(good):
        found = predictor.probabilities(good, batch_size=batch_size, tta=tta, adapt=adapt, progress=progress)
        from dataclasses import replace

        frame = predictions_table(replace(good, classes=predictor.classes, root=""), found, predictor.task)
        at = 3
        if abstain_below is not None:
            unsure = found.max(1) < abstain_below
            frame["predicted"] = frame["predicted"].astype(object).where(~unsure, None)
            frame.insert(at, "abstained", unsure)
            at += 1
        if coverage is not None:
            assert good.digests is not None
            inside = sets_of(predictor.folder, found, good.digests, coverage, sets)
            frame.insert(at, "set", [_names(row, p, predictor.classes) for row, p in zip(inside, found, strict=True)])
            frame.insert(at + 1, "set_size", inside.sum(1))
    if scanned.bad:
        bad = pd.DataFrame(scanned.bad, columns=["path", "error"])
        frame = pd.concat([frame, bad], ignore_index=True) if len(frame) else bad
    return frame


def new_texts(model: Path, inputs: Sequence[Any], text_col: str | None) -> Dataset:
    """What a run of texts is to predict, read as the run read its own.

    Args:
        model: the ``model`` folder of a run, or a folder with a model alone.

    Raises:
        DataError: there are no texts, or pairs where the run learned from single ones.
    """
    from headstart.data.text_new import read_new_texts

    data = model.parent / "data.json"
    pairs = read_json(data).get("pairs") if data.is_file() else None
    return read_new_texts(inputs, text_col=text_col, pairs=pairs)


def _names(inside: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]) -> str:
    """The classes of one set, the most likely first."""
    return "|".join(classes[k] for k in (-probabilities).argsort(kind="stable") if inside[k])


def check_options(
    coverage: float | None, sets: str, abstain_below: float | None, tta: int, adapt: str | None = None
) -> None:
    """Refuse values that cannot act, before a model is loaded."""
    if coverage is None and sets != "lac":
        raise RunError(
            sentence("--sets chooses the kind of sets that --coverage asks for", got=sets, fix="--coverage 0.9")
        )
    if abstain_below is not None and not 0 < abstain_below <= 1:
        raise RunError(
            sentence(
                "abstain-below is a confidence",
                got=abstain_below,
                allowed="above 0, up to 1",
                fix="--abstain-below 0.7",
            )
        )
    if coverage is not None and tta != 1:
        raise RunError(
            sentence(
                "the held-out scores that make the sets are of single views, so with tta their coverage would not hold",
                got=f"coverage {coverage}, tta {tta}",
                fix="one of the two",
            )
        )
    if adapt is None:
        return
    parse_test_time(adapt)
    if coverage is not None or tta != 1:
        raise RunError(
            sentence(
                "adapt goes neither with coverage, whose held-out scores are of the model as it was saved, nor with tta",
                got=f"adapt {adapt}, " + (f"tta {tta}" if coverage is None else f"coverage {coverage}"),
                fix="one of the two",
            )
        )


def check_views(modality: str, tta: int, adapt: str | None) -> None:
    """Refuse, for a model of texts, what is made for images.

    Raises:
        RunError: views, or an adaptation of norms to the images of a call.
    """
    asked = [name for name, there in (("tta", tta != 1), ("adapt", adapt is not None)) if there]
    if modality == "text" and asked:
        what = {"tta": "views are mirrored and cropped images", "adapt": "adapt is for the norms of networks of images"}
        raise RunError(
            sentence(
                f"{what[asked[0]]}, and this run reads texts",
                got=f"--{asked[0]}",
                fix="leave it out; headstart adapt for another domain",
            )
        )


def check_task(task: Task, coverage: float | None, abstain_below: float | None, tta: int) -> None:
    """Refuse options that mean nothing for what a model predicts.

    Raises:
        RunError: sets or abstaining where there are no classes; views of an embedding, whose mean is no embedding.
    """
    asked = {"coverage": coverage is not None, "abstain-below": abstain_below is not None}
    idle = [] if "calibration" in task.obeys else [name for name, there in asked.items() if there]
    if tta > 1 and (task.name == "embedding" or task.by_token):
        idle.append("tta")
    if idle:
        raise RunError(
            sentence(
                "the option means nothing for what this model predicts", where=f"a model of the task {task.name!r}",
                got=", ".join(idle), fix="leave it out",
            )
        )  # fmt: skip
