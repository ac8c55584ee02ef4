"""Questions about texts in the layout of SQuAD: articles of paragraphs of questions, v1.1 and v2.0; or rows of one question each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.annotations import ANSWER, NO_ANSWER, Answers, objects
from headstart.data.dataset import Dataset
from headstart.data.encodings import said
from headstart.errors import DataError, sentence
from headstart.functional.span_answers import mostly_chinese

SHOWN = 5
FLAT = {"context", "question"}
"""Columns of a row that is a question with its text."""
FEW_ARTICLES = 10
"""With fewer articles than these, paragraphs are kept together in place of articles."""


def read_squad(files: list[tuple[Path, str, Any]], root: str, *, labelled: bool = True) -> Dataset:
    """Pairs (question, context) with :class:`headstart.data.annotations.Answers`; of articles, or of rows with context, question, answers.

    An answer that does not stand where it should, but elsewhere in its context, counts from the nearest such place; one that is nowhere
    in it is left out, and so is a question that has no other. Texts of which a tenth of the letters are Chinese are compared by the rules
    of CMRC 2018. Questions about one article (with few articles: about one paragraph) are a group.

    Args:
        files: (path, split or ``""``, what the JSON file holds).
        labelled: ``False``: answers are not needed, as for predicting.

    Raises:
        DataError: a paragraph without a context, a question without a text, or no question at all.
    """
    pairs, labels, names, splits, places, left_out = [], [], [], [], [], []
    moved = 0
    for path, split, held in files:
        for a, article in enumerate(_rows(held)):
            for p, paragraph in enumerate(_paragraphs(article, f"{path}, article {a + 1}")):
                where = f"{path}, article {a + 1}, paragraph {p + 1}"
                context = _text(paragraph, "context", where)
                chinese = mostly_chinese(context)
                for q, question in enumerate(_list(paragraph, "qas", where)):
                    asked = _text(question, "question", f"{where}, question {q + 1}")
                    name = str(question.get("id", f"{a + 1}.{p + 1}.{q + 1}"))
                    texts, starts, shifted, lost = _answers(question, context, f"{where}, question {q + 1}")
                    moved += shifted
                    if labelled and not texts and not question.get("is_impossible", False):
                        why = (
                            f"the answer is not in its context: {lost[0][:60]!r}"
                            if lost
                            else "no answer is given, and is_impossible is not set"
                        )
                        left_out.append((name, why))
                        continue
                    pairs.append((asked, context))
                    labels.append(Answers(texts, starts, chinese))
                    names.append(name)
                    splits.append(split)
                    places.append((f"{path}:{_title(article) or a}", context))
    if not pairs:
        raise DataError(
            sentence("no question can be used", where=root, got=f"{left_out[0][0]}: {left_out[0][1]}" if left_out else "no question")
        )  # fmt: skip
    notes = [line for path, _, _ in files for line in said(path)]
    notes += [f"{len(pairs)} questions about {len({context for _, context in places})} texts."]
    if moved:
        notes.append(f"{moved} answers do not stand where answer_start says; the nearest place where they do is taken.")
    if left_out:
        some = ", ".join(name for name, _ in left_out[:SHOWN])
        notes.append(f"{len(left_out)} questions have no answer in their context and are left out ({some}{', ...' if len(left_out) > SHOWN else ''}).")  # fmt: skip
    in_chinese = sum(label.chinese for label in labels)
    if in_chinese:
        notes.append(f"{in_chinese} of {len(pairs)} questions are about Chinese texts and are scored by the rules of CMRC 2018.")  # fmt: skip
    kinds = (ANSWER, NO_ANSWER) if any(not label.texts for label in labels) else (ANSWER,)
    return Dataset(
        inputs=pairs, labels=objects(labels), classes=kinds, splits=np.array(splits, dtype="U5"), groups=_groups(places), root=root,
        layout="squad", notes=tuple(notes), task="question_answering", modality="text", names=np.array(names), left_out=tuple(left_out),
    )  # fmt: skip


def is_squad(held: Any, *, labelled: bool = True) -> bool:
    """Whether a parsed JSON file is in the layout of SQuAD, or rows with context, question and, where ``labelled``, answers."""
    rows = _rows(held)
    if not (isinstance(rows, list) and rows and isinstance(rows[0], dict)):
        return False
    return isinstance(rows[0].get("paragraphs"), list) or (FLAT | ({"answers"} if labelled else set())) <= set(rows[0])


def is_table_of_questions(path: Path, *, labelled: bool = True) -> bool:
    """Whether a Parquet file has a question, its text and, where ``labelled``, its answers in each row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return (FLAT | ({"answers"} if labelled else set())) <= set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return False


def rows_of(path: Path) -> list[Any]:
    """The rows of a Parquet file as JSON would have them."""
    import pyarrow.parquet as pq

    return list(pq.read_table(path).to_pylist())


def _rows(held: Any) -> Any:
    return held.get("data") if isinstance(held, dict) else held


def _paragraphs(article: Any, where: str) -> list[Any]:
    """Paragraphs of an article; a row with context, question and answers, as data sets of Hugging Face have them, is one of one question.

    There an empty list of answers says that the question has none.
    """
    if not (isinstance(article, dict) and set(article) >= FLAT):
        return _list(article, "paragraphs", where)
    answers = article.get("answers")
    if isinstance(answers, dict):  # a list of texts and one of places
        starts = list(_list(answers, "answer_start", where)) if "answer_start" in answers else []
        texts = list(_list(answers, "text", where))
        starts += [None] * (len(texts) - len(starts))
        answers = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=False)]
    silent = answers is not None and not len(answers)
    question = {
        "is_impossible": silent,
        **{key: cell for key, cell in article.items() if cell is not None},
        "answers": answers,
    }
    return [{"context": article["context"], "qas": [question]}]


def _title(article: dict[str, Any]) -> str:
    """What rows of one article have in common; nothing where articles are whole."""
    return str(article.get("title") or article["context"]) if set(article) >= FLAT else ""


def _list(holder: Any, key: str, where: str) -> list[Any]:
    """The list under a key; empty where there is none of questions or answers."""
    found = holder.get(key, None if key == "paragraphs" else []) if isinstance(holder, dict) else None
    if not isinstance(found, list):
        raise DataError(sentence(f"there is no list under {key!r}", where=where, got=_kind(found if isinstance(holder, dict) else holder)))  # fmt: skip
    return found


def _text(holder: Any, key: str, where: str) -> str:
    found = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(found, str):
        raise DataError(sentence(f"there is no text under {key!r}", where=where, got=_kind(found)))
    return found


def _kind(found: Any) -> str:
    return "nothing" if found is None else type(found).__name__


def _answers(question: Any, context: str, where: str) -> tuple[tuple[str, ...], tuple[int, ...], int, list[str]]:
    """Texts and places of the answers that stand in the context; how many had to be looked for; those that are not in it."""
    if question.get("is_impossible", False):
        return (), (), 0, []
    texts, starts, moved, lost = [], [], 0, []
    for answer in _list({"answers": question.get("answers") or []}, "answers", where):
        text = _text(answer, "text", where)
        said = answer.get("answer_start")
        at = said if isinstance(said, int) else 0
        if not text.strip() or at < 0 or context[at : at + len(text)] != text:
            found = _nearest(context, text, at) if text.strip() else -1
            if found < 0:
                lost.append(text)
                continue
            moved += isinstance(said, int)
            at = found
        texts.append(text)
        starts.append(at)
    return tuple(texts), tuple(starts), moved, lost


def _nearest(context: str, text: str, at: int) -> int:
    """Where ``text`` stands nearest to ``at``, or -1."""
    best, place = -1, context.find(text)
    while place >= 0:
        if best < 0 or abs(place - at) < abs(best - at):
            best = place
        place = context.find(text, place + 1)
    return best


def _groups(places: list[tuple[str, str]]) -> np.ndarray:
    """What must stay together: articles and, whatever their article, equal contexts; paragraphs where articles are few."""
    by_paragraph = len({article for article, _ in places}) < FEW_ARTICLES
    first: dict[str, str] = {}
    groups = []
    for article, context in places:
        first.setdefault(context, f"text {len(first)}" if by_paragraph else article)
        groups.append(first[context])
    return np.array(groups)
