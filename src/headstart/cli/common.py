"""Options that mean the same in every verb, and how results are printed."""

from __future__ import annotations

import json
import math
import shlex
import sys
from typing import Any

import typer

Json = typer.Option(False, "--json", help="Print one JSON object on standard output and nothing else there.")
Quiet = typer.Option(False, "--quiet", "-q", help="No progress and no notes.")
Device = typer.Option("auto", "--device", help="auto, cpu, cuda, cuda:1 or mps.")
Seed = typer.Option(0, "--seed", min=0, help="Seed of splits, weights, batches and augmentation.")
TextCol = typer.Option(None, "--text-col", help="Column of a table with the texts (guessed if left out).")
PathCol = typer.Option(None, "--path-col", help="Column of a table with the image path (guessed if left out).")
LabelCol = typer.Option(None, "--label-col", help="Column of a table with the label (guessed if left out).")
Task = typer.Option(
    None,
    "--task",
    help="classification, multilabel, regression, hierarchical, ordinal, embedding, token_classification or question_answering [auto].",
    show_default=False,
)
LabelDelimiter = typer.Option(
    None, "--label-delimiter", help="What separates several labels in one cell of a table.", show_default=False
)
Order = typer.Option(
    None, "--order", help="Names of the ranks from low to high, with commas (ordinal) [by number].", show_default=False
)
SplitCol = typer.Option(None, "--split-col", help="Column of a table with train/valid/test.")
Group = typer.Option(
    None,
    "--group",
    help="What must stay in one split: a column, a pattern on the file name such as '(patient\\d+)', or auto.",
)

Coverage = typer.Option(
    None,
    "--coverage",
    help="Also give a set of classes that holds the true one for this share of images, such as 0.9.",
    show_default=False,
)
Sets = typer.Option(
    "lac", "--sets", help="Kind of those sets: lac (smallest on average), aps (larger for harder images)."
)
AbstainBelow = typer.Option(
    None, "--abstain-below", help="Say nothing where the confidence is lower, such as 0.7.", show_default=False
)
Tta = typer.Option(1, "--tta", help="Mean over this many views of each image: mirrored and cropped, 1 to 10.")
Adapt = typer.Option(
    None,
    "--adapt",
    help="Adapt a copy of the model to these images: bn (batch-norm statistics) or tent; bn(prior=16), tent(lr=0.001).",
    show_default=False,
)
Beams = typer.Option(
    None, "--beams", min=1, help="Texts kept while one is written (translation, summarization) [the run's].", show_default=False
)  # fmt: skip
Head = typer.Option(None, "--head", help="For a run of several tasks: which of them [its target].", show_default=False)


def taught(text: str) -> str:
    """Help text whose examples keep their lines: a paragraph of commands is marked for click not to be wrapped."""
    return "\n\n".join("\b\n" + p if "  " in p or p.startswith("headstart ") else p for p in text.strip().split("\n\n"))


def progress(quiet: bool) -> Any:
    """The progress display of this terminal, or a silent one."""
    from headstart.cli.progress import Terminal
    from headstart.progress import SILENT

    return SILENT if quiet else Terminal()


def emit(value: Any) -> None:
    """Print one JSON object on standard output. What JSON has no number for (an undefined score) is ``null``."""
    print(json.dumps(_plain(value), ensure_ascii=False, indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        value = value.tolist()
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def console() -> Any:
    """rich's console on standard output. Lines are never broken or read as markup: a path is copied as it was written."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 1000
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)


def typed(*words: object) -> str:
    """A command to copy: words that a shell would split or expand are quoted."""
    return shlex.join(map(str, words))


def prose(out: Any, text: str, style: str = "") -> None:
    """Print a sentence, broken between words where the terminal ends."""
    from rich.text import Text

    out.print(Text(text, style=style), soft_wrap=False)


def score(cell: dict[str, Any]) -> str:
    """``0.912 [0.880, 0.941]``."""
    low, high = cell["ci95"]
    return f"{cell['value']:.3f} [{low:.3f}, {high:.3f}]"
