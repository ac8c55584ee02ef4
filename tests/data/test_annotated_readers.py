"""Questions and spans from files: SQuAD, CoNLL columns, JSON; what is wrong in them is counted, listed, skipped."""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
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
    with pytest.raises(DataError, match="this file is no JSON"):
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


def test_each_encoding_is_found_and_said_and_a_mixture_is_refused(tmp_path):
    path = tmp_path / "a.conll"
    for encoding, city, said in (
        ("latin-1", "Malmö", "Latin-1"),
        ("utf-16", "Malmö", "UTF-16"),
        ("gb18030", "北京市", "GB 18030"),
    ):
        path.write_bytes(f"{city} B-LOC\n. O\n".encode(encoding))
        dataset = read_dataset(path)
        assert dataset.labels[0].spans[0].text == city
        assert f"a.conll is read as {said}." in dataset.notes
    path.write_bytes("Malmö B-LOC\n".encode() + "Malmö B-LOC\n".encode("latin-1"))
    with pytest.raises(DataError, match="mixes encodings .*UTF-8 in line 1, Latin-1 in line 2"):
        read_dataset(path)
    path = tmp_path / "q.json"
    path.write_bytes(
        json.dumps(squad_of(qa("a", ("kalt", 0)), context="Malmö ist kalt."), ensure_ascii=False).encode("latin-1")
    )
    dataset = read_dataset(path)
    assert dataset.inputs[0][1] == "Malmö ist kalt."
    assert "q.json is read as Latin-1." in dataset.notes


def test_a_line_with_other_columns_than_the_first_is_refused_and_not_read_as_a_tag(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("EU NNP B-ORG\nrejects VBZ\n", encoding="utf-8")
    with pytest.raises(
        DataError, match="other columns than the first.* line 2: got .2 columns in 'rejects VBZ'.*3 columns"
    ):
        read_dataset(path)
    assert read_annotated(path, "token_classification", {}, {}, labelled=False).inputs == ["EU rejects"]


def test_universal_dependencies_are_words_and_parts_of_speech(tmp_path):
    path = tmp_path / "ud.conllu"
    rows = [("1-2", "Don't", "_"), ("1", "Do", "AUX"), ("2", "n't", "PART"), ("2.1", "x", "VERB"), ("3", "go", "VERB")]
    path.write_text(
        "# text = Don't go\n" + "".join(f"{n}\t{w}\t_\t{t}{6 * chr(9) + '_'}\n" for n, w, t in rows), encoding="utf-8"
    )
    dataset = read_dataset(path)
    assert dataset.inputs == ["Do n't go"]
    assert [span.label for span in dataset.labels[0].spans] == ["AUX", "PART", "VERB"]
    assert any("parts of speech" in note for note in dataset.notes)


def test_texts_without_any_span_are_one_sentence(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("nobody O\nhome O\n", encoding="utf-8")
    with pytest.raises(DataError, match="no text has a span"):
        read_dataset(path)
    assert len(read_annotated(path, "token_classification", {}, {}, labelled=False)) == 1


def test_other_ends_of_lines_stand_in_texts(tmp_path):
    path = tmp_path / "a.jsonl"
    row = {"text": "Anna\u2028lives", "spans": [[0, 4, "PER"]]}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_dataset(path).inputs == ["Anna\u2028lives"]
    path = tmp_path / "b.conll"
    path.write_text("Anna\u0085x B-PER\n", encoding="utf-8")
    assert len(read_dataset(path)) == 1


@pytest.mark.parametrize("token", ["", "  ", 3])
def test_tokens_that_are_no_words_are_one_sentence(tmp_path, token):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"tokens": ["In", token], "tags": ["O", "B-X"]}]), encoding="utf-8")
    with pytest.raises(DataError, match="a token is no word .*record 1"):
        read_dataset(path)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda held: held["data"].append({"title": "x"}), "no list under 'paragraphs' .*article 2: got 'nothing'"),
        (lambda held: held["data"].append("x"), "no list under 'paragraphs' .*article 2: got 'str'"),
        (lambda held: held["data"][0]["paragraphs"][0].update(qas="x"), "no list under 'qas' .*paragraph 1"),
        (
            lambda held: held["data"][0]["paragraphs"][0]["qas"][0].update(answers="x"),
            "no list under 'answers' .*question 1",
        ),
    ],
)
def test_broken_parts_of_squad_are_one_sentence(tmp_path, spoil, match):
    held = questions(2)
    spoil(held)
    path = tmp_path / "q.json"
    path.write_text(json.dumps(held), encoding="utf-8")
    with pytest.raises(DataError, match=match):
        read_dataset(path)


@pytest.mark.parametrize("ending", ["json", "jsonl", "parquet"])
def test_rows_of_one_question_are_read_as_squad_is(tmp_path, ending):
    context = "Rome was not built in a day. Rome is old."
    rows = [
        {"id": "a", "title": "t", "context": context, "question": "what?", "answers": {"text": ["Rome"], "answer_start": [29]}},
        {"id": "b", "title": "t", "context": context, "question": "who?", "answers": {"text": [], "answer_start": []}},
        {"id": "c", "title": "u", "context": "x", "question": "who?", "answers": {"text": ["Paris"], "answer_start": [0]}},
    ]  # fmt: skip
    path = tmp_path / f"q.{ending}"
    if ending == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        path.write_text(json.dumps(rows) if ending == "json" else "\n".join(map(json.dumps, rows)), encoding="utf-8")
    dataset = read_dataset(path)
    assert dataset.task == "question_answering"
    assert [label.texts for label in dataset.labels] == [("Rome",), ()]
    assert [label.starts for label in dataset.labels] == [(29,), ()]
    assert dict(dataset.left_out) == {"c": "the answer is not in its context: 'Paris'"}
    assert read_annotated(path, "question_answering", {}, {}, labelled=False) is not None


def test_a_table_with_a_context_and_a_question_but_no_answers_is_of_pairs(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(
        "\n".join(
            json.dumps({"question": f"what is {i}?", "context": "a text of words", "label": "ab"[i % 2]})
            for i in range(8)
        ),
        encoding="utf-8",
    )
    assert read_annotated(path, "auto", {}, {}) is None


def test_nearly_equal_texts_with_other_names_are_no_conflict(tmp_path):
    from headstart.data.checks import inspect_dataset

    path = tmp_path / "a.conll"
    rest = "".join(
        f"{word} O\n"
        for word in [
            "works",
            "since",
            "the",
            "year",
            "before",
            "last",
            "for",
            "the",
            "same",
            "old",
            "company",
            "in",
            "the",
            "town",
            "by",
            "the",
            "sea",
        ]
    )
    path.write_text(f"Anna B-PER\n{rest}\nCarla B-PER\n{rest}\n", encoding="utf-8")
    dataset, scanned = scan(read_dataset(path), cache_dir=tmp_path)
    found = inspect_dataset(dataset, scanned)
    assert (found["n_near_duplicates"], found["n_near_conflicts"]) == (1, 0)
