"""The text of docs/results.md on adapters, from the cells of benchmarks/results_adaptation.py."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from adaptation_cells import LABELLED, SHORT, Cell, Cells, Key, adapting, labels_of, pairs_of, rival_of, said
from adaptation_findings import findings
from adaptation_gain import verdict

START, END = "<!-- results_adaptation: start -->", "<!-- results_adaptation: end -->"
TITLES = {
    "wine": "Wine quality, red and white",
    "students": "Student performance, mathematics and Portuguese",
    "activity": "WISDM activity across users",
    "air": "Beijing air quality across sites",
    "bikes": "Bike sharing, 2011 and 2012",
    "newsgroups": "20 newsgroups, a pair of domains",
    "sentiment": "Sentences of three sites",
    "credit": "German and Australian credit, other columns",
}
PREFACE = """Made by `python benchmarks/results_adaptation.py --data ../shared/data --out docs/results.md`. A draw (seed) takes at most
{rows} rows a domain, halves the target and adapts to the training half **without its labels**; scores are on the test half:
accuracy, or R2 for a regression, the mean over {draws} draws. Every method learns with the same estimator with its default
settings (`LogisticRegression`, `Ridge`), has its own default parameters, and sees columns scaled by a `StandardScaler` fitted on
the source (texts: rows of length 1). Nothing was tuned on these sets.

`source_only` adapts nothing. The gain is over it, paired on the same test rows, with a 95 % bootstrap interval over 2,000
resamples of what is independent (a user, a day, a person, a distinct row), all draws of it together; it covers the choice
of test rows, not that of training rows. A method **helped** or **hurt** where the interval leaves out 0 and a permutation test
says p < 0.05, and by 0.002 at least; else there is no evidence. With so many comparisons about one in twenty would look like evidence by chance.
`target_only` (all labels of the target's training half), `target_few` (10 of them a class, or 30 rows) and `pooled_few` (these
and the source) are references. Where the columns differ (credit) the gain is over `target_few`. `auto` is
`AdaptationSearchCV` with its default candidates and criterion, `auto:dev` and the like the same with another criterion. The default
criterion (reverse validation) was picked on an earlier run over these same pairs, so its row here flatters it a little.
The best method of the summary is chosen by the target's test labels, which nobody has: an oracle, and too good by selection."""


def tables(done: list[Cell]) -> str:
    """The whole section."""
    cells = Cells(done)
    draws = len({cell["seed"] for cell in done})
    rows = max(max(cell["n_source"], cell["n_train"] + cell["n_test"]) for cell in done)
    lines = ["## Adapters on real tables", "", PREFACE.format(rows=rows, draws=draws), ""]
    lines += findings(cells, done) + summary(cells, done) + by_method(cells, done)
    for name in dict.fromkeys(cell["set"] for cell in done):
        lines += one_set(cells, [cell for cell in done if cell["set"] == name])
    minutes = sum(cell["seconds"] for cell in done) / 60
    lines += ["", f"{len(done)} cells, {minutes:.0f} minutes, one thread."]
    return "\n".join(lines)


def summary(cells: Cells, done: list[Cell]) -> list[str]:
    lines = ["### Summary, no target labels", ""]
    lines += [
        "| pair | measure | source_only | best method (oracle) | `auto` chose | its gain | verdict on `auto` | hurt |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for pair, task in pairs_of(done):
        if rival_of(cells, pair, task) != "source_only" or not cells.scored((pair, task, "source_only")):
            continue
        found = {m: cells.gain((pair, task, m), "source_only") for m in adapting(cells, pair, task, "target")}
        gains = {m: g for m, g in found.items() if g is not None}
        best = max(gains, key=lambda m: gains[m]["value"], default="")
        auto = cells.gain((pair, task, "auto"), "source_only")
        chosen = Counter(cell["chosen"] for cell in cells.scored((pair, task, "auto")).values())
        hurt = sorted((m for m in gains if verdict(gains[m]) == "hurt"), key=lambda m: gains[m]["value"])
        lines.append(
            f"| {pair} | {SHORT[task]} | {cells.mean((pair, task, 'source_only')):.3f} "
            f"| {f'{best} {said(gains[best])}' if best else ''} "
            f"| {', '.join(f'{m} ({n})' for m, n in chosen.most_common())} | {said(auto) if auto else 'not run'} "
            f"| {verdict(auto) if auto else ''} | {len(hurt)} of {len(gains)}: {', '.join(hurt)} |"
        )
    return [*lines, ""]


def by_method(cells: Cells, done: list[Cell]) -> list[str]:
    """In how many pairs each method helped and hurt."""
    lines = ["### Over all pairs, a row a method", ""]
    lines += [
        "| method | target labels | pairs | helped | hurt | no evidence | mean gain, accuracy | mean gain, R2 (worst) |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for method in dict.fromkeys(cell["method"] for cell in done if "score" in cell):
        if method == "source_only":
            continue
        found: dict[str, list[dict[str, Any]]] = {"classification": [], "regression": []}
        for pair, task in pairs_of(done):
            gain = cells.gain((pair, task, method), "source_only")
            if gain is not None:
                found[task].append(gain)
        every = [gain for gains in found.values() for gain in gains]
        if not every:
            continue
        count = Counter(verdict(gain) for gain in every)
        values = {task: [gain["value"] for gain in gains] for task, gains in found.items()}
        accuracy, r2 = values["classification"], values["regression"]
        lines.append(
            f"| {method} | {labels_of(method, done)} | {len(every)} | {count['helped']} | {count['hurt']} "
            f"| {count['no evidence']} | {f'{np.mean(accuracy):+.3f}' if accuracy else ''} "
            f"| {f'{np.mean(r2):+.3f} ({min(r2):+.3f})' if r2 else ''} |"
        )
    return [*lines, ""]


def one_set(cells: Cells, done: list[Cell]) -> list[str]:
    """The tables of one set: methods without target labels, then those with a few, and what they come to."""
    pairs = pairs_of(done)
    lines = [f"### {TITLES[done[0]['set']]}", ""]
    for note in dict.fromkeys(cell["note"] for cell in done):
        lines.append(f"- {note}.")
    sizes: dict[str, list[str]] = {}
    for pair, task in pairs:
        cell = next(c for c in done if (c["pair"], c["task"]) == (pair, task))
        size = f"{cell['n_source']} / {cell['n_train']} / {cell['n_test']} / {cell['n_few']}"
        sizes.setdefault(size, []).append(f"{pair}, {SHORT[task]}")
    lines.append("- Rows of the source / of the target to adapt to / to test / labelled, in the first draw: ")
    lines[-1] += "; ".join(f"{size} ({' · '.join(names)})" for size, names in sizes.items()) + "."
    every = list(dict.fromkeys(cell["method"] for cell in done))
    few = [m for m in every if labels_of(m, done) == "few"]
    for title, methods in (("no target labels", [m for m in every if m not in few]), ("a few target labels", few)):
        if methods:
            lines += ["", f"| {title} | " + " | ".join(f"{pair}, {SHORT[task]}" for pair, task in pairs) + " |"]
            lines += ["|---" * (len(pairs) + 1) + "|"]
            lines += [f"| {m} | " + " | ".join(text(cells, (*key, m)) for key in pairs) + " |" for m in methods]
    return [*lines, "", *concluded(cells, done), *refusals(done), ""]


def text(cells: Cells, key: Key) -> str:
    if not cells.scored(key):
        return "refused" if key in cells.by else ""
    rival = rival_of(cells, key[0], key[1])
    gain = None if key[2] == rival else cells.gain(key, rival)
    return f"{cells.mean(key):.3f}" + (f"; {said(gain)}" if gain else "")


def concluded(cells: Cells, done: list[Cell]) -> list[str]:
    """What the gains of one set come to, in a sentence for each kind of method."""
    lines, rivals = [], sorted({rival_of(cells, pair, task) for pair, task in pairs_of(done)})
    for needs, what in (("target", "Without target labels"), ("target_labels", "With a few target labels")):
        tally: dict[str, list[str]] = {"helped": [], "hurt": [], "no evidence": []}
        beaten = compared = 0
        for pair, task in pairs_of(done):
            for method in adapting(cells, pair, task, needs):
                gain = cells.gain((pair, task, method), rival_of(cells, pair, task))
                if gain is not None:
                    tally[verdict(gain)].append(method)
                for rival in LABELLED[:1] if needs == "target_labels" else ():
                    over = cells.gain((pair, task, method), rival)
                    if over is not None:
                        compared, beaten = compared + 1, beaten + (verdict(over) == "helped")
        total = sum(map(len, tally.values()))
        if total:
            names = {k: ", ".join(f"{m} ({n})" for m, n in Counter(v).most_common()) for k, v in tally.items()}
            lines.append(
                f"{what}, {total} gains over `{'` or `'.join(rivals)}`: helped {len(tally['helped'])}, hurt {len(tally['hurt'])}, no evidence "
                f"{len(tally['no evidence'])}."
                + (f" Helped: {names['helped']}." if names["helped"] else "")
                + (f" Hurt: {names['hurt']}." if names["hurt"] else "")
                + (
                    f" Better than `target_few`, the same labels without the source: {beaten} of {compared}."
                    if compared
                    else ""
                )
            )
            lines.append("")
    return lines


def refusals(done: list[Cell]) -> list[str]:
    """Why cells have no score, each reason once."""
    why: dict[str, set[str]] = {}
    for cell in done:
        if "refused" in cell:
            why.setdefault(cell["refused"].splitlines()[0][:200], set()).add(cell["method"])
    return [f"Refused, {', '.join(sorted(names))}: {reason}" for reason, names in why.items()]
