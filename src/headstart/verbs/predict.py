"""`headstart predict`: what a run says of new images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.folder import cache_root
from headstart.progress import SILENT, Progress

if TYPE_CHECKING:
    import pandas as pd


def predict(
    run: str | Path, inputs: Any, *, batch_size: int = 64, device: str = "auto", progress: Progress = SILENT
) -> pd.DataFrame:
    """Predict files, folders, archives, arrays or PIL images with the model of a run.

    Args:
        run: a run folder (or its ``model/``).
        inputs: one of, or a list of: a path of an image, folder or .zip; an array (H, W[, C]); a PIL image. For a run of
            ``adapt`` over tables: paths of tables or ``.npz`` files with the source's columns.
        batch_size: images a forward pass.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` ...

    Returns:
        One row an image: ``path``, ``predicted``, ``confidence`` and ``prob_<class>`` columns for classes, ranks and nested
        classes (these with ``level_<i>``); ``predicted`` (names joined by a bar) and ``prob_<label>`` for several labels; ``predicted``
        for a quantity; ``e0``, ``e1``, ... for an embedding. A file that cannot be
        decoded has a row with the reason in ``error`` and nothing predicted.

    Raises:
        RunError: ``run`` is no run folder.
        DataError: an input is missing, or there is no image in it.
    """
    import pandas as pd

    if (Path(run) / "adaptation.json").is_file():
        from headstart.verbs.adapt_save import predict_rows

        return predict_rows(Path(run), inputs)
    from headstart.data.readers import read_images
    from headstart.data.scan import scan
    from headstart.deploy.predictor import Predictor
    from headstart.verbs.write import predictions_table

    predictor = Predictor(run, device)
    if isinstance(inputs, Path):
        inputs = str(inputs)
    dataset = read_images(inputs if isinstance(inputs, (list, tuple)) else [inputs])
    good, scanned = scan(dataset, cache_dir=cache_root(), progress=progress)
    frame = pd.DataFrame()
    if len(good):
        found = predictor.probabilities(good, batch_size=batch_size, progress=progress)
        from dataclasses import replace

        frame = predictions_table(replace(good, classes=predictor.classes, root=""), found, predictor.task)
    if scanned.bad:
        bad = pd.DataFrame(scanned.bad, columns=["path", "error"])
        frame = pd.concat([frame, bad], ignore_index=True) if len(frame) else bad
    return frame
