"""Translation and summarisation through the verbs: fit, evaluate, predict, report, compare, a source moved, what is refused."""

import io
import json
import sys

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("transformers")

import headstart
from headstart.cli.main import run as command
from headstart.errors import DataError, HandshakeError, RecipeError, RunError, SourceError, WorkError
from headstart.training import checkpoint

WORDS = {"red": "红", "blue": "蓝", "green": "绿", "cat": "猫", "dog": "狗", "bird": "鸟", "big": "大", "small": "小"}
NEW = "random/transformers/t5-tiny"


def table(path, n=60, seed=0):
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(list(WORDS), rng.integers(2, 6))) for _ in range(n)]
    frame = pd.DataFrame({"en": texts, "zh": ["".join(WORDS[w] for w in t.split()) for t in texts]})
    frame.to_csv(path, sep="\t", index=False)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translation")
    data = table(folder / "pairs.tsv")
    columns = {"task": "translation", "text_col": "en", "label_col": "zh", "max_length": 16}
    first = headstart.fit(data, source=NEW, epochs=2, lr=1e-2, out=folder / "first", verify=False, **columns)
    moved = headstart.fit(table(folder / "more.tsv", 50, 1), source=str(first.path), epochs=1, beams=2, lang="zh", out=folder / "moved", **columns)  # fmt: skip
    return folder, first, moved


def test_the_run_folder_is_the_known_one(made):
    _, run, moved = made
    for name in ("metrics.json", "data.json", "predictions.csv", "history.csv", "recipe.yaml", "env.json", "report.html", "model/config.json", "model/tokenizer.json", "model/generation_config.json", "baselines/dictionary.csv"):  # fmt: skip
        assert (run.path / name).is_file(), name
    m = run.metrics
    assert (m["task"], m["metric"]) == ("translation", "bleu")
    assert set(m["baselines"]) == {"copy", "dictionary"}  # from random weights there is no other scratch
    assert set(moved.metrics["baselines"]) == {"scratch", "copy", "dictionary"}
    assert m["level"] == "nothing_transferred" != moved.metrics["level"]
    assert "Nothing was transferred" in (run.path / "report.html").read_text(encoding="utf-8")
    assert "headstart rank" not in (moved.path / "report.html").read_text(encoding="utf-8")
    assert moved.metrics["reload_check"] == {"ok": True, "max_difference": 0.0, "n": moved.metrics["n"]["test"]}
    assert m["written"]["bleu"] == "nrefs:1|case:mixed|eff:no|tok:zh|smooth:exp"
    assert moved.metrics["decoding"]["beams"] == 2
    table = pd.read_csv(run.path / "predictions.csv", keep_default_na=False)
    assert list(table.columns) == ["path", "text", "label", "predicted", "sentence_chrf"]
    assert len(table) == m["n"]["test"]
    assert m["baselines"]["copy"]["bleu"]["value"] == 0 < m["baselines"]["dictionary"]["bleu"]["value"]


def test_scores_are_sacrebleus_of_the_written_table(made):
    sacrebleu = pytest.importorskip("sacrebleu")
    for path, cell in ((made[1].path / "predictions.csv", made[1].metrics["target"]), (made[1].path / "baselines/dictionary.csv", made[1].metrics["baselines"]["dictionary"])):  # fmt: skip
        table = pd.read_csv(path, keep_default_na=False)
        said, right = table.predicted.tolist(), table.label.tolist()
        assert cell["bleu"]["value"] == pytest.approx(sacrebleu.corpus_bleu(said, [right], tokenize="zh").score)
        assert cell["chrf"]["value"] == pytest.approx(sacrebleu.corpus_chrf(said, [right]).score)
        low, high = cell["chrf"]["ci95"]
        assert low <= cell["chrf"]["value"] <= high


def test_the_dictionary_of_a_word_by_word_language_is_right(made):
    assert made[1].metrics["baselines"]["dictionary"]["chrf"]["value"] > 80


def test_transformers_alone_writes_the_same(made):
    import transformers

    _, _, moved = made
    folder = moved.path / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    table = pd.read_csv(moved.path / "predictions.csv", keep_default_na=False)
    for text, predicted in list(zip(table.text, table.predicted, strict=True))[:3]:
        given = tokenizer([text], return_tensors="pt")
        ids = model.generate(input_ids=given["input_ids"], attention_mask=given["attention_mask"])  # its own settings
        assert tokenizer.decode(ids[0], skip_special_tokens=True).strip() == predicted


def test_evaluate_and_predict(made, tmp_path, capsys):
    _, run, _ = made
    table_ = pd.read_csv(run.path / "predictions.csv", keep_default_na=False)
    table_[["text", "label"]].to_csv(tmp_path / "t.csv", index=False)
    found = headstart.evaluate(run.path, tmp_path / "t.csv", text_col="text", label_col="label")
    assert found["scores"] == run.metrics["target"]
    asked = [str(run.path), str(tmp_path / "t.csv"), "--text-col", "text", "--label-col", "label"]
    assert command(["evaluate", *asked, "--quiet"]) == 0
    assert f"{len(table_)} texts (all)" in capsys.readouterr().out
    assert command(["evaluate", *asked, "--min", "bleu=101", "--quiet"]) == 4
    assert headstart.predict(run.path, list(table_.text)).predicted.tolist() == table_.predicted.tolist()
    assert headstart.predict(run.path, tmp_path / "t.csv").predicted.tolist() == table_.predicted.tolist()
    (tmp_path / "lines.txt").write_text("red cat\n\nbig dog\n", encoding="utf-8")
    rows = headstart.predict(run.path, tmp_path / "lines.txt", beams=3)
    assert rows.path.tolist() == ["lines.txt:1", "lines.txt:3", "lines.txt:2"]
    assert rows.error.tolist()[2] == "the text is empty"
    with pytest.raises(RunError, match="means nothing for a model that writes texts.*tta"):
        headstart.predict(run.path, "red", tta=2)
    for name in ("nope.csv", tmp_path / "nope.en"):
        with pytest.raises(DataError, match="no such folder or file"):
            headstart.predict(run.path, name)


def test_texts_of_standard_input_are_translated(made, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"red cat\nbig dog\n")))
    rows = headstart.predict(made[1].path, "-")
    assert rows.path.tolist() == ["stdin line 1", "stdin line 2"]
    assert rows.text.tolist() == ["red cat", "big dog"]


def test_reports_have_examples_in_both_languages(made):
    _, run, moved = made
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "What it writes" in page and "The worst" in page and "dictionary, word by word" in page
    zh = (moved.path / "report.html").read_text(encoding="utf-8")
    assert "它写出了什么" in zh and "逐词词典" in zh
    row = run.metrics["examples"]["worst"][0]
    assert row["text"] in page and row["label"] in page
    assert "new head" not in page


def test_a_source_is_moved_with_its_tokenizer(made):
    _, run, moved = made
    one, other = ((r.path / "model" / "tokenizer.json").read_text(encoding="utf-8") for r in (run, moved))
    assert json.loads(one)["model"] == json.loads(other)["model"]
    assert moved.metrics["source_model"]["report"].startswith("loaded ")
    assert moved.metrics["source_model"]["report"].endswith("new: none; dropped: none")
    history = pd.read_csv(moved.path / "history.csv")
    assert set(history.model) == {"transfer", "scratch"}


def test_a_changed_weight_is_noticed(made, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(made[1].path / "model", tmp_path / "model")
    tensors = load_file(tmp_path / "model" / "model.safetensors")
    name = next(k for k in tensors if k.endswith("wo.weight"))
    tensors[name] += 1e-3
    save_file(tensors, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SourceError, match="not those that this folder was written with"):
        headstart.predict(tmp_path / "model", "red cat")


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"strategy": "probe"}, HandshakeError, "solves a head"),
        ({"mixup": 0.2}, HandshakeError, "no use for these options.*mixup"),
        ({"length_penalty": 2.0}, RecipeError, "greedy writing has one"),
        ({"baselines": ["raw_pixels"]}, RecipeError, "no such baseline.*raw_pixels"),
        ({"baselines": ["scratch"]}, RecipeError, "training from scratch is this very run"),
        ({"source": "bundled/minilm"}, SourceError, "no such source"),
        ({"metric": "accuracy"}, headstart.QuestionError, "unknown metric of --task translation"),
    ],
)
def test_what_cannot_act_is_refused(made, tmp_path, options, error, why):
    folder, _, _ = made
    with pytest.raises(error, match=why):
        headstart.fit(folder / "pairs.tsv", out=tmp_path / "r", **{"task": "translation", "text_col": "en", "label_col": "zh", "source": NEW, **options})  # fmt: skip
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("verb", ["plan", "rank", "tune"])
def test_verbs_about_heads_are_refused(made, verb):
    if verb == "tune":
        pytest.importorskip("optuna")
    given = {"task": "translation", "text_col": "en", "label_col": "zh"}
    with pytest.raises(RecipeError, match="compares heads on features"):
        getattr(headstart, verb)(made[0] / "pairs.tsv", **given)


def test_pretrain_makes_a_source_from_random_weights(made, tmp_path):
    run = headstart.pretrain(made[0] / "pairs.tsv", arch="transformers/bart-tiny", task="translation", text_col="en", label_col="zh", epochs=1, max_length=16, verify=False, out=tmp_path / "r")  # fmt: skip
    assert run.metrics["source_model"]["architecture"] == "transformers/bart"
    assert set(run.metrics["baselines"]) == {"copy", "dictionary"}


def test_beams_of_a_classification_are_refused(tmp_path):
    frame = pd.DataFrame({"text": [f"this is the sentence number {i}" for i in range(40)], "label": ["a", "b"] * 20})
    frame.to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(HandshakeError, match="beams"):
        headstart.fit(tmp_path / "c.csv", source="bundled/minilm", strategy="probe", beams=4, out=tmp_path / "r")


@pytest.mark.slow
def test_summaries_and_comparison(tmp_path):
    rng = np.random.default_rng(0)
    texts = [f"Item {i} is {w}. It was seen {rng.integers(9)} times. Nothing else." for i, w in enumerate(rng.choice(list(WORDS), 40))]  # fmt: skip
    frame = pd.DataFrame({"article": texts, "highlights": [t.split(".")[0] for t in texts]})
    frame.to_json(tmp_path / "s.jsonl", orient="records", lines=True)
    runs = [headstart.fit(tmp_path / "s.jsonl", task="summarization", source=NEW, epochs=e, lr=1e-2, out=tmp_path / f"r{e}") for e in (1, 3)]  # fmt: skip
    m = runs[0].metrics
    assert m["metric"] == "rouge_l" and set(m["baselines"]) == {"copy", "lead"}
    assert m["baselines"]["lead"]["rouge_l"]["value"] == pytest.approx(1.0)
    found = headstart.compare([r.path for r in runs])
    assert found["metric"] == "rouge_l"
    wanted = [r.metrics["target"]["rouge_l"]["value"] for r in runs]
    assert [row["value"] for row in found["runs"]] == pytest.approx(wanted)


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_stopped(tmp_path, monkeypatch):
    data = table(tmp_path / "p.tsv")
    given = {
        "task": "translation",
        "text_col": "en",
        "label_col": "zh",
        "max_length": 16,
        "source": NEW,
        "lr": 1e-2,
        "epochs": 3,
        "verify": False,
    }
    whole = headstart.fit(data, out=tmp_path / "whole", **given)
    saved = []
    save_last = checkpoint.save_last

    def cut(folder, state):
        save_last(folder, state)
        saved.append(folder)
        if len(saved) == 2:
            raise WorkError("power cut")

    with monkeypatch.context() as broken, pytest.raises(WorkError):
        broken.setattr(checkpoint, "save_last", cut)
        headstart.fit(data, out=tmp_path / "again", **given)
    again = headstart.fit(resume=True, out=tmp_path / "again")
    assert again.metrics["target"] == whole.metrics["target"]
    assert (again.path / "predictions.csv").read_text("utf-8") == (whole.path / "predictions.csv").read_text("utf-8")
    longer = headstart.fit(extend=again.path, epochs=5, out=tmp_path / "longer")
    assert pd.read_csv(longer.path / "history.csv").epoch.tolist() == [1, 2, 3, 4, 5]
