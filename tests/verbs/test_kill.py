"""kill -9 at ten random moments, then --resume: the same final metrics, and never a broken run folder."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.folder import partial_of

SKIP = {"seconds", "peak_memory_mb", "reload_check"}


def command(data: Path, source: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "headstart", "fit", str(data), "--source", str(source), "--strategy", "l2sp", "--epochs", "6",
        "--baselines", "scratch,probe", "--augment", "standard", "--out", str(out), *more,
    ]  # fmt: skip


def numbers(out: Path) -> dict:
    values = json.loads((out / "metrics.json").read_text())
    return {k: v for k, v in values.items() if k not in SKIP}


def run_killed(kills: int, span: tuple[float, float], data: Path, source: Path, tmp_path: Path, env: dict) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    start = time.perf_counter()
    subprocess.run(command(data, source, whole), check=True, env=env, capture_output=True)
    length = time.perf_counter() - start
    moments = random.Random(0)
    done = 0
    for _ in range(4 * kills):
        if broken.exists() or done == kills:
            break
        # the same command with --resume starts a run that has not begun and goes on with one that has
        process = subprocess.Popen(
            command(data, source, broken, "--resume"), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        time.sleep(moments.uniform(*span) * length)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            done += 1
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
        assert not broken.exists() or (broken / "report.html").exists(), "a half-written run folder"
    if not broken.exists():
        subprocess.run(command(data, source, broken, "--resume"), check=True, env=env, capture_output=True)
    assert done >= 1
    assert numbers(broken) == numbers(whole)
    assert (broken / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()
    assert not partial_of(broken).exists()


@pytest.mark.slow
def test_kill_nine_at_ten_moments_then_resume(image_folder, tiny_source, tmp_path, own_cache):
    run_killed(10, (0.3, 0.6), image_folder, tiny_source, tmp_path, {**os.environ, "HEADSTART_CACHE": str(own_cache)})


def test_kill_nine_once_then_resume(image_folder, tiny_source, tmp_path, own_cache):
    run_killed(1, (0.3, 0.5), image_folder, tiny_source, tmp_path, {**os.environ, "HEADSTART_CACHE": str(own_cache)})
