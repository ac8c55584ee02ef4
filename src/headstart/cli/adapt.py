"""`headstart adapt`."""

from pathlib import Path
from typing import Any

import typer

from headstart.cli.adapt_methods import groups
from headstart.cli.common import (
    Device,
    Json,
    Quiet,
    Seed,
    TextCol,
    console,
    emit,
    progress,
    prose,
    score,
    taught,
    typed,
)
from headstart.cli.help import Taught
from headstart.cli.options import given, with_options
from headstart.errors import RecipeError, sentence

HELP = """Learn on a labelled source, predict on a target that looks different, and see whether adapting helped.

Labels of the target, where it has them, are used for the final evaluation only (but for --target-labels).

headstart adapt red_wine.csv white_wine.csv --label quality           tables with the same columns; the method is chosen

headstart adapt source.npz target.npz --method coral                  arrays X (rows, columns) and y (rows,)

headstart adapt photos/ sketches/ --method dann                       new layers on features of the frozen --backbone

headstart adapt photos/ sketches/ --method finetune+dann --epochs 10  the whole network, saved as a model and a later --source

headstart adapt runs/photos sketches/ --method shot                   the model of a run, without the images it was trained on

headstart adapt amazon.csv yelp.csv --method 'cdan(entropy=true)+mcc' texts with a label

headstart adapt a.tsv b.parquet -m finetune+dann --max-length 64 --augment light   the whole network of texts, varied

headstart adapt photos/ paintings/ cartoons/ sketches/ --method mdan  several sources; the last path is the target

headstart adapt steps.csv 33 --domain-col user --method dsbn          one table: user 33 is the target, the others are sources

headstart adapt photos/ paintings/ cartoons/ --method irm --no-target no target at all: each source is left out in turn

Which for which shift, and how to read the report: docs/adaptation.md.
"""
SHARED = ["image_size", "max_length", "pool", "long", "augment"]
"""Options of `fit` that hold here; ``augment`` where the whole network is trained."""


def adapt(
    paths: list[str] = typer.Argument(
        ..., metavar="SOURCE... TARGET",
        help="The labelled domains, then the one to predict on (labels optional): .npz, tables, folders of class folders of images, or "
        "texts as for fit.",
    ),
    no_target: bool = typer.Option(
        False, "--no-target", help="All paths are sources; each in turn is left out, to say how well a domain never seen is told."
    ),
    domain_col: str = typer.Option(
        None, "--domain-col", show_default=False, help="Column of one table that names each row's source; TARGET may be one of its values."
    ),
    missing: str = typer.Option(
        None, "--missing", show_default=False,
        help="Missing values of tables: mean (of the source's rows) or drop (columns that have any) [they are refused].",
    ),
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
    text_col: str = TextCol,
    task: str = typer.Option("auto", "--task", help="auto, classification or regression."),
    backbone: str = typer.Option(
        None, "--backbone", help="Source that reads images or texts [bundled/objects, bundled/minilm].", show_default=False
    ),
    epochs: int = typer.Option(None, "--epochs", help="Of deep methods [enough for about 800 updates, 10 to 100].", show_default=False),
    lr: float = typer.Option(
        None, "--lr", help="Peak learning rate of deep methods [1e-3; 5e-4 for a whole network, what is new 10 times that].",
        show_default=False,
    ),
    batch_size: int = typer.Option(
        None, "--batch-size", help="Labelled inputs an update of deep methods, as many of the target beside them [32].",
        show_default=False,
    ),
    open_set: float = typer.Option(
        None, "--open-set", show_default=False,
        help="The target has classes that the source lacks: what is less sure than this share of held-out source rows is unknown.",
    ),
    out: Path = typer.Option(None, "--out", "-o", help="Run folder [runs/adapt-TARGET, numbered].", show_default=False),
    force: bool = typer.Option(False, "--force", help="Overwrite the run folder."),
    device: str = Device,
    seed: int = Seed,
    json: bool = Json,
    quiet: bool = Quiet,
    **options: Any,
) -> None:  # fmt: skip
    from headstart.verbs.adapt import adapt as work

    if len(paths) < (2 if not no_target and domain_col is None else 1):
        raise RecipeError(
            sentence("a source and a target are needed", got=paths[0], fix="headstart adapt SOURCE TARGET")
        )
    if domain_col is not None and len(paths) == 1 and not no_target:
        raise RecipeError(
            sentence(
                "the target is missing", got=paths[0], fix=f"a value of {domain_col!r} after the table, or --no-target"
            )
        )
    sources, target = (paths, None) if no_target else (paths[:-1], paths[-1])
    run = work(
        sources if len(sources) > 1 else sources[0], target, domain_col=domain_col, missing=missing, method=method, select=select, target_labels=target_labels, classifier=classifier, label=label, text_col=text_col, task=task,
        backbone=backbone, **given(options), epochs=epochs, lr=lr, batch_size=batch_size, open_set=open_set, out=out, force=force, seed=seed, device=device, progress=progress(quiet or json),
    )  # fmt: skip
    m = run.metrics
    if json:
        emit({"run": str(run.path), **m})
        return
    from rich.text import Text

    shown = console()
    prose(shown, m["why"], style={"helped": "bold green", "hurt": "bold red"}.get(m["level"], "bold"))
    if m["target"]:
        first = "left out" if no_target else "adapted"
        rows = [(first, m["target"]), *m["baselines"].items()]
        width = max(12, *(len(name) for name, _ in rows))
        for name, scores in rows:
            shown.print(Text(f"{name.replace('_', ' '):>{width}}  {m['metric']} {score(scores[m['metric']])}"))
    shown.print(Text(f"method: {m['method']}"))
    for row in m.get("sources", ()):
        said = [
            f"{term}: {value:.3f}"
            for term, found in row["terms"].items()
            if (value := found.get("sources")) is not None
        ]
        left = [f"{m['metric']} left out {score(row['left_out'])}"] if "left_out" in row else []
        if said or left:
            shown.print(Text(f"source {row['name']}  {', '.join([*left, *(f'weight by {words}' for words in said)])}"))
    for choice in m["choices"]:
        shown.print(Text(chosen(choice, m["metric"])))
    shown.print(Text(f"report: {run.path / 'report.html'}"))
    shown.print(
        Text(
            f"next: {typed('headstart', 'predict', run.path, target if target and Path(target).exists() else paths[0])}"
        )
    )


def chosen(choice: dict[str, Any], metric: str) -> str:
    """One line: what was chosen, by what, and what that cost."""
    line = f"{choice['what']} {choice['taken']} chosen by {choice['criterion']}, without target labels"
    if choice["cost"] is None:
        return line
    if choice["cost"] == 0:
        return f"{line}; by them no other is better"
    size = f"{choice['cost']:.1%}" if metric == "accuracy" else f"{choice['cost']:.3g}"
    return f"{line}; the best one by them is {size} better"


def add(app: typer.Typer) -> None:
    app.command(cls=Taught, help=taught(HELP + groups()), short_help="Learn on one domain, predict on another.")(
        with_options(adapt, SHARED)
    )
