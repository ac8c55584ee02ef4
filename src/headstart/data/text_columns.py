"""Which columns of a table hold texts."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from headstart.data.feature_tables import LABEL_NAMES
from headstart.data.tables import must_have
from headstart.errors import DataError, near, sentence

WORDS = 3
"""A column whose cells have so many words at the median, and are mostly different, holds texts."""
PEEK = 200

NAMES = ("text", "sentence", "review", "content", "message", "query", "utterance", "question", "title", "body", "comment", "tweet",
         "文本", "内容", "评论", "句子", "标题", "正文")  # fmt: skip
"""Usual names of a column of texts, the likeliest first."""

PAIRS = (
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("text_a", "text_b"), ("text1", "text2"),
    ("query", "passage"),
)  # fmt: skip
"""Usual names of the two columns of pairs."""

UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""A letter of a script without spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese; two of them count as a word."""


def words_in(cell: str) -> float:
    """About how many words a cell has."""
    return len(cell.split()) + len(UNSPACED.findall(cell)) / 2


def text_columns(frame: pd.DataFrame, but: str | None = None) -> list[str]:
    """Columns of sentences; the one named ``but`` and those named like a label are none. A column with a usual name of texts is one also
    where they are short."""
    found = []
    for name in frame.columns:
        cells = frame[name].dropna().head(PEEK)
        if name == but or name.lower() in LABEL_NAMES or not len(cells) or not isinstance(cells.iloc[0], str):
            continue
        if pd.to_numeric(cells, errors="coerce").notna().mean() > 0.5:
            continue
        usual = name.lower() in NAMES[:3] or any(name.lower() in pair for pair in PAIRS)
        long = cells.map(lambda cell: words_in(str(cell)[:2000]) >= WORDS)
        if usual or (long.mean() > 0.5 and cells.nunique() > 0.5 * len(cells)):
            found.append(name)
    return found


def chosen(frame: pd.DataFrame, path: Path, given: str | None, label: str | None) -> tuple[list[str], bool]:
    """The column of the texts, or the two of pairs, and whether they were guessed.

    Args:
        frame: the first rows. path: for messages.
        given: a column, or two with a comma between; guessed if ``None``.
        label: the column of the labels where it is known.

    Raises:
        DataError: no such column (near ones are offered), three of them, or it is not clear which.
    """
    if given is not None:
        names = [given] if given in frame.columns else [name.strip() for name in given.split(",") if name.strip()]
        if len(names) not in (1, 2) or len(set(names)) < len(names):
            raise DataError(
                sentence("--text-col names one column, or the two of a pair", where=str(path), got=given, allowed=list(frame.columns),
                         fix="--text-col premise,hypothesis")
            )  # fmt: skip
        for name in names:
            must_have(frame, path, name, "text-col")
        if label in names:
            raise DataError(
                sentence(
                    "the labels are read from the column of the texts",
                    where=str(path),
                    got=label,
                    fix="another --label-col",
                )
            )
        return names, False
    columns = text_columns(frame, label)
    lowered = {name.lower(): name for name in reversed(columns)}
    for pair in PAIRS:
        if all(name in lowered for name in pair):
            return [lowered[name] for name in pair], True
    named = [lowered[name] for name in NAMES if name in lowered]
    if len(columns) == 1:
        return columns, True
    if len(named) == 1:
        return named, True
    raise DataError(
        sentence(
            "which column holds the texts is not clear", where=str(path), got=", ".join(columns) or "none that looks like sentences",
            allowed=list(frame.columns), fix=f"--text-col {_likely(columns, frame)}" + (f", or --text-col {','.join(columns[:2])} for pairs" if len(columns) > 1 else ""),
        )
    )  # fmt: skip


def _likely(columns: list[str], frame: pd.DataFrame) -> str:
    names = columns or [str(name) for name in frame.columns]
    close = [hit for name in NAMES[:3] for hit in near(name, names, 1)]
    return (close or names)[0]
