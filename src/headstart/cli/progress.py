"""Progress in a terminal: one live line on a TTY, a plain line now and then elsewhere. All on standard error."""

from __future__ import annotations

import shutil
import sys
import time
import unicodedata
from typing import Any

from headstart.progress import Progress

SHOWN = {
    "loss": "loss",
    "train_loss": "loss",
    "valid_accuracy": "valid acc",
    "valid_balanced_accuracy": "valid bal. acc",
    "valid_macro_f1": "valid F1",
    "lr": "lr",
}
EVERY = 20.0
"""Seconds between plain lines where there is no terminal."""


class Terminal(Progress):
    """Shows a task's share, speed, time left and the latest numbers."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.name, self.unit, self.total, self.count = "", "", 0, 0
        self.began = self.spoke = 0.0
        self.numbers: dict[str, str] = {}

    def start(self, name: str, total: int | None = None, unit: str = "") -> None:
        self.name, self.unit, self.total, self.count = name, unit, total or 0, 0
        self.began = self.spoke = time.perf_counter()
        self.numbers = {}

    def advance(self, n: int = 1, **fields: Any) -> None:
        self.count += n
        for key, value in fields.items():
            if key in SHOWN and isinstance(value, (int, float)):
                self.numbers[SHOWN[key]] = f"{value:.3g}"
        self.numbers |= {term: f"{value:.3g}" for term, value in fields.get("terms", {}).items()}
        now = time.perf_counter()
        if now - self.spoke >= (0.1 if self.live else EVERY):
            self.spoke = now
            self._show(now)

    def done(self) -> None:
        now = time.perf_counter()
        if self.live:
            sys.stderr.write("\r\033[K")
        if now - self.began >= 1.0:
            numbers = ", ".join(f"{k} {v}" for k, v in self.numbers.items() if k != "lr")
            self._line(
                f"{self.name}: {self.count} {self.unit}s in {now - self.began:.1f} s"
                + (f" ({numbers})" if numbers else "")
            )

    def say(self, line: str) -> None:
        if self.live:
            sys.stderr.write("\r\033[K")
        self._line(line)

    def _line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def _show(self, now: float) -> None:
        passed = now - self.began
        speed = self.count / passed if passed else 0.0
        share = f"{self.count}/{self.total}" if self.total else str(self.count)
        left = (
            f", {_time((self.total - self.count) / speed)} left"
            if self.total and speed and self.count < self.total
            else ""
        )
        numbers = "".join(f", {k} {v}" for k, v in self.numbers.items())
        text = f"{self.name}: {share} {self.unit}s, {speed:.3g}/s{left}{numbers}"
        if self.live:
            bar = ""
            if self.total:
                filled = round(20 * min(1.0, self.count / self.total))
                bar = "█" * filled + "·" * (20 - filled) + " "
            sys.stderr.write("\r\033[K" + shorten(bar + text, shutil.get_terminal_size().columns - 1))
            sys.stderr.flush()
        else:
            self._line(text)


def shorten(text: str, columns: int) -> str:
    """The start of ``text`` that fits into ``columns`` of a terminal, where Chinese characters take two."""
    used = 0
    for i, character in enumerate(text):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > columns:
            return text[:i]
    return text


def _time(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
