"""Texts through the command line: what is asked wrongly is refused in a sentence, what is read is said, what is long is counted."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest

import headstart as hs
from headstart.cli.main import run as command
from headstart.errors import DataError, SourceError

from .tiny_text_source import tiny_source as text_source

pytest.importorskip("transformers")

WORDS = {"好评": ["good", "fine", "great", "lovely"], "差评": ["bad", "awful", "poor", "dull"]}
PLACES = ["hotel", "room", "film", "meal", "phone", "train", "museum", "garden", "lamp", "chair"]
ROWS = [
    (f"the {PLACES[i % 10]} in {PLACES[i // 10]} street was {words[i % 4]} and the {PLACES[(i * 7) % 10]} beside it too", label)
    for i in range(40) for label, words in WORDS.items()
]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return text_source(tmp_path_factory.mktemp("m") / "m")


@pytest.fixture(scope="module")
def run(tmp_path_factory, source) -> hs.Run:
    folder = tmp_path_factory.mktemp("r")
    texts, labels = zip(*ROWS, strict=True)
    rows = [*texts[:-1], texts[-1] + " very" * 80]
    pd.DataFrame({"文本": rows, "标签": labels}).to_csv(folder / "评论.csv", index=False)
    said: list[str] = []

    class Said:
        def __getattr__(self, name):
            return lambda *a, **_: said.append(str(a[0])) if name == "say" else None

    found = hs.fit(
        folder / "评论.csv",
        source=str(source),
        strategy="probe",
        baselines=["none"],
        verify=False,
        out=folder / "跑",
        progress=Said(),
    )
    (folder / "said.json").write_text(json.dumps(said))
    return found


def headstart(*words: object) -> int:
    return command([str(word) for word in words])


def test_chinese_labels_and_files_and_what_was_cut_off(run):
    said = json.loads((run.path.parent / "said.json").read_text())
    assert any(line.startswith("1 of 80 texts are longer than the 64 tokens") for line in said)
    assert any("% of the tokens are unknown to the tokenizer" in line for line in said)
    info = json.loads((run.path / "data.json").read_text(encoding="utf-8"))
    assert info["tokens"]["truncated"] == 1 and set(info["classes"]) == {"好评", "差评"}
    assert info["scripts"] == {"Latin": 80} and info["pairs"] is False
    assert "好评" in (run.path / "predictions.csv").read_text(encoding="utf-8")


def test_predict_from_everywhere(run, tmp_path, monkeypatch, capsys):
    found = hs.predict(run.path, ["a good hotel", "an awful meal"])
    assert found["text"].tolist() == ["a good hotel", "an awful meal"] and set(found["predicted"]) <= {"好评", "差评"}
    (tmp_path / "新.txt").write_text("a good hotel\n\nan awful meal\n", encoding="utf-8")
    assert headstart("predict", run.path, tmp_path / "新.txt", "--json", "--quiet") == 0
    rows = json.loads(capsys.readouterr().out)["predictions"]
    assert [row["path"] for row in rows] == ["新.txt line 1", "新.txt line 3"]
    assert [row["predicted"] for row in rows] == found["predicted"].tolist()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a good hotel\nan awful meal\n")))
    assert headstart("predict", run.path, "-", "--json", "--quiet") == 0
    assert [row["prob_好评"] for row in json.loads(capsys.readouterr().out)["predictions"]] == [
        row["prob_好评"] for row in rows
    ]
    pd.DataFrame({"id": [1, 2], "what": ["a good hotel", ""]}).to_csv(tmp_path / "t.csv", index=False)
    table = hs.predict(run.path, tmp_path / "t.csv", text_col="what")
    assert table["predicted"].tolist()[0] == rows[0]["predicted"] and table["error"].tolist()[1] == "the text is empty"
    with pytest.raises(DataError, match="no such folder or file"):
        hs.predict(run.path, str(tmp_path / "tt.csv"))
    with pytest.raises(DataError, match="the model reads single texts"):
        hs.predict(run.path, [("a", "b")])


def test_evaluate_texts(run, tmp_path, capsys):
    pd.DataFrame({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]}).to_json(
        tmp_path / "n.jsonl", orient="records", lines=True, force_ascii=False
    )
    assert headstart("evaluate", run.path, tmp_path / "n.jsonl") == 0
    assert "80 texts (all)" in capsys.readouterr().out
    with pytest.raises(DataError, match="classes that the model does not know.*好"):
        hs.evaluate(run.path, (["one text", "two texts"] * 4, ["好", "坏"] * 4))


def test_texts_and_images_are_not_taken_for_each_other(run, image_folder, tiny_source):
    with pytest.raises(SourceError, match="source reads texts, and the data are images"):
        hs.evaluate(run.path, image_folder)
    with pytest.raises(SourceError, match="source reads images, and the data are texts.*bundled/minilm"):
        hs.fit(
            ([text for text, _ in ROWS], [label for _, label in ROWS]),
            source=str(tiny_source),
            strategy="probe",
            out=run.path.parent / "no",
        )
    assert not (run.path.parent / "no").exists()


def test_bad_input_ends_with_one_sentence(tmp_path, capsys):
    path = tmp_path / "t.csv"

    def refused(*words: object) -> str:
        assert headstart(*words) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert said.startswith("error: ") and said.count("error:") == 1
        return said

    path.write_bytes("text,label\n这家酒店的服务非常好,a\n".encode() * 1 + "房间干净早餐也很丰富,b\n".encode("gb18030"))
    assert "mixes encodings" in refused("inspect", path) and "line 3" in refused("inspect", path)
    pd.DataFrame({"text": [t for t, _ in ROWS], "label": ["a", "b"] * 39 + ["a", "c"]}).to_csv(path, index=False)
    assert "only one text" in refused("fit", path, "--source", "bundled/minilm", "--out", tmp_path / "r")
    assert "--text-col text" in refused("fit", path, "--text-col", "txt", "--out", tmp_path / "r")
    pd.DataFrame({"text": ["a b c", " ", "d e f"], "label": ["a", "b", "a"]}).to_csv(path, index=False)
    assert "row 3" in refused(
        "fit", path, "--on-bad-sample", "fail", "--source", "bundled/minilm", "--out", tmp_path / "r"
    )
    assert not (tmp_path / "r").exists()


def test_inspect_shows_what_texts_are(tmp_path, capsys):
    texts = [t for t, _ in ROWS] + ["这家酒店很好", "  ", ROWS[0][0], ROWS[1][0].upper()]
    pd.DataFrame({"text": texts, "label": [*[label for _, label in ROWS], "好评", "好评", "差评", "差评"]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    assert headstart("inspect", tmp_path / "t.csv") == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "83 texts in 2 classes",
        "scripts: Latin 82, Chinese 1",
        "repeats: 1 exact",
        "1 texts cannot be used",
        "copies under another label",
    ):
        assert words in said, said


def test_inspect_and_rank_take_the_order_of_ranks(tmp_path, capsys):
    texts = [f"some words of text number {i}" for i in range(30)]
    path = tmp_path / "t.csv"
    pd.DataFrame({"text": texts, "level": ["low", "mid", "high"] * 10}).to_csv(path, index=False)
    for verb in ("inspect", "rank"):
        assert headstart(verb, path, "--task", "ordinal") == 2
        assert "Try: --order high,low,mid, but from low to high" in " ".join(capsys.readouterr().err.split())
        assert headstart(verb, path, "--task", "ordinal", "--order", "low,mid,hihg") == 2
        assert "other ranks than the labels" in capsys.readouterr().err
    assert headstart("inspect", path, "--task", "ordinal", "--order", "low,mid,high") == 0
    said = capsys.readouterr().out
    assert said.index("low ") < said.index("mid ") < said.index("high ")
    pd.DataFrame({"text": texts, "value": [i / 4 for i in range(30)]}).to_csv(path, index=False)
    assert headstart("inspect", path) == 0
    said = capsys.readouterr().out
    assert said.index("0 to 1.25") < said.index("6 to 7.25") and "fewer than" not in said
