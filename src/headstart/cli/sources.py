"""`headstart sources`."""

import typer

from headstart.cli.common import Json, console, emit, taught
from headstart.cli.help import Taught

HELP = """What can be transferred from.

headstart sources --offline          what is on this machine          headstart sources resnet18          names that contain it

Beside these names a source may be: a model folder or run folder, a checkpoint file (with --arch), hf/ORG/NAME.
"""


def sources(
    name: str = typer.Argument(None, help="Show only names that contain this."),
    offline: bool = typer.Option(False, "--offline", help="Only what is on this machine."),
    json: bool = Json,
) -> None:
    from headstart.verbs.sources import sources as work

    rows = work(name, offline=offline)
    if json:
        emit({"sources": rows})
        return
    from rich.table import Table
    from rich.text import Text

    out = console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("source", "here", "reads", "licence", "trained on"):
        table.add_column(column)
    for row in rows[:60]:
        table.add_row(
            Text(row["name"]),
            "yes" if row["here"] else "",
            _reads(row),
            str(row["licence"])[:24],
            Text(str(row["description"])[:70]),
        )
    out.print(table)
    if len(rows) > 60:
        out.print(f"... and {len(rows) - 60} more; headstart sources NAME narrows the list")
    if not rows:
        out.print("none; headstart sources without --offline lists what a network gives")


def _reads(row: dict) -> str:
    """What a source takes, such as ``224 px`` or ``256 tokens``."""
    if not row["size"]:
        return "images" if row["modality"] == "image" else "texts"
    return f"{row['size']} {'px' if row['modality'] == 'image' else 'tokens'}"


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="What can be transferred from.")(sources)
