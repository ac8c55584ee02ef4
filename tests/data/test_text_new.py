"""New texts from strings, files, tables and standard input; long texts counted and cut; texts without labels beside a target."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from headstart.data.dataset import Dataset
from headstart.data.readers import read_dataset
from headstart.data.scan import scan
from headstart.data.text_cut import LETTERS, beginning
from headstart.data.text_lengths import count_tokens, token_sentences
from headstart.data.text_new import read_new_texts
from headstart.data.text_preprocessing import TextPreprocessing
from headstart.data.unlabelled import read_unlabelled
from headstart.errors import DataError


class Words:
    """A tokenizer of words: one token a word, one special one before and after; words with a digit are unknown (1)."""

    unk_token_id = 1
    seen = 0

    def num_special_tokens_to_add(self, pair):
        return 2

    def __call__(self, first, second=None, *, truncation, max_length=None, padding=False, add_special_tokens=True, **_):
        Words.seen += sum(map(len, first))
        rows = []
        for i, text in enumerate(first):
            words = text.split() + (second[i].split() if second else [])
            ids = [1 if any(c.isdigit() for c in word) else 3 + len(word) for word in words]
            if truncation:
                ids = ids[: max_length - 2]
            rows.append([2, *ids, 2] if add_special_tokens else ids)
        longest = max(map(len, rows)) if padding else 0
        fill = [row + [0] * (longest - len(row)) for row in rows]
        return {"input_ids": fill, "attention_mask": [[1] * len(r) + [0] * (longest - len(r)) for r in rows]}


def dataset(texts: list) -> Dataset:
    return Dataset(texts, None, (), np.full(len(texts), ""), modality="text")


def test_strings_and_pairs():
    found = read_new_texts(["a good film", "bad", "really? " * 50, "train or test.csv"])
    assert found.inputs[:2] == ["a good film", "bad"] and found.name(0) == "a good film" and found.modality == "text"
    assert found.name(2) == ("really? " * 50)[:37] + "..." and found.labels is None
    pairs = read_new_texts([("a", "b"), ["c", "d"]])
    assert pairs.inputs == [("a", "b"), ("c", "d")]
    assert read_new_texts([("a", "b")], pairs=True).inputs == [("a", "b")]
    with pytest.raises(DataError, match="reads pairs of texts: got 'single texts'"):
        read_new_texts(["a"], pairs=True)
    with pytest.raises(DataError, match="reads single texts: got 'pairs of texts'"):
        read_new_texts([("a", "b")], pairs=False)
    with pytest.raises(DataError, match="some inputs are texts and some are pairs"):
        read_new_texts(["a", ("a", "b")])
    with pytest.raises(DataError, match="there are no texts"):
        read_new_texts([])


def test_files_tables_folders_and_standard_input(tmp_path, monkeypatch):
    (tmp_path / "旅行.txt").write_bytes("第一句话很好\r\n\r\n第二句话不好\r\n".encode("gb18030"))
    lines = read_new_texts([tmp_path / "旅行.txt"])
    assert lines.inputs == ["第一句话很好", "第二句话不好"] and lines.name(1) == "旅行.txt line 3"
    assert "one text a line: 2 texts" in lines.notes[0]
    pd.DataFrame({"review": ["a b c", "d e f", None], "stars": [1, 2, 3]}).to_csv(tmp_path / "t.csv", index=False)
    table = read_new_texts([str(tmp_path / "t.csv")])
    assert (
        list(table.inputs) == ["a b c", "d e f", ""]
        and table.name(2) == "row 4"
        and "text = 'review'" in table.notes[0]
    )
    left, scanned = scan(table, cache_dir=tmp_path)
    assert len(left) == 2 and scanned.bad == [("row 4", "the text is empty")]
    assert read_new_texts([tmp_path / "t.csv"], text_col="stars").inputs == ["1", "2", "3"]
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "one.txt").write_text("line one\nline two")
    assert read_new_texts([tmp_path / "d"]).inputs == ["line one\nline two"]
    both = read_new_texts([str(tmp_path / "t.csv"), "and a text", str(tmp_path / "d")])
    assert len(both) == 5 and both.name(0) == "row 2" and both.name(4) == "sub/one.txt"
    stdin = io.TextIOWrapper(io.BytesIO("erste Zeile\nzweite für dich\n".encode("latin-1")))
    monkeypatch.setattr("sys.stdin", stdin)
    piped = read_new_texts(["-"])
    assert piped.inputs == ["erste Zeile", "zweite für dich"] and "read as one text a line: 2 texts" in piped.notes[0]


def test_what_was_meant_as_a_path_is_no_text(tmp_path):
    (tmp_path / "reviews.csv").write_text("text,label\na b c,1\n")
    with pytest.raises(DataError, match=r"no such folder or file.*revews.csv.*Try: .*reviews.csv"):
        read_new_texts([str(tmp_path / "revews.csv")])
    (tmp_path / "a.pdf").write_bytes(b"x")
    with pytest.raises(DataError, match="not a file of texts"):
        read_new_texts([str(tmp_path / "a.pdf")])
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no .txt file"):
        read_new_texts([tmp_path / "none"])


def test_the_beginning_of_a_text_has_its_first_tokens():
    rng = np.random.default_rng(0)
    long = " ".join("x" * int(n) for n in rng.integers(1, 60, 20_000))
    count = Words()

    def tokens(text: str) -> int:
        return len(count([text], truncation=False, add_special_tokens=False)["input_ids"][0])

    short = beginning(long, 40, tokens)
    assert len(short) < 0.05 * len(long) and long.startswith(short) and long[len(short)] == " "
    assert TextPreprocessing(count, 40)([long]).tolist() == TextPreprocessing(count, 40)([short]).tolist()
    sparse = (" " * LETTERS * 100 + "word") * 60  # far fewer tokens than letters: more is taken
    assert TextPreprocessing(count, 40)([sparse]).shape == (1, 3, 40)
    Words.seen = 0
    TextPreprocessing(count, 40)([long])
    assert Words.seen < 0.1 * len(long)


def test_what_is_cut_off_is_counted():
    texts = ["a b c"] * 6 + ["w " * 20] * 3 + ["n0 " * 8]
    facts = count_tokens(dataset(texts), TextPreprocessing(Words(), 10)).facts()
    lengths = [5] * 6 + [22] * 3 + [10]
    assert facts["tokens"] == {"min": 5, "median": 5, "p95": 22, "max": 22} and facts["truncated"] == 3
    assert facts["lost"] == {"median": 12, "max": 12} and facts["lost_share"] == pytest.approx(
        36 / sum(lengths), abs=1e-4
    )
    assert facts["unknown"] == pytest.approx(8 / sum(lengths), abs=1e-4)
    first, second = token_sentences(facts, "bundled/x")
    assert first.startswith("3 of 10 texts are longer than the 10 tokens") and "12 tokens at the median" in first
    assert second.startswith("8 % of the tokens are unknown to the tokenizer of bundled/x")
    (line,) = token_sentences(count_tokens(dataset(texts[:6]), TextPreprocessing(Words(), 10)).facts(), "x")
    assert line.startswith("No text is longer than the 10 tokens")
    part = count_tokens(dataset(texts * 20), TextPreprocessing(Words(), 10), most=100).facts()
    assert part["counted"] == 100 and part["n"] == 200 and 20 < part["truncated"] < 100
    assert token_sentences(part, "x")[0].startswith("About (by 100 drawn at random) ")
    pairs = count_tokens(dataset([("a b c", "d e")]), TextPreprocessing(Words(), 10)).facts()
    assert pairs["tokens"]["max"] == 7
    long = count_tokens(dataset(["word " * (1 << 20)]), TextPreprocessing(Words(), 10)).facts()
    assert long["tokens"]["max"] == pytest.approx(1 << 20, rel=0.01)


def test_a_text_read_in_chunks_loses_only_what_no_window_reaches():
    """Windows of 10 tokens that share 2, two special ones each: the first reads 10, each of 15 more adds 6."""
    facts = count_tokens(dataset(["a b c", "w " * 20, "w " * 120]), TextPreprocessing(Words(), 10, "chunks")).facts()
    assert facts["size"] == 10 + 15 * 6 and facts["truncated"] == 1 and facts["lost"]["max"] == 122 - 100
    whole = count_tokens(dataset(["w " * 20]), TextPreprocessing(Words(), 10, "chunks")).facts()
    assert token_sentences(whole, "x") == [
        "No text is longer than the 100 tokens that are read of each (the longest has 22)."
    ]


def test_unlabelled_texts(tmp_path):
    rows = [
        f"sentence number {word} of this set"
        for word in ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    ]
    pd.DataFrame({"text": rows, "label": ["a", "b"] * 5, "split": ["train"] * 6 + ["valid"] * 2 + ["test"] * 2}).to_csv(
        tmp_path / "t.csv", index=False
    )
    target, _ = scan(read_dataset(tmp_path / "t.csv"), cache_dir=tmp_path)
    more = [rows[0], rows[6].upper(), rows[8] + "!!", "something quite new", "   ", "and one more text"]
    (tmp_path / "more.txt").write_text("\n".join(more) + "\n", encoding="utf-8")
    found = read_unlabelled(tmp_path / "more.txt", target, cache_dir=tmp_path)
    assert list(found.dataset.inputs) == [rows[0], "something quite new", "and one more text"]
    assert found.info["test_copies"] == 1 and found.info["valid_copies"] == 1 and found.dataset.labels is None
    assert any("1 unlabelled texts are exact copies of test texts" in note for note in found.notes)
    (tmp_path / "more.jsonl").write_text(
        "".join(json.dumps({"content": text}) + "\n" for text in more), encoding="utf-8"
    )
    table = read_unlabelled(tmp_path / "more.jsonl", target, text_col="text", cache_dir=tmp_path)
    assert list(table.dataset.inputs) == list(found.dataset.inputs) and len(table.info["bad"]) == 1
