"""The last lines of `fit`: the verdict, the model beside its baselines, where the report is, what to type next."""

from __future__ import annotations

from headstart.cli.common import console, prose, score, typed
from headstart.run import Run

COLOURS = {
    "helped": "green",
    "hurt": "bold red",
    "no_evidence": "yellow",
    "not_measured": "dim",
    "nothing_transferred": "yellow",
}


def show_run(run: Run) -> None:
    """Print a finished run."""
    from rich.table import Table
    from rich.text import Text

    from headstart.evaluation.gain import beyond_noise

    m, out = run.metrics, console()
    metric = m["metric"]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", metric.replace("_", " "), "gain of the model over it", "p"):
        table.add_column(column)
    table.add_row(
        Text(f"{m['strategy']['name']} from {m['source_model']['name']}", style="bold"),
        score(m["target"][metric]),
        "",
        "",
    )
    for name, scores in m["baselines"].items():
        gain = m["gains"][name]
        style = ("", "green", "red")[beyond_noise(gain)]
        low, high = gain["ci95"]
        table.add_row(
            name,
            score(scores[metric]),
            Text(f"{gain['value']:+.3f} [{low:+.3f}, {high:+.3f}]", style=style),
            f"{gain['p_value']:.2g}",
        )
    out.print()
    out.print(table)
    if m.get("seeds"):
        found = m["seeds"]["target"][metric]
        out.print(f"over {m['seeds']['n']} seeds: {found['mean']:.3f} ± {found['sd']:.3f}")
    if m.get("source"):
        before, after = (m["source"][k]["accuracy"]["value"] for k in ("before", "after"))
        out.print(f"on the source's own data: {before:.3f} before, {after:.3f} after")
        for offer in m["source"].get("offers", []):
            prose(out, f"  to keep more of it: {offer['type']} ({offer['why']})")
    out.print()
    prose(out, m["why"], COLOURS[m["level"]])
    if m["level"] in ("hurt", "no_evidence", "nothing_transferred"):
        for line in m["try"]:
            prose(out, f"  try: {line}")
    out.print(Text(f"report:  {run.path / 'report.html'}"))
    asks = m.get("task") == "question_answering"
    inputs = "QUESTION CONTEXT" if asks else "TEXTS" if m.get("modality") == "text" else "IMAGE_OR_FOLDER"
    out.print(Text(f"use it:  {typed('headstart', 'predict', run.path)} {inputs}"))
