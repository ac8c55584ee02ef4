"""MRR and nDCG against scikit-learn and by hand; the ranking loss against its definition; a search."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import ndcg_score

import headstart
from headstart.errors import HandshakeError, RunError
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.evaluation.verification import places_of_own
from headstart.tasks.embedding import Embedding
from headstart.tasks.task import TaskOptions


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_by_hand():
    # on a line by angle: 0 a, 10 b, 25 a, 45 b
    angle = np.radians([0.0, 10.0, 25.0, 45.0])
    points, labels = np.column_stack([np.cos(angle), np.sin(angle)]), np.array([0, 1, 0, 1])
    first, gained = places_of_own(points, labels)
    assert first == pytest.approx(
        [1 / 2, 1 / 3, 1 / 3, 1 / 2]
    )  # 0: b(10), a(25); 10: a(0), a(25), b; 25: b, b, a; 45: a, b
    assert gained == pytest.approx([1 / math.log2(3), 1 / 2, 1 / 2, 1 / math.log2(3)])


@pytest.mark.parametrize("k", [3, 10])
def test_ndcg_is_that_of_scikit_learn(k):
    rng = np.random.default_rng(0)
    points, labels = unit(rng.normal(size=(60, 5))), np.arange(60) % 12
    labels[0] = 99  # alone
    gained = places_of_own(points, labels, k=k)[1]
    assert np.isnan(gained[0])
    similar = points @ points.T
    for i in range(1, 60):
        others = np.arange(60) != i
        wanted = ndcg_score([(labels == labels[i])[others].astype(float)], [similar[i, others]], k=k)
        assert gained[i] == pytest.approx(wanted)


def test_scores_have_intervals_and_a_better_embedding_gains():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(40), 2)
    centres = rng.normal(size=(40, 6))
    good, poor = (unit(centres[labels] + noise * rng.normal(size=(80, 6))) for noise in (0.3, 1.5))
    task, scoring = Embedding(tuple(map(str, range(40)))), SCORING["embedding"]
    found = scoring.scores(good, labels, task)
    for name in ("mean_reciprocal_rank", "ndcg_at_10", "recall_at_1"):
        low, high = found[name]["ci95"]
        assert low <= found[name]["value"] <= high and high - low < 0.3
        assert scoring.gain(good, poor, labels, name, (task, task))["ci95"][0] > 0
    assert (
        found["recall_at_1"]["value"] <= found["mean_reciprocal_rank"]["value"] <= found["recall_at_5"]["value"] + 0.2
    )


def test_the_ranking_loss_of_pairs_is_infonce():
    torch.manual_seed(0)
    outputs, pairs = torch.randn(8, 5), torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    z = torch.nn.functional.normalize(outputs, dim=1)
    wanted = 0.0
    for i in range(8):
        partner = (i + 4) % 8
        below = sum(math.exp(20 * float(z[i] @ z[a])) for a in range(8) if a != i)
        wanted -= math.log(math.exp(20 * float(z[i] @ z[partner])) / below) / 8
    task = Embedding(("a", "b", "c", "d"), size=5, loss="ranking")
    assert task.loss(outputs, pairs).item() == pytest.approx(wanted, rel=1e-5)
    wrong = Embedding(("a", "b", "c", "d"), size=5, loss="triplet")
    assert wrong.loss(outputs, pairs).item() != pytest.approx(wanted, rel=1e-2)


def test_the_new_head_of_ranking_keeps_cosines():
    torch.manual_seed(0)
    head = Embedding(("a", "b"), size=16, loss="ranking").head(16)
    x = torch.nn.functional.normalize(torch.randn(6, 16), dim=1)
    out = torch.nn.functional.normalize(head(x), dim=1)
    torch.testing.assert_close(out @ out.T, x @ x.T, rtol=1e-4, atol=1e-5)


def test_a_margin_is_refused():
    from headstart.data.dataset import Dataset

    data = Dataset(["a", "b"], np.array([0, 0]), ("x",), np.full(2, "train"), task="embedding", modality="text")
    with pytest.raises(HandshakeError, match="ranking loss has no margin"):
        Embedding.learn(data, TaskOptions(embedding_loss="ranking", margin=0.3))


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A tiny BERT whose tokenizer knows the words of the test."""
    transformers = pytest.importorskip("transformers")
    from headstart.sources.own_tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("bert")
    texts = [f"question number {i} answer reply" for i in range(40)] * 2
    tokenizer = train_tokenizer(texts, merges=100, longest=32)
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=32)  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_pairs_through_fit_and_search(bert, tmp_path):
    frame = pd.DataFrame({"q": [f"question number {i}" for i in range(40)], "a": [f"reply number {i}" for i in range(40)]})  # fmt: skip
    frame.to_csv(tmp_path / "qa.csv", index=False)
    run = headstart.fit(
        tmp_path / "qa.csv", task="embedding", text_col="q,a", source=str(bert), strategy="finetune", embedding_loss="ranking",
        metric="mean_reciprocal_rank", epochs=4, lr=2e-3, baselines=["probe"], verify=False, out=tmp_path / "run",
    )  # fmt: skip
    m = run.metrics
    assert {"mean_reciprocal_rank", "ndcg_at_10", "recall_at_1"} <= set(m["target"])
    assert m["target"]["mean_reciprocal_rank"]["value"] > 0.2  # by chance about 0.3 of 16 texts would be 0.2
    table = pd.read_csv(run.path / "predictions.csv")
    assert {"text", "label", "predicted", "confidence", "e0", "e127"} <= set(table.columns)
    from headstart.verbs.search import search

    found = search(run.path, ["question number 3"], tmp_path / "qa.csv", top=3, text_col="q")
    assert found.columns.tolist() == ["query", "rank", "path", "text", "cosine"]
    assert found.text[0] == "question number 3" and found.cosine[0] == pytest.approx(1, abs=1e-4)
    assert found.cosine.is_monotonic_decreasing and found["rank"].tolist() == [1, 2, 3]
    with pytest.raises(RunError, match="top is a number of texts"):
        search(run.path, "a", ["b"], top=0)
