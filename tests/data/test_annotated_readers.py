"""Questions and spans from files: SQuAD, CoNLL columns, JSON; what is wrong in them is counted, listed, skipped."""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from headstart.data.annotated_reader import read_annotated
from headstart.data.annotations import Span
from headstart.data.readers import read_dataset
from headstart.data.scan import scan
from headstart.data.splits import make_splits
from headstart.data.tagging_reader import split_words
from headstart.errors import DataError

sys.path.insert(0, str(Path(__file__).parents[1] / "spans"))
from tiny_texts import columns, questions, write_questions


def squad_of(*qas, context="Rome was not built in a day. Rome is old."):
    return {"data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(qas)}]}], "version": "v2.0"}


def qa(name, *answers, impossible=None):
    row = {"id": name, "question": f"question {name}?", "answers": [{"text": t, "answer_start": s} for t, s in answers]}
    return row if impossible is None else {**row, "is_impossible": impossible}


def test_answers_that_are_not_in_their_context_are_counted_listed_and_skipped(tmp_path):
    path = tmp_path / "q.json"
    path.write_text(json.dumps(squad_of(
        qa("fine", ("Rome", 0)), qa("shifted", ("Rome", 27)), qa("lost", ("Paris", 0)), qa("half", ("Paris", 0), ("day", 24)),
        qa("none", impossible=True), qa("silent"), qa("below", ("day", -1)),
    )), encoding="utf-8")  # fmt: skip
    dataset = read_dataset(path)
    assert dataset.task == "question_answering"
    assert [dataset.name(i) for i in range(len(dataset))] == ["fine", "shifted", "half", "none", "below"]
    assert [label.starts for label in dataset.labels] == [(0,), (29,), (24,), (), (24,)]
    assert dataset.classes == ("answer", "no answer")
    assert dict(dataset.left_out) == {
        "lost": "the answer is not in its context: 'Paris'", "silent": "no answer is given, and is_impossible is not set",
    }  # fmt: skip
    assert any(
        "2 questions have no answer in their context and are left out (lost, silent)" in note for note in dataset.notes
    )
    assert any("2 answers do not stand where answer_start says" in note for note in dataset.notes)
    kept, scanned = scan(dataset, cache_dir=tmp_path)
    assert len(kept) == 5
    assert [name for name, _ in scanned.bad] == ["lost", "silent"]
    with pytest.raises(DataError, match="2 of 7 texts cannot be used .*lost: the answer is not in its context"):
        scan(dataset, cache_dir=tmp_path, on_bad="fail")


def test_nothing_to_answer_is_one_sentence(tmp_path):
    path = tmp_path / "q.json"
    path.write_text(json.dumps(squad_of(qa("lost", ("Paris", 0)))), encoding="utf-8")
    with pytest.raises(DataError, match="no question can be used .*the answer is not in its context: 'Paris'"):
        read_dataset(path)
    path.write_text('{"data": [', encoding="utf-8")
    with pytest.raises(DataError, match="this file is no JSON in UTF-8"):
        read_dataset(path)
    path.write_text(json.dumps({"data": [{"paragraphs": [{"qas": []}]}]}), encoding="utf-8")
    with pytest.raises(DataError, match="there is no text under 'context' .*article 1, paragraph 1"):
        read_dataset(path)


def test_questions_about_one_text_stay_in_one_split(tmp_path):
    held = questions(40)
    for paragraph in held["data"][0]["paragraphs"]:
        paragraph["qas"] += [{**paragraph["qas"][0], "id": paragraph["qas"][0]["id"] + "b", "question": "where?"}]
    path = tmp_path / "q.json"
    path.write_text(json.dumps(held), encoding="utf-8")
    dataset = make_splits(scan(read_dataset(path), cache_dir=tmp_path)[0], valid=0.2)
    assert set(dataset.splits) == {"train", "valid", "test"}
    by_context = {}
    for (_, context), split in zip(dataset.inputs, dataset.splits, strict=True):
        by_context.setdefault(context, set()).add(split)
    assert all(len(splits) == 1 for splits in by_context.values())


def test_a_folder_with_a_file_a_split_and_gzip(tmp_path):
    write_questions(tmp_path / "train-v2.0.json", 8)
    with gzip.open(tmp_path / "dev-v2.0.json.gz", "wt") as file:
        json.dump(questions(4, seed=1), file)
    dataset = read_dataset(tmp_path)
    assert [(s, int((dataset.splits == s).sum())) for s in ("train", "valid")] == [("train", 8), ("valid", 4)]


def test_the_real_files(shared_data):
    folder = shared_data / "nonvision"
    english = read_dataset(folder / "xquad-en-zh-de" / "xquad.en.json")
    assert len(english) == 1190
    assert len(set(english.groups)) == 48
    assert not any(label.chinese for label in english.labels)
    chinese = read_dataset(folder / "zh-cmrc2018-dev" / "cmrc2018_dev.json.gz")
    assert len(chinese) == 3219
    assert all(label.chinese for label in chinese.labels)
    assert not chinese.left_out
    for dataset in (english, chinese):
        for (_, context), label in zip(dataset.inputs, dataset.labels, strict=True):
            assert all(context[s : s + len(t)] == t for t, s in zip(label.texts, label.starts, strict=True))


def test_columns(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text(
        "-DOCSTART- -X- O O\n\nEU NNP B-ORG\nrejects VBZ O\nGerman JJ B-MISC\n\n# sent 2\nPeter NNP I-PER\nBlackburn NNP I-PER\n",
        encoding="utf-8",
    )
    dataset = read_dataset(path)
    assert dataset.inputs == ["EU rejects German", "Peter Blackburn"]
    assert [label.spans for label in dataset.labels] == [
        (Span(0, 2, "ORG"), Span(11, 17, "MISC")),
        (Span(0, 15, "PER"),),
    ]
    assert dataset.labels[0].words == ((0, 2), (3, 10), (11, 17))
    assert dataset.classes == ("MISC", "ORG", "PER")
    assert str(dataset.labels[0]) == "EU (ORG); German (MISC)"
    path.write_text("EU B-ORG\nrejects\n", encoding="utf-8")
    with pytest.raises(DataError, match="a line has no tag behind its token .*line 2"):
        read_dataset(path)


def test_columns_are_told_from_other_text_files(tmp_path):
    path = tmp_path / "some.txt"
    path.write_text(columns(5), encoding="utf-8")
    assert read_dataset(path).task == "token_classification"
    path.write_text("这 B-X\n里 I-X\n是 O\n", encoding="utf-8")
    assert read_dataset(path).inputs == ["这里是"]  # Chinese words stand without spaces
    path.write_text("The DET\ncat NOUN\n", encoding="utf-8")
    tagged = read_dataset(path, task="token_classification")
    assert [label.scheme for label in tagged.labels] == ["tags"]
    assert [span.label for span in tagged.labels[0].spans] == ["DET", "NOUN"]


def test_json_with_spans_and_with_tokens(tmp_path):
    lines = [
        {
            "text": "Anna lives in Rome.",
            "spans": [{"start": 14, "end": 18, "label": "LOC"}, {"start": 0, "end": 4, "label": "PER"}],
        },
        {"text": "Nobody.", "spans": []},
        {"text": "In Oslo", "spans": [[3, 7, "LOC"]]},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    dataset = read_dataset(path)
    assert [len(label.spans) for label in dataset.labels] == [2, 0, 1]
    assert dataset.labels[0].spans[0] == Span(0, 4, "PER")
    assert dataset.counts.tolist() == [2, 1]
    tokens = tmp_path / "b.json"
    tokens.write_text(
        json.dumps([{"tokens": ["In", "New", "York"], "ner_tags": ["O", "B-LOC", "I-LOC"]}]), encoding="utf-8"
    )
    assert read_dataset(tokens).labels[0].spans == (Span(3, 11, "LOC"),)


def test_lists_of_classes_are_no_spans(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"text": f"some text number {i} here", "labels": ["a"] * (i % 2) + ["b"] * (i % 3 == 0)} for i in range(12)]
    rows[0]["labels"] = []
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert read_annotated(path, "auto", {}, {}) is None
    with pytest.raises(DataError, match="no data for --task token_classification"):
        read_annotated(path, "token_classification", {}, {})


def test_labels_are_not_needed_to_predict(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one", "labels": ["a"]}\n{"text": "two"}\n', encoding="utf-8")
    assert read_annotated(path, "token_classification", {}, {}, labelled=False).labels is None
    path.write_text('{"tokens": ["co-op", "x"]}\n', encoding="utf-8")
    assert read_annotated(path, "token_classification", {}, {}, labelled=False).labels[0].words == ((0, 5), (6, 7))
    path = tmp_path / "a.conll"
    path.write_text("co-op\nx\n", encoding="utf-8")
    assert read_annotated(path, "token_classification", {}, {}, labelled=False).labels[0].words == ((0, 5), (6, 7))


@pytest.mark.parametrize(
    "span",
    [{"start": 3, "end": 99, "label": "X"}, {"start": 3, "end": 3, "label": "X"}, [1, 2], {"start": 0, "end": 1}],
)
def test_spans_outside_of_their_text_are_refused(tmp_path, span):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"text": "Anna lives.", "spans": [span]}]), encoding="utf-8")
    with pytest.raises(DataError, match="a span needs start, end and label, inside of its text .*record 1"):
        read_dataset(path)


def test_options_of_tables_are_refused(tmp_path):
    path = write_questions(tmp_path / "q.json", 3)
    with pytest.raises(DataError, match="--label-col is about tables"):
        read_dataset(path, label_col="x")
    with pytest.raises(DataError, match="no data for --task token_classification are found"):
        read_dataset(path, task="token_classification")


def test_words_of_a_text():
    text = "Anna's co-op, 北京x3。"
    assert [text[a:b] for a, b in split_words(text)] == ["Anna", "'", "s", "co", "-", "op", ",", "北", "京", "x3", "。"]


def test_a_data_set_digest_sees_its_spans(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text(columns(6), encoding="utf-8")
    first = scan(read_dataset(path), cache_dir=tmp_path)[0]
    path.write_text(columns(6).replace("LOC", "GPE"), encoding="utf-8")
    second = scan(read_dataset(path), cache_dir=tmp_path)[0]
    assert first.digest != second.digest
    assert first.digest == scan(first, cache_dir=tmp_path)[0].digest
    assert np.array_equal(first.members, first.held > 0)
