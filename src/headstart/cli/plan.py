"""`headstart plan`."""

from pathlib import Path
from typing import Any

import typer

from headstart.cli.common import Json, Quiet, console, emit, progress, prose, taught, typed
from headstart.cli.help import Taught
from headstart.cli.options import given, with_options

HELP = """Decide what fit would do with your images or texts, and say why, without training the final model.

headstart plan flowers/                                    source, layer, strategy, learning rate, time, memory

headstart plan flowers/ --budget 10m --out plan.yaml       what fits into ten minutes, written as a recipe

headstart fit plan.yaml                                    do it
"""


def plan(
    data: str = typer.Argument(..., help="Labelled images or texts, as for fit, or a recipe.yaml."),
    source: str = typer.Option(None, "--source", "-s", help="Keep to this source [auto: ranked].", show_default=False),
    sources: str = typer.Option(
        None,
        "--sources",
        help="Candidates for --source auto, separated by commas [the bundled ones].",
        show_default=False,
    ),
    arch: str = typer.Option(None, "--arch", help="Architecture of a bare checkpoint file.", show_default=False),
    strategy: str = typer.Option(
        None, "--strategy", help="Keep to this strategy [auto: compared on folds].", show_default=False
    ),
    out: Path = typer.Option(None, "--out", "-o", help="YAML file to write, for headstart fit.", show_default=False),
    force: bool = typer.Option(False, "--force", help="Replace the file at --out."),
    json: bool = Json,
    quiet: bool = Quiet,
    **options: Any,
) -> None:
    from headstart.verbs.plan import plan as work

    recipe, images = (data, None) if data.lower().endswith((".yaml", ".yml")) else (None, data)
    found = work(
        images, recipe=recipe, out=out, force=force, progress=progress(quiet or json), source=source, sources=sources,
        arch=arch, strategy=strategy, **given(options),
    )  # fmt: skip
    if json:
        emit(found.to_dict())
        return
    from rich.table import Table
    from rich.text import Text

    shown = console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("decision", "value", "because"):
        table.add_column(column, overflow="fold")
    for step in found.steps:
        table.add_row(step.name, Text(step.value, style="bold"), Text(step.why))
    shown.print(table)
    shown.print()
    shown.print(stage_table(found.stages))
    shown.print()
    prose(
        shown,
        f"Expected: about {_time(found.seconds)} for fit (planning took {_time(found.planning_seconds)}), "
        f"at least {found.memory_mb:.0f} MB of memory.",
    )
    for line in found.better:
        prose(shown, f"To decide better: {line}.")
    again = [data] if recipe else [data, *flags({**given(options), **found.recipe, "freeze": None})]
    shown.print(Text(f"next: {typed('headstart', 'fit', *([str(out)] if out else again))}"))


def stage_table(stages: list[dict[str, Any]]) -> Any:
    """Stage, modules, parameters that move, peak rate, when it opens, batch norms, mode."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("stage", "modules", "parameters", "trained", "lr", "from epoch", "batch norms", "mode"):
        right = column in ("modules", "parameters", "trained", "lr", "from epoch")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in stages:
        what = {"all": "", "adapter": " in adapters", "bias": " biases", "norm": " in norms"}[row["only"]]
        table.add_row(
            row["name"], str(row["modules"]), f"{row['parameters']:,}", f"{row['moving']:,}{what}" if row["moving"] else "frozen",
            f"{row['lr']:.2g}" if row["lr"] else "", str(row["opens"] or ""), row["bn"], row["mode"],
        )  # fmt: skip
    return table


def flags(options: dict[str, Any]) -> list[str]:
    """What to type for these options."""
    words: list[str] = []
    for name, value in options.items():
        if value is None:  # freeze is in the strategy by now
            continue
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{name}")
        elif name != "layer" or value != "last":
            words += [flag, ",".join(value) or "none" if isinstance(value, list) else str(value)]
    return words


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="What fit would do, and why, without training.")(
        with_options(plan)
    )
