"""The scripts that make the bundled sources run from end to end with tiny settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]


def make(name: str, out: Path, data: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(ROOT / "scripts" / "sources" / f"make_{name}.py"),
        "--out",
        str(out),
        "--data",
        str(data),
    ]
    command += ["--steps", "2", "--batch", "16", "--draws", "1", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def complete(out: Path) -> None:
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    labels = (out / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert config["library"] == "timm" and len(labels) == config["num_classes"]
    assert all((out / f).stat().st_size > 100 for f in ("README.md", "LICENSE", "model.safetensors"))
    assert all(bool(t.isfinite().all()) for t in load_file(out / "model.safetensors").values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["glyphs", "textures"])
def test_script_writes_a_whole_source_without_any_data_at_hand(name: str, tmp_path: Path) -> None:
    done = make(name, tmp_path / name, tmp_path / "no-data")
    assert done.returncode == 0, done.stderr
    assert "is not there" in done.stdout  # each target that could not be measured is named
    complete(tmp_path / name)


@pytest.mark.slow
def test_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for out in (first, second):
        done = make("glyphs", out, tmp_path / "no-data")
        assert done.returncode == 0, done.stderr
    one, two = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    assert one.keys() == two.keys() and all(bool((one[k] == two[k]).all()) for k in one)


@pytest.mark.slow
def test_objects_script_writes_a_whole_source(shared_data: Path, tmp_path: Path) -> None:
    done = make("objects", tmp_path / "objects", shared_data, "--limit", "60")
    assert done.returncode == 0, done.stderr
    complete(tmp_path / "objects")


@pytest.mark.slow
def test_objects_script_names_the_data_that_it_lacks(tmp_path: Path) -> None:
    done = make("objects", tmp_path / "objects", tmp_path / "no-data")
    assert done.returncode == 1
    assert "caltech101-70.zip is not there, and bundled/objects is made from it. Try: --data FOLDER" in done.stderr
