"""Help in plain text, options in named groups. rich would draw boxes, but costs more to import than all the rest of the start."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class Taught(TyperCommand):
    """A verb whose options are listed under the ``rich_help_panel`` they name; those without one come first."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            plain = "Arguments" if parameter.param_type_name == "argument" else "Options"
            sections.setdefault(getattr(parameter, "rich_help_panel", None) or plain, []).append(record)
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)
