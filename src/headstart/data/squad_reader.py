"""Questions about texts in the layout of SQuAD: articles of paragraphs of questions, v1.1 and v2.0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.annotations import ANSWER, NO_ANSWER, Answers, objects
from headstart.data.dataset import Dataset
from headstart.errors import DataError, sentence
from headstart.functional.span_answers import mostly_chinese

SHOWN = 5
FEW_ARTICLES = 10
"""With fewer articles than these, paragraphs are kept together in place of articles."""


def read_squad(files: list[tuple[Path, str, Any]], root: str, *, labelled: bool = True) -> Dataset:
    """Pairs (question, context) with :class:`headstart.data.annotations.Answers`.

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
        for a, article in enumerate(held["data"] if isinstance(held, dict) else held):
            for p, paragraph in enumerate(article["paragraphs"]):
                where = f"{path}, article {a + 1}, paragraph {p + 1}"
                context = _text(paragraph, "context", where)
                chinese = mostly_chinese(context)
                for q, question in enumerate(paragraph.get("qas", [])):
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
                    places.append((f"{path}:{a}", context))
    if not pairs:
        raise DataError(
            sentence("no question can be used", where=root, got=f"{left_out[0][0]}: {left_out[0][1]}" if left_out else "no question")
        )  # fmt: skip
    notes = [f"{len(pairs)} questions about {len({context for _, context in places})} texts."]
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


def is_squad(held: Any) -> bool:
    """Whether a parsed JSON file is in the layout of SQuAD."""
    rows = held.get("data") if isinstance(held, dict) else held
    return (
        isinstance(rows, list)
        and bool(rows)
        and isinstance(rows[0], dict)
        and isinstance(rows[0].get("paragraphs"), list)
    )


def _text(holder: Any, key: str, where: str) -> str:
    found = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(found, str):
        raise DataError(sentence(f"there is no text under {key!r}", where=where, got=type(found).__name__))
    return found


def _answers(question: Any, context: str, where: str) -> tuple[tuple[str, ...], tuple[int, ...], int, list[str]]:
    """Texts and places of the answers that stand in the context; how many had to be looked for; those that are not in it."""
    if question.get("is_impossible", False):
        return (), (), 0, []
    texts, starts, moved, lost = [], [], 0, []
    for answer in question.get("answers") or []:
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
