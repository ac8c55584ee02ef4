"""`headstart demo`."""

from pathlib import Path

import typer

from headstart.cli.common import Json, Quiet, Seed, emit, progress, taught
from headstart.cli.help import Taught

HELP = """The whole story on handwritten digits, 5 labels a class, no network, about a minute.

Ranks the bundled sources, transfers the best one, compares it with training from scratch and with logistic regression
on raw pixels, writes the report.
"""


def demo(
    out: Path = typer.Option(None, "--out", "-o", help="Run folder to make [runs/demo].", show_default=False),
    labels_per_class: int = typer.Option(5, "--labels-per-class", min=1, help="Training labels a class."),
    strategy: str = typer.Option("probe", "--strategy", help="As for fit."),
    lang: str = typer.Option("en", "--lang", help="Language of the report: en or zh."),
    seed: int = Seed,
    force: bool = typer.Option(False, "--force", help="Replace what is at --out."),
    json: bool = Json,
    quiet: bool = Quiet,
) -> None:
    from headstart.verbs.demo import demo as work

    run = work(
        out,
        labels_per_class=labels_per_class,
        strategy=strategy,
        lang=lang,
        seed=seed,
        force=force,
        progress=progress(quiet),
    )
    if json:
        emit({"run": str(run.path), "report": str(run.path / "report.html"), **run.metrics})
    else:
        from headstart.cli.summary import show_run

        show_run(run)


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="The whole story in a minute, no network.")(demo)
