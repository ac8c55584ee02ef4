"""Terms from the command's side: their values in the history and the report, a plain model at the end, refusals in words."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

import headstart as hs
from headstart.errors import HandshakeError
from headstart.strategies.terms.catalogue import TERMS
from headstart.strategies.terms.domains import DOMAIN_TERMS

QUICK = {"epochs": 2, "batch_size": 12, "baselines": "none", "verify": False}
ALL = [name for name in TERMS if name not in DOMAIN_TERMS and "unlabelled_target" not in TERMS[name]().needs]
IN_THE_LOSS = [name for name in ALL if name not in ("stochnorm", "mixout")]


def test_all_terms_at_once_in_the_history_the_report_and_the_saved_model(image_folder, tiny_source, tmp_path):
    run = hs.fit(image_folder, source=tiny_source, strategy="+".join(ALL), out=tmp_path / "r", **QUICK)
    history = pd.read_csv(run.path / "history.csv")
    report = (run.path / "report.html").read_text(encoding="utf-8")
    for name in IN_THE_LOSS:
        assert history[name].notna().all(), name
        assert f'aria-label="{name}: ' in report, f"no curve of {name}"
    saved = load_file(run.path / "model" / "model.safetensors")
    plain = load_file(tiny_source / "model.safetensors")
    assert saved.keys() == plain.keys(), "the saved model is not the plain architecture"
    table = run.predict(sorted(image_folder.rglob("*.png"))[:3])
    assert list(table["predicted"].isin(["across", "diagonal", "down"])) == [True] * 3


@pytest.fixture
def headless(tiny_source: Path, tmp_path: Path) -> Path:
    """The tiny source without its head."""
    folder = Path(shutil.copytree(tiny_source, tmp_path / "headless"))
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if not k.startswith("fc.")}, folder / "model.safetensors")
    (folder / "labels.txt").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["num_classes"] = config["pretrained_cfg"]["num_classes"] = 0
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("name", [n for n in TERMS if "source_head" in TERMS[n]().needs])
def test_a_source_without_a_head_is_refused_before_the_first_step(image_folder, headless, tmp_path, name):
    with pytest.raises(HandshakeError, match=f"term '{name}' reads the head of the source task, but this source comes"):
        hs.fit(image_folder, source=headless, strategy=name, out=tmp_path / "r", **QUICK)


@pytest.mark.parametrize("name", [n for n in TERMS if "hard_labels" in TERMS[n]().needs])
def test_mixed_labels_are_refused_where_a_term_needs_one_an_image(image_folder, tiny_source, tmp_path, name):
    with pytest.raises(HandshakeError, match=f"term '{name}' needs one label an image, but mixup or CutMix"):
        hs.fit(image_folder, source=tiny_source, strategy=name, mixup=0.2, out=tmp_path / "r", **QUICK)
