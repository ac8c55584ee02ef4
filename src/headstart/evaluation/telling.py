"""Which words of a text speak for what a model says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.text_preprocessing import IDS, Text
from headstart.functional.integrated_gradients import integrated_gradients
from headstart.sources.text_backbone import TextBackbone
from headstart.tasks.task import Task

TOKENS_AT_ONCE = 4096
"""Tokens that go through the model together, on the way from nothing to the text."""
BETWEEN = " | "
"""What stands between the two texts of a pair."""
ALONE = r"\u2e80-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{ALONE}]|[^\W{ALONE}]+|[^\w\s]")
"""A word; of Chinese and Japanese each letter."""

Piece = tuple[str, float | None]
"""Some letters of a text, and how much they speak for the model's answer; ``None`` for what it did not read."""


@dataclass(frozen=True)
class Reading:
    """A model of texts: ``outputs = backbone(encoded texts) W' + b``.

    Attributes:
        backbone: encoded texts (B, 3, T) -> (B, width), with a :class:`headstart.sources.text_backbone.TextBackbone` inside.
        head: (weight (rows, width), bias (rows,)).
        preprocessing: of :class:`headstart.data.text_preprocessing.TextPreprocessing`.
    """

    backbone: nn.Module
    head: tuple[torch.Tensor, torch.Tensor]
    preprocessing: Any

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, 3, T) -> outputs (B, rows)."""
        weight, bias = (part.to(inputs.device) for part in self.head)
        return self.backbone(inputs).float() @ weight.T + bias

    @property
    def device(self) -> torch.device:
        """Where the backbone is."""
        return next(self.backbone.parameters()).device


def against(task: Task, found: np.ndarray, label: np.ndarray) -> np.ndarray | None:
    """The direction in the outputs (rows,) along which a mistake went: what was said minus what is true; ``None`` for a task
    without such a direction.

    Args:
        found: one decoded prediction (M,). label: the true label, as the data set has it.
    """
    if task.name in ("classification", "hierarchical"):
        way = np.zeros(task.rows)
        way[int(found.argmax())] += 1
        way[int(label)] -= 1
        return way
    if task.name == "multilabel":
        thresholds = getattr(task, "thresholds", 0.5)
        return (found >= thresholds).astype(float) - (np.asarray(label) > 0)
    if task.name == "ordinal":
        return np.full(task.rows, np.sign(found.argmax() - float(label)))
    return np.array([np.sign(found[0] - float(label))]) if task.name == "regression" else None


def telling(reading: Reading, text: Text, way: np.ndarray, *, steps: int = 16) -> list[Piece]:
    """A text in pieces, each with its share in ``way . outputs``: by integrated gradients on the embeddings of its tokens, from those
    of the padding token; of a tokenizer that does not say where its tokens stand, by leaving out one word at a time.

    Args:
        way: (rows,), see :func:`against`; positive pieces speak for it.
        steps: points on the way from nothing to the text.
    """
    try:
        given = reading.preprocessing.encode([text], return_offsets_mapping=True)
        places, sides = given["offset_mapping"][0], given.sequence_ids(0)
        values = attributions(reading, text, way, steps=steps)
    except (NotImplementedError, ValueError):
        return left_out(reading, text, way)
    if len(places) != len(values):
        return left_out(reading, text, way)
    parts = (text,) if isinstance(text, str) else text
    pieces: list[Piece] = []
    for side, part in enumerate(parts):
        if side:
            pieces.append((BETWEEN, 0.0))
        tokens = [(a, b, v) for (a, b), s, v in zip(places, sides, values, strict=True) if s == side and b > a]
        pieces += _joined(part, tokens, whole=len(places) < reading.preprocessing.size)
    return pieces


def attributions(reading: Reading, text: Text, way: np.ndarray, *, steps: int = 16) -> np.ndarray:
    """float (T,): the share of each token of one text in ``way . outputs``; they add up to the difference to a text of padding.

    Raises:
        ValueError: the model does not look its tokens up one to one.
    """
    inputs = reading.preprocessing([text]).to(reading.device)
    table = next(m for m in reading.backbone.modules() if isinstance(m, TextBackbone)).model.get_input_embeddings()  # type: ignore[operator]
    blank = inputs[:, IDS].clone()
    tokenizer = reading.preprocessing.tokenizer
    frame = {i for i in tokenizer.all_special_ids if i != tokenizer.unk_token_id} - {None}  # they stand around any text
    inside = [[i not in frame for i in row] for row in inputs[:, IDS].tolist()]
    blank[torch.as_tensor(inside, device=blank.device)] = tokenizer.pad_token_id
    with torch.no_grad():
        x, start = table(inputs[:, IDS])[0], table(blank)[0]
    towards = torch.as_tensor(way, dtype=torch.float32, device=inputs.device)

    def f(points: torch.Tensor) -> torch.Tensor:
        def put(module: nn.Module, given: object, out: torch.Tensor) -> torch.Tensor:
            if out.shape != points.shape:
                raise ValueError(
                    f"tokens are looked up as {tuple(out.shape)}, and were encoded as {tuple(points.shape)}"
                )
            return points

        handle = table.register_forward_hook(put)
        try:
            return reading(inputs.expand(len(points), -1, -1)) @ towards
        finally:
            handle.remove()

    at_once = max(1, TOKENS_AT_ONCE // inputs.shape[-1])
    with torch.enable_grad():
        return integrated_gradients(f, x, start, steps=steps, at_once=at_once).sum(-1).cpu().numpy()


@torch.no_grad()
def left_out(reading: Reading, text: Text, way: np.ndarray, *, most: int = 150) -> list[Piece]:
    """A text in words, each with how much ``way . outputs`` falls when it is left out; of more than ``most`` words the first ones."""
    parts = (text,) if isinstance(text, str) else text
    words = [(side, m.start(), m.end()) for side, part in enumerate(parts) for m in WORD.finditer(part)][:most]
    without: list[Text] = [text]
    for side, a, b in words:
        short = [part[:a] + part[b:] if side == s else part for s, part in enumerate(parts)]
        without.append(short[0] if isinstance(text, str) else (short[0], short[1]))
    towards = torch.as_tensor(way, dtype=torch.float32)
    found: list[float] = []
    for first in range(0, len(without), 32):
        inputs = reading.preprocessing(without[first : first + 32]).to(reading.device)
        found += (reading(inputs).cpu() @ towards).tolist()
    pieces: list[Piece] = []
    for side, part in enumerate(parts):
        if side:
            pieces.append((BETWEEN, 0.0))
        own = [(a, b, found[0] - f) for (s, a, b), f in zip(words, found[1:], strict=True) if s == side]
        pieces += _joined(part, own, whole=len(words) < most)
    return pieces


def _joined(text: str, tokens: list[tuple[int, int, float]], *, whole: bool) -> list[Piece]:
    """Tokens of one word put together, with what stands between them; the end of a text that was cut is not read."""
    words: list[tuple[int, int, float]] = []
    for a, b, value in tokens:
        while a < b and text[a].isspace():  # some tokens begin with the space before them
            a += 1
        if a == b:
            continue
        if words and a <= words[-1][1] and WORD.fullmatch(text[words[-1][0] : b]):
            words[-1] = (words[-1][0], max(b, words[-1][1]), words[-1][2] + value)
        else:
            words.append((max(a, words[-1][1] if words else 0), b, value))
    pieces: list[Piece] = []
    at = 0
    for a, b, value in words:
        if a > at:
            pieces.append((text[at:a], 0.0))
        pieces.append((text[a:b], float(value)))
        at = b
    if at < len(text):
        pieces.append((text[at:], 0.0 if whole or not text[at:].strip() else None))
    return pieces
