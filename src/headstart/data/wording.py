"""Sentences that were written for images, said of texts: one place for all verbs, so that each writes its sentence once."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from headstart.errors import HeadstartError
from headstart.progress import Progress

E = TypeVar("E", bound=HeadstartError)
ENDS = r"(?![\w/\\-]|\.\w)"
"""A word that is no part of a path, a flag or the name of a model."""
TOLD = re.compile(r"(?<![\w/\\.-])texts" + ENDS)
TEXT = (
    (re.compile(r"--image-size"), "--max-length"),
    (re.compile(r"(?<![\w/\\.-])(an|An) image" + ENDS), lambda m: f"{m[1][0]} text"),
    (re.compile(r"(?<![\w/\\.-])Image(s?)" + ENDS), r"Text\1"),
    (re.compile(r"(?<![\w/\\.-])(?:image|picture)(s?)" + ENDS), r"text\1"),
    (re.compile(r"张((?:测试|训练|验证|源)?)图像"), r"条\1文本"),
    (re.compile(r"(?<=[\d}] )张"), "条"),
    (re.compile(r"[Ff]iles? that cannot be decoded"), "empty text"),
    (re.compile(r"无法解码的文件"), "空文本"),
    (re.compile(r"Files left out"), "Texts left out"),
    (re.compile(r"未使用的文件"), "未使用的文本"),
    (re.compile(r"逐图"), "逐条"),
    (re.compile(r"图像"), "文本"),
)


def said(sentence: str, modality: str) -> str:
    """The sentence with what its inputs are called, for ``modality`` ``"image"`` (as it is) or ``"text"``.

    Paths, flags and names of models keep their words, but ``--image-size`` becomes ``--max-length``. A sentence that speaks of texts
    already stays as it is: it tells the one from the other.
    """
    if TOLD.search(sentence):
        return sentence
    for pattern, word in TEXT if modality == "text" else ():
        sentence = pattern.sub(word, sentence)
    return sentence


def worded(value: Any, modality: str) -> Any:
    """:func:`said` of every string in a value of dictionaries and lists; keys stay."""
    if isinstance(value, str):
        return said(value, modality)
    if isinstance(value, dict):
        return {key: worded(item, modality) for key, item in value.items()}
    return [worded(item, modality) for item in value] if isinstance(value, (list, tuple)) else value


def said_again(error: E, modality: str) -> E:
    """The same error in the words of a modality."""
    error.args = tuple(said(arg, modality) if isinstance(arg, str) else arg for arg in error.args)
    return error


class Worded(Progress):
    """Tells another progress in the words of a modality."""

    def __init__(self, inner: Progress, modality: str) -> None:
        self.inner, self.modality = inner, modality

    def start(self, name: str, total: int | None = None, unit: str = "") -> None:
        self.inner.start(name, total=total, unit=said(unit, self.modality))

    def advance(self, n: int = 1, **fields: Any) -> None:
        self.inner.advance(n, **fields)

    def done(self) -> None:
        self.inner.done()

    def say(self, line: str) -> None:
        self.inner.say(said(line, self.modality))
