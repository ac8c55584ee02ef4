"""Sources of texts through the verbs: pooling, chunks, layers, ranking, planning, pretraining, refusals."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.sources.tiny_texts import write

import headstart as hs
from headstart.errors import RecipeError, SourceError
from headstart.sources import list_sources, load_source

pytest.importorskip("transformers")
QUICK = {"baselines": "none", "verify": False, "seed": 0}
WHOLE = {**QUICK, "verify": True}
"""The saved model is read in a fresh process, and predicts the same."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes of sentences that one word tells apart."""
    rng = np.random.default_rng(0)
    good, bad = ["good", "great", "lovely"], ["bad", "awful", "slow"]
    filler = ["the", "a", "film", "evening", "cat", "mat", "today", "fox", "dog", "quick", "brown"]
    rows = []
    for i in range(60):
        words = [*rng.choice(filler, rng.integers(3, 12)), rng.choice(good if i % 2 else bad)]
        rows.append((" ".join(rng.permutation(words)) + f" {i}", ["bad", "good"][i % 2]))
    path = tmp_path_factory.mktemp("d") / "t.csv"
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write(tmp_path_factory.mktemp("m") / "bert", "bert"))


@pytest.mark.parametrize("strategy, pool", [("probe", "weighted"), ("finetune", "weighted"), ("probe", "cls")])
def test_the_pooling_is_what_was_asked_for_and_is_saved(data, folder, tmp_path, strategy, pool):
    run = hs.fit(
        data,
        source=folder,
        strategy=strategy,
        pool=pool,
        epochs=2 if strategy == "finetune" else None,
        out=tmp_path / "r",
        **QUICK,
    )
    own = json.loads((run.path / "model" / "config.json").read_text())["headstart"]
    assert own["pool"] == pool
    if pool == "weighted":
        assert len(own["mix"]) == 3 and max(map(abs, own["mix"])) > 0, "the weights were learned"
        assert load_source(str(run.path)).backbone.mix.tolist() == own["mix"]


@pytest.mark.slow
def test_long_texts_in_chunks_come_back_from_the_saved_model(data, folder, tmp_path):
    run = hs.fit(
        data, source=folder, strategy="finetune", epochs=1, max_length=8, long="chunks", out=tmp_path / "r", **WHOLE
    )
    source = load_source(str(run.path))
    assert (source.preprocessing.long, source.preprocessing.size, source.backbone.window) == ("chunks", 8, 8)
    cut = hs.fit(data, source=folder, strategy="probe", max_length=8, out=tmp_path / "c", **QUICK)
    whole = hs.fit(data, source=folder, strategy="probe", max_length=8, long="chunks", out=tmp_path / "w", **QUICK)
    assert cut.metrics["target"] != whole.metrics["target"], "what stands behind the eighth token is read"


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [{"layer": "block1"}, {"strategy": "head2toe(fraction=0.2)"}, {"strategy": "head2toe", "pool": "weighted"}]
)
def test_layers_of_texts(data, folder, tmp_path, more):
    run = hs.fit(data, source=folder, out=tmp_path / "r", **{"strategy": "probe", **WHOLE, **more})
    assert run.metrics["reload_check"]["ok"] and run.metrics["strategy"]["reads"]


def test_ranking_and_planning_take_sources_of_the_datas_own_kind(data, folder, tmp_path, monkeypatch):
    names = [row["name"] for row in list_sources() if row["modality"] == "text"]
    assert "bundled/minilm" in names
    from headstart.verbs.rank import candidates

    assert candidates(modality="text") == ["bundled/minilm"] and "bundled/minilm" not in candidates()
    found = hs.rank(data, sources=[folder, "bundled/objects", str(write(tmp_path / "g", "gpt2"))], scores=["knn"])
    assert {row.source for row in found.rows if not row.error} == {folder, str(tmp_path / "g")}
    assert "the source reads images, and the data are texts" in found.rows[-1].error
    plan = hs.plan(data, source="auto", sources=[folder], strategy="probe", device="cpu")
    assert plan.recipe["source"] == folder


def test_a_source_of_the_other_kind_is_refused_in_a_sentence(data, folder, image_folder, tmp_path):
    with pytest.raises(SourceError, match="the source reads images, and the data are texts.*--source bundled/minilm"):
        hs.fit(data, source="bundled/objects", strategy="finetune", out=tmp_path / "a", **QUICK)
    with pytest.raises(SourceError, match="the source reads texts, and the data are images.*--source bundled/objects"):
        hs.fit(str(image_folder), source=folder, strategy="finetune", out=tmp_path / "b", **QUICK)
    with pytest.raises(SourceError, match="reads images, and these options are for texts.*--pool cls"):
        hs.fit(str(image_folder), source="bundled/objects", pool="cls", strategy="probe", out=tmp_path / "c", **QUICK)
    with pytest.raises(RecipeError, match="bad value of pool"):
        hs.fit(data, source=folder, pool="middle", out=tmp_path / "d")
    assert {path.name for path in tmp_path.iterdir()} <= {"shapes"}, "nothing is left behind"


def test_pretraining_on_texts_makes_a_source(data, folder, tmp_path):
    run = hs.pretrain(data, arch=folder, epochs=1, baselines="none", out=tmp_path / "p")
    assert run.metrics["source_model"]["name"] == f"random/{folder}"
    source = load_source(str(run.path))
    assert source.report.loaded == source.report.total and source.digest != load_source(folder).digest
    again = hs.fit(data, source=str(run.path), strategy="probe", out=tmp_path / "q", **QUICK)
    assert again.metrics["target"]["accuracy"]["value"] >= 0
