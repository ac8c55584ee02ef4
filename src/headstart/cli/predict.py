"""`headstart predict`."""

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
    Quiet,
    Sets,
    TextCol,
    Tta,
    emit,
    progress,
    taught,
)  # fmt: skip
from headstart.cli.help import Taught

HELP = """What a run says of new images or texts: one row each, with the probability of every class.

headstart predict runs/flowers photo.jpg          headstart predict runs/flowers new_photos/ --out predictions.csv

headstart predict runs/reviews "what a film" --json          headstart predict runs/reviews new.csv --text-col review

headstart predict runs/flowers new_photos/ --coverage 0.9          sets of classes that hold the true one 9 times of 10

headstart predict runs/flowers new_photos/ --abstain-below 0.7 --tta 4

headstart predict runs/flowers night_photos/ --adapt tent          a copy of the model adapts to images that look different

headstart predict runs/en-zh "Where is the station?" --beams 4          what a run of translation or summarization writes

headstart predict runs/questions "how far is it" --search answers.csv --top 3          the nearest texts, by a run of --task embedding
"""


def predict(
    run: Path = typer.Argument(..., help="A run folder."),
    inputs: list[str] = typer.Argument(
        ..., help="Images, folders of images, .zip files; texts, tables or .txt files of texts, - for stdin."
    ),
    out: Path = typer.Option(
        None, "--out", "-o", help="Write a .csv or .json file instead of printing.", show_default=False
    ),
    coverage: float = Coverage,
    sets: str = Sets,
    abstain_below: float = AbstainBelow,
    tta: int = Tta,
    adapt: str = Adapt,
    head: str = Head,
    beams: int = Beams,
    search: Path = typer.Option(
        None,
        "--search",
        help="For embeddings of texts: the nearest ones in this table or file of lines.",
        show_default=False,
    ),
    text_col: str = TextCol,
    top: int = typer.Option(None, "--top", min=1, help="How many of them for each input [5].", show_default=False),
    batch_size: int = typer.Option(64, "--batch-size", min=1, help="Images a forward pass."),
    device: str = Device,
    force: bool = typer.Option(False, "--force", help="Replace the file at --out."),
    json: bool = Json,
    quiet: bool = Quiet,
) -> None:
    from headstart.errors import RunError, sentence
    from headstart.folder import write_text
    from headstart.verbs.predict import predict as work
    from headstart.verbs.search import search as nearest
    from headstart.verbs.sequence_predict import refuse, told

    if out is not None and out.suffix.lower() not in (".csv", ".json"):
        raise RunError(
            sentence("unknown kind of file", got=str(out), allowed=[".csv", ".json"], fix="--out predictions.csv")
        )
    if out is not None and out.exists() and not force:
        raise RunError(sentence("the file exists and is not overwritten", got=str(out), fix="--force"))
    if search is not None:
        refuse(run, told([("coverage", coverage, None), ("sets", sets, "lac"), ("abstain_below", abstain_below, None), ("tta", tta, 1), ("adapt", adapt, None), ("head", head, None), ("beams", beams, None)]), "a search")  # fmt: skip
        table = nearest(
            run, inputs, search, top=top or 5, text_col=text_col, batch_size=batch_size, device=device, progress=progress(quiet or json)
        )  # fmt: skip
    elif top is not None:
        raise RunError(sentence("--top is how many --search gives", got=top, fix="--search corpus.csv"))
    else:
        table = work(
            run, inputs, text_col=text_col, coverage=coverage, sets=sets, abstain_below=abstain_below, tta=tta, adapt=adapt, head=head,
            beams=beams, batch_size=batch_size, device=device, progress=progress(quiet or json),
        )  # fmt: skip
    as_json = table.to_json(orient="records", force_ascii=False, indent=1, double_precision=6)
    as_csv = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    if out is not None:
        write_text(out, as_json if out.suffix.lower() == ".json" else as_csv)
        if json:
            emit({"out": str(out), "n": len(table)})
        else:
            print(f"{len(table)} predictions in {out}")
    elif json:
        print('{"predictions": ' + as_json + "}")
    else:
        print(as_csv, end="")


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="What a run says of new images or texts.")(predict)
