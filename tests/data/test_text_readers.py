"""Texts from every kind of file come out the same; what cannot be read is refused in a sentence that says where."""

import json

import numpy as np
import pandas as pd
import pytest

from headstart.data import text_table
from headstart.data.checks import inspect_dataset
from headstart.data.readers import read_dataset
from headstart.data.scan import scan
from headstart.data.splits import make_splits
from headstart.data.text_column import TextColumn
from headstart.data.text_columns import text_columns
from headstart.errors import DataError

TEXTS = [f'text number {i}, with a comma\nand a line, "quoted" – 第{i}号' for i in range(12)]
LABELS = ["好" if i % 3 else "bad" for i in range(12)]


def frame() -> pd.DataFrame:
    return pd.DataFrame({"id": range(12), "text": TEXTS, "label": LABELS})


def write(kind: str, tmp_path):
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        frame().to_csv(path, index=False)
    elif kind == "tsv":
        frame().to_csv(path, index=False, sep="\t")
    elif kind == "jsonl":
        path.write_text(
            "\n".join(json.dumps(row, ensure_ascii=False) for row in frame().to_dict("records")) + "\n\n",
            encoding="utf-8",
        )
    elif kind == "parquet":
        frame().to_parquet(path)
    elif kind == "semicolon":
        path = tmp_path / "s.csv"
        frame().to_csv(path, index=False, sep=";")
    return path


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "semicolon"])
def test_every_kind_of_table_gives_the_same_data_set(tmp_path, monkeypatch, kind, large):
    if large:
        monkeypatch.setattr(text_table, "STREAM", 0)
        monkeypatch.setattr("headstart.data.text_store.PIECE", 100)  # several pieces
    found = read_dataset(write(kind, tmp_path))
    assert isinstance(found.inputs, TextColumn) == large
    assert list(found.inputs) == TEXTS and found.classes == ("bad", "好") and found.modality == "text"
    assert [found.classes[i] for i in found.labels] == LABELS and found.name(3) == "row 5"
    some = found.subset(np.array([5, 2]))
    assert (
        list(some.inputs) == [TEXTS[5], TEXTS[2]]
        and some.name(1) == "row 4"
        and isinstance(some.inputs, TextColumn) == large
    )


def test_folders_with_and_without_splits(tmp_path):
    for i, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True)):
        for root in (tmp_path / "plain" / label, tmp_path / "split" / ("train", "dev", "test")[i // 3 % 3] / label):
            root.mkdir(parents=True, exist_ok=True)
            (root / f"{i}.txt").write_text(text, encoding="utf-8")
    plain, split = read_dataset(tmp_path / "plain"), read_dataset(tmp_path / "split")
    assert sorted(plain.inputs) == sorted(TEXTS) and set(plain.splits) == {""} and plain.layout == "folders"
    assert {s: int((split.splits == s).sum()) for s in ("train", "valid", "test")} == {
        "train": 6,
        "valid": 3,
        "test": 3,
    }
    assert split.classes == plain.classes == ("bad", "好")
    with pytest.raises(DataError, match="--text-col is about the columns of a table"):
        read_dataset(tmp_path / "plain", text_col="text")
    grouped = read_dataset(tmp_path / "plain", group=r"^(\d)")
    assert grouped.groups is not None and len(set(grouped.groups)) == 10  # 1, 10 and 11 begin alike


def test_a_table_for_each_split(tmp_path):
    frame()[:8].to_csv(tmp_path / "train.csv", index=False)
    frame()[8:].to_parquet(tmp_path / "test-00000-of-00001.parquet")
    (tmp_path / "notes.json").write_text("{}")
    found = read_dataset(tmp_path)
    assert list(found.inputs) == TEXTS and found.splits.tolist() == ["train"] * 8 + ["test"] * 4
    assert found.name(8) == "test-00000-of-00001.parquet row 2"
    (tmp_path / "train.csv").unlink()
    with pytest.raises(DataError, match="no table to learn from.*train.csv"):
        read_dataset(tmp_path)


def test_tables_of_splits_with_other_columns_are_refused(tmp_path):
    frame().to_csv(tmp_path / "train.csv", index=False)
    frame().rename(columns={"label": "class"}).to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(
        DataError, match="other columns than each other.*test.csv: id, text, class.*train.csv: id, text, label"
    ):
        read_dataset(tmp_path)


@pytest.mark.parametrize("large", [False, True])
def test_data_sets_that_the_library_datasets_saved(tmp_path, monkeypatch, large):
    datasets = pytest.importorskip("datasets")
    if large:
        monkeypatch.setattr("headstart.data.saved_datasets.STREAM", 0)
    rows = {"text": TEXTS, "label": [int(label == "好") for label in LABELS]}
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "好"])})
    whole = datasets.Dataset.from_dict(rows, features=features)
    parts = datasets.DatasetDict(
        {"train": whole.select(range(8)), "validation": whole.select([8, 9]), "test": whole.select([10, 11])}
    )
    whole.save_to_disk(str(tmp_path / "one"))
    parts.save_to_disk(str(tmp_path / "three"))
    one, three = read_dataset(tmp_path / "one"), read_dataset(tmp_path / "three")
    assert list(one.inputs) == list(three.inputs) == TEXTS and one.classes == three.classes == ("bad", "好")
    assert [one.classes[i] for i in one.labels] == LABELS and set(one.splits) == {""}
    assert three.splits.tolist() == ["train"] * 8 + ["valid"] * 2 + ["test"] * 2
    assert isinstance(one.inputs, TextColumn) == large
    (tmp_path / "one" / "dataset_info.json").write_text(json.dumps({"features": {"p": {"_type": "Image"}}}))
    with pytest.raises(DataError, match="holds images"):
        read_dataset(tmp_path / "one")


def test_pairs(tmp_path):
    pd.DataFrame({"a": TEXTS, "b": TEXTS[::-1], "label": LABELS}).to_csv(tmp_path / "p.csv", index=False)
    found = read_dataset(tmp_path / "p.csv", text_col="a,b")
    assert found.inputs[0] == (TEXTS[0], TEXTS[-1]) and len(found) == 12
    with pytest.raises(DataError, match="one column, or the two of a pair"):
        read_dataset(tmp_path / "p.csv", text_col="a,b,label")
    with pytest.raises(DataError, match="no column 'c'"):
        read_dataset(tmp_path / "p.csv", text_col="a,c")
    pd.DataFrame({"premise": TEXTS, "hypothesis": TEXTS[::-1], "label": LABELS}).to_csv(tmp_path / "n.csv", index=False)
    guessed = read_dataset(tmp_path / "n.csv")
    assert guessed.inputs[1] == (TEXTS[1], TEXTS[-2]) and "text = 'premise' and 'hypothesis'" in guessed.notes[0]


def test_texts_in_memory():
    found = read_dataset((TEXTS, LABELS))
    assert found.modality == "text" and found.inputs == TEXTS and found.name(2) == "#2"
    pairs = read_dataset((list(zip(TEXTS, TEXTS, strict=True)), LABELS))
    assert pairs.inputs[0] == (TEXTS[0], TEXTS[0])
    assert read_dataset((["a/b.png", "c.jpg"], ["x", "y"])).modality == "image"
    with pytest.raises(DataError, match="neither a text nor a pair.*input 1"):
        read_dataset((["one text here", 3, "x"], ["a", "b", "a"]))
    with pytest.raises(DataError, match="unequal lengths.*2 texts, 3 labels"):
        read_dataset((TEXTS[:2], LABELS[:3]))
    with pytest.raises(DataError, match="2 of 12 labels are missing: got 'nan at 3'"):
        read_dataset((TEXTS, [*LABELS[:3], float("nan"), *LABELS[4:11], None]))
    with pytest.raises(DataError, match="no images and no texts"):
        read_dataset(([], []))
    with pytest.raises(DataError, match=r"a path or .*got 'DataFrame'. Try: \(data\['text'\], data\['label'\]\)"):
        read_dataset(frame())


def test_which_columns_are_texts():
    rows = pd.DataFrame({
        "uuid": [f"0af31b2c-77{i}1-4f" for i in range(12)], "note": [f"seen on day {i} of May" for i in range(12)], "city": ["New York City"] * 12,
        "短评": [f"味道很好{i}" for i in range(12)], "x": [str(i / 7) for i in range(12)],
    })  # fmt: skip
    assert text_columns(rows) == ["note", "短评"] and text_columns(rows, "note") == ["短评"]
    assert text_columns(pd.DataFrame({"text": ["ok", "no", "ok"]})) == ["text"]  # named so, though short


def test_columns_that_are_missing_or_unclear(tmp_path):
    pd.DataFrame({"review_text": TEXTS, "answer_text": TEXTS, "label": LABELS}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        DataError,
        match="not clear.*review_text, answer_text.*--text-col review_text, or --text-col review_text,answer_text for pairs",
    ):
        read_dataset(tmp_path / "t.csv")
    with pytest.raises(DataError, match="no column 'revew_text'.*--text-col review_text"):
        read_dataset(tmp_path / "t.csv", text_col="revew_text")
    with pytest.raises(DataError, match="no column 'lable'.*--label-col label"):
        read_dataset(tmp_path / "t.csv", text_col="review_text", label_col="lable")
    with pytest.raises(DataError, match="labels are read from the column of the texts"):
        read_dataset(tmp_path / "t.csv", text_col="label", label_col="label")


def test_words_that_mean_missing_elsewhere_are_texts_and_labels_here(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nnull,None\nNA,NA\nnone of it,None\n", encoding="utf-8")
    found = read_dataset(tmp_path / "t.csv")
    assert list(found.inputs) == ["null", "NA", "none of it"] and found.classes == ("NA", "None")


def test_tables_that_are_broken(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,label\nfine,a\nyes, but no,b\n")
    with pytest.raises(
        DataError, match=r"more cells than the header in line 3 of .*got '3 cells'; allowed: 2.*in quotes"
    ):
        read_dataset(path)
    path.write_text("text,label\nyes, but no,b\nno, not so,a\n")
    with pytest.raises(DataError, match="more cells than the header"):
        read_dataset(path)
    path.write_text('text,label\nfine,a\n"never closed,b\nmore,a\n')
    with pytest.raises(DataError, match="a quote is not closed in row"):
        read_dataset(path)
    lines = tmp_path / "t.jsonl"
    lines.write_text('{"text": "a b c", "label": 1}\n{"text": "d e f", "label": }\n')
    with pytest.raises(DataError, match="a line is not JSON in line 2"):
        read_dataset(lines)
    lines.write_text('{"text": "a b c", "label": 1}\n["d e f", 2]\n')
    with pytest.raises(DataError, match="not a JSON object in line 2"):
        read_dataset(lines)


@pytest.mark.parametrize("large", [False, True])
def test_parquet_of_a_filtered_frame(tmp_path, monkeypatch, large):
    """pandas saves the index with the rows; of a sample it is neither in order nor without gaps."""
    if large:
        monkeypatch.setattr(text_table, "STREAM", 0)
    for order in ([11, 3, 7, 4], [11, 3, 7, 4, 5, 6, 8, 9, 10, 0, 1, 2]):  # drawn; all of them, shuffled
        rows = frame().iloc[order]
        rows.to_parquet(tmp_path / f"{len(order)}.parquet")
        found = read_dataset(tmp_path / f"{len(order)}.parquet")
        assert list(found.inputs) == rows.text.tolist() and found.name(3) == "row 5"
        assert [found.classes[i] for i in found.labels] == rows.label.tolist()
    rows.set_index("label").to_parquet(tmp_path / "t.parquet")
    assert read_dataset(tmp_path / "t.parquet").classes == ("bad", "好")


def test_json_of_every_shape(tmp_path):
    """A list of objects is a table as lines are; a field inside a field is a column with a dot in its name."""
    rows = frame().to_dict("records")
    (tmp_path / "t.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    assert list(read_dataset(tmp_path / "t.json").inputs) == TEXTS
    (tmp_path / "t.ndjson").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert list(read_dataset(tmp_path / "t.ndjson").inputs) == TEXTS
    deep = [{"id": i, "data": {"body": row["text"], "meta": {"label": row["label"]}}} for i, row in enumerate(rows)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, deep)), encoding="utf-8")
    with pytest.raises(DataError, match="cannot guess the label column.*--label-col data.meta.label"):
        read_dataset(tmp_path / "d.jsonl")
    found = read_dataset(tmp_path / "d.jsonl", label_col="data.meta.label")
    assert list(found.inputs) == TEXTS and found.classes == ("bad", "好")
    (tmp_path / "t.json").write_text('[{"text": "cut of')
    with pytest.raises(DataError, match="no JSON in .*t.json"):
        read_dataset(tmp_path / "t.json")


def test_tables_that_are_none_or_lack_something(tmp_path):
    path = tmp_path / "t.csv"
    plain = [f"some words of text {i}" for i in range(12)]
    path.write_text("".join(f"{text},{label}\n" for text, label in zip(plain, LABELS, strict=True)), encoding="utf-8")
    with pytest.raises(DataError, match="first line is one of texts, not of names.*text,label above it"):
        read_dataset(path)
    path.write_text("text^label\n" + "".join(f"{text}^a\n" for text in plain))
    with pytest.raises(DataError, match="no column of labels.*with , ; | or a tab between"):
        read_dataset(path)
    pd.DataFrame({"text": range(12), "label": LABELS}).to_csv(path, index=False)
    with pytest.raises(DataError, match="none holds sentences.*got 'text, label'.*--text-col text for texts"):
        read_dataset(path)
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(DataError, match="not a file of text: got .*t.csv"):
        read_dataset(path)
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match="Try: save the sheet as CSV in UTF-8"):
        read_dataset(tmp_path / "t.xlsx")
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.txt").write_text("some words")
    with pytest.raises(DataError, match="no images and no texts.*two folders or more of .txt files, one a class"):
        read_dataset(tmp_path / "flat")


def test_what_was_guessed_is_shown_as_it_stands(tmp_path):
    path = tmp_path / "t.csv"
    plain = [f"some words of text {i}" for i in range(12)]
    held = [[1, 1], *[[0, 1], [1, 0]] * 5, [0, 0]]
    pd.DataFrame({"text": plain, "fast": [a for a, _ in held], "kind": [b for _, b in held]}).to_csv(path, index=False)
    guess, what = read_dataset(path).notes
    assert "label = 'fast' to 'kind' (2 columns) (some words of text 0 -> 1, 1; some words of text 1 -> 0, 1;" in guess
    assert "a text may have several or none" in what
    pd.DataFrame({"text": plain, "label": [None, *["a", "b"] * 5, "a"]}).to_csv(path, index=False)
    assert "some words of text 0 -> (empty);" in read_dataset(path).notes[0]
    number = {"bad": 0, "好": 1}
    pd.DataFrame({"text": TEXTS, "label": [number[x] for x in LABELS], "class": LABELS}).to_csv(path, index=False)
    assert read_dataset(path).classes == ("bad", "好")  # names, where the numbers stand for them one by one
    pd.DataFrame({"text": TEXTS, "label": [i % 4 for i in range(12)], "class": LABELS}).to_csv(path, index=False)
    assert read_dataset(path).classes == ("0", "1", "2", "3")


def test_a_column_of_ids_is_taken_for_no_labels(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({"text": TEXTS, "label": [f"u{i}" for i in range(12)]}).to_csv(path, index=False)
    found, scanned = scan(read_dataset(path), cache_dir=tmp_path)
    with pytest.raises(DataError, match="nearly every text has a label of its own, as ids have.*u0, u1, u10"):
        make_splits(found)
    assert any(
        "12 of 12 texts have a label that no other has" in w for w in inspect_dataset(found, scanned)["warnings"]
    )


def test_inspect_warns_of_what_fit_refuses(tmp_path):
    path = tmp_path / "t.csv"

    def warned(labels: list[object]) -> str:
        pd.DataFrame({"text": TEXTS, "label": labels}).to_csv(path, index=False)
        return " ".join(inspect_dataset(*scan(read_dataset(path), cache_dir=tmp_path))["warnings"])

    assert "There is only one class, ham;" in warned(["ham"] * 12)
    once = warned([*(["ham", "spam"] * 5), "ham", "egg"])
    assert "Only one text has the label egg, which cannot be both learned and tested" in once
    assert "classes have fewer" not in warned([i + 0.5 for i in range(12)])  # fifths of a quantity are no classes


def test_quotes_of_a_tsv_that_do_not_pair_up_swallow_no_row(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text('text\tlabel\n"so he said\ta\nand she\tb\nnot" much\ta\nthe end\tb\n')
    found = read_dataset(path)
    assert list(found.inputs) == ['"so he said', "and she", 'not" much', "the end"]
    assert any("Quotes in t.tsv do not pair up" in note for note in found.notes)


def test_a_line_of_ten_megabytes(tmp_path):
    path = tmp_path / "t.csv"
    long = "word " * (2 << 20)
    pd.DataFrame({"text": [*TEXTS, long], "label": [*LABELS, "bad"]}).to_csv(path, index=False)
    found, scanned = scan(read_dataset(path), cache_dir=tmp_path)
    assert len(found) == 13 and len(found.inputs[12]) == len(long)
    assert any(f"longest text has {len(long)} letters (row 14)" in line for line in scanned.warnings())


def test_empty_texts_are_named_and_left_out(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({"text": [*TEXTS, "", "  \t", "\u200b\ufeff", None, "😀"], "label": [*LABELS, *["bad"] * 5]}).to_csv(
        path, index=False
    )
    found, scanned = scan(read_dataset(path), cache_dir=tmp_path)
    assert len(found) == 13 and found.inputs[12] == "😀"
    assert [name for name, _ in scanned.bad] == ["row 14", "row 15", "row 16", "row 17"]
    with pytest.raises(DataError, match="4 of 17 texts are empty.*row 14"):
        scan(read_dataset(path), cache_dir=tmp_path, on_bad="fail")


def test_a_label_that_appears_once(tmp_path):
    pd.DataFrame({"text": TEXTS, "label": [*(["ham", "spam"] * 5), "ham", "hma"]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    found, _ = scan(read_dataset(tmp_path / "t.csv"), cache_dir=tmp_path)
    with pytest.raises(DataError, match="only one text that can be read.*'hma'.*or is it 'ham', misspelt"):
        make_splits(found)
