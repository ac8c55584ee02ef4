"""Questions and spans from a file to a run folder: fit with its twin, evaluate, predict, compare, report; what cannot act is refused."""

import io
import json
import sys
from pathlib import Path

import pandas as pd
import pytest

import headstart as hs
from headstart.cli.main import run as command
from headstart.errors import DataError, HandshakeError, RunError, SourceError

sys.path.insert(0, str(Path(__file__).parents[1] / "spans"))
pytest.importorskip("transformers")
from tiny_texts import columns, tiny_bert, vocabulary, write_questions


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("spans")
    tiny_bert(root / "tiny", vocabulary())
    write_questions(root / "q.json", 60, impossible=True)
    (root / "tags.conll").write_text(columns(40), encoding="utf-8")
    return root


HOW = {"strategy": "finetune", "lr": 2e-3, "batch_size": 8}


@pytest.fixture(scope="module")
def answers(root):
    return hs.fit(
        root / "q.json",
        source=str(root / "tiny"),
        epochs=2,
        out=root / "answers",
        baselines=["scratch", "probe"],
        max_length=12,
        **HOW,
    )


@pytest.fixture(scope="module")
def tags(root):
    return hs.fit(
        root / "tags.conll",
        source=str(root / "tiny"),
        epochs=6,
        out=root / "tags",
        baselines=["scratch"],
        verify=False,
        **HOW,
    )


def test_questions_from_file_to_report(root, answers):
    m = answers.metrics
    assert (m["task"], m["metric"]) == ("question_answering", "f1")
    assert set(m["target"]) == {"f1", "exact_match"}
    assert set(m["baselines"]) == {"scratch", "probe"}
    assert m["gains"]["scratch"]["n"] == m["n"]["test"] == len(pd.read_csv(answers.path / "predictions.csv"))
    assert m["level"] in ("helped", "hurt", "no_evidence")
    assert m["reload_check"]["ok"]
    assert m["answers"]["rules"] == "SQuAD v2.0"
    saved = json.loads((answers.path / "model" / "config.json").read_text(encoding="utf-8"))["headstart"]["task"]
    assert saved["longest"] <= 7
    assert saved["threshold"] == m["answers"]["threshold"]
    from transformers import AutoModel

    assert AutoModel.from_pretrained(answers.path / "model").config.num_hidden_layers == 2
    for lang, words in (("en", "What is asked"), ("zh", "问答结果")):
        hs.report(answers.path, lang=lang)
        page = (answers.path / "report.html").read_text(encoding="utf-8")
        assert words in page
        assert "SQuAD v2.0" in page


def test_questions_are_evaluated_predicted_and_compared(root, answers, capsys):
    again = hs.evaluate(answers.path, root / "q.json")
    assert again["n"] == 60
    assert set(again["scores"]) == {"f1", "exact_match"}
    table = hs.predict(answers.path, [("where does anna live?", "anna lives in rome and eats fish.")])
    assert list(table.columns) == ["path", "question", "answer", "confidence", "start", "end"]
    row = table.iloc[0]
    assert row["answer"] == (
        "anna lives in rome and eats fish."[row["start"] : row["end"]] if row["start"] >= 0 else ""
    )
    bare = json.loads((root / "q.json").read_text(encoding="utf-8"))
    for paragraph in bare["data"][0]["paragraphs"]:
        for qa in paragraph["qas"]:
            del qa["answers"], qa["is_impossible"]
    (root / "bare.json").write_text(json.dumps(bare), encoding="utf-8")
    mine = hs.predict(answers.path, root / "bare.json").set_index("path")
    test = pd.read_csv(answers.path / "predictions.csv", keep_default_na=False).set_index("path")
    assert (mine.loc[test.index, "start"] == test["start"]).all()
    assert command(["predict", str(answers.path), "who?", "bert lives in oslo.", "--quiet"]) == 0
    assert "path,question,answer" in capsys.readouterr().out
    found = hs.compare([answers.path, answers.path])
    assert found["pairs"][0]["value"] == 0


def test_spans_from_file_to_report(root, tags):
    m = tags.metrics
    assert (m["task"], m["metric"]) == ("token_classification", "f1")
    assert m["target"]["f1"]["value"] > 0.8
    assert [row["type"] for row in m["types"]] == ["LOC", "PER"]
    page = (tags.path / "report.html").read_text(encoding="utf-8")
    assert "Type by type" in page
    assert "headstart rank" not in page  # it would be refused
    assert hs.evaluate(tags.path, root / "tags.conll")["scores"]["f1"]["value"] > 0.8
    text = "anna likes fish in rome."
    table = hs.predict(tags.path, text)
    assert [text[a:b] for a, b in zip(table["start"], table["end"], strict=True)] == list(table["span"])
    assert set(table["label"]) <= {"LOC", "PER"}
    (root / "new.txt").write_text(f"{text}\n\nbert likes soup in oslo.\n", encoding="utf-8")
    assert set(hs.predict(tags.path, root / "new.txt")["path"]) == {"new.txt line 1", "new.txt line 3"}
    told = hs.predict(tags.path, root / "tags.conll")
    assert told["path"].nunique() == 40
    pd.DataFrame({"note": [text] * 3, "n": [1, 2, 3]}).to_csv(root / "new.csv", index=False)
    assert hs.predict(tags.path, root / "new.csv", text_col="note")["path"].nunique() == 3
    assert set(hs.predict(tags.path, [text, text])["path"]) == {"#0", "#1"}


def test_spans_of_standard_input_and_of_files_that_are_not_there(root, tags, monkeypatch):
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(b"anna likes fish in rome.\nbert likes soup in oslo.\n"))
    )
    assert set(hs.predict(tags.path, "-")["path"]) == {"stdin line 1", "stdin line 2"}
    for name in ("nope.csv", "nope.conll", root / "nope"):
        with pytest.raises(DataError, match="no such folder or file"):
            hs.predict(tags.path, name)


def test_other_types_than_the_models_are_refused(root, tags):
    (root / "other.conll").write_text("rome B-CITY\n", encoding="utf-8")
    with pytest.raises(DataError, match="classes that the model does not know .*CITY"):
        hs.evaluate(tags.path, root / "other.conll")


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("probe", "a head that is solved reads one vector a text"),
        ("lpft", "a head that is solved reads one vector a text"),
        ("finetune+bss", "term 'bss' reads one vector or one class a text"),
    ],
)
def test_what_reads_one_vector_a_text_is_refused(root, strategy, said):
    with pytest.raises(HandshakeError, match=said):
        hs.fit(root / "q.json", source=str(root / "tiny"), strategy=strategy, out=root / "no")
    assert not (root / "no").exists()


def test_options_that_would_do_nothing_are_refused(root, answers):
    with pytest.raises(HandshakeError, match="no use for these options.*label_smoothing"):
        hs.fit(root / "q.json", source=str(root / "tiny"), label_smoothing=0.1, out=root / "no", **HOW)
    with pytest.raises(HandshakeError, match="mixup"):
        hs.fit(root / "q.json", source=str(root / "tiny"), mixup=0.1, out=root / "no", **HOW)
    with pytest.raises(SourceError, match="spans are read from the tokens of a text"):
        hs.fit(root / "q.json", source="bundled/glyphs", out=root / "no", **HOW)
    with pytest.raises(RunError, match="means nothing for what this model predicts"):
        hs.predict(answers.path, [("a?", "b")], tta=2)
    with pytest.raises(RunError, match="this run reads texts"):
        hs.evaluate(answers.path, root / "q.json", adapt="tent")
    with pytest.raises(DataError, match="no such file of questions"):
        hs.predict(answers.path, "nowhere.json")
    with pytest.raises(HandshakeError, match="rank works with heads that read one vector a text"):
        hs.rank(root / "q.json", sources=[str(root / "tiny")])
    with pytest.raises(SourceError, match="ranked by one vector a text"):
        hs.fit(root / "q.json", sources=["bundled/minilm", str(root / "tiny")], out=root / "no", **HOW)
    with pytest.raises(HandshakeError, match="multitask works with heads that read one vector a text"):
        hs.multitask([root / "q.json", root / "tags.conll"], source=str(root / "tiny"), out=root / "no")


@pytest.mark.slow
def test_without_a_strategy_a_task_by_token_is_fine_tuned(root):
    run = hs.fit(
        root / "tags.conll", source=str(root / "tiny"), epochs=2, out=root / "auto", baselines=["scratch"], verify=False
    )
    assert run.metrics["strategy"]["name"] == "finetune"
    steps = {step.name: step.value for step in hs.plan(root / "q.json", source=str(root / "tiny")).steps}
    assert steps["strategy"] == "finetune"
    with pytest.raises(HandshakeError, match="tune works with heads that read one vector a text"):
        hs.tune(root / "q.json", source=str(root / "tiny"), trials=2, out=root / "tuned")


@pytest.mark.slow
def test_layers_and_weights_terms_act_on_tokens(root):
    for strategy in ("last(1)", "finetune+l2sp(0.1)", "head", "lora(4)"):
        run = hs.fit(
            root / "tags.conll", source=str(root / "tiny"), strategy=strategy, epochs=2, lr=2e-3, out=root / f"s{abs(hash(strategy))}", baselines="none",
        )  # fmt: skip
        assert run.metrics["reload_check"]["ok"]
