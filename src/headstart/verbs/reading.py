"""How a backbone reads images or texts: the options of verbs that need no recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.errors import RecipeError, sentence

KINDS = {"rows": "tables or arrays", "images": "folders of images", "texts": "tables or folders of texts"}
OF_READING = {
    "image_size": "images", "max_length": "texts", "pool": "texts", "long": "texts", "text_col": "texts", "augment": "images and texts",
}  # fmt: skip


def check_reading(given: Mapping[str, Any], kind: str) -> None:
    """Refuse options of how a backbone reads inputs of another kind.

    Raises:
        RecipeError: the first of them.
    """
    for name, value in given.items():
        if value is not None and kind not in OF_READING[name]:
            flag = name.replace("_", "-")
            raise RecipeError(
                sentence(f"--{flag} is for {OF_READING[name]}", got=value, where=KINDS[kind], fix="leave it out")
            )


def as_loaded(reading: Mapping[str, Any]) -> dict[str, Any]:
    """The same as arguments of :func:`headstart.sources.load_source`; also of what a run has saved of them."""
    size = reading.get("max_length")
    return {
        "image_size": reading.get("image_size") if size is None else size,
        "pool": reading.get("pool"),
        "long": reading.get("long"),
    }
