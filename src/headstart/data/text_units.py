"""A text as the units that may be moved, dropped or replaced: words, and characters in scripts that put no spaces between words."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Ranges of Thai, Lao, Burmese, Khmer, kana and Han."""


@cache
def _pattern() -> re.Pattern[str]:
    # vowel signs and accents that follow a letter belong to it, though they are no letters themselves
    marks = "".join(chr(c) for c in range(0x300, 0x2000) if unicodedata.category(chr(c)).startswith("M"))
    return re.compile(
        rf"[{SPACELESS}][{marks}]*|(?:(?![{SPACELESS}])[\w{marks}])+(?:['’-](?:(?![{SPACELESS}])[\w{marks}])+)*"
    )


def split_units(text: str) -> tuple[list[str], list[str]]:
    """Units u_1 .. u_n and what stands between them, g_0 .. g_n: the text is ``g_0 u_1 g_1 ... u_n g_n``.

    >>> split_units("It's good, really.")
    (["It's", 'good', 'really'], ['', ' ', ', ', '.'])
    >>> split_units("很好")
    (['很', '好'], ['', '', ''])
    """
    units, gaps, end = [], [], 0
    for found in _pattern().finditer(text):
        units.append(found.group())
        gaps.append(text[end : found.start()])
        end = found.end()
    return units, [*gaps, text[end:]]


def join_units(units: list[str | None], gaps: list[str]) -> str:
    """The text again; a unit of ``None`` is left out together with the space before it."""
    parts = [gaps[0]]
    for unit, gap in zip(units, gaps[1:], strict=True):
        if unit is None:
            if parts[-1].endswith(" ") and (not gap or gap[0] in " .,;:!?)"):
                parts[-1] = parts[-1][:-1]
            gap = gap.lstrip(" ") if "".join(parts) == "" else gap
        parts += [unit or "", gap]
    return "".join(parts)


def plain(text: str) -> str:
    """What two texts that say the same have in common: their units in small letters."""
    return " ".join(split_units(text.casefold())[0]) or text.strip().casefold()
