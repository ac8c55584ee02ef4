"""Pairs of texts: columns, parallel files, lists; what is refused, and what is left out and said."""

import numpy as np
import pytest

from headstart.data.readers import read_dataset
from headstart.data.scan import scan
from headstart.data.splits import make_splits
from headstart.errors import DataError

EN = [f"Sentence number {i}." for i in range(12)]
ZH = [f"第{i}句。" for i in range(12)]


def rows(data):
    return list(zip(data.inputs, data.labels, strict=True))


def test_two_columns(tmp_path):
    path = tmp_path / "p.tsv"
    path.write_text("id\ten\tzh\n" + "".join(f"{i}\t{a}\t{b}\n" for i, (a, b) in enumerate(zip(EN, ZH, strict=True))), encoding="utf-8")  # fmt: skip
    data = read_dataset(path, task="translation", text_col="en", label_col="zh")
    assert rows(data) == list(zip(EN, ZH, strict=True))
    assert (data.task, data.modality, data.classes, data.label_text(3)) == ("translation", "text", ("zh",), "第3句。")
    back = read_dataset(path, task="translation", text_col="zh", label_col="en")
    assert rows(back) == list(zip(ZH, EN, strict=True))
    with pytest.raises(DataError, match="is not clear"):
        read_dataset(path, task="translation")
    with pytest.raises(DataError, match="no column 'em'.*--text-col en"):
        read_dataset(path, task="translation", text_col="em", label_col="zh")
    with pytest.raises(DataError, match="both the text and what is made"):
        read_dataset(path, task="translation", text_col="en", label_col="en")


def test_usual_names_are_guessed_and_said(tmp_path):
    path = tmp_path / "news.csv"
    path.write_text("date,article,highlights\n1,Long text here,Short\n2,Another,Sum\n", encoding="utf-8")
    data = read_dataset(path, task="summarization")
    assert rows(data) == [("Long text here", "Short"), ("Another", "Sum")]
    assert "from 'article' to 'highlights'" in data.notes[0]


def test_bare_quotation_marks_of_a_tsv_are_letters(tmp_path):
    path = tmp_path / "q.tsv"
    path.write_text('en\tzh\n"Go," he said.\t他说：“走”。\nHi\t"好\nBye\t再见\n', encoding="utf-8")
    assert rows(read_dataset(path, task="translation", text_col="en", label_col="zh")) == [
        ('"Go," he said.', "他说：“走”。"), ("Hi", '"好'), ("Bye", "再见"),
    ]  # fmt: skip
    path.write_text('en\tzh\n"two\nlines"\t"a ""b"""\nHi\t好\n', encoding="utf-8")  # these are quotes, and stay so
    assert rows(read_dataset(path, task="translation", text_col="en", label_col="zh"))[0] == ("two\nlines", 'a "b"')


def test_a_folder_of_tables_is_split_by_their_names(tmp_path):
    for name, part in {"train": slice(0, 8), "dev": slice(8, 10), "test": slice(10, 12)}.items():
        text = "en\tzh\n" + "".join(f"{a}\t{b}\n" for a, b in zip(EN[part], ZH[part], strict=True))
        (tmp_path / f"{name}.tsv").write_text(text, encoding="utf-8")
    (tmp_path / "README.md").write_text("about", encoding="utf-8")
    data = read_dataset(tmp_path, task="translation", text_col="en", label_col="zh")
    assert {s: int((data.splits == s).sum()) for s in ("train", "valid", "test")} == {
        "train": 8,
        "valid": 2,
        "test": 2,
    }
    assert data.name(int(np.flatnonzero(data.splits == "test")[0])) == "test.tsv row 2"


def test_parallel_files(tmp_path):
    (tmp_path / "a.en").write_text("\n".join(EN) + "\n", encoding="utf-8")
    (tmp_path / "a.zh").write_text("\r\n".join(ZH), encoding="gb18030")
    data = read_dataset(tmp_path, task="translation", text_col="en", label_col="zh")
    assert rows(data) == list(zip(EN, ZH, strict=True))
    assert rows(read_dataset(tmp_path, task="translation")) == rows(data)
    assert rows(read_dataset(f"{tmp_path / 'a.en'},{tmp_path / 'a.zh'}", task="translation")) == rows(data)
    assert rows(read_dataset((tmp_path / "a.en", tmp_path / "a.zh"), task="translation")) == rows(data)
    assert rows(read_dataset((EN, ZH), task="translation")) == rows(data)
    with pytest.raises(DataError, match="half of a pair"):
        read_dataset(tmp_path / "a.en", task="translation")
    with pytest.raises(DataError, match=r"no file ends in .fr.*--text-col"):
        read_dataset(tmp_path, task="translation", text_col="fr", label_col="zh")
    (tmp_path / "a.zh").write_text("\n".join(ZH[:-1]), encoding="utf-8")
    with pytest.raises(DataError, match="unequal length.*12, 11"):
        read_dataset(tmp_path, task="translation")


def test_a_line_ends_at_a_line_feed_alone(tmp_path):
    (tmp_path / "a.en").write_text("one\u2028still one\ntwo\x85still two\n", encoding="utf-8")
    (tmp_path / "a.zh").write_text("一\n二\n", encoding="utf-8")
    assert len(read_dataset(tmp_path, task="translation")) == 2


def test_half_empty_rows_are_left_out_and_said(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("source,target\na b c,x\n,y\nd e f,\n", encoding="utf-8")
    data = read_dataset(path, task="translation")
    assert rows(data) == [("a b c", "x")]
    assert "2 rows without a text or without what is made of it were left out (first: row 3)" in data.notes[-1]
    path.write_text("source,target\n,y\n", encoding="utf-8")
    with pytest.raises(DataError, match="no pair of texts"):
        read_dataset(path, task="translation")


def test_options_of_other_tasks_are_refused(tmp_path):
    with pytest.raises(DataError, match="--order means nothing for pairs of texts"):
        read_dataset((EN, ZH), task="translation", order=["a"])


def test_copies_of_a_text_stay_in_one_split_and_the_digest_sees_the_targets(tmp_path):
    texts = [f"Sentence {i // 2}." for i in range(60)]
    targets = [f"第{i}句。" for i in range(60)]
    data, _ = scan(read_dataset((texts, targets), task="translation"), cache_dir=tmp_path)
    split = make_splits(data, seed=1)
    assert {"train", "valid", "test"} == set(split.splits)
    for name in ("train", "valid", "test"):
        others = {t for t, s in zip(split.inputs, split.splits, strict=True) if s != name}
        assert not others & set(split.select(name).inputs)
    few = make_splits(data, seed=1, labels_per_class=7)
    assert (np.isin(few.splits, ["train", "valid"])).sum() == 7
    other, _ = scan(read_dataset((texts, [*targets[:-1], "别的"]), task="translation"), cache_dir=tmp_path)
    assert other.digest != data.digest
    with pytest.raises(DataError, match="too few pairs"):
        make_splits(data.subset(np.arange(4)))


def test_words_that_look_missing_are_texts(tmp_path):
    path = tmp_path / "p.tsv"
    path.write_text("en\tzh\nnull\t空\nNone\t没有\nNA\t不适用\n\t没\n", encoding="utf-8")
    data = read_dataset(path, task="translation", text_col="en", label_col="zh")
    assert data.inputs == ["null", "None", "NA"]
    assert any("1 rows without a text" in note for note in data.notes)


def test_encodings_of_parallel_files_and_tables_are_said_and_mixtures_refused(tmp_path):
    one, other = tmp_path / "a.fr", tmp_path / "a.zh"
    one.write_bytes("".join(f"l'\u00e9tat {i} a \u00e9t\u00e9 cr\u00e9\u00e9\n" for i in range(3)).encode("latin-1"))
    other.write_bytes("".join(f"第{i}个国家成立了\n" for i in range(3)).encode("gb18030"))
    data = read_dataset(f"{one},{other}", task="translation")
    assert rows(data)[0] == ("l'état 0 a été créé", "第0个国家成立了")
    assert {"a.fr is read as Latin-1.", "a.zh is read as GB 18030."} <= set(data.notes)
    table = tmp_path / "p.tsv"
    table.write_bytes(("en\tzh\n" + "".join(f"{a}\t{b}\n" for a, b in zip(EN, ZH, strict=True))).encode("gb18030"))
    assert "p.tsv is read as GB 18030." in read_dataset(table, task="translation").notes
    other.write_bytes("第一个国家成立了\n".encode() + "第二个国家成立了\n第三\n".encode("gb18030"))
    with pytest.raises(DataError, match="mixes encodings"):
        read_dataset(f"{one},{other}", task="translation")


def test_two_files_without_a_task_are_told_what_is_missing(tmp_path):
    for name in ("a.en", "a.zh"):
        (tmp_path / name).write_text("x\n", encoding="utf-8")
    with pytest.raises(DataError, match="Try: --task translation"):
        read_dataset(f"{tmp_path / 'a.en'},{tmp_path / 'a.zh'}")
