"""Texts with spans of a type: columns in the manner of CoNLL, and JSON with offsets or with tokens and tags."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.annotations import Span, Spans, objects
from headstart.data.dataset import Dataset
from headstart.data.encodings import encoding_of, lines_of, of_bytes, said
from headstart.errors import DataError, sentence
from headstart.functional.span_answers import HAN
from headstart.functional.tag_spans import decode, scheme_of

TAG = re.compile(r"O|[BIESLUM]-\S+")
SPANS = ("spans", "entities", "labels", "label")
TOKENS, TAGS = ("tokens", "words"), ("tags", "ner_tags", "labels", "pos_tags")
TEXTS = ("text", "sentence", "content")
DOCUMENT = "-DOCSTART-"
UNIVERSAL = ".conllu"
"""Universal Dependencies: ten columns with a tab between, the second a word, the fourth its part of speech."""
WORD = re.compile(r"[一-鿿㐀-䶿]|[^\W_]+|[^\w\s]|_")


def split_words(text: str) -> tuple[tuple[int, int], ...]:
    """Where the words of a text stand, (start, end) in letters: runs of letters and digits, single marks, and each Chinese character.

    Tags are given to these where the data do not say what a word is.
    """
    found = []
    for hit in WORD.finditer(text):
        inner = hit.group()
        if HAN.search(inner) and len(inner) > 1:  # Chinese beside letters
            found += [
                (hit.start() + part.start(), hit.start() + part.end())
                for part in re.finditer(r"[一-鿿㐀-䶿]|[^一-鿿㐀-䶿]+", inner)
            ]
        else:
            found.append(hit.span())
    return tuple(found)


def looks_like_columns(path: Path, lines: int = 100) -> bool:
    """Whether a file of text has a token and a tag in each line that is not empty."""
    seen = tagged = 0
    with path.open(encoding=encoding_of(path), errors="replace") as file:
        for line in file:
            cells = line.split()
            if not cells or cells[0] == DOCUMENT or line.startswith("# "):
                continue
            if len(cells) < 2 or not TAG.fullmatch(cells[-1]):
                return False
            seen, tagged = seen + 1, tagged + (cells[-1] != "O")
            if seen >= lines and tagged:
                return True
    return tagged > 0


def read_columns(path: Path, *, labelled: bool = True) -> Iterator[tuple[str, Spans, str, str]]:
    """Sentences of a file in columns: text, spans, name, document.

    The first column is the token, the last its tag; an empty line ends a sentence, ``-DOCSTART-`` begins a document. With ``labelled=False`` the
    tag may be missing and is not read. In a ``.conllu`` the second column is the token and the fourth, the part of speech, its tag.

    Raises:
        DataError: a line of one column or of fewer or more than the first has, or a file that mixes encodings.
    """
    lines = lines_of(path)
    universal = path.suffix.lower() == UNIVERSAL
    width = 0
    document, number = 0, 0
    sentences: list[tuple[list[str], list[str], int, int]] = []
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        raw = line.split("\t") if "\t" in line else line.split()
        cells = [cell for cell in (c.strip() for c in raw) if cell]
        if not cells or cells[0] == DOCUMENT:
            if tokens:
                sentences.append((tokens, tags, number - len(tokens), document))
                tokens, tags = [], []
            document += bool(cells)
            continue
        if line.startswith("# ") and not TAG.fullmatch(cells[-1]):
            continue
        if len(cells) < 2 and labelled:
            raise DataError(
                sentence("a line has no tag behind its token", where=f"{path}, line {number}", got=line[:60], allowed="TOKEN ... TAG, and an empty line between sentences")
            )  # fmt: skip
        width = width or len(raw)
        if labelled and len(raw) != width:
            raise DataError(
                sentence("a line has other columns than the first, so its tag is not sure", where=f"{path}, line {number}", got=f"{len(raw)} columns in {line[:60]!r}",
                         allowed=f"{width} columns, and an empty line between sentences")
            )  # fmt: skip
        if universal and not cells[0].isdigit():
            continue  # words that are written as one, and words that are not written
        tokens.append(cells[1] if universal else cells[0])
        tags.append((cells[3] if universal else cells[-1]) if labelled else "O")
    scheme = scheme_of({tag for _, found, _, _ in sentences for tag in found})
    for words, found, line_number, document in sentences:
        text, spans = from_tags(words, found, scheme)
        yield text, spans, f"line {line_number}", str(document)


def from_tags(words: list[str], tags: list[str], scheme: str) -> tuple[str, Spans]:
    """Words and their tags -> a text and its spans; Chinese words stand without spaces between them."""
    pieces: list[str] = []
    places: list[tuple[int, int]] = []
    end = 0
    for word in words:
        if pieces and not (HAN.match(word[0]) and HAN.match(pieces[-1][-1])):
            pieces.append(" ")
            end += 1
        pieces.append(word)
        places.append((end, end + len(word)))
        end += len(word)
    text = "".join(pieces)
    spans = tuple(
        Span(places[first][0], places[end - 1][1], name, text[places[first][0] : places[end - 1][1]])
        for first, end, name in decode(tags, scheme)
    )
    return text, Spans(spans, tuple(places), scheme)


def read_records(
    path: Path, records: list[Any], *, labelled: bool = True
) -> Iterator[tuple[str, Spans | None, str, str]]:
    """Texts of JSON records: ``{"text", "spans": [{"start", "end", "label"}]}``, spans also as ``[start, end, label]`` and under
    ``entities`` or ``labels``; or ``{"tokens", "tags"}``. Text, spans (``None`` where the record has none, and with ``labelled=False``), name,
    document.

    Raises:
        DataError: a record of another kind, or a span outside of its text.
    """
    tagged = [record for record in records if labelled and _first(record, TOKENS)]
    for i, record in enumerate(records, 1):
        empty = [
            word
            for word in record.get(_first(record, TOKENS) or "", [])
            if not isinstance(word, str) or not word.strip()
        ]
        if empty:
            raise DataError(sentence("a token is no word", where=f"{path}, record {i}", got=repr(empty[0]), allowed='"tokens": ["In", "Oslo", ...]'))  # fmt: skip
    scheme = scheme_of({str(tag) for record in tagged for tag in record.get(_first(record, TAGS) or "", [])})
    for i, record in enumerate(records, 1):
        where = f"{path}, record {i}"
        words = _first(record, TOKENS)
        if words:
            tags = record.get(_first(record, TAGS) or "") if labelled else None
            if tags is None:
                yield *from_tags(list(record[words]), ["O"] * len(record[words]), "BIO"), f"record {i}", ""
                continue
            if len(tags) != len(record[words]) or not all(isinstance(tag, str) for tag in tags):
                raise DataError(
                    sentence("tokens need a tag each, by name", where=where, got=f"{len(record[words])} tokens, {len(tags)} tags", allowed='"tags": ["O", "B-PER", ...]')
                )  # fmt: skip
            yield *from_tags(list(record[words]), list(tags), scheme), f"record {i}", ""
            continue
        name, marks = _first(record, TEXTS), _first(record, SPANS)
        if name is None:
            raise DataError(sentence("a record has no text", where=where, got=sorted(record)[:8] if isinstance(record, dict) else type(record).__name__, allowed=list(TEXTS)))  # fmt: skip
        text = str(record[name])
        spans = None if marks is None or not labelled else Spans(_spans(record[marks], text, where))
        yield text, spans, str(record.get("id", f"record {i}")), ""


def _spans(marks: Any, text: str, where: str) -> tuple[Span, ...]:
    found = []
    for mark in marks or []:
        if isinstance(mark, dict):
            start, end = mark.get("start", mark.get("start_offset")), mark.get("end", mark.get("end_offset"))
            label = mark.get("label", mark.get("type", mark.get("entity")))
        else:
            start, end, label = mark if isinstance(mark, list) and len(mark) == 3 else (None, None, None)
        if not (isinstance(start, int) and isinstance(end, int) and label) or not 0 <= start < end <= len(text):
            raise DataError(
                sentence("a span needs start, end and label, inside of its text", where=where, got=str(mark)[:80], allowed=f"0 <= start < end <= {len(text)}")
            )  # fmt: skip
        found.append(Span(start, end, str(label), text[start:end]))
    found.sort()
    clear: list[Span] = []
    for span in found:
        if not clear or span.start >= clear[-1].end:
            clear.append(span)
    return tuple(clear)


def _first(record: Any, keys: tuple[str, ...]) -> str | None:
    """The first of ``keys`` that a record has with a list or text under it."""
    return next((key for key in keys if isinstance(record, dict) and isinstance(record.get(key), (list, str))), None)


def are_records(held: Any, *, labelled: bool = True) -> bool:
    """Whether a parsed JSON file, or lines of one, are texts with spans or tokens with tags; with ``labelled=False`` texts or tokens are
    enough."""
    if not isinstance(held, list) or not held or not all(isinstance(one, dict) for one in held):
        return False
    if not labelled:
        return all(_first(one, TEXTS) or _first(one, TOKENS) for one in held)
    marked = 0
    for one in held:
        tokens, tags, marks = (_first(one, keys) for keys in (TOKENS, TAGS, SPANS))
        if tokens and tags:
            if not (isinstance(one[tokens], list) and isinstance(one[tags], list)):
                return False
            marked += 1
        elif _first(one, TEXTS) and marks:
            if not isinstance(one[marks], list) or not all(isinstance(mark, (dict, list)) for mark in one[marks]):
                return False  # names of classes
            marked += len(one[marks])
        else:
            return False
    return marked > 0


def first_records(path: Path, n: int = 100) -> list[Any]:
    """The first records of a .jsonl file; none where a line is no JSON."""
    found = []
    try:
        with path.open(encoding=encoding_of(path)) as file:
            for line in file:
                if line.strip():
                    found.append(json.loads(line))
                if len(found) == n:
                    break
    except (UnicodeDecodeError, json.JSONDecodeError, DataError):
        return []
    return found


def parse_json(path: Path) -> Any:
    """What a .json, .jsonl (one record a line) or gzipped file of them holds.

    Raises:
        DataError: it is no JSON, or mixes encodings.
    """
    import gzip

    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode(of_bytes(raw) if path.suffix == ".gz" else encoding_of(path))
        if ".jsonl" in path.suffixes:
            return [json.loads(line) for line in text.split("\n") if line.strip()]  # other ends of lines stand in texts
        return json.loads(text)
    except (UnicodeDecodeError, json.JSONDecodeError, OSError, EOFError) as error:
        raise DataError(sentence("this file is no JSON", where=str(path), got=str(error)[:100])) from None


def read_tagged(files: list[tuple[Path, str, Any]], root: str, *, labelled: bool = True) -> Dataset:
    """Texts with :class:`headstart.data.annotations.Spans`; labels are ``None`` where no record has any.

    Args:
        files: (path, split or ``""``, parsed JSON or ``None`` for columns).
        labelled: ``False``: spans are not read, but words are where the files say them.
    """
    texts: list[str] = []
    labels: list[Spans | None] = []
    names, splits, documents = [], [], []
    for path, split, held in files:
        prefix = f"{path.name}, " if len(files) > 1 else ""
        rows = read_columns(path, labelled=labelled) if held is None else read_records(path, held, labelled=labelled)
        for text, spans, name, document in rows:
            texts.append(text)
            labels.append(spans)
            names.append(prefix + name)
            splits.append(split)
            documents.append(f"{path.name} {document}")
    if not texts:
        raise DataError(sentence("there is no text", where=root))
    known = any(spans is not None for spans in labels)
    filled = [spans or Spans(()) for spans in labels]
    notes = [line for path, _, _ in files for line in said(path)]
    if any(path.suffix.lower() == UNIVERSAL for path, _, _ in files):
        notes.append("Words are read from column 2, parts of speech as their tags from column 4.")
    if known and labelled and not any(spans.spans for spans in filled):
        raise DataError(
            sentence("no text has a span", where=root, got=f"{len(texts)} texts without one", allowed="a tag other than O, or a span, in some of them")
        )  # fmt: skip
    if known:
        cut = 0
        for i, spans in enumerate(filled):
            words = spans.words or split_words(texts[i])
            ends = {w[0] for w in words}, {w[1] for w in words}
            cut += sum(s.start not in ends[0] or s.end not in ends[1] for s in spans.spans)
        total = sum(len(spans.spans) for spans in filled)
        notes.append(f"{total} spans in {len(texts)} texts.")
        if cut:
            notes.append(
                f"{cut} spans do not begin and end with a word; tags are given to whole words, so these will not be found exactly."
            )
    groups = np.array(documents) if len(set(documents)) >= 10 and not all(splits) else None
    return Dataset(
        inputs=texts, labels=objects(filled) if known else None, classes=tuple(sorted({kind for spans in filled for kind in spans.kinds})),
        splits=np.array(splits, dtype="U5"), groups=groups, root=root, layout="tagged", notes=tuple(notes), task="token_classification",
        modality="text", names=np.array(names),
    )  # fmt: skip
