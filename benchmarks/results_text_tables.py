"""The tables of benchmarks/results_text.py."""

from __future__ import annotations

from typing import Any

import numpy as np

START, END = "<!-- results_text: start -->", "<!-- results_text: end -->"
PEER = "setfit 1.2 (peer)"
Cell = dict[str, Any]

INTRO = """## Texts

Made by `python benchmarks/results_text.py --data ../shared/data --out docs/results.md --peer PEER/bin/python` (PEER: an environment with setfit 1.2). Source
`bundled/minilm`, everything at its defaults, no validation texts, the last epoch counts; at most 600 test texts, none of them among the training texts.
Accuracy, the mean over draws (other training texts, where the set has no test part of its own another split, other first weights). sentiment-3-sites: labels
from two sites, tested on the third, another one each draw; `adapt: ...` reads the third site's other texts without labels, on frozen features. setfit 1.2 has
its defaults with at most 150 updates, and no more than that is said of it. One thread a process. ``runs``: how many are behind a row (three draws a set where
the study is whole); an empty place has not been run yet."""


def interval(a: list[Cell], b: list[Cell]) -> tuple[float, float, float]:
    """Mean difference of accuracy a - b over paired draws, and a 95 % interval by a bootstrap over distinct test texts."""
    value: dict[str, list[float]] = {}
    for one, other in zip(a, b, strict=True):
        for key, x, y in zip(one["keys"], one["right"], other["right"], strict=True):
            value.setdefault(key, []).append(x - y)
    sums, counts = np.array([sum(v) for v in value.values()], float), np.array([len(v) for v in value.values()])
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(sums), (1000, len(sums)))
    low, high = np.percentile(sums[draws].sum(1) / counts[draws].sum(1), [2.5, 97.5])
    return float(sums.sum() / counts.sum()), float(low), float(high)


def tables(done: list[Cell]) -> str:
    by: dict[tuple[str, str, str], dict[int, Cell]] = {}
    for cell in done:
        if "accuracy" in cell:
            by.setdefault((cell["set"], cell["labels"], cell["method"]), {})[cell["seed"]] = cell
    sets = list(dict.fromkeys(cell["set"] for cell in done))
    methods = list(dict.fromkeys(cell["method"] for cell in done))
    lines = [INTRO, ""]
    for labels in dict.fromkeys(cell["labels"] for cell in done):
        there = [name for name in sets if any((name, labels, m) in by for m in methods)]
        lines += [f"### {labels} labels a class" if labels != "all" else "### All labels", ""]
        lines += ["| method | " + " | ".join(there) + " | s of CPU | runs |", "|---|" + "---:|" * (len(there) + 2)]
        for method in methods:
            cells = [by.get((name, labels, method), {}) for name in there]
            if not any(cells):
                continue
            shown = [f"{np.mean([c['accuracy'] for c in some.values()]):.3f}" if some else "" for some in cells]
            cpu = np.mean([c["cpu"] for some in cells for c in some.values()])
            lines.append(f"| `{method}` | " + " | ".join(shown) + f" | {cpu:.0f} | {sum(map(len, cells))} |")
        lines.append("")
    lines += gains(by, sets, methods)
    lines += against_peer(by, sets)
    refused = sorted(
        {f"- `{c['method']}` on {c['set']}, {c['labels']} labels: {c['refused'][:160]}" for c in done if "refused" in c}
    )
    if refused:
        lines += ["### Not done", "", *refused, ""]
    return "\n".join(lines)


def gains(by: dict[tuple[str, str, str], dict[int, Cell]], sets: list[str], methods: list[str]) -> list[str]:
    """What every method gains over the same network from random weights, and over TF-IDF: over all sets and draws where both are there."""
    found: dict[tuple[str, str, str], str] = {}
    for labels in ("5", "10", "50", "all"):
        for rival in ("scratch", "classical"):
            for method in methods:
                pairs = [
                    (by[name, labels, method][seed], by[name, labels, rival][seed])
                    for name in sets
                    for seed in by.get((name, labels, method), {}).keys() & by.get((name, labels, rival), {}).keys()
                ]
                if pairs and method != rival:
                    value, low, high = interval([a for a, _ in pairs], [b for _, b in pairs])
                    found[method, labels, rival] = f"{value:+.3f} [{low:+.3f}, {high:+.3f}] ({len(pairs)})"
    lines = ["### Gain over scratch, and over TF-IDF with logistic regression", ""]
    lines += [
        "Difference of accuracy over all sets and draws, with a 95 % interval over the test texts, and the number of pairs of runs.",
        "",
    ]
    for rival in ("scratch", "classical"):
        rows = [m for m in methods if any((m, labels, rival) in found for labels in ("5", "10", "50", "all"))]
        lines += [f"| over `{rival}` | 5 | 10 | 50 | all |", "|---|---:|---:|---:|---:|"]
        lines += [
            f"| `{m}` | " + " | ".join(found.get((m, n, rival), "") for n in ("5", "10", "50", "all")) + " |"
            for m in rows
        ]
        lines.append("")
    return lines


def against_peer(by: dict[tuple[str, str, str], dict[int, Cell]], sets: list[str]) -> list[str]:
    """Our contrastive tuning and the peer's, side by side: accuracy and time."""
    rows = []
    for name in sets:
        for labels in ("5", "10", "50"):
            ours, theirs = by.get((name, labels, "setfit"), {}), by.get((name, labels, PEER), {})
            seeds = sorted(ours.keys() & theirs.keys())
            if not seeds:
                continue
            a, b = [ours[s] for s in seeds], [theirs[s] for s in seeds]
            value, low, high = interval(a, b)
            time = np.mean([c["cpu"] for c in a]) / np.mean([c["cpu"] for c in b])
            rows.append(f"| {name} | {labels} | {len(seeds)} | {value:+.3f} [{low:+.3f}, {high:+.3f}] | {time:.2f} |")
    if not rows:
        return []
    head = [
        "| set | labels a class | draws | accuracy, ours - setfit 1.2 [95 %] | CPU time, ours / setfit 1.2 |",
        "|---|---:|---:|---:|---:|",
    ]
    return ["### Beside setfit 1.2", "", *head, *rows, ""]
