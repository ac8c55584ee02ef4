"""`headstart sources`: what can be transferred from."""

from __future__ import annotations

from typing import Any


def sources(name: str | None = None, *, offline: bool = False) -> list[dict[str, Any]]:
    """List sources, or show one in full.

    Args:
        name: part of a name to filter by (``"resnet"``); ``None`` lists all.
        offline: only what is on this machine: bundled sources and weights in the local caches.

    Returns:
        One row a source: name, modality, architecture, licence, size, description, whether it is on this machine.
    """
    from headstart.sources import list_sources

    rows = list_sources(offline=offline)
    return [row for row in rows if name is None or name.lower() in row["name"].lower()]
