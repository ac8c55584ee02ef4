"""Large tables stay on the disk: the texts are a map of a file, subsets too, and a fit on one holds no more than on a small one."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headstart.data import text_column, text_table
from headstart.data.loader import batches
from headstart.data.readers import read_dataset
from headstart.data.scan import scan
from headstart.data.splits import make_splits
from headstart.data.text_column import ArrowFile, TextColumn
from headstart.data.text_preprocessing import IDS

ROWS = [f"第{i} row number {i} " + "word " * (i % 7) for i in range(300)]


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A table that counts as large, and is converted in several pieces."""
    monkeypatch.setattr(text_table, "STREAM", 0)
    monkeypatch.setattr("headstart.data.text_store.PIECE", 2000)
    path = tmp_path / "t.csv"
    pd.DataFrame({"text": ROWS, "other": ROWS[::-1], "label": ["a", "b", "c"] * 100}).to_csv(path, index=False)
    return path


def test_a_sequence_on_the_disk(large):
    found = read_dataset(large, text_col="text").inputs
    assert isinstance(found, TextColumn) and len(found) == 300 and list(found) == ROWS
    assert found[-1] == ROWS[-1] and list(found[5:9]) == ROWS[5:9]
    some = found.take(np.array([7, 7, 3])).take(np.array([2, 0]))
    assert isinstance(some, TextColumn) and list(some) == [ROWS[3], ROWS[7]]
    assert found.take(np.array([4, 9])).lengths().tolist() == [len(ROWS[4].encode()), len(ROWS[9].encode())]
    assert len(found.files[0].table.column("text").chunks) > 3
    again = pickle.loads(pickle.dumps(some))
    assert list(again) == list(some) and len(pickle.dumps(some)) < 2000
    pairs = read_dataset(large, text_col="text,other").inputs
    assert pairs[0] == (ROWS[0], ROWS[-1]) and pairs.lengths()[0] == len((ROWS[0] + ROWS[-1]).encode())


def test_the_table_is_converted_once_and_anew_when_it_changes(large, own_cache):
    read_dataset(large, text_col="text")
    (kept,) = (own_cache / "texts").iterdir()
    stamp = kept.stat().st_mtime_ns
    read_dataset(large, text_col="text")
    assert [path.stat().st_mtime_ns for path in (own_cache / "texts").iterdir()] == [stamp]
    pd.DataFrame({"text": ROWS[:9], "other": ROWS[:9], "label": ["a", "b", "c"] * 3}).to_csv(large, index=False)
    assert len(read_dataset(large, text_col="text")) == 9


def test_a_table_that_breaks_late_leaves_nothing_behind(large, own_cache):
    from headstart.errors import DataError

    with large.open("a", encoding="utf-8") as opened:
        opened.write("one, too, many, cells\n")
    with pytest.raises(DataError, match="line 302"):
        read_dataset(large, text_col="text")
    assert list((own_cache / "texts").iterdir()) == []


def test_scans_splits_and_batches_read_the_same_as_from_memory(large, tmp_path, monkeypatch):
    class Letters:
        pad_token_id = 0

        def __call__(self, first, second=None, *, truncation, max_length=None, padding=False, **_):
            rows = [[ord(c) for c in text][:max_length] for text in first]
            longest = max(map(len, rows))
            fill = [row + [0] * (longest - len(row)) for row in rows]
            return {"input_ids": fill, "attention_mask": [[int(i > 0) for i in row] for row in fill]}

    from headstart.data.text_preprocessing import TextPreprocessing

    found, scanned = scan(read_dataset(large, text_col="text"), cache_dir=tmp_path)
    monkeypatch.setattr(text_table, "STREAM", 1 << 30)
    plain, also = scan(read_dataset(large, text_col="text"), cache_dir=tmp_path)
    assert isinstance(found.inputs, TextColumn) and isinstance(plain.inputs, list)
    assert found.digests.tolist() == plain.digests.tolist() and found.copies.tolist() == plain.copies.tolist()
    assert scanned.facts() == also.facts() and scanned.pairs == also.pairs
    a, b = make_splits(found), make_splits(plain)
    assert a.splits.tolist() == b.splits.tolist() and isinstance(a.select("train").inputs, TextColumn)
    how = TextPreprocessing(Letters(), 64)
    for batch in batches(a.select("test"), how, batch_size=16):
        for row, ids in zip(batch.index.tolist(), batch.inputs[:, IDS].tolist(), strict=True):
            assert "".join(map(chr, filter(None, ids))) == b.select("test").inputs[row][:64]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_pages_are_given_back(tmp_path, monkeypatch):
    """Of 96 MB that are read, at most HELD bytes (here 4 MB) stay resident; with none given back, all of it does."""
    import pyarrow as pa
    import pyarrow.ipc as ipc

    texts = pa.array(["x" * (1 << 20)] * 96, type=pa.large_string())
    with ipc.new_file(str(tmp_path / "a.arrow"), pa.schema([("text", pa.large_string())])) as writer:
        writer.write_batch(pa.record_batch([texts], names=["text"]))
    del texts

    def grown(held: int) -> float:
        monkeypatch.setattr(text_column, "HELD", held)
        column = TextColumn([ArrowFile(tmp_path / "a.arrow")], ["text"])
        column.files[0].release()
        before, most = _resident(), 0.0
        for text in column:
            assert len(text) == 1 << 20
            most = max(most, _resident() - before)
        return most

    assert grown(4 << 20) < 30 < 80 < grown(1 << 40)


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


FIT = """
import json, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from data.test_text_streaming import tiny_source, write_rows
import headstart as hs
folder, rows = Path(sys.argv[1]), int(sys.argv[2])
write_rows(folder / "t.csv", rows)
run = hs.fit(folder / "t.csv", source=str(tiny_source(folder / "m")), strategy="probe", baselines=["none"], verify=False, out=folder / "r")
print(json.dumps([run.metrics["peak_memory_mb"], (folder / "t.csv").stat().st_size / 2**20]))
"""


def write_rows(path: Path, n: int) -> None:
    """n rows of 100 KB each."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(400)])
    with path.open("w", encoding="utf-8") as opened:
        opened.write("text,label\n")
        for i in range(n):
            opened.write(" ".join(rng.choice(words, 26_000)) + f" {i},{'ab'[i % 2]}\n")


def tiny_source(folder: Path) -> Path:
    """A BERT of one layer with random weights, and a tokenizer of some words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(300))]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_fit_on_a_large_table_holds_no_more_than_on_a_smaller_one(tmp_path):
    """Each in a process of its own: 100 MB and 400 MB of texts, both beyond the size that stays in memory."""
    pytest.importorskip("transformers")
    found = []
    for name, rows in (("small", 1000), ("large", 4000)):
        (tmp_path / name).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", FIT.format(tests=str(Path(__file__).parents[1])), str(tmp_path / name), str(rows)],
            capture_output=True, text=True, check=False, env={**os.environ, "HEADSTART_CACHE": str(tmp_path / name / "cache")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1]))
    (small, few), (large, many) = found
    assert few > 64 and many > 3.5 * few
    assert large - small < 0.3 * (many - few), found
