"""The command as its own process: Ctrl-C in the middle of training, the demo from start to end."""

import json
import signal
import subprocess
import sys

import pytest


def test_ctrl_c_keeps_the_run_and_says_how_to_go_on(image_folder, tiny_source, tmp_path):
    command = [
        sys.executable, "-m", "headstart", "fit", str(image_folder), "--source", str(tiny_source), "--strategy", "finetune",
        "--epochs", "5000", "--patience", "5000", "--baselines", "none", "--no-verify", "--out", str(tmp_path / "r"),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("source "):  # loaded: training begins
            break
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "stopped: what was finished is kept; the same command with --resume goes on"
    assert "Traceback" not in err
    assert (tmp_path / ".r.partial" / "recipe.yaml").exists()
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_the_demo_gains_over_scratch_and_over_raw_pixels(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "demo", "--json", "--out", str(tmp_path / "demo")],
        capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["source_model"]["name"] == "bundled/glyphs"
    assert found["n"]["train"] == 50
    for baseline in ("scratch", "raw_pixels"):
        low, _ = found["gains"][baseline]["ci95"]
        assert low > 0, baseline
    assert found["negative_transfer"] is False
    assert (tmp_path / "demo" / "report.html").stat().st_size > 10_000
