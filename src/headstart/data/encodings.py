"""In which encoding a file of text is: UTF-8, UTF-16, GB 18030 or Latin-1; a file that mixes them is refused with the line."""

from __future__ import annotations

import codecs
from functools import lru_cache
from pathlib import Path

from headstart.errors import DataError, sentence

BLOCK = 1 << 22
"""Bytes that are looked at together."""

MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

NAMES = {
    "utf-8": "UTF-8", "utf-8-sig": "UTF-8", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "gb18030": "GB 18030",
    "latin-1": "Latin-1",
}  # fmt: skip
"""How encodings are called before users, by Python's name of each."""

CHINESE = 0.8
"""Text is GB 18030 where at least this share of its letters beyond ASCII is in GB 2312; accented Latin letters hardly ever pair up so."""


STRANGE = 0.05
"""A file is none of text where more than this share of its first bytes are control signs."""


def encoding_of(path: Path) -> str:
    """Python's name of the encoding of a file, one of :data:`NAMES`; the whole file is looked at, a few MB at a time, and the answer kept
    until the file changes.

    A byte order mark decides; without one, zero bytes at every other place are UTF-16, what decodes as UTF-8 is UTF-8, and of the rest
    :func:`of_bytes` decides by its first lines beyond ASCII.

    Raises:
        DataError: the file is none of text; lines of UTF-8 and of another encoding stand in one file; the first of the others is named.
    """
    stat = path.stat()
    return _encoding_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _encoding_of(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as opened:
        head = opened.read(4096)
    if (name := _marked(head)) is not None:
        return name
    if sum(byte < 9 or 13 < byte < 32 for byte in head) > STRANGE * len(head):
        raise DataError(sentence("not a file of text", got=str(path), allowed="CSV, TSV or JSON Lines as text"))
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as opened:
        try:
            while block := opened.read(BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
            return "utf-8"
        except UnicodeDecodeError:
            pass
    return _by_lines(path)


def of_bytes(data: bytes) -> str:
    """The encoding of some bytes that stand together, as :func:`encoding_of` names it."""
    if (name := _marked(data[:4096])) is not None:
        return name
    try:
        data.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        pass
    try:
        beyond = [letter for letter in data.decode("gb18030") if letter > "\x7f"]
    except UnicodeDecodeError:
        return "latin-1"
    common = sum(1 for letter in beyond if _in_gb2312(letter))
    return "gb18030" if common >= CHINESE * len(beyond) else "latin-1"


def read_file(path: Path) -> tuple[str, str]:
    """The text of a small file, and its encoding; line ends become ``\\n``."""
    data = path.read_bytes()
    name = of_bytes(data)
    return data.decode(name).replace("\r\n", "\n").replace("\r", "\n"), name


def lines_of(path: Path) -> list[str]:
    """The lines of a file in its own encoding; a line ends at a line feed (with or without a carriage return) and nowhere else.

    Raises:
        DataError: the file mixes encodings.
    """
    lines = path.read_bytes().decode(encoding_of(path)).split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if not lines[-1] else lines)]


def said(path: Path) -> list[str]:
    """What the user should know of a file's encoding: nothing where it is UTF-8, or no file of letters."""
    if path.suffix.lower() in (".parquet", ".gz"):
        return []
    name = NAMES[encoding_of(path)]
    return [] if name == "UTF-8" else [f"{path.name} is read as {name}."]


def _marked(head: bytes) -> str | None:
    """The encoding that a byte order mark, or zero bytes at every other place, give away."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return name
    zeros = [head[side::2].count(0) for side in (0, 1)]
    pairs = len(head) // 2
    if pairs >= 2 and max(zeros) > 0.3 * pairs and min(zeros) < 0.05 * pairs:
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    return None


def _in_gb2312(letter: str) -> bool:
    try:
        letter.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def _by_lines(path: Path) -> str:
    """The one encoding of a file that is not UTF-8 as a whole."""
    proper, other, rest = 0, 0, bytearray()
    with path.open("rb") as opened:
        for number, line in enumerate(opened, start=1):
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                proper = proper or number
            except UnicodeDecodeError:
                other = other or number
                if len(rest) < BLOCK:
                    rest += line
    name = of_bytes(bytes(rest))
    if proper and _no_accident(path):
        raise DataError(
            sentence(
                "the file mixes encodings", where=str(path), got=f"UTF-8 in line {proper}, {NAMES[name]} in line {other}",
                fix="save the whole file as UTF-8",
            )
        )  # fmt: skip
    return name


def _no_accident(path: Path) -> bool:
    """Whether the lines beyond ASCII that are valid UTF-8 are so on purpose: a fifth of all such lines or more, or one of them with 18 bytes
    beyond ASCII (a Chinese letter of GB 18030 is valid UTF-8 about once in seven times)."""
    valid = invalid = 0
    with path.open("rb") as opened:
        for line in opened:
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                invalid += 1
                continue
            valid += 1
            if sum(byte > 127 for byte in line) >= 18:
                return True
    return valid >= 0.2 * (valid + invalid)
