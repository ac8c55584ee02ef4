"""Lists of synonyms that the user gives: a table or a JSON file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from headstart.errors import DataError, sentence

FIX = 'rows "word,synonym,synonym" (CSV, TSV), or {"word": ["synonym", ...]} (JSON)'


def read_synonyms(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Word in small letters -> its synonyms, from UTF-8 CSV, TSV or JSON.

    In a table each row is a word and its synonyms, in as many columns as there are, or in one with bars between them; rows of one word
    add up. A header is a row like others: give none.

    Raises:
        DataError: no such file, of another kind, not readable, or without any synonym.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(sentence("there is no file of synonyms", where=str(path), fix=f"--synonyms FILE with {FIX}"))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(
            sentence("the file of synonyms is not UTF-8", where=str(path), fix="save it as UTF-8")
        ) from None
    kind = path.suffix.lower()
    pairs: Iterable[tuple[str, Iterable[str]]]
    if kind == ".json":
        pairs = _of_json(path, text)
    elif kind in (".csv", ".tsv", ".txt"):
        rows = csv.reader(text.splitlines(), delimiter="\t" if kind == ".tsv" else ",")
        pairs = ((row[0], (word for cell in row[1:] for word in cell.split("|"))) for row in rows if row)
    else:
        raise DataError(sentence("synonyms are read from other files", where=str(path), got=kind or "no ending", allowed=[".csv", ".tsv", ".json"], fix=FIX))  # fmt: skip
    found: dict[str, dict[str, None]] = {}
    for word, others in pairs:
        key = word.strip().casefold()
        kept = {other.strip(): None for other in others if other.strip() and other.strip().casefold() != key}
        if key and kept:
            found.setdefault(key, {}).update(kept)
    if not found:
        raise DataError(sentence("no word has a synonym in this file", where=str(path), fix=FIX))
    return {word: tuple(others) for word, others in found.items()}


def _of_json(path: Path, text: str) -> list[tuple[str, Iterable[str]]]:
    try:
        table = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            sentence("the file of synonyms is no JSON", where=f"{path}, line {error.lineno}", got=error.msg, fix=FIX)
        ) from None
    pairs = [(k, [v] if isinstance(v, str) else v) for k, v in table.items()] if isinstance(table, dict) else None
    if pairs is None or not all(isinstance(v, list) and all(isinstance(s, str) for s in v) for _, v in pairs):
        raise DataError(sentence("synonyms in JSON are a table of lists of words", where=str(path), got=type(table).__name__, fix=FIX))  # fmt: skip
    return [(word, others) for word, others in pairs]
