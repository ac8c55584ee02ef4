"""`headstart doctor`."""

import typer

from headstart.cli.common import Json, console, emit, taught
from headstart.cli.help import Taught

HELP = """Is everything here that Headstart needs? Versions, the torch/torchvision pair, devices, disk, caches, fonts.

headstart doctor          headstart doctor --online          do the hubs answer, too?

Exit code 1 if something that is needed is missing or broken; a note is only a note.
"""


def doctor(
    online: bool = typer.Option(
        False, "--online", help="Also ask the hubs for an answer; without it no network is reached."
    ),
    json: bool = Json,
) -> None:
    from headstart.verbs.doctor import doctor as work

    found = work(online=online)
    if json:
        emit(found)
    else:
        from rich.text import Text

        out = console()
        for check in found["checks"]:
            mark, style = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "bad": ("BAD ", "bold red")}[
                check["state"]
            ]
            out.print(Text(f"{mark} ", style=style) + Text(f"{check['name']}: {check['value']}"))
            if check["fix"]:
                out.print(Text(f"       {check['fix']}", style=style))
    if not found["ok"]:
        raise typer.Exit(1)


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="Is everything here that Headstart needs?")(doctor)
