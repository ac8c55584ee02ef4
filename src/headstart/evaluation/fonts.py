"""Chinese (and any other) text shows the same anywhere: the characters used are cut from a font of this machine and embedded."""

from __future__ import annotations

import base64
import io
import unicodedata
from functools import lru_cache
from pathlib import Path


def needs_font(text: str) -> str:
    """The characters of ``text`` beyond Latin, Greek and Cyrillic, each once."""
    return "".join(sorted({c for c in text if ord(c) > 0x2E80 and not unicodedata.category(c).startswith(("C", "Z"))}))


@lru_cache
def _candidates() -> tuple[str, ...]:
    """Font files of this machine whose names suggest Chinese, Japanese or Korean, the usual ones first."""
    from matplotlib.font_manager import findSystemFonts

    marks = (
        "wqy",
        "notosanscjk",
        "notosanssc",
        "sourcehan",
        "droidsansfallback",
        "pingfang",
        "msyh",
        "simhei",
        "simsun",
        "heiti",
        "songti",
        "arialunicode",
        "uming",
        "ukai",
        "cjk",
    )
    found = []
    for path in findSystemFonts():
        name = Path(path).stem.lower().replace("-", "").replace("_", "")
        for rank, mark in enumerate(marks):
            if mark in name:
                found.append((rank, "bold" in name, path))
                break
    return tuple(path for _, _, path in sorted(found))


def font_for(text: str) -> Path | None:
    """A font file of this machine that has every character of ``text`` (or the most of them), ``None`` if there is none."""
    from fontTools.ttLib import TTFont, TTLibError

    wanted = {ord(c) for c in text}
    best: tuple[int, Path | None] = (0, None)
    for path in _candidates():
        try:
            with TTFont(path, fontNumber=0, lazy=True) as font:
                have = len(wanted & set(font.getBestCmap()))
        except (TTLibError, OSError, KeyError):
            continue
        if have > best[0]:
            best = (have, Path(path))
        if have == len(wanted):
            break
    return best[1]


def embedded_font(text: str) -> str | None:
    """A data URI of a font with just the characters of ``text`` that need one; ``None`` where none do, or no font has them."""
    used = needs_font(text)
    path = font_for(used) if used else None
    if path is None:
        return None
    from fontTools import subset
    from fontTools.ttLib import TTFont

    options = subset.Options(
        flavor="woff",
        layout_features=[],
        hinting=False,
        notdef_outline=True,
        drop_tables=["GSUB", "GPOS", "GDEF", "FFTM"],
    )
    with TTFont(path, fontNumber=0) as font:
        subsetter = subset.Subsetter(options)
        subsetter.populate(text=used)
        subsetter.subset(font)
        font.flavor = "woff"
        out = io.BytesIO()
        font.save(out)
    return "data:font/woff;base64," + base64.b64encode(out.getvalue()).decode()
