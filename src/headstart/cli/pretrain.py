"""`headstart pretrain`."""

from pathlib import Path
from typing import Any

import typer

from headstart.cli.common import Json, Quiet, emit, progress, taught, typed
from headstart.cli.help import Taught
from headstart.cli.options import OPTIONS, given, with_options

HELP = """Make a source from labelled source-domain images or texts; its run folder is then a --source.

headstart pretrain birds/ --arch timm/resnet18 --image-size 96 --epochs 40 --out sources/birds

headstart fit my_birds/ --source sources/birds --source-data birds/

headstart pretrain reviews.csv --arch bundled/minilm --out sources/reviews      texts: its configuration and tokenizer

headstart pretrain pairs.tsv --task translation --text-col en --label-col zh --arch transformers/marian
"""
LEFT_OUT = ("source_data", "labels_per_class", "layer", "budget", "freeze", "unlabelled")


def pretrain(
    data: str = typer.Argument(..., help="Labelled source-domain images or texts: folder, .zip or table."),
    arch: str = typer.Option(
        "timm/resnet18",
        "--arch",
        help="Architecture that starts from random weights: timm/NAME, torchvision/NAME, transformers/NAME, or a source of texts.",
    ),
    source: str = typer.Option(
        None, "--source", "-s", help="Start from this source instead of random weights.", show_default=False
    ),
    out: Path = typer.Option(None, "--out", "-o", help="Run folder to make [runs/NAME].", show_default=False),
    force: bool = typer.Option(False, "--force", help="Replace what is at --out, once the new run is whole."),
    resume: bool = typer.Option(False, "--resume", help="Go on with the unfinished run at --out."),
    json: bool = Json,
    quiet: bool = Quiet,
    **options: Any,
) -> None:
    from headstart.verbs.pretrain import pretrain as work

    run = work(
        data, arch=arch, source=source, out=out, force=force, resume=resume, progress=progress(quiet), **given(options)
    )
    if json:
        emit({"run": str(run.path), **run.metrics})
    else:
        from headstart.cli.summary import show_run

        show_run(run)
        print(f"transfer from it:  {typed('headstart', 'fit', 'DATA', '--source', run.path)}")


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="Make a source from source-domain data.")(
        with_options(pretrain, [name for name in OPTIONS if name not in LEFT_OUT])
    )
