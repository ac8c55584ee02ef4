"""A run folder: written aside, renamed into place when whole, never half there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headstart.errors import DiskFull, RunError, sentence

PARTIAL = ".partial"


def cache_root() -> Path:
    """Where features and scans are cached: ``$HEADSTART_CACHE``, else the platform's cache folder."""
    if os.environ.get("HEADSTART_CACHE"):
        return Path(os.environ["HEADSTART_CACHE"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "headstart"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "headstart"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headstart"


def next_free(root: Path, name: str) -> Path:
    """``root/name``, or the first of ``root/name-2``, ``-3`` ... of which neither a run nor an unfinished one exists."""
    path, i = root / name, 1
    while path.exists() or partial_of(path).exists():
        i += 1
        path = root / f"{name}-{i}"
    return path


def partial_of(out: Path) -> Path:
    """Where an unfinished run is kept: ``.NAME.partial`` beside the run folder."""
    return out.parent / f".{out.name}{PARTIAL}"


def begin(out: Path, *, resume: bool, force: bool) -> Path:
    """The folder to write into. It becomes ``out`` only through :func:`finish`.

    Raises:
        RunError: ``out`` exists and ``force`` is not given; an unfinished run is there and neither ``resume`` nor
            ``force`` is given; nothing to resume.
    """
    work = partial_of(out)
    if out.exists() and not force:
        if resume:
            raise RunError(
                sentence(
                    "this run is finished, there is nothing to resume",
                    got=str(out),
                    fix=f"headstart fit --extend {out} --epochs N (train longer), or --continue-from {out} (other data)",
                )
            )
        raise RunError(
            sentence("the run folder exists and is not overwritten", got=str(out), fix="--force, or another --out")
        )
    if work.exists():
        if resume:
            return work
        if not force:
            raise RunError(
                sentence(
                    "an unfinished run is there",
                    got=str(out),
                    fix=f"--resume --out {out} to go on, or --force to start again",
                )
            )
        shutil.rmtree(work)
    elif resume:
        raise RunError(
            sentence("there is no unfinished run to resume", got=str(out), fix="the same command without --resume")
        )
    with disk_errors(work):
        work.mkdir(parents=True)
    return work


def finish(work: Path, out: Path) -> None:
    """Rename the finished folder into place; an older one (``force``) is removed only after the new one stands."""
    old = None
    if out.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old-", dir=out.parent))
        os.replace(out, old / out.name)
    os.replace(work, out)
    if old:
        shutil.rmtree(old)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.tmp")
        try:
            with aside.open("w", encoding="utf-8", newline="") as f:
                f.write(text)
                f.flush()
                os.fsync(f.fileno())
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; text stays readable in any script."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, default=float, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        RunError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            sentence("not a run folder: a file is missing", got=str(path), fix="headstart fit DATA --out RUN")
        ) from None
    except json.JSONDecodeError as error:
        raise RunError(sentence("a file of the run is not JSON", where=str(path), got=str(error))) from None


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn "no space left" into one sentence.

    Raises:
        DiskFull: the disk, the quota or the file-size limit is reached.
        RunError: no permission to write there.
    """
    try:
        yield
    except PermissionError:
        raise RunError(
            sentence("no permission to write", got=str(path), fix="--out with a folder of your own")
        ) from None
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        # torch's and safetensors' writers put the system's error into their own words and types
        if full or any(words in str(error) for words in ("No space left", "File too large", "file write failed")):
            raise DiskFull(
                sentence(
                    "the disk is full; what was finished is kept",
                    where=str(path),
                    fix="free some room, then the same command with --resume",
                )
            ) from None
        raise
