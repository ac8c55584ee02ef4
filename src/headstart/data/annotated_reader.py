"""Files whose labels lie inside the texts: told from others, and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.data.dataset import Dataset
from headstart.data.squad_reader import is_squad, is_table_of_questions, read_squad, rows_of
from headstart.data.tagging_reader import are_records, first_records, looks_like_columns, parse_json, read_tagged
from headstart.errors import DataError, sentence

COLUMNS = (".conll", ".conll03", ".conllu", ".iob", ".iob2", ".bio", ".bioes", ".ner")
PLAIN = (".txt", ".tsv")
JSON = (".json", ".jsonl", ".gz")
ANNOTATED = ("token_classification", "question_answering")


def read_annotated(
    root: Path, task: str, splits: dict[str, str], given: dict[str, Any], *, labelled: bool = True
) -> Dataset | None:
    """The data set of a SQuAD file, of columns in the manner of CoNLL, of JSON with spans, or of a folder with one such file a split.

    Args:
        task: one of :data:`ANNOTATED`, ``"auto"``, or another task, for which nothing is read.
        splits: what names of splits mean (``{"dev": "valid", ...}``).
        given: options by flag, which are about columns of tables and which these files have no use for.
        labelled: ``False``: answers are not needed.

    Returns:
        ``None`` where the files are of no such kind.

    Raises:
        DataError: the files cannot be used; an option that would do nothing; ``task`` names a kind that they are not.
    """
    if task not in ("auto", *ANNOTATED):
        return None
    files = [root] if root.is_file() else _of_splits(root, splits)
    found = [(path, *one) for path in files if (one := _kind(path, task, labelled)) is not None]
    kinds = {kind for _, kind, _ in found}
    if not found:
        if task in ANNOTATED:
            raise DataError(
                sentence(f"no data for --task {task} are found", where=str(root),
                         allowed="a SQuAD .json, or rows with context, question, answers (.json, .jsonl, .parquet)" if task == ANNOTATED[1] else "TOKEN ... TAG columns (.conll, .txt), .json or .jsonl with text and spans")
            )  # fmt: skip
        return None
    if len(kinds) > 1:
        raise DataError(sentence("the files are of several kinds", where=str(root), got=sorted(kinds)))
    for name, value in given.items():
        if value is not None:
            raise DataError(
                sentence(
                    f"--{name} is about tables, and these data are none", where=str(root), got=value, fix="leave it out"
                )
            )
    read = [(path, _split(path, splits) if root.is_dir() else "", held) for path, _, held in found]
    return (
        read_squad(read, str(root), labelled=labelled)
        if kinds == {ANNOTATED[1]}
        else read_tagged(read, str(root), labelled=labelled)
    )


def _of_splits(root: Path, splits: dict[str, str]) -> list[Path]:
    """The files of a folder that are named after a split."""
    files = (
        path
        for path in root.iterdir()
        if path.suffix.lower() in (*COLUMNS, *PLAIN, *JSON, ".parquet") and path.is_file()
    )
    return sorted(path for path in files if _split(path, splits))


def _split(path: Path, splits: dict[str, str]) -> str:
    """The split that a file's name begins with: ``dev-v2.0.json``."""
    stem = path.name.lower().replace("_", "-").replace(".", "-").split("-")
    return next((splits[part] for part in stem if part in splits), "")


def _kind(path: Path, task: str, labelled: bool) -> tuple[str, Any] | None:
    """The task that a file is of, and what it holds where it is JSON."""
    suffix = path.suffix.lower()
    if suffix in JSON:
        if suffix == ".gz" and not path.stem.lower().endswith((".json", ".jsonl")):
            return None
        if suffix == ".jsonl" and task == "auto" and not (are_records(first := first_records(path)) or is_squad(first)):
            return None  # a table, which may be larger than memory
        held = parse_json(path)
        kind = (
            ANNOTATED[1]
            if is_squad(held, labelled=labelled)
            else ANNOTATED[0]
            if are_records(held, labelled=labelled)
            else None
        )
        return None if kind is None or task not in ("auto", kind) else (kind, held)
    if suffix == ".parquet":
        return (
            (ANNOTATED[1], rows_of(path))
            if task in ("auto", ANNOTATED[1]) and is_table_of_questions(path, labelled=labelled)
            else None
        )
    columns = suffix in COLUMNS or (suffix in PLAIN and (task == ANNOTATED[0] or looks_like_columns(path)))
    return (ANNOTATED[0], None) if columns and task != ANNOTATED[1] else None
