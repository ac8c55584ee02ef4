"""`headstart evaluate`."""

from pathlib import Path

import typer

from headstart.cli.common import (
    AbstainBelow,
    Adapt,
    Beams,
    Coverage,
    Device,
    Head,
    Json,
    LabelCol,
    LabelDelimiter,
    PathCol,
    Quiet,
    Sets,
    SplitCol,
    TextCol,
    Tta,
    console,
    emit,
    progress,
    score,
    taught,
)
from headstart.cli.help import Taught

HELP = """How good a run is on labelled images or texts it has not seen; classes are matched by name.

headstart evaluate runs/flowers new_flowers/ --min accuracy=0.9          (exit code 4 if it is not reached)

headstart evaluate runs/adapt-white white.csv --label-col quality        a run of adapt over features, on data as its target was
"""


def evaluate(
    run: Path = typer.Argument(..., help="A run folder."),
    data: str = typer.Argument(..., help="Labelled images or texts, as for fit."),
    split: str = typer.Option(
        None, "--split", help="Only this split; default: test where the data names one, else all.", show_default=False
    ),
    minimum: list[str] = typer.Option(
        None,
        "--min",
        help="metric=value that must be reached (not be exceeded where less is better, as for rmse); repeat it.",
        show_default=False,
    ),
    coverage: float = Coverage,
    sets: str = Sets,
    abstain_below: float = AbstainBelow,
    tta: int = Tta,
    adapt: str = Adapt,
    head: str = Head,
    beams: int = Beams,
    path_col: str = PathCol,
    text_col: str = TextCol,
    label_col: str = LabelCol,
    split_col: str = SplitCol,
    label_delimiter: str = LabelDelimiter,
    device: str = Device,
    json: bool = Json,
    quiet: bool = Quiet,
) -> None:
    from headstart.errors import RecipeError, sentence
    from headstart.verbs.evaluate import evaluate as work

    wanted = {}
    for item in minimum or []:
        name, _, value = item.partition("=")
        try:
            wanted[name.strip()] = float(value)
        except ValueError:
            raise RecipeError(sentence("cannot read --min", got=item, fix="--min accuracy=0.9")) from None
    found = work(
        run,
        data,
        split=split,
        coverage=coverage,
        sets=sets,
        abstain_below=abstain_below,
        tta=tta,
        adapt=adapt,
        head=head,
        beams=beams,
        path_col=path_col,
        text_col=text_col,
        label_col=label_col,
        split_col=split_col,
        label_delimiter=label_delimiter,
        device=device,
        progress=progress(quiet or json),
    )
    for name in wanted:
        if name not in found["scores"]:
            raise RecipeError(sentence("unknown metric of --min", got=name, allowed=list(found["scores"])))
    less = found["less_is_better"]
    missed = {
        name: value
        for name, value in wanted.items()
        if (found["scores"][name]["value"] > value if name in less else found["scores"][name]["value"] < value)
    }
    if json:
        emit({**found, "missed": missed})
    else:
        from rich.text import Text

        out = console()
        out.print(f"{found['n']} {found.get('things') or found['modality'] + 's'} ({found['split']})")
        for name, cell in found["scores"].items():
            out.print(f"{name:>18}  {score(cell)}")
        if "sets" in found:
            cell = found["sets"]
            out.print(
                f"{'sets hold it':>18}  {score(cell['covered'])}, asked {cell['asked']:g}; {cell['size']:.2f} classes each"
            )
        if "abstaining" in found:
            cell = found["abstaining"]
            right = f"; accuracy of those {score(cell['accuracy'])}" if cell["accuracy"] else ""
            out.print(f"{'answered':>18}  {score(cell['answered'])}{right}")
        for name in found["missing"]:
            out.print(Text(f"note: nothing of class {name} in the data", style="yellow"))
        for name in found.get("unknown", ()):
            out.print(Text(f"note: the run does not know class {name}", style="yellow"))
        for path, reason in found["bad"]:
            out.print(Text(f"left out: {path}: {reason}", style="yellow"))
        for name, least in missed.items():
            out.print(
                Text(
                    f"not reached: {name} {found['scores'][name]['value']:.3f} {'>' if name in less else '<'} {least}",
                    style="bold red",
                )
            )
    if missed:
        raise typer.Exit(4)


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="How good a run is on new labelled data.")(evaluate)
