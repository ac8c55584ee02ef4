"""Where pretrained models come from: a name becomes a :class:`headstart.sources.source.Source`."""

from __future__ import annotations

from typing import Any

__all__ = ["list_sources", "load_source", "save_model"]


def __getattr__(name: str) -> Any:
    if name == "load_source":
        from headstart.sources.names import load_source

        return load_source
    if name == "list_sources":
        from headstart.sources.catalogue import list_sources

        return list_sources
    if name == "save_model":
        from headstart.sources.save import save_model

        return save_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
