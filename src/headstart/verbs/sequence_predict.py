"""`predict` and `evaluate` of a run whose model writes texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.data.dataset import Dataset
from headstart.data.encodings import lines_of
from headstart.data.readers import read_dataset
from headstart.data.sequence_reader import SOURCES
from headstart.data.tables import ENDINGS, must_have, read_frame
from headstart.data.text_columns import text_columns
from headstart.data.text_files import path_of
from headstart.data.text_new import STDIN, read_new_texts
from headstart.deploy.generator import Generator
from headstart.errors import DataError, RunError, sentence
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.progress import Progress

if TYPE_CHECKING:
    import pandas as pd


def refuse(run: str | Path, options: dict[str, Any], what: str = "a model that writes texts") -> None:
    """Refuse options that mean nothing where texts are written: those that were given, by name.

    Raises:
        RunError: the first of them.
    """
    asked = [name.replace("_", "-") for name, value in options.items() if value]
    if asked:
        raise RunError(
            sentence(f"the option means nothing for {what}", where=str(run), got=", ".join(asked), fix="leave it out")
        )  # fmt: skip


def predict_texts(
    run: str | Path,
    inputs: Any,
    *,
    beams: int | None = None,
    batch_size: int = 32,
    device: str = "auto",
    text_col: str | None = None,
    progress: Progress,
) -> pd.DataFrame:
    """What the model makes of texts: ``path``, ``text``, ``predicted``, a row a text.

    Args:
        inputs: a text, or a list of texts; a table (its column ``text_col``, guessed where not given); a file of lines (any ending that is
            no table's); what else :func:`headstart.data.text_new.read_new_texts` reads: ``"-"`` for standard input, a folder.

    Raises:
        DataError: no text, no such file, or a table whose column of texts is not clear.
    """
    import pandas as pd

    generator = Generator(run, device, beams)
    rows = read_inputs(inputs, text_col)
    good = [(name, text) for name, text in rows if text.strip()]
    if not good:
        raise DataError(sentence("nothing to predict", got="no text", fix=f"headstart predict {run} 'a sentence'"))
    found = generator.write([text for _, text in good], batch_size=batch_size, progress=progress)
    frame = pd.DataFrame({"path": [n for n, _ in good], "text": [t for _, t in good], "predicted": list(found)})
    bad = [name for name, text in rows if not text.strip()]
    if bad:
        frame = pd.concat([frame, pd.DataFrame({"path": bad, "error": "the text is empty"})], ignore_index=True)
    return frame


def read_inputs(inputs: Any, text_col: str | None = None) -> list[tuple[str, str]]:
    """Names and texts of a text, a list of them, tables and files of lines; an empty text is kept."""
    several = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    return [row for i, item in enumerate(several) for row in _texts(item, i, text_col)]


def _texts(item: Any, index: int, text_col: str | None) -> list[tuple[str, str]]:
    """Names and texts of one input: a text that is no path is called by its place, all else as where classes are predicted."""
    path = path_of(item)
    if path is None and isinstance(item, str) and not item.strip():
        return [(f"#{index}", item)]
    if path is None or not path.is_file():
        found = read_new_texts([item], text_col=text_col, pairs=False)
        literal = path is None and item != STDIN
        return [(f"#{index}" if literal else found.name(i), str(text)) for i, text in enumerate(found.inputs)]
    if path.suffix.lower() not in ENDINGS:
        return [(f"{path.name}:{i + 1}", line) for i, line in enumerate(lines_of(path))]
    frame = read_frame(path, only_empty=True)
    if text_col is not None:
        must_have(frame, path, text_col, "text-col")
    named = [c for c in frame.columns if c.lower() in SOURCES]
    columns = (
        [text_col] if text_col else (named[:1] or text_columns(frame) or list(frame.columns)[: len(frame.columns) == 1])
    )
    if len(columns) != 1:
        raise DataError(
            sentence("which column holds the texts is not clear", where=str(path), got=columns or "none that looks like sentences", allowed=list(frame.columns))
        )  # fmt: skip
    return [(f"{path.name} row {i + 2}", str(t)) for i, t in enumerate(frame[columns[0]].fillna(""))]


def evaluate_texts(
    run: str | Path,
    data: Any,
    *,
    split: str | None,
    columns: dict[str, Any],
    beams: int | None,
    device: str,
    progress: Progress,
) -> dict[str, Any]:
    """Scores on pairs that the run has not seen, as :func:`headstart.evaluate` gives them.

    Raises:
        DataError: no pairs in the split.
    """
    generator = Generator(run, device, beams)
    task = generator.task
    dataset: Dataset = read_dataset(data, task=task.name, **columns)
    for note in dataset.notes:
        progress.say(note)
    if split is None and "test" in set(dataset.splits):
        split = "test"
    if split is not None:
        dataset = dataset.select(split)
    if not len(dataset):
        raise DataError(sentence("no pairs to evaluate", where=str(data), got=f"split {split!r}", fix="leave --split out"))  # fmt: skip
    assert dataset.labels is not None
    found = generator.write(list(dataset.inputs), progress=progress)
    return {
        "scores": SCORING[task.name].scores(found, dataset.labels, task), "n": len(dataset), "modality": "text", "split": split or "all",
        "missing": [], "bad": [], "less_is_better": [],
    }  # fmt: skip


def for_writing(run: str | Path, options: dict[str, Any]) -> None:
    """Refuse options that only a model that writes texts obeys: those that were given, by name.

    Raises:
        RunError: they were asked for.
    """
    asked = [name.replace("_", "-") for name, value in options.items() if value is not None]
    if asked:
        raise RunError(
            sentence("the option is for models that write texts", where=str(run), got=", ".join(asked), fix="leave it out")
        )  # fmt: skip


def told(values: Sequence[tuple[str, Any, Any]]) -> dict[str, Any]:
    """Those options, by name, whose value is not the default: (name, value, default)."""
    return {name: True for name, value, default in values if value != default}
