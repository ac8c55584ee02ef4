"""`fit --unlabelled`: test images never among them, said and kept; refused where nothing would learn from them."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.cli.main import run as cli
from headstart.errors import HandshakeError, RecipeError, WorkError
from headstart.progress import Progress

FAST = {"epochs": 2, "batch_size": 8, "baselines": "scratch", "verify": False}


class Lines(Progress):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture
def unlabelled(image_folder, tmp_path):
    """All labelled images again, ten new ones and a broken file."""
    root = tmp_path / "more"
    root.mkdir()
    rng = np.random.default_rng(5)
    for i, path in enumerate(sorted(image_folder.rglob("*.png"))):
        (root / f"known-{i}.png").write_bytes(path.read_bytes())
    for i in range(10):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / f"new-{i}.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return root


def test_the_rest_of_a_folder_teaches_without_its_labels(image_folder, unlabelled, tiny_source, tmp_path):
    told = Lines()
    run = hs.fit(
        image_folder, source=str(tiny_source), strategy="fixmatch(threshold=0.3, ratio=2)", labels_per_class=4,
        unlabelled=unlabelled, out=tmp_path / "run", progress=told, **FAST,
    )  # fmt: skip
    data = json.loads((run.path / "data.json").read_text())
    info, n = data["unlabelled"], run.metrics["n"]
    assert info["test_copies"] == n["test"] > 0
    assert info["valid_copies"] == n["valid"]
    assert n["unlabelled"] == info["n"] == 58 - n["test"] - n["valid"]
    assert (info["n_bad"], "broken.jpg" in info["bad"][0][0]) == (1, True)
    said = f"{n['test']} unlabelled images are exact copies of test images and are left out."
    assert said in told.lines
    assert said in (run.path / "report.html").read_text()
    history = pd.read_csv(run.path / "history.csv")
    assert (history[history.model == "transfer"].fixmatch > 0).all()
    assert history[history.model == "scratch"].fixmatch.isna().all()
    assert run.recipe["unlabelled"] == str(unlabelled)


def test_a_resumed_run_keeps_to_its_unlabelled_images(image_folder, unlabelled, tiny_source, tmp_path, monkeypatch):
    def fails(*args, **options):
        raise WorkError("power cut")

    with monkeypatch.context() as broken, pytest.raises(WorkError):
        broken.setattr("headstart.verbs.work.experiment", fails)
        hs.fit(
            image_folder,
            source=str(tiny_source),
            strategy="pseudo",
            unlabelled=unlabelled,
            out=tmp_path / "run",
            **FAST,
        )
    (unlabelled / "new-3.png").unlink()
    with pytest.raises(RecipeError, match="the data are not those that this run began with"):
        hs.fit(resume=True, out=tmp_path / "run")


def test_exit_code_2_where_nothing_would_learn_from_them(image_folder, unlabelled, tiny_source, tmp_path, capsys):
    words = ["fit", str(image_folder), "--source", str(tiny_source), "--out", str(tmp_path / "run")]
    assert cli([*words, "--unlabelled", str(unlabelled), "--strategy", "finetune"]) == 2
    assert "no term of the strategy learns from unlabelled images" in capsys.readouterr().err
    assert cli([*words, "--strategy", "fixmatch"]) == 2
    assert "Try: --unlabelled FOLDER" in capsys.readouterr().err
    assert cli([*words, "--unlabelled", str(tmp_path / "mor"), "--strategy", "fixmatch"]) == 2
    assert "no such folder or file" in capsys.readouterr().err
    with pytest.raises(HandshakeError, match="without gradient steps, so these options would do nothing.*got 'loss'"):
        hs.fit(image_folder, source=str(tiny_source), strategy="probe", loss="focal", out=tmp_path / "x", verify=False)
