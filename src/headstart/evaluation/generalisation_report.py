"""The report of a training without a target: one self-contained page."""

from __future__ import annotations

from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from headstart.evaluation.adaptation_report import _cell
from headstart.evaluation.fonts import embedded_font
from headstart.folder import read_json, write_text

HEADLINES = {
    "helped": "It generalises better than plain training",
    "hurt": "It generalises worse than plain training",
    "no_evidence": "No evidence that it generalises better",
    "not_measured": "Plain training on the pooled sources",
}


def write_generalisation_report(run: Path, *, name: str) -> Path:
    """Write ``report.html`` into a run folder of `adapt --no-target` from metrics.json and recipe.yaml.

    Raises:
        RunError: one of them is missing.
    """
    m = read_json(run / "metrics.json")
    recipe = (run / "recipe.yaml").read_text(encoding="utf-8")
    env = Environment(
        loader=PackageLoader("headstart.evaluation", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    env.filters |= {"cell": _cell, "count": lambda n: f"{n:,}"}
    page = env.get_template("generalisation.html.j2").render(
        m=m, name=name, recipe=recipe, options=yaml.safe_load(recipe), headline=HEADLINES[m["level"]],
        total_seconds=sum(m["seconds"].values()), env=read_json(run / "env.json"),
    )  # fmt: skip
    font = embedded_font(page)
    if font:
        page = page.replace("/*FONT*/", f'@font-face{{font-family:"Headstart CJK";src:url({font}) format("woff")}}')
    write_text(run / "report.html", page)
    return run / "report.html"
