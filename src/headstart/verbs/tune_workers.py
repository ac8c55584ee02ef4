"""Worker processes of a search: begun, watched, begun again where one died, ended with the search."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from headstart.errors import QuestionError, WorkError, sentence
from headstart.progress import Progress
from headstart.training.search.book import Book

POLL = 0.3
"""Seconds between two looks."""
FRUITLESS = 3
"""So many workers may die one after the other without a trial getting finished or lost between."""


def commands(question: Path, workers: int, device: str) -> list[list[str]]:
    """What to start for each worker: its share of the cores, and where there are several GPUs one of them each."""
    import torch

    cores = max(1, torch.get_num_threads() // workers)
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    return [
        [sys.executable, "-m", "headstart.verbs.tune_trials", str(question), str(cores), f"cuda:{i % gpus}" if gpus > 1 else ""]
        for i in range(workers)
    ]  # fmt: skip


def supervise(
    book: Book,
    begin: Sequence[Sequence[str]],
    log: Path,
    *,
    private: bool,
    over: Callable[[], bool],
    look: Callable[[Book], None],
    progress: Progress,
) -> None:
    """Keep one process a command at work until the trials are done or the time is over.

    A worker that dies (the system's memory killer, a crash in a library) costs nothing but the trial that it was in: that one
    is queued again (at most twice), and another worker begins.

    Args:
        book: the study.
        begin: one command a worker; exit code 0: nothing is left for it to do, 2: the question is wrong.
        log: folder for what the workers write.
        private: nobody else works on the study.
        over: whether the time is over.
        look: called between, may raise.

    Raises:
        WorkError: workers die and no trial gets finished.
        QuestionError: a worker says that the question is wrong.
    """
    log.mkdir(parents=True, exist_ok=True)
    running: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
    deaths, before = 0, len(book.finished())

    def start(i: int) -> None:
        file = (log / f"{i}.log").open("wb")
        running[i] = (subprocess.Popen(begin[i], stdout=file, stderr=subprocess.STDOUT, env=dict(os.environ)), file)

    try:
        while not book.done and not over():
            waits = book.waits()
            for i in range(len(begin)):
                if i not in running and waits > len(running):
                    start(i)
            time.sleep(POLL)
            for i, (process, file) in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                file.close()
                del running[i]
                said = (log / f"{i}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
                if code == 2:
                    raise QuestionError(said[0] if said else "a worker could not begin")
                if code != 0:
                    lost, finished = book.reclaim(private=private and not running), len(book.finished())
                    deaths = 0 if lost or finished > before else deaths + 1
                    before = finished
                    why = "its trial is queued again" if lost else " ".join(said)
                    progress.say(f"a worker died ({_how(code)}): {why}")
                    if deaths >= FRUITLESS:
                        raise WorkError(
                            sentence(
                                "workers die before a trial is finished", where=str(log), got=said[0] if said else _how(code),
                                fix="--workers 0 (the trials in this process)",
                            )
                        )  # fmt: skip
            # what is under way then belongs to somebody else, or to nobody any more
            if not running and book.waits() == 0 and not book.done and not book.reclaim(private=private):
                time.sleep(POLL)
            look(book)
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, file in running.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            file.close()
        with contextlib.suppress(Exception):
            book.reclaim(private=private)
        look(book)


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
