"""The whole path of each task: fit, the run folder, the saved model in a fresh process, predict, evaluate, report."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.conftest import paint

import headstart as hs
from headstart.errors import DataError, HandshakeError


@pytest.fixture(scope="module")
def stripes() -> tuple[list[np.ndarray], np.ndarray]:
    """96 pictures of stripes at four angles."""
    rng = np.random.default_rng(0)
    kind = np.arange(96) % 4
    return [np.asarray(paint(int(k), rng)) for k in kind], kind


def labels_of(task: str, kind: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    return {
        "regression": 20.0 + 2.5 * kind + rng.normal(0, 0.3, len(kind)),
        "ordinal": kind + 1,
        "hierarchical": np.array(["flat/a", "flat/b", "steep/c", "steep/d"])[kind],
        "embedding": kind + 4 * rng.integers(0, 3, len(kind)),
    }[task]


HEADLINES = {"regression": "rmse", "ordinal": "mae", "hierarchical": "accuracy", "embedding": "equal_error_rate"}


def check(run: hs.Run, task: str, images: list[np.ndarray]) -> None:
    m = run.metrics
    assert m["task"] == task and m["metric"] == HEADLINES[task]
    low, high = m["target"][m["metric"]]["ci95"]
    assert low <= m["target"][m["metric"]]["value"] <= high
    page = run.report().read_text(encoding="utf-8")
    assert run.report(lang="zh").read_text(encoding="utf-8") != page
    if task == "regression":  # a quantity is no share
        value = m["target"]["rmse"]["value"]
        assert f"{value * 100:.1f} %" not in page and f"{value * 100:.1f}&thinsp;%" not in page
    assert "nan" not in page.split("<main")[1].lower().replace("nano", "")
    assert hs.load(run.path).verdict in (m["why"],)
    frame = pd.read_csv(run.path / "predictions.csv", keep_default_na=False)
    again = run.predict([images[int(name[1:])] for name in frame.path])
    columns = [c for c in again.columns if c.startswith(("prob_", "e")) and c != "error"] or ["predicted"]
    np.testing.assert_allclose(
        again[columns].astype(float), frame[columns].astype(float), atol=5e-3 * max(1, m.get("range", [0, 1])[1])
    )


@pytest.mark.parametrize("task", list(HEADLINES))
def test_a_solved_head_of_each_task(task, stripes, tiny_source, tmp_path):
    images, kind = stripes
    labels = labels_of(task, kind)
    named = {} if task == "regression" else {"task": task}  # floats are guessed
    run = hs.fit(
        (images, labels), source=str(tiny_source), strategy="probe", baselines="raw_pixels", test_fraction=0.34, verify=False,
        out=tmp_path / task, **named,
    )  # fmt: skip
    # the tests' names of pictures in memory are their rows among the test images
    rows = np.flatnonzero(_splits(images, labels, task) == "test")
    check(run, task, [images[i] for i in rows])
    assert run.metrics["transfer_gain"]["versus"] == "raw_pixels"
    scored = run.evaluate((images, labels))
    assert scored["n"] == 96 and set(scored["scores"]) == set(run.metrics["target"]) | set(scored["scores"])
    {
        "regression": lambda t: 0 < t["rmse"]["value"] < 3.2,
        "ordinal": lambda t: t["mae"]["value"] < 0.8 and t["quadratic_kappa"]["value"] > 0.5,
        "hierarchical": lambda t: t["accuracy_level_1"]["value"] >= t["accuracy"]["value"] - 0.1 > 0.4,
        "embedding": lambda t: t["equal_error_rate"]["value"] < 0.45 and t["recall_at_5"]["value"] > 0.3,
    }[task](run.metrics["target"]) or pytest.fail(json.dumps(run.metrics["target"]))


def _splits(images, labels, task):
    from headstart.progress import SILENT
    from headstart.verbs.prepare import prepare

    return prepare((images, labels), task=task, test_fraction=0.34, progress=SILENT).dataset.splits


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "strategy", "more"),
    [
        ("regression", "finetune", {"mixup": 0.2}), ("regression", "lpft", {}), ("ordinal", "lpft", {}), ("hierarchical", "finetune", {"cutmix": 1.0}),
        ("embedding", "finetune", {}), ("embedding", "lpft", {"embedding_loss": "triplet"}),
    ],
)  # fmt: skip
def test_steps_learn_each_task_and_a_fresh_process_predicts_the_same(
    task, strategy, more, stripes, tiny_source, tmp_path
):
    images, kind = stripes
    run = hs.fit(
        (images, labels_of(task, kind)), task=task, source=str(tiny_source), strategy=strategy, epochs=4, valid_fraction=0.25,
        baselines="scratch,probe", test_fraction=0.34, out=tmp_path / "run", **more,
    )  # fmt: skip
    m = run.metrics
    assert m["reload_check"]["ok"] and m["reload_check"]["n"] > 10
    history = pd.read_csv(run.path / "history.csv")
    mine = history[history.model == "transfer"]
    assert mine.train_loss.iloc[-1] < mine.train_loss.iloc[0]
    assert f"valid_{m['metric']}" in history and set(m["gains"]) == {"scratch", "probe"}


def test_identities_of_the_test_are_not_those_of_the_training(stripes, tiny_source, tmp_path):
    images, kind = stripes
    run = hs.fit(
        (images, labels_of("embedding", kind)), task="embedding", source=str(tiny_source), strategy="probe", baselines="none",
        verify=False, embedding_size=16, out=tmp_path / "run",
    )  # fmt: skip
    data = json.loads((run.path / "data.json").read_text())
    by_split = {s: {name for name, n in counts.items() if n} for s, counts in data["counts_by_split"].items()}
    assert not by_split["train"] & by_split["test"] and len(by_split["test"]) >= 2
    assert run.metrics["verification"]["genuine_pairs"] > 0 < run.metrics["verification"]["impostor_pairs"]
    frame = run.predict(images[:3])
    embedded = frame[[f"e{j}" for j in range(16)]].to_numpy()
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)


def test_what_cannot_act_for_a_task_is_refused(stripes, tiny_source):
    images, kind = stripes
    data = (images, labels_of("regression", kind))
    for options in ({"label_smoothing": 0.1}, {"embedding_size": 8}, {"imbalance": "weights"}):
        with pytest.raises(HandshakeError, match=next(iter(options))):
            hs.fit(data, source=str(tiny_source), strategy="finetune", **options)
    with pytest.raises(HandshakeError, match="mixup"):
        hs.fit((images, kind), task="ordinal", source=str(tiny_source), strategy="finetune", mixup=0.2)
    with pytest.raises(HandshakeError, match="embedding_loss"):  # the solved head has no such loss
        hs.fit((images, kind), task="embedding", source=str(tiny_source), strategy="probe", embedding_loss="triplet")
    with pytest.raises(DataError, match="whole by themselves"):
        from dataclasses import replace

        from headstart.data.readers import read_dataset
        from headstart.data.splits import make_splits

        found = read_dataset((images, kind), task="embedding")
        make_splits(replace(found, groups=np.array(["a"] * 96)))
