"""`fit --resume` and `--extend` of every task: interrupted and resumed ends as if it had never stopped, predictions alike."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.conftest import paint

import headstart as hs
from headstart.errors import WorkError

HOW = {
    "strategy": "finetune",
    "epochs": 3,
    "baselines": "scratch",
    "valid_fraction": 0.25,
    "test_fraction": 0.34,
    "verify": False,
}
SKIP = {"seconds", "peak_memory_mb"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """48 pictures of stripes in files, and what each task calls them."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    kind = np.arange(48) % 4
    for i, k in enumerate(kind):
        paint(int(k), rng).save(root / f"{i:02d}.png")
    labels = {
        "multilabel": [f"k{k}|{'even' if k % 2 == 0 else 'odd'}" for k in kind],
        "regression": [f"{20 + 2.5 * k + rng.normal(0, 0.3):.3f}" for k in kind],
        "ordinal": [["low", "middle", "high", "top"][k] for k in kind],
        "embedding": [f"p{i % 12}" for i in range(48)],
    }
    for task, values in labels.items():
        rows = "".join(f"{i:02d}.png,{v}\n" for i, v in enumerate(values))
        (root / f"{task}.csv").write_text("path,said\n" + rows)
    return root


def begin(pictures, task, source, out, **more):
    order = {"order": "low,middle,high,top"} if task == "ordinal" else {}
    return hs.fit(pictures / f"{task}.csv", task=task, source=str(source), out=out, **{**HOW, **order, **more})


def numbers(run):
    return {k: v for k, v in json.loads((run.path / "metrics.json").read_text()).items() if k not in SKIP}


@pytest.mark.parametrize("task", ["multilabel", "regression", "ordinal", "embedding"])
def test_interrupted_and_resumed_ends_identically_and_can_be_made_longer(
    task, pictures, tiny_source, tmp_path, monkeypatch
):
    from headstart.training.loop import checkpoint

    whole = begin(pictures, task, tiny_source, tmp_path / "whole")
    saved = []
    save_last = checkpoint.save_last

    def cut(folder, state, **more):
        save_last(folder, state, **more)
        saved.append(folder)
        if len(saved) == 2:
            raise WorkError("power cut")

    with monkeypatch.context() as broken, pytest.raises(WorkError):
        broken.setattr(checkpoint, "save_last", cut)
        begin(pictures, task, tiny_source, tmp_path / "again")
    again = hs.fit(resume=True, out=tmp_path / "again")
    assert numbers(again) == numbers(whole)
    said = (whole.path / "predictions.csv").read_text()
    assert (again.path / "predictions.csv").read_text() == said
    longer = hs.fit(extend=again.path, epochs=5, out=tmp_path / "longer")
    assert longer.metrics["strategy"]["epochs"] == 5
    history = pd.read_csv(longer.path / "history.csv")
    assert history[history.model == "transfer"].epoch.tolist() == [1, 2, 3, 4, 5]
    assert longer.metrics["target"].keys() == whole.metrics["target"].keys()
