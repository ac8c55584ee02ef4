"""Tags of words and the spans they stand for: BIO, IOBES and plain tags; entities in common.

L. Ramshaw and M. Marcus, *Text chunking using transformation-based learning*, 1995; E. Tjong Kim Sang and F. De Meulder, *Introduction to
the CoNLL-2003 shared task*, 2003 (an entity is right where its type and both its ends are).
"""

from __future__ import annotations

from collections.abc import Sequence

SCHEMES = ("BIO", "IOBES", "IO", "tags")
"""``B`` begins, ``I`` goes on, ``E`` ends, ``S`` is alone; IO has the type alone, so that neighbours of one type run together; of
plain ``tags`` (parts of speech) each word is a span of its own."""
PREFIXES = {"BIO": "BI", "IOBES": "BIES", "IO": "I", "tags": ""}
SAME = {"M": "I", "L": "E", "U": "S"}
"""The letters of BMES and BILOU for the same."""


def tag_names(types: Sequence[str], scheme: str) -> list[str]:
    """All tags of a scheme: ``O`` first, but not for plain tags."""
    if scheme == "tags":
        return list(types)
    return ["O", *(f"{prefix}-{name}" for name in types for prefix in PREFIXES[scheme])]


def scheme_of(tags: set[str]) -> str:
    """The scheme that a set of tags is of."""
    prefixes = {split(tag)[0] for tag in tags - {"O"}}
    if not prefixes - {""}:
        return "IO" if "O" in tags else "tags"
    return "IOBES" if prefixes & set("ES") else "BIO"


def split(tag: str) -> tuple[str, str]:
    """``B-PER`` -> (``B``, ``PER``); a tag without such a letter -> (``""``, tag)."""
    head, mark, rest = tag.partition("-")
    head = SAME.get(head, head)
    return (head, rest) if mark and rest and head in ("B", "I", "E", "S") else ("", tag)


def decode(tags: Sequence[str], scheme: str = "BIO") -> list[tuple[int, int, str]]:
    """Tags of n words -> spans (first, behind the last, type).

    Sequences that are not legal are read as the script of CoNLL reads them: a word goes on with the span before it where both are of one
    type, the one before does not end it (``E``, ``S``) and this one does not begin one (``B``, ``S``); anything else but ``O``
    begins a span.
    """
    spans: list[tuple[int, int, str]] = []
    opened = ""
    for i, tag in enumerate(tags):
        if tag == "O" and scheme != "tags":
            opened = ""
            continue
        head, name = ("S", tag) if scheme == "tags" else split(tag)
        head = head or "I"  # a type alone
        if opened == name and spans and spans[-1][1] == i and head in ("I", "E"):
            spans[-1] = (spans[-1][0], i + 1, name)
        else:
            spans.append((i, i + 1, name))
        opened = "" if head in ("E", "S") else name
    return spans


def encode(spans: Sequence[tuple[int, int, str]], n: int, scheme: str) -> list[str]:
    """Spans over n words -> their tags; of spans that overlap, the first."""
    tags = ["O"] * n
    taken = [False] * n
    for first, end, name in sorted(spans):
        if any(taken[first:end]):
            continue
        for i in range(first, end):
            taken[i] = True
            tags[i] = name if scheme == "tags" else f"{_prefix(i, first, end, scheme)}-{name}"
    return tags


def _prefix(i: int, first: int, end: int, scheme: str) -> str:
    if scheme == "IO":
        return "I"
    if scheme == "BIO":
        return "B" if i == first else "I"
    if end - first == 1:
        return "S"
    return "B" if i == first else "E" if i == end - 1 else "I"
