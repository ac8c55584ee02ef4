"""`headstart predict --search`: the nearest texts of a corpus, by the embeddings of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import DataError, RunError, sentence
from headstart.progress import SILENT, Progress

if TYPE_CHECKING:
    import pandas as pd


def search(
    run: str | Path,
    queries: Any,
    corpus: Any,
    *,
    top: int = 5,
    text_col: str | None = None,
    batch_size: int = 64,
    device: str = "auto",
    progress: Progress = SILENT,
) -> pd.DataFrame:
    """The ``top`` nearest texts of a corpus for each query.

    Args:
        run: a run of ``--task embedding`` on texts.
        queries: a text, a list of texts, a table or a file of lines.
        corpus: the same; each text once.
        top: >= 1.
        text_col: the corpus's column of texts, where it is a table with several.

    Returns:
        ``query``, ``rank`` (from 1), ``path`` (row or line of the corpus), ``text``, ``cosine``.

    Raises:
        RunError: the run gives no embeddings of texts.
        DataError: no query or no corpus.
    """
    import pandas as pd

    from headstart.data.dataset import Dataset
    from headstart.deploy.predictor import Predictor
    from headstart.verbs.sequence_predict import read_inputs

    predictor = Predictor(run, device)
    if predictor.task.name != "embedding" or predictor.source.preprocessing.modality != "text":
        raise RunError(
            sentence("a search needs embeddings of texts", where=str(run), got=f"--task {predictor.task.name}", fix="headstart fit pairs.csv --task embedding --text-col a,b --embedding-loss ranking")
        )  # fmt: skip
    if top < 1:
        raise RunError(sentence("top is a number of texts", got=top, allowed=">= 1"))
    sides = [
        [row for row in read_inputs(part, name) if row[1].strip()]
        for part, name in ((queries, None), (corpus, text_col))
    ]
    sides[1] = list({text: (name, text) for name, text in reversed(sides[1])}.values())[::-1]
    for side, what in zip(sides, ("query", "corpus"), strict=True):
        if not side:
            raise DataError(sentence(f"the {what} has no text", got="nothing", fix=f"headstart predict {run} 'a query' --search corpus.csv"))  # fmt: skip
    found = [
        predictor.probabilities(
            Dataset([t for _, t in side], None, predictor.classes, np.full(len(side), ""), modality="text"), batch_size=batch_size,
            progress=progress,
        )
        for side in sides
    ]  # fmt: skip
    cosine = found[0] @ found[1].T
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :top]
    rows = [
        {"query": sides[0][i][1], "rank": r + 1, "path": sides[1][j][0], "text": sides[1][j][1], "cosine": float(cosine[i, j])}
        for i, nearest in enumerate(order)
        for r, j in enumerate(nearest)
    ]  # fmt: skip
    return pd.DataFrame(rows)
