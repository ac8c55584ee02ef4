"""`headstart fit`."""

from pathlib import Path
from typing import Any

import typer

from headstart.cli.common import Json, Quiet, emit, progress, taught
from headstart.cli.help import Taught
from headstart.cli.options import given, with_options

HELP = """Move a source to your images or texts, prove whether that helped, write a run folder with a report.

headstart fit flowers/                                     rank the sources, compare strategies, take the best (headstart plan)

headstart fit flowers/ --budget 10m                        the same, done in ten minutes

headstart fit flowers/ --source timm/resnet18 --strategy finetune

headstart fit flowers/ --source timm/resnet18 --strategy probe --layer auto

headstart fit reviews.csv --source bundled/minilm           texts: a column of sentences and one of labels

headstart fit labels.csv --strategy "l2sp(weight=0.1)" --epochs 20 --out runs/roses

headstart fit pairs.tsv --task translation --text-col en --label-col zh --beams 4

headstart fit recipe.yaml                                  the same options as keys of a YAML file

headstart fit --resume                                     go on with the run that was stopped

headstart fit --extend runs/roses --epochs 40              train a finished run longer

headstart fit more/ --continue-from runs/roses             start from a finished run, on other data
"""


def fit(
    data: str = typer.Argument(
        None,
        help="Folder of class folders (images, or .txt), .zip of images, table (CSV, TSV, JSONL, Parquet), saved data set, SQuAD .json, .conll, a.en,a.zh or recipe.yaml.",
    ),
    source: str = typer.Option(
        None,
        "--source",
        "-s",
        help="What to transfer from: bundled/NAME, timm/NAME, torchvision/NAME, hf/ORG/NAME, a model or run folder, a checkpoint; auto ranks [auto].",
        show_default=False,
    ),
    sources: str = typer.Option(
        None,
        "--sources",
        help="Candidates for --source auto, separated by commas [the bundled ones].",
        show_default=False,
    ),
    arch: str = typer.Option(
        None, "--arch", help="Architecture of a bare checkpoint file, such as timm/resnet18.", show_default=False
    ),
    strategy: str = typer.Option(
        None,
        "--strategy",
        help="A tuning, then + terms, such as finetune+l2sp(0.1)+bss; a > b is one after the other. Tunings: probe, head2toe, head, "
        "last(2), finetune, lpft, gradual, ulmfit, lora, dora, ia3, bitfit, norms; before them setfit, mlm or clm. Terms: l2sp, ewc, "
        "delta, bss, cotuning, bituning, stochnorm, mixout, lwf, distill, contrastive, elr, smallloss, fixmatch, pseudo [auto: compared on folds].",
        show_default=False,
    ),
    out: Path = typer.Option(None, "--out", "-o", help="Run folder to make [runs/NAME].", show_default=False),
    resume: bool = typer.Option(False, "--resume", help="Go on with the unfinished run at --out (or the newest one)."),
    extend: Path = typer.Option(
        None, "--extend", help="A finished run to train longer, to --epochs in all.", show_default=False
    ),
    continue_from: Path = typer.Option(
        None, "--continue-from", help="A finished run whose model is the start for other DATA.", show_default=False
    ),
    force: bool = typer.Option(False, "--force", help="Replace what is at --out, once the new run is whole."),
    json: bool = Json,
    quiet: bool = Quiet,
    **options: Any,
) -> None:
    from headstart.verbs.fit import fit as work

    recipe = None
    if data is not None and data.lower().endswith((".yaml", ".yml")):
        recipe, data = data, None  # type: ignore[assignment]
    run = work(
        data, recipe=recipe, out=out, resume=resume, extend=extend, continue_from=continue_from, force=force,
        progress=progress(quiet), source=source, sources=sources, arch=arch, strategy=strategy, **given(options),
    )  # fmt: skip
    if json:
        emit({"run": str(run.path), "report": str(run.path / "report.html"), **run.metrics})
    else:
        from headstart.cli.summary import show_run

        show_run(run)


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="Transfer, prove whether it helped, report.")(
        with_options(fit)
    )
