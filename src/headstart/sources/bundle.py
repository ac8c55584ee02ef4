"""`bundled/NAME`: the sources that come with the package and need no network."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from headstart.errors import SourceError, near, sentence
from headstart.sources.source import Source


def bundled_folder() -> Path:
    """Where the sources that come with the package lie."""
    return Path(str(resources.files("headstart.sources"))) / "bundled"


def bundled_names() -> list[str]:
    """Names of the sources that come with the package, without ``bundled/``."""
    root = bundled_folder()
    return sorted(p.name for p in root.iterdir() if (p / "config.json").is_file()) if root.is_dir() else []


def load(name: str, *, image_size: int | None = None, **texts: Any) -> Source:
    """A bundled source.

    Raises:
        SourceError: there is none of that name.
    """
    from headstart.sources import folder

    names = bundled_names()
    if name not in names:
        names = sorted([*names, "minilm"])
        close = near(name, names, 1)
        raise SourceError(
            sentence(
                "no such bundled source", got=f"bundled/{name}", allowed=[f"bundled/{n}" for n in names],
                fix=f"bundled/{close[0] if close else names[0]}",
            )
        )  # fmt: skip
    return folder.load(f"bundled/{name}", bundled_folder() / name, image_size=image_size, **texts)
