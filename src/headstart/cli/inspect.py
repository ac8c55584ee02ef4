"""`headstart inspect`."""

import typer

from headstart.cli.common import (
    Group,
    Json,
    LabelCol,
    LabelDelimiter,
    PathCol,
    Quiet,
    SplitCol,
    Task,
    TextCol,
    console,
    emit,
    progress,
    prose,
    taught,
)
from headstart.cli.help import Taught

HELP = """What is in the data and what is wrong with it, before anything is trained.

Counts and imbalance, files that cannot be decoded, copies and near copies (also across splits: leaks), sizes, channels,
classes with too few examples; of texts: lengths, scripts, encodings, empty ones.

headstart inspect flowers/          headstart inspect labels.csv --group patient --json
"""

COUNTED = {
    "multilabel": "labels", "regression": "fifths of a quantity", "embedding": "identities", "ordinal": "ranks", "token_classification": "types of spans",
    "question_answering": "kinds of questions",
}  # fmt: skip
"""What the classes are called by the task that was asked for or guessed."""


def inspect(
    data: str = typer.Argument(
        ..., help="Folder of class folders, .zip of it, a table (CSV, TSV, JSONL, Parquet), SQuAD .json or .conll."
    ),
    path_col: str = PathCol,
    text_col: str = TextCol,
    label_col: str = LabelCol,
    split_col: str = SplitCol,
    group: str = Group,
    task: str = Task,
    label_delimiter: str = LabelDelimiter,
    strict: bool = typer.Option(False, "--strict", help="End with exit code 4 if there is any warning (for scripts)."),
    json: bool = Json,
    quiet: bool = Quiet,
) -> None:
    from headstart.verbs.inspect import inspect as work

    info = work(
        data, path_col=path_col, text_col=text_col, label_col=label_col, split_col=split_col, group=group, task=task or "auto",
        label_delimiter=label_delimiter, progress=progress(quiet or json),
    )  # fmt: skip
    if json:
        emit(info)
    else:
        _show(info)
    if strict and info["warnings"]:
        raise typer.Exit(4)


def _show(info: dict) -> None:  # type: ignore[type-arg]
    from rich.table import Table
    from rich.text import Text

    out = console()
    words = "texts" if info["modality"] == "text" else "images"
    out.print(
        Text(
            f"{info['n']} {words} in {len(info['classes'])} {COUNTED.get(info['task'], 'classes')} ({info['layout']}, {info['root']})",
            style="bold",
        )
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    splits = list(info["counts_by_split"])
    for column in ("class", words, *splits, ""):
        table.add_column(column, justify="left" if column in ("class", "") else "right")
    top = max(info["counts"].values()) or 1
    for name, n in sorted(info["counts"].items(), key=lambda item: -item[1])[:40]:
        table.add_row(
            Text(name),
            str(n),
            *(str(info["counts_by_split"][s][name]) for s in splits),
            "█" * max(1, round(24 * n / top)),
        )
    out.print(table)
    if len(info["counts"]) > 40:
        out.print(f"... and {len(info['counts']) - 40} smaller classes")
    if info["modality"] == "text":
        letters = info["letters"]
        out.print(
            f"letters a text: {letters['min']}-{letters['max']} (median {letters['median']}, 95 % up to {letters['p95']})"
        )
        out.print("scripts: " + ", ".join(f"{name} {n}" for name, n in info["scripts"].items()))
        if info["n_duplicates"] or info["n_near_duplicates"]:
            out.print(
                f"repeats: {info['n_duplicates']} exact, {info['n_near_duplicates']} pairs of near copies; they are kept in one split"
            )
    elif info["width"]:
        w, h = info["width"], info["height"]
        out.print(
            f"size: {w['min']}-{w['max']} x {h['min']}-{h['max']} px (median {w['median']} x {h['median']}); modes: "
            + ", ".join(f"{k} {v}" for k, v in info["modes"].items())
        )
    if info["groups"]:
        out.print(f"groups: {info['groups']}")
    for note in info["notes"]:
        prose(out, f"note: {note}", "dim")
    for warning in info["warnings"]:
        prose(out, f"warning: {warning}", "yellow")
    if not info["warnings"]:
        out.print(Text("no warnings", style="green"))


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="What is in the data, and what is wrong with it.")(inspect)
