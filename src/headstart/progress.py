"""How work in progress is shown: a silent default here, the terminal's in :mod:`headstart.cli.progress`."""

from __future__ import annotations

from typing import Any


class Progress:
    """Told of long work. This one says nothing; subclasses show it.

    One task runs at a time: :meth:`start`, any number of :meth:`advance`, then :meth:`done`. :meth:`say` may come at any time.
    """

    def start(self, name: str, total: int | None = None, unit: str = "") -> None:
        """A task begins. ``total`` is ``None`` where it is not known; ``unit`` is what is counted (``"image"``, ``"step"``)."""

    def advance(self, n: int = 1, **fields: Any) -> None:
        """``n`` more units are done; ``fields`` are numbers worth showing (``loss``, ``lr``, ``images_per_second``)."""

    def done(self) -> None:
        """The task is over."""

    def say(self, line: str) -> None:
        """A sentence for the user."""


SILENT = Progress()
"""Shows nothing."""
