"""Ask 27: a search that survives the night. A worker that dies takes one trial with it, and that one is done again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from headstart.errors import WorkError
from headstart.folder import partial_of
from headstart.progress import Progress
from headstart.training.search import outcome
from headstart.training.search.book import Book, open_storage
from headstart.training.search.space import Range, Space
from headstart.verbs.tune_workers import supervise

ROOT = Path(__file__).parents[2]
SPACE = Space({"finetune": {"x": Range(0.0, 1.0)}})
WORKER = """
import os, signal, sys
from pathlib import Path
from headstart.training.search.book import Book, open_storage
from headstart.training.search.space import Range, Space
where, total, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
space = Space({"finetune": {"x": Range(0.0, 1.0)}})
b = Book(open_storage(where), "s", space, total=total, sampler="random", pruner="none", rungs=1, seed=0)
while (trial := b.ask()) is not None:
    params = space.suggest(trial)
    if trial.number == 2 and not (folder / "died").exists():
        (folder / "died").write_text(str(params["x"]))
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does where memory runs out
    b.study.tell(trial, params["x"])
"""


class Said(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def path_to_us(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))


def book(where: str, total: int) -> Book:
    return Book(open_storage(where), "s", SPACE, total=total, sampler="random", pruner="none", rungs=1, seed=0)


def watch(b: Book, command: list[str], log: Path, said: Progress) -> None:
    supervise(b, [command, command], log, private=True, over=lambda: False, look=lambda now: None, progress=said)


def test_a_worker_killed_in_a_trial_costs_that_trial_alone_and_it_is_done_again(tmp_path, path_to_us):
    where, said = str(tmp_path / "j.log"), Said()
    b = book(where, 6)
    watch(b, [sys.executable, "-c", WORKER, where, "6", str(tmp_path)], tmp_path / "log", said)
    assert len(b.finished()) == 6 and all(t.state == b.states.COMPLETE for t in b.finished())
    (lost,) = b.lost()
    died = float((tmp_path / "died").read_text())
    assert lost.params["x"] == died and died in {t.params["x"] for t in b.finished()}
    assert said.lines == ["a worker died (signal 9): its trial is queued again"]
    assert len(outcome.rows(b)) == 6


def test_workers_that_cannot_begin_end_the_search_in_words(tmp_path, path_to_us):
    where = str(tmp_path / "j.log")
    with pytest.raises(WorkError, match="workers die before a trial is finished.*no such memory.*--workers 0"):
        watch(book(where, 3), [sys.executable, "-c", "raise SystemExit('no such memory')"], tmp_path / "log", Said())


def test_a_search_that_has_finished_its_trials_starts_no_worker(tmp_path, path_to_us):
    where = str(tmp_path / "j.log")
    b = book(where, 2)
    for _ in range(2):
        b.study.tell(b.ask(), 0.5)
    watch(b, [sys.executable, "-c", f"open({str(tmp_path / 'began')!r}, 'w')"], tmp_path / "log", Said())
    assert not (tmp_path / "began").exists()


@pytest.mark.slow
def test_a_worker_and_then_the_whole_search_are_killed_and_it_goes_on(image_folder, tiny_source, tmp_path, own_cache):
    out = tmp_path / "r"
    command = [
        sys.executable, "-m", "headstart", "tune", str(image_folder), "--source", str(tiny_source), "--strategy", "finetune",
        "--space", "lr=1e-4..1e-2:log,augment=none|light", "--trials", "6", "--epochs", "12", "--pruner", "none", "--workers", "2",
        "--baselines", "none", "--no-verify", "--out", str(out), "--resume",
    ]  # fmt: skip
    env = {**os.environ, "HEADSTART_CACHE": str(own_cache), "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    journal = partial_of(out) / "study.journal"

    def study():
        question = json.loads((partial_of(out) / "search.json").read_text())["question"]
        from headstart.verbs.tune_trials import Question

        return Question.from_dict(question).book()

    def until(what, seconds=240):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if journal.exists():
                found = what(study())
                if found:
                    return found
            time.sleep(0.3)
        raise AssertionError("it never came")

    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    running = until(lambda b: [t for t in b.trials() if t.state == b.states.RUNNING and "worker" in t.user_attrs])
    os.kill(running[0].user_attrs["worker"]["pid"], signal.SIGKILL)
    until(lambda b: len(b.finished()) >= 3 and b.lost())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {t.number: t.value for t in study().finished()}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads((out / "tuning.json").read_text())["rows"]
    assert [r["state"] for r in rows] == ["judged"] * 6
    assert {r["number"]: r["score"] for r in rows}.items() >= before.items()  # no finished trial is lost
    assert (out / "report.html").exists() and not partial_of(out).exists()
