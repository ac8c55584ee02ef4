"""Encodings are found, said, and refused where one file mixes them."""

import codecs

import pytest

from headstart.data.encodings import encoding_of, of_bytes, read_file
from headstart.data.readers import read_dataset
from headstart.errors import DataError

CHINESE = "这家酒店的服务非常好，房间干净，早餐也很丰富。下次还会再来！"
FRENCH = "Un très bon café, où l'été à été agréable; la crème brûlée était parfaite."


@pytest.mark.parametrize(
    ("text", "written", "found"),
    [
        ("plain letters", "ascii", "utf-8"), (CHINESE, "utf-8", "utf-8"), (CHINESE, "utf-8-sig", "utf-8-sig"), (CHINESE, "gbk", "gb18030"),
        (CHINESE, "gb18030", "gb18030"), (FRENCH, "latin-1", "latin-1"), (FRENCH, "utf-8", "utf-8"), (CHINESE, "utf-16", "utf-16"),
        (FRENCH, "utf-16-le", "utf-16-le"), (FRENCH, "utf-16-be", "utf-16-be"), ("été", "latin-1", "latin-1"), ("好", "gbk", "gb18030"),
    ],
)  # fmt: skip
def test_each_encoding_is_told_from_the_others(tmp_path, text, written, found):
    path = tmp_path / "a.txt"
    path.write_bytes((f"{text}\r\n" * 3).encode(written))
    assert encoding_of(path) == found == of_bytes(path.read_bytes())
    assert read_file(path) == (f"{text}\n" * 3, found)


def test_a_letter_across_two_blocks_is_still_utf8(tmp_path, monkeypatch):
    monkeypatch.setattr("headstart.data.encodings.BLOCK", 5)
    (tmp_path / "a.txt").write_text(CHINESE * 10, encoding="utf-8")
    assert encoding_of(tmp_path / "a.txt") == "utf-8"


@pytest.mark.parametrize(("other", "name"), [("gb18030", "GB 18030"), ("latin-1", "Latin-1")])
def test_a_file_of_two_encodings_is_refused_with_the_line(tmp_path, other, name):
    good, bad = (CHINESE, CHINESE) if other == "gb18030" else (FRENCH, FRENCH)
    rows = [f'"{good}",a\n'.encode()] * 20
    rows[7] = f'"{bad}",b\n'.encode(other)
    path = tmp_path / "mixed.csv"
    path.write_bytes(b"text,label\n" + b"".join(rows))
    with pytest.raises(
        DataError, match=f"mixes encodings.*UTF-8 in line 2, {name} in line 9.*save the whole file as UTF-8"
    ):
        read_dataset(path)
    rows[7] = rows[6]
    path.write_bytes(b"text,label\n" + b"".join(rows) + b'"x y z",b\n')
    assert len(read_dataset(path)) == 21  # the cause was that row


def test_short_chinese_lines_that_happen_to_be_utf8_are_no_mixture(tmp_path):
    words = ["正面", "负面", "中性", "很好", "不好", "联通", "一般", "满意", "失望", "推荐"]
    path = tmp_path / "a.tsv"
    path.write_bytes("".join(f"{a}{b}\t{a}\n" for a in words for b in words).encode("gbk"))
    lines = [line for line in path.read_bytes().splitlines() if not line.isascii()]
    assert len(lines) == 100 and encoding_of(path) == "gb18030"


def test_the_encoding_is_said(tmp_path):
    path = tmp_path / "评论.csv"
    path.write_bytes(f"文本,标签\n{CHINESE},好评\n{CHINESE}二,差评\n".encode("gb18030"))
    found = read_dataset(path)
    assert found.classes == ("好评", "差评") and found.inputs[0] == CHINESE
    assert "评论.csv is read as GB 18030." in found.notes
    for kind in ("好", "坏"):
        (tmp_path / "d" / kind).mkdir(parents=True)
        (tmp_path / "d" / kind / "一.txt").write_text(CHINESE, encoding="utf-8")
    (tmp_path / "d" / "坏" / "二.txt").write_bytes(codecs.BOM_UTF16_LE + CHINESE.encode("utf-16-le"))
    folder = read_dataset(tmp_path / "d")
    assert folder.classes == ("坏", "好") and set(folder.inputs) == {CHINESE}
    assert "1 files are read as UTF-16." in folder.notes and folder.name(0) == "坏/一.txt"
