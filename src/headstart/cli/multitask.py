"""`headstart multitask`."""

from pathlib import Path
from typing import Any

import typer

from headstart.cli.common import Json, Quiet, console, emit, progress, prose, score, taught, typed
from headstart.cli.help import Taught
from headstart.cli.options import given, with_options

HELP = """Train one backbone with a head for each data set, and say which task helped which.

headstart multitask leaves/ satellite/                                 two tasks; each is trained alone, too, at as many updates

headstart multitask leaves/ satellite/ --target leaves                 satellite is auxiliary: did it help leaves?

headstart multitask age=faces.csv hair=faces.csv --label-col age=years --label-col hair=colour --task age=regression

headstart multitask a/ b/ c/ --balance pcgrad --pairs                  without conflicting gradients; every pair, too

headstart multitask reviews.csv complaints.csv --source bundled/minilm  texts share a backbone as images do

headstart multitask recipe.yaml                                        the same options as keys of a YAML file

headstart predict RUN photo.jpg --head leaves                          the head of one task
"""
SHARED = [
    "image_size", "max_length", "pool", "long", "epochs", "lr", "batch_size", "optimizer", "momentum", "weight_decay", "schedule", "warmup", "grad_clip", "augment",
    "synonyms", "back_translate", "dropout", "precision", "test_fraction", "valid_fraction", "on_bad_sample", "seed", "verify", "device", "workers",
]  # fmt: skip
"""Options of `fit` that hold for all data sets."""


def each(text: str) -> Any:
    return typer.Option(None, help=f"{text} A value for all, or NAME=VALUE; repeat it.", show_default=False)


def multitask(
    data: list[str] = typer.Argument(None, help="Two data sets or more, as for fit; NAME=DATA gives one a name. Or recipe.yaml."),
    target: str = typer.Option(None, "--target", help="The data set that counts; the others are auxiliary [all count].", show_default=False),
    balance: str = typer.Option(
        None, "--balance", show_default=False,
        help="equal, uncertainty (Kendall et al. 2018), gradnorm (Chen et al. 2018) or pcgrad (Yu et al. 2020) [equal].",
    ),
    weight: list[str] = typer.Option(None, "--weight", help="NAME=0.3: what a task counts in --balance equal; repeat it [1].", show_default=False),
    pairs: bool = typer.Option(None, "--pairs", help="Also train every pair (with --target: each auxiliary task alone beside it).", show_default=False),
    source: str = typer.Option(None, "--source", "-s", help="What to transfer from, as for fit [auto: ranked on the target or the first].", show_default=False),
    sources: str = typer.Option(None, "--sources", help="Candidates for --source auto, separated by commas.", show_default=False),
    arch: str = typer.Option(None, "--arch", help="Architecture of a bare checkpoint file, such as timm/resnet18.", show_default=False),
    strategy: str = typer.Option(None, "--strategy", help="finetune, last(2), gradual, norms, bitfit [finetune].", show_default=False),
    task: list[str] = each("classification, multilabel, regression, hierarchical or ordinal [auto: by the labels]."),
    label_col: list[str] = each("Column of a table with the label."),
    path_col: list[str] = each("Column of a table with the image path."),
    text_col: list[str] = each("Column of a table with the texts."),
    split_col: list[str] = each("Column of a table with train/valid/test."),
    label_delimiter: list[str] = each("What separates several labels in one cell of a table."),
    order: list[str] = each("Names of the ranks from low to high, with commas (ordinal)."),
    group: list[str] = each("What must stay in one split: a column, a pattern on the file name, or auto."),
    labels_per_class: list[str] = each("Use only this many training labels a class."),
    metric: list[str] = each("What gains are measured in [the task's headline]."),
    out: Path = typer.Option(None, "--out", "-o", help="Run folder to make [runs/NAMES].", show_default=False),
    resume: bool = typer.Option(False, "--resume", help="Go on with the unfinished run at --out (or the newest one)."),
    force: bool = typer.Option(False, "--force", help="Replace what is at --out, once the new run is whole."),
    json: bool = Json,
    quiet: bool = Quiet,
    **options: Any,
) -> None:  # fmt: skip
    from headstart.verbs.multitask import multitask as work
    from headstart.verbs.multitask import named

    recipe = None
    if data and len(data) == 1 and data[0].lower().endswith((".yaml", ".yml")):
        recipe, data = data[0], []
    names = list(named(data)) if data else None
    own = {
        "task": task, "label_col": label_col, "path_col": path_col, "text_col": text_col, "split_col": split_col, "label_delimiter": label_delimiter,
        "order": order, "group": group, "labels_per_class": labels_per_class, "metric": metric,
    }  # fmt: skip
    run = work(
        data or None, target=target, balance=balance, weight=by_name(weight, names, always=True), pairs=pairs, recipe=recipe, out=out,
        resume=resume, force=force, source=source, sources=sources, arch=arch, strategy=strategy, progress=progress(quiet or json),
        **{key: by_name(value, names) for key, value in own.items()}, **given(options),
    )  # fmt: skip
    if json:
        emit({"run": str(run.path), "report": str(run.path / "report.html"), **run.metrics})
    else:
        show(run)


def by_name(values: list[str] | None, names: list[str] | None, *, always: bool = False) -> Any:
    """``["a=1", "b=2"]`` as a mapping, ``["1"]`` as it is; what is before a ``=`` is a name only where it is one of them."""
    if not values:
        return None
    pairs = [value.partition("=") for value in values]
    if len(values) == 1 and not always and (not pairs[0][1] or (names is not None and pairs[0][0] not in names)):
        return values[0]
    return {left: right for left, _, right in pairs}


def show(run: Any) -> None:
    """The table of the tasks, the verdict, and what to type next."""
    from rich.table import Table
    from rich.text import Text

    from headstart.cli.summary import COLOURS

    m, out = run.metrics, console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("task", "metric", "together", "alone", "gain", "p"):
        table.add_column(column)
    for name, cell in m["tasks"].items():
        metric = cell["metric"]
        row = [name, metric.replace("_", " "), score(cell["together"][metric])]
        if cell["judged"]:
            low, high = cell["gain"]["ci95"]
            gain = Text(f"{cell['gain']['value']:+.3f} [{low:+.3f}, {high:+.3f}]", style=COLOURS[cell["level"]])
            table.add_row(*row, score(cell["alone"][metric]), gain, f"{cell['gain']['p_value']:.2g}")
        else:
            table.add_row(*row, "auxiliary", "", "")
    out.print()
    out.print(table)
    out.print()
    prose(out, m["why"], COLOURS[m["level"]])
    if m["level"] in ("hurt", "no_evidence"):
        for line in m["try"]:
            prose(out, f"  try: {line}")
    out.print(Text(f"report:  {run.path / 'report.html'}"))
    head = m["judged"] or next(iter(m["tasks"]))
    out.print(
        Text(
            f"use it:  {typed('headstart', 'predict', run.path)} {'TEXTS' if m.get('inputs') == 'texts' else 'IMAGE_OR_FOLDER'} {typed('--head', head)}"
        )
    )


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="One backbone for several tasks: which helped which.")(
        with_options(multitask, SHARED)
    )
