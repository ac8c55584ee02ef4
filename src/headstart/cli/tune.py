"""`headstart tune`."""

from pathlib import Path
from typing import Any

import typer

from headstart.cli.common import Json, Quiet, emit, progress, prose, taught
from headstart.cli.help import Taught
from headstart.cli.options import OPTIONS, given, with_options

HELP = """Search hyperparameters on folds of the training images, fit with the best, report it on test images (or texts) that no trial saw.

headstart tune flowers/ --strategy finetune --trials 20    the built-in space: rate, weight decay, augmentation, smoothing

headstart tune flowers/ --strategy probe                   every layer of the source, with and without class weights

headstart tune flowers/ --strategy "finetune+l2sp" --space 'lr=1e-5..1e-2:log,l2sp.weight=0.001..1:log,mixup=0|0.2'

headstart tune flowers/ --strategy finetune --sampler grid --space 'lr=1e-4..1e-2:log/3,augment=none|light'

headstart tune flowers/ --budget 8h --workers 2            all night, two processes; a crash costs one trial

headstart tune --resume                                    go on with the search that was stopped

headstart tune flowers/ --storage /shared/tune.log         on one machine, and on any other the same with --join

headstart tune recipe.yaml                                 the same options as keys of a YAML file, with space: {lr: 1e-5..1e-2:log}
"""
NAMES = [name for name in OPTIONS if name != "workers"]


def tune(
    data: str = typer.Argument(None, help="Labelled images or texts, as for fit, or a recipe.yaml."),
    source: str = typer.Option(None, "--source", "-s", help="What to transfer from [auto: ranked].", show_default=False),
    sources: str = typer.Option(
        None, "--sources", help="Candidates for --source auto, separated by commas [the bundled ones].", show_default=False
    ),
    arch: str = typer.Option(None, "--arch", help="Architecture of a bare checkpoint file.", show_default=False),
    strategy: str = typer.Option(
        None, "--strategy", help="A strategy as for fit [auto: probe, lpft and finetune are searched, too].", show_default=False
    ),
    space: str = typer.Option(
        None,
        "--space",
        help="What is searched: 'lr=1e-5..1e-2:log,weight_decay=0|0.01|0.1'; /4 behind a range: four points of it [the strategy's own].",
        show_default=False,
    ),
    trials: int = typer.Option(None, "--trials", help="Finished trials in all [20; a grid: its points].", show_default=False),
    sampler: str = typer.Option(None, "--sampler", help="tpe, random or grid [tpe].", show_default=False),
    pruner: str = typer.Option(None, "--pruner", help="halving, median, hyperband or none [halving].", show_default=False),
    folds: int = typer.Option(
        None, "--folds", help="Fifths of the training images held out in turn, 1 to 5 [1; a solved head: all].", show_default=False
    ),
    workers: int = typer.Option(
        None, "--workers", help="Processes that work on trials; 0: in this one [1].", show_default=False
    ),
    storage: str = typer.Option(
        None, "--storage", help="Journal file or database (sqlite:///tune.db) [a journal in the run folder].", show_default=False
    ),
    join: bool = typer.Option(False, "--join", help="Only add trials to the study at --storage."),
    out: Path = typer.Option(None, "--out", "-o", help="Run folder to make [runs/NAME-tuned].", show_default=False),
    resume: bool = typer.Option(False, "--resume", help="Go on with the unfinished search at --out (or the newest one)."),
    force: bool = typer.Option(False, "--force", help="Replace what is at --out, once the new run is whole."),
    json: bool = Json,
    quiet: bool = Quiet,
    **options: Any,
) -> None:  # fmt: skip
    from headstart.verbs.tune import tune as work

    recipe = None
    if data is not None and data.lower().endswith((".yaml", ".yml")):
        recipe, data = data, None  # type: ignore[assignment]
    run = work(
        data, recipe=recipe, space=space, trials=trials, sampler=sampler, pruner=pruner, folds=folds, workers=workers,
        storage=storage, join=join, out=out, resume=resume, force=force, progress=progress(quiet or json), source=source,
        sources=sources, arch=arch, strategy=strategy, **given(options),
    )  # fmt: skip
    from headstart.cli.common import console

    shown = console()
    if isinstance(run, int):
        emit({"finished": run, "storage": storage}) if json else prose(shown, f"{run} trials of the study are finished")
        return
    if json:
        emit({"run": str(run.path), "report": str(run.path / "report.html"), **run.metrics})
        return
    from headstart.cli.summary import show_run

    show_run(run)
    t = run.metrics["tuning"]
    low, high = t["reported"]["ci95"]
    metric = t["metric"].replace("_", " ")
    prose(
        shown,
        f"{metric} of the best of {sum(t['trials'].values())} trials: {t['optimised']['value']:.3f} on {t['optimised']['on']} "
        f"(it chose, so it is too high); reported: {t['reported']['value']:.3f} [{low:.3f}, {high:.3f}] on test {run.metrics.get('modality', 'image')}s that no trial saw",
    )
    matter = ", ".join(f"{name} {share:.0%}" for name, share in t["importance"]["values"].items())
    if matter:
        prose(shown, f"what mattered ({t['importance']['evaluator']}): {matter}")


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="Search hyperparameters; report what chose nothing.")(
        with_options(tune, NAMES)
    )
