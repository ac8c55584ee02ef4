"""What a run that reads tokens says of new texts: answers to questions, spans with their places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.annotated_reader import read_annotated
from headstart.data.dataset import Dataset
from headstart.data.tagging_reader import looks_like_columns
from headstart.data.text_files import path_of
from headstart.data.text_new import STDIN, read_new_texts
from headstart.deploy.predictor import Predictor
from headstart.errors import DataError, sentence
from headstart.progress import Progress

if TYPE_CHECKING:
    import pandas as pd


def predict_spans(
    predictor: Predictor, inputs: Any, *, text_col: str | None = None, batch_size: int, progress: Progress
) -> pd.DataFrame:
    """One row a question (``path``, ``question``, ``answer``, ``confidence``, ``start``, ``end``; ``answer`` is empty and ``start`` -1 where
    there is none), or one row a span (``path``, ``start``, ``end``, ``label``, ``span``, ``confidence``; a text without any has one row
    without a label). Places are letters of the text, ``end`` behind the last.

    Args:
        inputs: files as for :func:`headstart.fit`, whose labels are not read; for questions pairs (question, context); for spans what
            :func:`headstart.data.text_new.read_new_texts` reads: texts, tables of texts, .txt files of lines, ``"-"``.
        text_col: column of tables of texts.

    Raises:
        DataError: nothing to predict, or inputs of another kind.
    """
    import pandas as pd

    asks = predictor.task.name == "question_answering"
    if asks and text_col is not None:
        raise DataError(sentence("--text-col is about tables, and questions come in files of their own", got=text_col, fix="leave it out"))  # fmt: skip
    parts = _questions(inputs) if asks else _texts(inputs, text_col)
    frames = []
    for dataset in parts:
        for note in () if asks else dataset.notes:
            progress.say(note)
        found = predictor.probabilities(dataset, batch_size=batch_size, progress=progress)
        if asks:
            rows = [
                {"path": dataset.name(i), "question": dataset.inputs[i][0], "answer": said.text, "confidence": said.confidence, "start": said.start, "end": said.end}
                for i, said in enumerate(found)
            ]  # fmt: skip
        else:
            rows = [
                {"path": dataset.name(i), "start": span.start, "end": span.end, "label": span.label, "span": span.text, "confidence": sure}
                for i, said in enumerate(found)
                for span, sure in (zip(said.spans, said.confidences, strict=True) if said.spans else [(_Nothing, said.sure)])
            ]  # fmt: skip
        frames.append(pd.DataFrame(rows))
    return pd.concat(frames, ignore_index=True)


class _Nothing:
    start, end, label, text = -1, -1, "", ""


def _questions(inputs: Any) -> list[Dataset]:
    """Files of questions; pairs; or two texts that are no files: a question and its context."""
    if _is_pair(inputs):
        inputs = [tuple(inputs)]
    pairs = [item for item in inputs if not isinstance(item, (str, Path))] if isinstance(inputs, (list, tuple)) else []
    for pair in pairs:
        if not _is_pair(pair):
            raise DataError(sentence("a question comes with its context", got=str(pair)[:80], allowed="(question, context), or a SQuAD .json"))  # fmt: skip
    found = [_read(path, "question_answering") for path in _paths(inputs)]
    return found + ([_of(pairs, "question_answering")] if pairs else []) or _none()


def _texts(inputs: Any, text_col: str | None) -> list[Dataset]:
    items = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    marked = [path for item in items if (path := _file(item)) is not None and _has_words(path)]
    others = [item for item in items if _file(item) not in marked]
    found = [_read(path, "token_classification") for path in marked]
    said = [
        item for item in others if item != STDIN and path_of(item) is None
    ]  # texts themselves are called by their place
    read = [item for item in others if item not in said]
    if read:
        found.append(replace(read_new_texts(read, text_col=text_col, pairs=False), task="token_classification"))
    if said:
        texts = read_new_texts(said, pairs=False)
        found.append(replace(texts, task="token_classification", names=np.array([f"#{i}" for i in range(len(texts))])))
    return found or _none()


def _has_words(path: Path) -> bool:
    """Whether a file may say what its words are, and is no table or lines of texts."""
    suffix = path.suffix.lower()
    return suffix not in (".csv", ".parquet") and (suffix not in (".txt", ".tsv") or looks_like_columns(path))


def _none() -> list[Dataset]:
    raise DataError(sentence("nothing to predict", got="no input", fix="headstart predict RUN FILE"))


def _read(path: Path, task: str) -> Dataset:
    dataset = read_annotated(path, task, {}, {}, labelled=False)
    assert dataset is not None
    # words stay where the file says them; everything else of the labels is not looked at
    return replace(dataset, labels=None) if task == "question_answering" else dataset


def _paths(inputs: Any) -> list[Path]:
    items = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    found = []
    for item in items:
        if isinstance(item, (str, Path)):
            path = _file(item)
            if path is None:
                raise DataError(sentence("no such file of questions", got=str(item)[:80], allowed="a SQuAD .json, or a question and its context", fix="headstart predict RUN QUESTION CONTEXT"))  # fmt: skip
            found.append(path)
    return found


def _is_pair(item: Any) -> bool:
    return (
        isinstance(item, (list, tuple))
        and len(item) == 2
        and all(isinstance(part, str) and _file(part) is None for part in item)
    )


def _file(item: Any) -> Path | None:
    try:
        return Path(item) if isinstance(item, (str, Path)) and Path(item).is_file() else None
    except (OSError, ValueError):  # a text that is too long for a name
        return None


def _of(inputs: list[Any], task: str) -> Dataset:
    pairs = [tuple(item) if not isinstance(item, str) else item for item in inputs]
    return Dataset(
        inputs=pairs, labels=None, classes=(), splits=np.full(len(pairs), "", dtype="U5"), task=task, modality="text"
    )
