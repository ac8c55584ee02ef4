"""What to say when weights are not there or not usable: the file, its place, and what would work instead."""

from __future__ import annotations

from pathlib import Path

from headstart.errors import SourceError, sentence
from headstart.sources.bundle import bundled_names
from headstart.sources.network import why_offline


def missing_weights(name: str, file: str, place: str, instead: list[str]) -> SourceError:
    """The error for weights that are not on this machine.

    Args:
        name: the source.
        file: the missing file's name.
        place: where a copy of it would be found.
        instead: sources of the same kind that are on this machine; the bundled ones are added.
    """
    works = [*instead, *(f"bundled/{n}" for n in bundled_names())]
    return SourceError(
        sentence(
            f"the weights of {name} are not on this machine and {why_offline()}", got=file, allowed=place,
            fix=" or ".join(f"--source {w}" for w in works[:3]),
        )
    )  # fmt: skip


def unusable_weights(name: str, path: Path | None, error: Exception) -> SourceError:
    """The error for a file that is there and cannot be used, or a download that failed."""
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {' '.join(lines[:2])[:140]}" if lines else type(error).__name__
    if path is None:
        return SourceError(
            sentence(
                f"the weights of {name} could not be fetched",
                got=reason,
                fix="again, or --source bundled/" + bundled_names()[0],
            )
        )
    return SourceError(
        sentence(
            f"the file of the weights of {name} cannot be used", where=str(path), got=reason,
            fix="delete that file, so that it is fetched again",
        )
    )  # fmt: skip
