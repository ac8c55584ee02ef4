"""The report of an adaptation: one self-contained page, from the files of the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from headstart.evaluation.adaptation import DISTANCES
from headstart.evaluation.charts import MARKERS, Dot, curves, dots, scatter
from headstart.evaluation.fonts import embedded_font
from headstart.evaluation.term_words import first_and_last, told
from headstart.folder import read_json, write_text

HEADLINES = {
    "helped": "The adaptation helped",
    "hurt": "The adaptation hurt",
    "no_evidence": "No evidence that the adaptation helped",
    "not_measured": "Not measured",
}
NAMES = {
    "adapted": "adapted",
    "source_only": "source only",
    "source_and_labels": "source and the labels, not adapted",
    "same_network": "the same network without the target",
    "target_only": "target only (its own labels, cross-validated)",
}
OF_TASK = "the task's loss on the source"
ALONE = "sure of each row, and of all classes alike"
"""What stands in its place without data of the source (information maximisation)."""
NO_LOSS = ("epoch", "step", "lr", "images_per_second", "seconds")
SIGNS = ("●", "■", "▲", "◆", "×", "+")


def write_adaptation_report(run: Path, *, name: str) -> Path:
    """Write ``report.html`` into a run folder of `adapt` from metrics.json, adaptation.json and recipe.yaml.

    Raises:
        RunError: one of them is missing.
    """
    m, extras = read_json(run / "metrics.json"), read_json(run / "adaptation.json")
    recipe = (run / "recipe.yaml").read_text(encoding="utf-8")
    env = Environment(
        loader=PackageLoader("headstart.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "cell": _cell,
        "p_value": _p,
        "count": lambda n: f"{n:,}",
        "share": lambda v: "" if v is None else f"{v:.1%}",
    }
    page = env.get_template("adaptation.html.j2").render(
        m=m, x=extras, name=name, recipe=recipe, options=yaml.safe_load(recipe), headline=HEADLINES[m["level"]],
        scores=_scores(m), gains=_gains(m), blind=_blind(m), chart=_chart(m), distances=_distances(extras["distances"]), maps=_maps(extras), signs=_signs(extras),
        choices=[_choice(choice) for choice in extras.get("choices", ())], curves=_curves(extras.get("history", ()), alone=not m["n"]["source"]),
        terms=told(extras.get("terms", {}), [row["name"] for row in m.get("sources", ())]),
        parts=[[_title(name, alone=not m["n"]["source"]), *cells] for name, *cells in first_and_last(extras.get("history", ()), _losses(extras.get("history", ())))],
        total_seconds=sum(m["seconds"].values()), env=read_json(run / "env.json"),
    )  # fmt: skip
    font = embedded_font(page)
    if font:
        page = page.replace("/*FONT*/", f'@font-face{{font-family:"Headstart CJK";src:url({font}) format("woff")}}')
    write_text(run / "report.html", page)
    return run / "report.html"


def _cell(cell: dict[str, Any] | None, share: bool) -> str:
    """``91.2 % [88.0, 94.1]``, or a plain number with its interval."""
    if cell is None:
        return ""
    low, high = cell["ci95"] or (0.0, 0.0)
    bare = not cell["ci95"]
    if share:
        return f"{cell['value']:.1%}" + ("" if bare else f" [{low * 100:.1f}, {high * 100:.1f}]")
    return f"{cell['value']:.3f}" + ("" if bare else f" [{low:.3f}, {high:.3f}]")


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def _scores(m: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a model: its name and its scores."""
    if not m["target"]:
        return []
    rows = [("adapted", m["target"]), *m["baselines"].items()]
    return [{"name": NAMES[key], "key": key, "scores": scores} for key, scores in rows]


def _gains(m: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a baseline that the adapted model was compared with, the one of the verdict first."""
    first, told = m.get("judged_against", "source_only"), m.get("baselines_are", {})
    found = m.get("gains") or {}
    return [{"over": told.get(key, NAMES[key]), "verdict": key == first, **found[key]} for key in sorted(found, key=lambda k: k != first)]  # fmt: skip


def _blind(m: dict[str, Any]) -> str:
    """Where labels of the target were given: which baselines had them."""
    k = m["n"].get("labelled", 0)
    if not k or not m["target"]:
        return ""
    if m.get("judged_against") == "source_and_labels":
        return (
            f"The adapted model was given {k:,} labels of the target, source only was not: its gain over source only is of labels and adaptation together. "
            "The verdict is therefore against the same learner with the same labels."
        )
    return (
        f"The adapted model was given {k:,} labels of the target, source only was not: the gain is of labels and adaptation together, and the verdict "
        "cannot tell them apart. (For a whole network the same training without adaptation is not made for its time; a bare term such as dann has it.)"
    )


def _chart(m: dict[str, Any]) -> Any:
    if not m["target"] or m["task"] == "regression":
        return None
    rows = _scores(m)
    found = []
    for row in rows:
        cell = row["scores"][m["metric"]]
        kind = "model" if row["key"] == "adapted" else "other"
        found.append(Dot(row["name"], cell["value"], cell["ci95"][0], cell["ci95"][1], kind))
    return dots(found, label="Accuracy on the target")


def _distances(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a distance: what it is, before, after; none without data of the source."""
    if not found:
        return []
    after = found.get("after", {})
    return [
        {"name": DISTANCES[key][0], "says": DISTANCES[key][1], "before": cell, "after": after.get(key)}
        for key, cell in found["before"].items()
    ]


def _choice(choice: dict[str, Any]) -> dict[str, Any]:
    """How one thing was chosen; of epochs also the criterion, and what each was worth, over them."""
    picture: Any = None
    scores = [(float(n), float(s)) for n, s in zip(choice["names"], choice["scores"], strict=True) if s is not None] if choice["what"] == "epoch" else []  # fmt: skip
    if len(scores) > 1:
        picture = curves({"model": scores}, label=f"{choice['criterion']} after each epoch", x_label="epoch")
    worth: Any = None
    if picture is not None and choice.get("worth"):
        points = [(float(n), float(w)) for n, w in zip(choice["names"], choice["worth"], strict=True) if w is not None]
        worth = curves(
            {"other": points}, label=f"{choice['measure']} on the target, looked at afterwards", x_label="epoch"
        )
    return {**choice, "of": len(choice["names"]), "picture": picture, "worth_picture": worth}


def _curves(history: Sequence[dict[str, Any]], *, alone: bool) -> list[dict[str, Any]]:
    """One picture a loss: the task's (of the target ``alone``: what stands in its place), and that of each term."""
    if len(history) < 2:
        return []
    out = []
    for name in _losses(history):
        line = [(row["epoch"], row[name]) for row in history if row.get(name) is not None]
        if len(line) > 1:
            title = _title(name, alone=alone)
            out.append({"title": title, "picture": curves({"model": line}, label=title, x_label="epoch")})
    return out


def _losses(history: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the parts of the loss; terms that add nothing to it (weights of rows) are none."""
    names = [name for name in (history[0] if history else {}) if name not in NO_LOSS and not name.startswith("valid_")]
    return [name for name in names if any(row.get(name) for row in history)]


def _title(name: str, *, alone: bool) -> str:
    return name if name != "train_loss" else ALONE if alone else OF_TASK


def _maps(extras: dict[str, Any]) -> list[dict[str, Any]]:
    """Before and after, points by domain and class."""
    classes = _shown(extras)
    out = []
    for key, title in (("before", "Before"), ("after", "After")):
        flat = extras["maps"].get(key)
        if flat is None:
            continue
        groups = []
        for i, side in enumerate(("source", "target")):
            labels = extras["classes"][side]
            points = [tuple(p) for p in flat[side]]
            if not classes or labels is None:
                groups.append((side, 0, points))
                continue
            of = [labels[j] for j in flat["rows"][i]]
            groups += [
                (side, k, [p for p, c in zip(points, of, strict=True) if c == name]) for k, name in enumerate(classes)
            ]
        out.append(
            {"title": title, "picture": scatter(groups, label=f"{title} adapting: both domains in two dimensions")}
        )
    return out


def _shown(extras: dict[str, Any]) -> list[str]:
    """Classes that have a marker of their own; none where there are more than markers."""
    known = sorted(set(extras["classes"]["source"] or ()) | set(extras["classes"]["target"] or ()))
    return known if len(known) <= len(MARKERS) else []


def _signs(extras: dict[str, Any]) -> list[tuple[str, str]]:
    return list(zip(SIGNS, _shown(extras), strict=False))
