"""Tags and spans: what seqeval reads of any sequence, legal or not; there and back."""

import random

import pytest

from headstart.functional import tag_spans
from headstart.functional.tag_spans import decode, encode, scheme_of, tag_names


def sequences(prefixes: str, n: int = 3000):
    draw = random.Random(0)
    tags = ["O"] + [f"{p}-{t}" for p in prefixes for t in ("A", "B-C")]
    return [[draw.choice(tags) for _ in range(draw.randint(1, 8))] for _ in range(n)]


@pytest.mark.parametrize(("scheme", "prefixes"), [("BIO", "BI"), ("IOBES", "BIES")])
def test_any_sequence_is_read_as_seqeval_reads_it(scheme, prefixes):
    entities = pytest.importorskip("seqeval.metrics.sequence_labeling").get_entities
    for tags in sequences(prefixes):
        assert decode(tags, scheme) == [(first, last + 1, name) for name, first, last in entities(tags)], tags


def test_a_fault_in_the_reading_is_caught(monkeypatch):
    monkeypatch.setattr(tag_spans, "split", lambda tag: ("I", tag[2:]))  # every begin goes on
    assert tag_spans.decode(["B-A", "B-A"]) != [(0, 1, "A"), (1, 2, "A")]


def test_what_is_not_legal_by_hand():
    assert decode(["I-X", "I-X", "O", "I-Y", "B-Y"]) == [(0, 2, "X"), (3, 4, "Y"), (4, 5, "Y")]
    assert decode(["B-X", "I-Y"]) == [(0, 1, "X"), (1, 2, "Y")]
    assert decode(["E-X", "I-X", "S-X"], "IOBES") == [(0, 1, "X"), (1, 2, "X"), (2, 3, "X")]
    assert decode(["M-X", "L-X", "U-X"], "IOBES") == [(0, 2, "X"), (2, 3, "X")]  # BMES and BILOU
    assert decode([]) == []


@pytest.mark.parametrize("scheme", ["BIO", "IOBES"])
def test_spans_come_back_from_their_tags(scheme):
    draw = random.Random(1)
    for _ in range(300):
        cuts = sorted(draw.sample(range(12), 6))
        spans = [(a, b, draw.choice("AB")) for a, b in zip(cuts[::2], cuts[1::2], strict=True)]
        tags = encode(spans, 12, scheme)
        assert decode(tags, scheme) == spans
        assert set(tags) <= set(tag_names(["A", "B"], scheme))


def test_single_tags_and_types_alone():
    assert decode(["N", "N", "V"], "tags") == [(0, 1, "N"), (1, 2, "N"), (2, 3, "V")]
    assert decode(["PER", "PER", "O", "LOC"], "IO") == [(0, 2, "PER"), (3, 4, "LOC")]
    assert encode([(0, 2, "PER"), (1, 3, "LOC")], 4, "IO") == [
        "I-PER",
        "I-PER",
        "O",
        "O",
    ]  # of two that overlap, the first
    assert tag_names(["N"], "tags") == ["N"]
    assert [len(tag_names(["A", "B"], s)) for s in ("BIO", "IOBES", "IO")] == [5, 9, 3]


@pytest.mark.parametrize(
    ("tags", "scheme"), [({"O", "B-X", "I-X"}, "BIO"), ({"O", "I-X"}, "BIO"), ({"S-X", "O"}, "IOBES"), ({"U-X", "L-X"}, "IOBES"), ({"PER", "O"}, "IO"), ({"NOUN", "VERB"}, "tags")],
)  # fmt: skip
def test_the_scheme_is_told_from_the_tags(tags, scheme):
    assert scheme_of(tags) == scheme
