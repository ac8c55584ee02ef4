"""Bad input through the real command: one sentence, exit code 2, no traceback, nothing left behind."""

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.cli.main import run as command


def headstart(*arguments: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess:
    """The command: in this process, or in its own where it needs variables that are read when libraries are imported."""
    words = list(map(str, arguments))
    if env:
        return subprocess.run(
            [sys.executable, "-m", "headstart", *words], capture_output=True, text=True, encoding="utf-8", cwd=cwd,
            env={**os.environ, **env}, check=False,
        )  # fmt: skip
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(cwd) if cwd else contextlib.nullcontext(),
    ):
        code = command(words)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def refused(done: subprocess.CompletedProcess, *words: str, code: int = 2) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip() == "" or done.stdout.lstrip().startswith("{")
    said = " ".join(done.stderr.split())
    for word in words:
        assert word in said, said


def picture(path: Path, value: int = 0, size: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(value)
    Image.fromarray(rng.integers(0, 120, (size, size, 3)).astype(np.uint8) + value % 100).save(path)


def test_missing_folder(tmp_path):
    refused(headstart("fit", tmp_path / "flowers", "--out", tmp_path / "r"), "flowers")
    assert list(tmp_path.iterdir()) == []


def test_no_images(tmp_path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "notes.pdf").write_text("x")
    refused(headstart("inspect", tmp_path / "data"), "no images")


def test_one_class(tmp_path, tiny_source):
    for i in range(4):
        picture(tmp_path / "data" / "cat" / f"{i}.png", i)
    refused(headstart("fit", tmp_path / "data", "--source", tiny_source, "--out", tmp_path / "r"), "one class", "cat")
    assert not (tmp_path / "r").exists()


def test_a_class_with_one_image(tmp_path, tiny_source):
    for i in range(4):
        picture(tmp_path / "data" / "cat" / f"{i}.png", i)
    picture(tmp_path / "data" / "dog" / "0.png", 50)
    refused(headstart("fit", tmp_path / "data", "--source", tiny_source, "--out", tmp_path / "r"), "dog", "one image")


def test_unknown_source_offers_a_near_one(image_folder, tmp_path):
    refused(headstart("fit", image_folder, "--source", "bundled/glyfs", "--out", tmp_path / "r"), "bundled/glyphs")


def test_no_network(image_folder, tmp_path):
    empty = tmp_path / "empty"
    done = headstart(
        "fit",
        image_folder,
        "--source",
        "timm/resnet18",
        "--out",
        tmp_path / "r",
        HF_HUB_OFFLINE="1",
        HF_HOME=str(empty),
        TORCH_HOME=str(empty),
    )
    refused(done, "timm/resnet18", "bundled/")


def test_a_pickle_that_is_no_state_dict(image_folder, tmp_path):
    import torch

    torch.save([1, 2, 3], tmp_path / "net.pt")
    refused(
        headstart(
            "fit", image_folder, "--source", tmp_path / "net.pt", "--arch", "timm/resnet18", "--out", tmp_path / "r"
        ),
        "net.pt",
    )


def test_an_existing_run_folder(image_folder, tiny_source, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "thesis.txt").write_text("years of work")
    refused(
        headstart("fit", image_folder, "--source", tiny_source, "--strategy", "probe", "--out", tmp_path / "r"),
        "exists and is not overwritten",
        "--force",
    )
    assert (tmp_path / "r" / "thesis.txt").read_text() == "years of work"


def test_a_recipe_with_an_unknown_key(image_folder, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"data: {image_folder}\nstrateggy: probe\n")
    refused(headstart("fit", path, "--out", tmp_path / "r"), "unknown key", "strateggy", "strategy")


def test_a_truncated_jpeg_is_counted_and_named(tmp_path, tiny_source):
    for label, name in enumerate(["cat", "dog"]):
        for i in range(12):
            path = tmp_path / "data" / name / f"{i}.jpg"
            picture(path, 10 * i + 100 * label, size=64)
    broken = tmp_path / "data" / "cat" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    done = headstart(
        "fit",
        tmp_path / "data",
        "--source",
        tiny_source,
        "--out",
        tmp_path / "r",
        "--baselines",
        "none",
        "--no-verify",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert "3.jpg" in (tmp_path / "r" / "data.json").read_text()
    assert json.loads(done.stdout)["n"]["train"] > 0
    refused(
        headstart(
            "fit", tmp_path / "data", "--source", tiny_source, "--out", tmp_path / "s", "--on-bad-sample", "fail"
        ),
        "3.jpg",
    )
    assert not (tmp_path / "s").exists()


def test_odd_images_are_read(tmp_path, tiny_source):
    for label, name in enumerate(["cat", "dog"]):
        for i in range(10):
            picture(tmp_path / "data" / name / f"{i}.png", 10 * i + label)
    Image.new("CMYK", (30, 30), (10, 20, 30, 40)).save(tmp_path / "data" / "cat" / "cmyk.jpg")
    Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 60).save(tmp_path / "data" / "cat" / "deep.png")
    Image.new("RGB", (1, 1), (9, 9, 9)).save(tmp_path / "data" / "dog" / "dot.png")
    done = headstart(
        "fit",
        tmp_path / "data",
        "--source",
        tiny_source,
        "--out",
        tmp_path / "r",
        "--baselines",
        "none",
        "--no-verify",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    n = json.loads(done.stdout)["n"]
    assert n["train"] + n["valid"] + n["test"] == 23


def test_a_full_disk(image_folder, tiny_source, tmp_path):
    """No file may grow past 300 kB: writing the model fails as on a full disk, in one sentence, and --resume mends it."""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    command = [
        sys.executable, "-m", "headstart", "fit", str(image_folder), "--source", str(tiny_source), "--strategy", "head",
        "--epochs", "1", "--baselines", "none", "--no-verify", "--out", str(tmp_path / "r"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_files, check=False)
    refused(done, "the disk is full", "--resume", code=1)
    assert not (tmp_path / "r").exists()
    assert headstart("fit", "--resume", "--out", tmp_path / "r").returncode == 0
    assert (tmp_path / "r" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "nowhere", "x.png"], ["no", "run", "nowhere"]),
        (["compare", "nowhere", "elsewhere"], ["no finished run", "nowhere"]),
        (["report", "nowhere"], ["no finished run"]),
        (["ftt"], ["fit"]),
        (["fit", "x", "--epoch", "3"], ["--epochs"]),
        (["tune", "x", "--space", "lr=2..1"], ["from a lower to a higher number", "lr"]),
        (["tune", "x", "--sampler", "bayes"], ["unknown sampler", "tpe, random, grid"]),
    ],
)
def test_other_wrong_questions(arguments, words, tmp_path):
    refused(headstart(*arguments, cwd=tmp_path), *words)
