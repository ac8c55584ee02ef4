"""What a run of `adapt` over features says of new rows, images or texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.feature_tables import is_feature_file, read_rows
from headstart.errors import DataError, sentence
from headstart.folder import cache_root
from headstart.progress import Progress

if TYPE_CHECKING:
    import pandas as pd


def predict_rows(run: Path, inputs: Any, *, device: str, progress: Progress) -> pd.DataFrame:
    """Predictions of an adapted model: one row a row of a table or ``.npz`` file with the run's columns, an image, or a text.

    Raises:
        DataError: inputs of another kind than the run was made of, or columns that are missing.
    """
    import joblib
    import pandas as pd

    from headstart.adapters.scorers import probabilities

    saved = joblib.load(run / "model" / "model.joblib")
    kind = saved.get("kind", "rows")
    frames = []
    for path in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
        if not isinstance(path, (str, Path)):
            raise DataError(sentence(f"this run predicts {kind} from files", got=type(path).__name__, fix="a path"))
        names, X = READERS[kind](Path(path), saved, device, progress)
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


def _texts(path: Path, saved: dict[str, Any], device: str, progress: Progress) -> tuple[list[str], np.ndarray]:
    from headstart.data.texts import holds_texts, read_texts
    from headstart.features.texts import embed_texts
    from headstart.training.device import pick_device

    if path.suffix.lower() == ".txt" and path.is_file():
        texts = [path.read_text(encoding="utf-8")]
    elif holds_texts(path):
        texts = read_texts(path, None, needs_label=False).texts
    else:
        fix = "a table with a column of texts, a .txt file, or a folder of them"
        raise DataError(sentence("this run predicts texts", got=str(path)[:60], fix=fix))
    X = embed_texts(
        texts, saved["backbone"], cache_dir=cache_root(), device=str(pick_device(device)), progress=progress
    )
    return [str(path)] * len(X), X


READERS = {"rows": _rows, "images": _images, "texts": _texts}
