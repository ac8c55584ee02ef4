"""`headstart compare`."""

from pathlib import Path

import typer

from headstart.cli.common import Json, console, emit, taught
from headstart.cli.help import Taught

HELP = """Several runs on the test images or texts they share: which is better, beyond the noise?

headstart compare runs/probe runs/finetune runs/l2sp
"""


def compare(
    runs: list[Path] = typer.Argument(..., help="Two run folders or more."),
    metric: str = typer.Option(None, "--metric", help="One of the task's metrics [its headline].", show_default=False),
    json: bool = Json,
) -> None:
    from headstart.verbs.compare import compare as work

    found = work(runs, metric=metric or "auto")
    if json:
        emit(found)
        return
    from rich.table import Table
    from rich.text import Text

    out, metric = console(), found["metric"]
    out.print(f"{metric.replace('_', ' ')} on {found['n']} shared test {found['modality']}s")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("run", metric.replace("_", " "), "strategy", "source"):
        table.add_column(column)
    for row in sorted(found["runs"], key=lambda r: r["value"] if found["less_is_better"] else -r["value"]):
        table.add_row(Text(row["run"]), f"{row['value']:.3f}", row["strategy"], Text(row["source"]))
    out.print(table)
    out.print()
    for pair in found["pairs"]:
        low, high = pair["ci95"]
        out.print(
            Text(
                f"{pair['a']} - {pair['b']}: {pair['value']:+.3f} [{low:+.3f}, {high:+.3f}], p = {pair['p_holm']:.2g} (Holm): {pair['verdict']}"
            )
        )


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="Which of several runs is better, beyond the noise.")(compare)
