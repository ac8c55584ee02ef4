"""`headstart report`."""

from pathlib import Path

import typer

from headstart.cli.common import Json, emit, taught
from headstart.cli.help import Taught

HELP = """Write a run's report again, from the files of its folder alone: in the other language, for instance.

headstart report runs/flowers --lang zh
"""


def report(
    run: Path = typer.Argument(..., help="A run folder."),
    lang: str = typer.Option(None, "--lang", help="en or zh [that of the run].", show_default=False),
    json: bool = Json,
) -> None:
    from headstart.errors import RecipeError, sentence
    from headstart.verbs.report import report as work

    if lang not in (None, "en", "zh"):
        raise RecipeError(sentence("unknown language", got=lang, allowed=["en", "zh"]))
    path = work(run, lang=lang)
    if json:
        emit({"report": str(path)})
    else:
        print(path)


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="Write a run's report again.")(report)
