"""`headstart rank`."""

from typing import Any

import typer

from headstart.cli.common import (
    Device,
    Group,
    Json,
    LabelCol,
    LabelDelimiter,
    Order,
    PathCol,
    Quiet,
    Seed,
    SplitCol,
    Task,
    TextCol,
    console,
    emit,
    progress,
    prose,
    taught,
    typed,
)
from headstart.cli.help import Taught
from headstart.cli.options import given, with_options

HELP = """Order sources by how well their features serve your labels, and by what they cost to run.

headstart rank flowers/                                    every bundled source

headstart rank flowers/ --source timm/resnet18 --source my_run/ --source bundled/glyphs

headstart rank flowers/ --source bundled/objects --layers  every layer of one source

headstart rank reviews.csv --source bundled/minilm --source path/to/bert          texts

headstart rank flowers/ --score logme --score leep --score transrate --by combined

Scores: probe, logme, knn, leep, nce, nleep, h_score, h_score_regularized, transrate, gbc, sfda, parc; higher is better. Behind
each stands its 95 % interval over the images; sources that cannot be told apart share a place (1=).
"""
SHARED = ["max_length", "pool", "long"]
"""Options of `fit` that hold here: how sources read texts."""


def rank(
    data: str = typer.Argument(..., help="Labelled images or texts, as for fit."),
    source: list[str] = typer.Option(
        None, "--source", "-s", help="A source to rank; repeat it. Default: every bundled one."
    ),
    layers: bool = typer.Option(False, "--layers", help="Score every layer of the one --source, for fit --layer."),
    score: list[str] = typer.Option(
        None, "--score", help="A score to compute; repeat it. Default: probe, logme, knn. The first decides."
    ),
    by: str = typer.Option(
        None, "--by", help="The score that decides, or combined: the share of comparisons won over all scores."
    ),
    max_images: int = typer.Option(
        2000, "--max-images", min=10, help="Rank on a stratified sample of at most this many images."
    ),
    labels_per_class: int = typer.Option(
        None, "--labels-per-class", min=1, help="Use only this many training labels a class."
    ),
    path_col: str = PathCol,
    text_col: str = TextCol,
    label_col: str = LabelCol,
    split_col: str = SplitCol,
    group: str = Group,
    task: str = Task,
    label_delimiter: str = LabelDelimiter,
    order: str = Order,
    device: str = Device,
    seed: int = Seed,
    json: bool = Json,
    quiet: bool = Quiet,
    **options: Any,
) -> None:
    from headstart.verbs.rank import rank as work

    found: Any = work(
        data, sources=source, layers=layers, scores=score, by=by, max_images=max_images,
        labels_per_class=labels_per_class, path_col=path_col, text_col=text_col, label_col=label_col,
        split_col=split_col, group=group, task=task or "auto", label_delimiter=label_delimiter, order=order.split(",") if order else None, device=device, seed=seed, progress=progress(quiet or json),
        **given(options),
    )  # fmt: skip
    if json:
        emit(found.to_dict())
        return
    if layers:
        _show_layers(found, data, reading(options))
        return
    from rich.table import Table
    from rich.text import Text

    from headstart.ranking.scores import SCORES

    out = console()
    good = [row for row in found.rows if not row.error]
    names = [*good[0].scores, *(["combined"] if len(good) > 1 and len(good[0].scores) > 1 else [])]
    missing = {}
    for start in range(0, len(names), 4):
        part = names[start : start + 4]
        heads = ["wins" if name == "combined" else SCORES[name].title for name in part]
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("", "source", *heads):
            table.add_column(column, justify="left" if column == "source" else "right")
        for row in good:
            cells = [row.combined or {} if name == "combined" else row.scores[name] for name in part]
            missing.update({SCORES[n].title: c["why"] for n, c in zip(part, cells, strict=True) if c.get("why")})
            name = Text(row.source, style="bold" if row.source == found.chosen else "")
            table.add_row(row.place, name, *map(_interval, cells))
        out.print(table)
        out.print()
    table = Table(box=None, pad_edge=False, header_style="dim")
    memory = f"MB, 64 {found.modality}s{f' ({good[0].memory_how})' if good[0].memory_how else ''}"
    for column in ("source", "seconds", f"{found.modality}s/s", "M parameters", "M MACs", memory, "width", "licence"):
        table.add_column(column, justify="left" if column in ("source", "licence") else "right")
    for row in found.rows:
        if row.error:
            table.add_row(Text(row.source), Text(row.error[:70], style="red"))
            continue
        table.add_row(
            Text(row.source), f"{row.seconds:.1f}", _number(row.images_per_second, 1), _number(row.parameters, 1e6),
            _number(row.macs, 1e6), _number(row.memory, 1e6), str(row.width), row.licence[:24],
        )  # fmt: skip
    out.print(table)
    for title, why in missing.items():
        out.print(Text(f"- {title}: {why}", style="dim"))
    for row in good:
        if row.note:
            prose(out, f"{row.source} is {row.note}.")
    out.print()
    prose(out, found.why)
    told = [
        word
        for flag, value in (("--task", task), ("--label-delimiter", label_delimiter), *reading(options))
        if value
        for word in (flag, str(value))
    ]
    out.print(Text(f"next: {typed('headstart', 'fit', data, *told, '--source', found.chosen)}"))


def _show_layers(found: Any, data: str, read: list[tuple[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("layer", "width", "probe (CV)", ""):
        table.add_column(column, justify="right" if column in ("width", "probe (CV)") else "left")
    for row in found.rows:
        chosen = row.layer == found.chosen
        score = "" if row.score is None else f"{row.score:.3f} ± {row.se:.3f}"
        bar = "█" * round(24 * (row.score or 0.0))
        table.add_row(Text(row.layer, style="bold" if chosen else ""), str(row.width), score, bar)
    out.print(table)
    out.print()
    prose(out, found.why)
    for name in found.left_out:
        prose(out, f"{name} cannot be read: it has no module of its own, runs twice, or gives no map, tokens or vector")
    told = [str(word) for pair in read for word in pair]
    words = ("headstart", "fit", data, *told, "--source", found.source, "--strategy", "probe", "--layer", found.chosen)
    out.print(Text(f"next: {typed(*words)}"))


def reading(options: dict[str, Any]) -> list[tuple[str, Any]]:
    """How texts were read, as options of `fit`."""
    return [(f"--{name.replace('_', '-')}", value) for name, value in given(options).items()]


def _number(value: float | None, unit: float) -> str:
    return "" if value is None else f"{value / unit:.3g}"


def _interval(cell: dict) -> str:
    value, low, high = cell.get("value"), cell.get("low"), cell.get("high")
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="Which source fits these data best.")(
        with_options(rank, SHARED)
    )
