"""What a run of `adapt` over features says of new rows, images or texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.feature_tables import is_feature_file, read_rows
from headstart.errors import DataError, RunError, sentence
from headstart.folder import cache_root
from headstart.progress import Progress

if TYPE_CHECKING:
    import pandas as pd


def predict_rows(
    run: Path, inputs: Any, *, text_col: str | None = None, device: str, progress: Progress
) -> pd.DataFrame:
    """Predictions of an adapted model: one row a row of a table or ``.npz`` file with the run's columns, an image, or a text.

    Args:
        text_col: of a run of texts, as for :func:`headstart.data.text_new.read_new_texts`.

    Raises:
        DataError: inputs of another kind than the run was made of, or columns that are missing. RunError: ``text_col``, and the run reads
            no texts.
    """
    import joblib
    import pandas as pd

    from headstart.adapters.scorers import probabilities

    saved = joblib.load(run / "model" / "model.joblib")
    kind = saved.get("kind", "rows")
    if text_col is not None and kind != "texts":
        raise RunError(
            sentence(f"--text-col is for runs of texts, and this one reads {kind}", got=text_col, fix="leave it out")
        )
    frames = []
    for item in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
        if kind == "texts":
            names, X = _texts(item, saved, text_col, device, progress)
        elif isinstance(item, (str, Path)):
            names, X = READERS[kind](Path(item), saved, device, progress)
        else:
            raise DataError(sentence(f"this run predicts {kind} from files", got=type(item).__name__, fix="a path"))
        rows = saved["scaler"].transform(X)
        out: dict[str, Any] = {
            "path": names,
            "row": np.arange(len(rows)),
            "predicted": saved["estimator"].predict(rows),
        }
        if saved["task"] == "classification":
            found = probabilities(saved["estimator"], rows)
            out["confidence"] = found.max(1)
        frames.append(pd.DataFrame(out))
    return pd.concat(frames, ignore_index=True)


def _rows(path: Path, saved: dict[str, Any], device: str, progress: Progress) -> tuple[list[str], np.ndarray]:
    if not is_feature_file(path):
        fix = "a .csv or .npz with the columns of the source"
        raise DataError(sentence("this run predicts rows of features", got=str(path)[:60], fix=fix))
    X = read_rows(path, saved["columns"], saved.get("fill"))
    return [str(path)] * len(X), X


def _images(path: Path, saved: dict[str, Any], device: str, progress: Progress) -> tuple[list[str], np.ndarray]:
    from headstart.data.readers import read_images
    from headstart.data.scan import scan
    from headstart.sources import load_source
    from headstart.verbs.domains import image_features

    dataset, scanned = scan(read_images([str(path)]), cache_dir=cache_root(), progress=progress)
    for name, reason in scanned.bad:
        progress.say(f"left out: {name}: {reason}")
    if not len(dataset):
        raise DataError(sentence("there is no image", where=str(path)))
    reader = load_source(saved["backbone"], image_size=saved["image_size"])
    table = image_features(dataset, reader, str(path), device, None, progress)
    return table.ids, table.X


def _texts(
    item: Any, saved: dict[str, Any], text_col: str | None, device: str, progress: Progress
) -> tuple[list[str], np.ndarray]:
    from headstart.data.scan import scan
    from headstart.data.text_new import read_new_texts
    from headstart.sources import load_source
    from headstart.verbs.domains import text_features
    from headstart.verbs.reading import as_loaded

    dataset = read_new_texts([item], text_col=text_col, pairs=saved.get("pairs"))
    for note in dataset.notes:
        progress.say(note)
    dataset, scanned = scan(dataset, cache_dir=cache_root(), progress=progress)
    for name, reason in scanned.bad:
        progress.say(f"left out: {name}: {reason}")
    if not len(dataset):
        raise DataError(sentence("there are no texts", got=f"{len(scanned.bad)} empty ones"))
    table = text_features(dataset, load_source(saved["backbone"], **as_loaded(saved)), "", device, None, progress)
    return table.ids, table.X


READERS = {"rows": _rows, "images": _images}
