"""`headstart adapt`."""

from pathlib import Path

import typer

from headstart.cli.common import Device, Json, Quiet, Seed, console, emit, progress, prose, score, taught, typed
from headstart.cli.help import Taught

HELP = """Learn on a labelled source, predict on a target that looks different, and see whether adapting helped.

Labels of the target, where it has them, are used for the final evaluation only.

headstart adapt red_wine.csv white_wine.csv --label quality           tables with the same columns; the method is chosen

headstart adapt source.npz target.npz --method coral                  arrays X (rows, columns) and y (rows,)

headstart adapt photos/ sketches/ --method jda --backbone bundled/objects

Methods that need no target labels: coral, sa, gfk, tca, monge, emd, sinkhorn, class_ot, msda, scaler, select, location_scale, jda,
bda, wbda, jdot, meda, kmm, kliep, ulsif, rulsif, logistic_ratio, nn_weights, conditional_weights, bbse, rlls, em, source_only.
Methods that learn from a few (--target-labels): tradaboost, easyadapt, source_regularized, adaptive_svm, stacking.
"""


def adapt(
    source: str = typer.Argument(..., help="The labelled domain: .npz, .csv, .tsv, .parquet, or a folder of class folders of images."),
    target: str = typer.Argument(..., help="The domain to predict on: the same kind; labels are optional."),
    method: str = typer.Option("auto", "--method", "-m", help="A method from the list above, or auto: chosen without target labels."),
    select: str = typer.Option(
        None, "--select", show_default=False,
        help="What auto goes by: reverse, iwv, dev, snd, entropy or infomax [reverse].",
    ),
    target_labels: int = typer.Option(
        0, "--target-labels", min=0, help="Labelled target rows a class (in all, for values) that the method may learn from."
    ),
    classifier: str = typer.Option("logistic", "--classifier", help="logistic, 1nn or svm; inside the method and the baselines alike."),
    label: str = typer.Option(None, "--label", help="Column with the label [label, target, class or y].", show_default=False),
    task: str = typer.Option("auto", "--task", help="auto, classification or regression."),
    backbone: str = typer.Option("bundled/objects", "--backbone", help="Source that turns images into features."),
    out: Path = typer.Option(None, "--out", "-o", help="Run folder [runs/adapt-TARGET, numbered].", show_default=False),
    force: bool = typer.Option(False, "--force", help="Overwrite the run folder."),
    device: str = Device,
    seed: int = Seed,
    json: bool = Json,
    quiet: bool = Quiet,
) -> None:  # fmt: skip
    from headstart.verbs.adapt import adapt as work

    run = work(
        source, target, method=method, select=select, target_labels=target_labels, classifier=classifier, label=label, task=task,
        backbone=backbone, out=out, force=force, seed=seed, device=device, progress=progress(quiet or json),
    )  # fmt: skip
    m = run.metrics
    if json:
        emit({"run": str(run.path), **m})
        return
    from rich.text import Text

    shown = console()
    prose(shown, m["why"], style={"helped": "bold green", "hurt": "bold red"}.get(m["level"], "bold"))
    if m["target"]:
        for name, scores in (("adapted", m["target"]), *m["baselines"].items()):
            shown.print(Text(f"{name.replace('_', ' '):>12}  {m['metric']} {score(scores[m['metric']])}"))
    shown.print(Text(f"method: {m['method']}"))
    shown.print(Text(f"report: {run.path / 'report.html'}"))
    if str(target).lower().endswith((".csv", ".tsv", ".npz", ".parquet")):
        shown.print(Text(f"next: {typed('headstart', 'predict', run.path, target)}"))


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP), short_help="Learn on one domain, predict on another.")(adapt)
