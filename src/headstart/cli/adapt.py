"""`headstart adapt`."""

from pathlib import Path
from typing import Any

import typer

from headstart.cli.adapt_methods import groups
from headstart.cli.common import Device, Json, Quiet, Seed, console, emit, progress, prose, score, taught, typed
from headstart.cli.help import Taught

HELP = """Learn on a labelled source, predict on a target that looks different, and see whether adapting helped.

Labels of the target, where it has them, are used for the final evaluation only (but for --target-labels).

headstart adapt red_wine.csv white_wine.csv --label quality           tables with the same columns; the method is chosen

headstart adapt source.npz target.npz --method coral                  arrays X (rows, columns) and y (rows,)

headstart adapt photos/ sketches/ --method dann                       new layers on features of the frozen --backbone

headstart adapt photos/ sketches/ --method finetune+dann --epochs 10  the whole network, saved as a model and a later --source

headstart adapt amazon.csv yelp.csv --method 'cdan(entropy=true)+mcc' texts with a label

Which for which shift, and how to read the report: docs/adaptation.md.
"""


def adapt(
    source: str = typer.Argument(..., help="The labelled domain: .npz, .csv, .tsv, .parquet, or a folder of class folders of images or .txt files."),
    target: str = typer.Argument(..., help="The domain to predict on: the same kind; labels are optional."),
    method: str = typer.Option("auto", "--method", "-m", help="A method from the list above, a strategy such as finetune+dann, or auto: chosen without target labels."),
    select: str = typer.Option(
        None, "--select", show_default=False,
        help="What auto [reverse], and the epoch of a deep method [infomax], go by: reverse, iwv, dev, snd, entropy, infomax or source.",
    ),
    target_labels: int = typer.Option(
        0, "--target-labels", min=0, help="Labelled target rows a class (in all, for values) that the method may learn from."
    ),
    classifier: str = typer.Option("logistic", "--classifier", help="logistic, 1nn or svm; inside shallow methods and their baselines."),
    label: str = typer.Option(None, "--label", help="Column with the label [label, target, class or y].", show_default=False),
    task: str = typer.Option("auto", "--task", help="auto, classification or regression."),
    backbone: str = typer.Option(
        None, "--backbone", help="Source that reads images or texts [bundled/objects, bundled/minilm].", show_default=False
    ),
    image_size: int = typer.Option(None, "--image-size", help="Side of images in pixels [the backbone's own].", show_default=False),
    epochs: int = typer.Option(None, "--epochs", help="Of deep methods [enough for about 800 updates, 10 to 100].", show_default=False),
    lr: float = typer.Option(
        None, "--lr", help="Peak learning rate of deep methods [1e-3; 5e-4 for a whole network, what is new 10 times that].",
        show_default=False,
    ),
    batch_size: int = typer.Option(
        None, "--batch-size", help="Labelled inputs an update of deep methods, as many of the target beside them [32].",
        show_default=False,
    ),
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
        backbone=backbone, image_size=image_size, epochs=epochs, lr=lr, batch_size=batch_size, out=out, force=force, seed=seed, device=device, progress=progress(quiet or json),
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
    for choice in m["choices"]:
        shown.print(Text(chosen(choice, m["metric"])))
    shown.print(Text(f"report: {run.path / 'report.html'}"))
    shown.print(Text(f"next: {typed('headstart', 'predict', run.path, target)}"))


def chosen(choice: dict[str, Any], metric: str) -> str:
    """One line: what was chosen, by what, and what that cost."""
    line = f"{choice['what']} {choice['taken']} chosen by {choice['criterion']}, without target labels"
    if choice["cost"] is None:
        return line
    size = f"{choice['cost']:.1%}" if metric == "accuracy" else f"{choice['cost']:.3g}"
    return f"{line}; the best one by them is {size} better"


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP + groups()), short_help="Learn on one domain, predict on another.")(adapt)
