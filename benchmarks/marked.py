"""The part of a page between two marks, replaced."""

from __future__ import annotations

from pathlib import Path


def put(page: Path, start: str, end: str, text: str) -> None:
    """Write ``text`` between the marks ``start`` and ``end`` of a page; at its end, where it has them not yet."""
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    if start not in old:
        old = old.rstrip("\n") + "\n\n" + start + end + "\n"
    page.write_text(old.split(start)[0] + start + "\n" + text + "\n" + end + old.split(end)[-1], encoding="utf-8")
