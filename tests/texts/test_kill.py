"""kill -9 on a run of texts, then --resume: the same final metrics."""

import json
import os
import subprocess
import sys
import time

import pytest

from .tiny_bert import sentences, table


@pytest.mark.slow
def test_kill_nine_then_resume(tiny, tmp_path, own_cache):
    data = table(tmp_path / "reviews.csv", *sentences(80), test=20)
    env = {**os.environ, "HEADSTART_CACHE": str(own_cache)}

    def command(out, *more):
        return [
            sys.executable, "-m", "headstart", "fit", str(data), "--source", str(tiny), "--strategy", "l2sp", "--epochs", "6", "--batch-size", "4",
            "--out", str(out), *more,
        ]  # fmt: skip

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(whole), check=True, env=env, capture_output=True)
    process = subprocess.Popen(
        command(broken, "--resume"), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    saved = tmp_path / ".broken.partial" / "checkpoints"
    for _ in range(3000):  # killed as soon as a training has kept something
        if process.poll() is not None or any(path.is_file() for path in saved.rglob("*")):
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not broken.exists() and saved.is_dir()
    subprocess.run(command(broken, "--resume"), check=True, env=env, capture_output=True)
    apart = ("seconds", "peak_memory_mb", "reload_check")
    first, second = (
        {k: v for k, v in json.loads((out / "metrics.json").read_text()).items() if k not in apart}
        for out in (whole, broken)
    )
    assert first == second
    assert (broken / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()
    assert (broken / "baselines" / "classical.csv").read_text() == (whole / "baselines" / "classical.csv").read_text()
