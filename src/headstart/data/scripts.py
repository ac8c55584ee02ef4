"""In which scripts texts are written, roughly, by the blocks of Unicode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BLOCKS = (
    (0x0000, ""), (0x0041, "Latin"), (0x005B, ""), (0x0061, "Latin"), (0x007B, ""), (0x00C0, "Latin"), (0x0250, ""), (0x0370, "Greek"),
    (0x0400, "Cyrillic"), (0x0530, "Armenian"), (0x0590, "Hebrew"), (0x0600, "Arabic"), (0x0700, ""), (0x0750, "Arabic"), (0x0780, ""),
    (0x08A0, "Arabic"), (0x0900, "Devanagari"), (0x0980, "Bengali"), (0x0A00, "Gurmukhi"), (0x0A80, "Gujarati"), (0x0B00, ""), (0x0B80, "Tamil"),
    (0x0C00, "Telugu"), (0x0C80, "Kannada"), (0x0D00, "Malayalam"), (0x0D80, "Sinhala"), (0x0E00, "Thai"), (0x0E80, "Lao"), (0x0F00, "Tibetan"),
    (0x1000, "Burmese"), (0x10A0, "Georgian"), (0x1100, "Korean"), (0x1200, "Ethiopic"), (0x13A0, ""), (0x1780, "Khmer"), (0x1800, "Mongolian"),
    (0x18B0, ""), (0x1E00, "Latin"), (0x1F00, "Greek"), (0x2000, ""), (0x3040, "Japanese"), (0x3100, "Chinese"), (0x3130, "Korean"),
    (0x3190, ""), (0x31F0, "Japanese"), (0x3200, ""), (0x3400, "Chinese"), (0xA000, ""), (0xAC00, "Korean"), (0xD7B0, ""), (0xF900, "Chinese"),
    (0xFB00, ""), (0xFB1D, "Hebrew"), (0xFB50, "Arabic"), (0xFE00, ""), (0xFE70, "Arabic"), (0xFEFF, ""), (0xFF21, "Latin"), (0xFF3B, ""),
    (0xFF41, "Latin"), (0xFF5B, ""), (0xFF66, "Japanese"), (0xFFA0, "Korean"), (0xFFDD, ""), (0x1F300, ""), (0x20000, "Chinese"), (0x32000, ""),
)  # fmt: skip
"""(first code point, script) of each stretch; signs, digits and what is rare have none. Korean stands for Hangul, Chinese for Han letters,
Japanese for kana."""

NONE = "no letters"
SCRIPTS = (NONE, *dict.fromkeys(name for _, name in BLOCKS if name))
_EDGES = np.array([first for first, _ in BLOCKS], dtype=np.uint32)
_PLACE = np.array([SCRIPTS.index(name) if name else 0 for _, name in BLOCKS])


def scripts_of(texts: Sequence[str]) -> np.ndarray:
    """int64 (n,), into :data:`SCRIPTS`: the script that most letters of each text are of; one with kana is Japanese, though most of its letters
    be Han."""
    letters = [np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32) for text in texts]
    if not letters:
        return np.zeros(0, dtype=np.int64)
    every = np.concatenate(letters)
    kind = _PLACE[np.searchsorted(_EDGES, every, side="right") - 1]
    row = np.repeat(np.arange(len(texts)), [len(some) for some in letters])
    counts = np.bincount(row * len(SCRIPTS) + kind, minlength=len(texts) * len(SCRIPTS)).reshape(len(texts), -1)
    counts[:, 0] = 0
    han, kana = SCRIPTS.index("Chinese"), SCRIPTS.index("Japanese")
    japanese = counts[:, kana] > 0.1 * counts[:, han]
    counts[japanese, kana] += counts[japanese, han]
    counts[japanese, han] = 0
    return counts.argmax(1)
