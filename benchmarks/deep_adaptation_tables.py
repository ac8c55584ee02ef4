"""The text of docs/results.md on deep adaptation, from the cells of benchmarks/results_deep_adaptation.py alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from adaptation_cells import Cell, Cells, said
from adaptation_gain import verdict

START, END = "<!-- results_deep_adaptation: start -->", "<!-- results_deep_adaptation: end -->"
TASK = "classification"
REAL = 0.05
"""A gap between source_only and target_only below this is too small to recover a share of."""
ASKED = {"dann": "DANN", "cdan": "CDAN", "cdan_e": "CDAN+E", "dan": "DAN", "jan": "JAN", "mcd": "MCD"}
TITLES = {
    "closed": "Closed set: the same classes, no target labels",
    "few": "A few target labels",
    "several": "Several sources",
    "partial": "Partial: the target has fewer classes",
    "open": "Open set: the target has unknown classes",
    "whole": "The whole network, at small size",
}
FEW = ("few_only", "mme")
PREFACE = """Made by `python benchmarks/results_deep_adaptation.py --data ../shared/data --out docs/results.md` (on several cores with
`--share`). A draw (seed) takes at most {rows} rows a domain, halves the target and adapts to the training half **without its
labels**; accuracy is that on the test half, {draws}. All methods train
the same network, `DeepAdapter` with its defaults (a bottleneck of 256 units on frozen features, 800 updates of 32 + 32 rows), all
weights of terms are the defaults (those of `dan`, `jan`, `swd`, `cmd`, `deepcoral` and `alignment` were chosen with an eye on one draw of the two pairs of
digits, nothing else was tuned on these sets), and **the last epoch counts** for all.

The gain is over `source_only`, paired on the same test rows, with a 95 % bootstrap interval over what is independent (a picture, a distinct
sentence, a user), all draws of it together; it covers the choice of test rows. A method **helped** or **hurt** where the interval leaves
out 0 and a permutation test says p < 0.05, and by 0.002 at least. In brackets the share of the way from `source_only` to `target_only` (all labels of the
target's training half, without the source). `joint_norms` is the source alone with the target's rows in its batch norms: what a
method gains over it is its own doing. With so many comparisons about one in twenty would look like evidence by chance."""


def tables(done: list[Cell]) -> str:
    """The whole section."""
    if not done:
        return "No cell yet."
    cells = Cells([{**cell, "task": TASK} for cell in done])
    rows = max(max(cell["n_source"], cell["n_train"] + cell["n_test"]) for cell in done if cell["kind"] != "several")
    lines = [
        "## Deep adaptation on real pairs",
        "",
        PREFACE.format(rows=rows, draws=draws_of({c["seed"] for c in done})),
        "",
    ]
    if not any(cell["method"] == "auto" for cell in done):
        lines += ["`auto` has not been run here yet.", ""]
    lines += findings(cells, done) + by_method(cells, done)
    for kind in TITLES:
        lines += one_kind(cells, [c for c in done if (c["kind"] if c["method"] not in FEW else "few") == kind], kind)
    cpu = sum(cell["cpu"] for cell in done) / 60
    return "\n".join([*lines, f"{len(done)} cells, {cpu:.0f} minutes of one core."])


def draws_of(seeds: set[int]) -> str:
    """How many draws there are, in words; three are wanted."""
    if len(seeds) == 1:
        return "of **one draw** so far, of the three that the command makes"
    some = "" if len(seeds) >= 3 else " so far"
    return f"the mean over {len(seeds)} draws{some}, each with other halves and other first weights"


def pairs_of(done: list[Cell]) -> list[str]:
    return list(dict.fromkeys(cell["pair"] for cell in done))


def gain_of(cells: Cells, pair: str, method: str, rival: str = "source_only") -> dict[str, Any] | None:
    return cells.gain((pair, TASK, method), rival)


def share(cells: Cells, pair: str, method: str) -> float | None:
    """Of the way from source_only to target_only, in the draws that all three have; ``None`` where the way is short."""
    gain, way = gain_of(cells, pair, method), gain_of(cells, pair, "target_only")
    return None if gain is None or way is None or way["value"] < REAL else gain["value"] / way["value"]


def findings(cells: Cells, done: list[Cell]) -> list[str]:
    lines = ["### What the figures say", ""]
    pairs = [
        p for p in pairs_of(done) if next(c["kind"] for c in done if c["pair"] == p) in ("closed", "several", "whole")
    ]
    for method, name in ASKED.items():
        found = {p: share(cells, p, method) for p in pairs}
        real = {
            p: s for p, s in found.items() if s is not None and verdict(gain_of(cells, p, method) or {}) == "helped"
        }
        if real:
            best = max(real, key=lambda p: real[p] or 0)
            lines.append(
                f"- {name} recovers {real[best]:.0%} of the way to target-only on {best} ({said(gain_of(cells, best, method) or {})}); "
                f"it helped on {len(real)} of {sum(s is not None for s in found.values())} pairs."
            )
        elif any(s is not None for s in found.values()):
            lines.append(f"- {name} helped on no pair.")
    lines += about_auto(cells, pairs)
    free = [m for m in methods_of(done, pairs) if m not in ("source_only", "target_only", *FEW)]
    never = [m for m in free if not any(verdict(g) == "hurt" for p in pairs if (g := gain_of(cells, p, m)))]
    lines.append(f"- Hurt on no closed pair and with no several sources: {', '.join(never) or 'none'}.")
    return [*lines, ""]


def about_auto(cells: Cells, pairs: list[str]) -> list[str]:
    lines = []
    for rival, what in (
        ("source_only", "the same network from the source alone"),
        ("logistic", "what it falls back on"),
    ):
        worst, draws = [], []
        for pair in pairs:
            gain = gain_of(cells, pair, "auto", rival)
            if gain:
                error = (gain["ci95"][1] - gain["ci95"][0]) / 3.92
                worst.append((gain["value"] / max(error, 1e-9), pair, gain))
                draws += in_draws(cells, pair, rival)
        if worst:
            low, pair, gain = min(worst, key=lambda found: found[0])
            lines.append(
                f"- `auto` against `{rival}`, {what}, worst of {len(worst)} pairs: {said(gain)} on {pair}, {low:+.1f} standard errors; "
                f"worst of {len(draws)} single draws: {min(draws):+.1f}."
            )
    chosen = Counter(
        str(cell["told"].get("chosen")) for p in pairs for cell in cells.scored((p, TASK, "auto")).values()
    )
    return [*lines, f"- `auto` chose {', '.join(f'{m} ({n})' for m, n in chosen.most_common())}."] if lines else []


def in_draws(cells: Cells, pair: str, rival: str) -> list[float]:
    """The gain of `auto` over ``rival`` in each draw, in standard errors of the paired difference."""
    auto, other = cells.scored((pair, TASK, "auto")), cells.scored((pair, TASK, rival))
    found = []
    for seed in sorted(auto.keys() & other.keys()):
        difference = np.array(auto[seed]["shares"]) - np.array(other[seed]["shares"])
        error = difference.std(ddof=1) * len(difference) ** 0.5
        found.append(float(difference.sum() / error) if error else 0.0)
    return found


def methods_of(done: list[Cell], pairs: list[str]) -> list[str]:
    return list(dict.fromkeys(cell["method"] for cell in done if cell["pair"] in pairs))


def by_method(cells: Cells, done: list[Cell]) -> list[str]:
    """In how many pairs without target labels each method helped and hurt."""
    pairs = [p for p in pairs_of(done) if next(c["kind"] for c in done if c["pair"] == p) in ("closed", "several")]
    lines = ["### A row a method, closed pairs and several sources", ""]
    lines += [
        "| method | pairs | helped | hurt | no evidence | mean gain | over `joint_norms` | largest share of the way (pair) | s of CPU |"
    ]
    lines += ["|---|---:|---:|---:|---:|---:|---:|---|---:|"]
    for method in methods_of(done, pairs):
        if method in ("source_only", *FEW):
            continue
        gains = {p: g for p in pairs if (g := gain_of(cells, p, method)) is not None}
        if not gains:
            continue
        count = Counter(verdict(gain) for gain in gains.values())
        over = [g["value"] for p in pairs if (g := gain_of(cells, p, method, "joint_norms")) is not None]
        shares = {p: s for p in gains if (s := share(cells, p, method)) is not None}
        best = max(shares, key=lambda p: shares[p], default="")
        cpu = np.median([c["cpu"] for c in done if c["method"] == method and "score" in c])
        lines.append(
            f"| `{method}` | {len(gains)} | {count['helped']} | {count['hurt']} | {count['no evidence']} "
            f"| {np.mean([g['value'] for g in gains.values()]):+.3f} | {f'{np.mean(over):+.3f}' if over else ''} "
            f"| {f'{shares[best]:.0%} ({best})' if best else ''} | {cpu:.1f} |"
        )
    return [*lines, ""]


def one_kind(cells: Cells, done: list[Cell], kind: str) -> list[str]:
    pairs = pairs_of(done)
    if not pairs:
        return []
    lines = [f"### {TITLES[kind]}", ""]
    if kind == "open":
        lines += [
            "The score is the mean of the accuracy on rows of known classes and of that on unknown ones (both stand in brackets).",
            "",
        ]
    if kind == "few":
        lines += ["Three labels a class of the target are given to both.", ""]
    for note in dict.fromkeys(cell["note"] for cell in done):
        names = dict.fromkeys(c["pair"] for c in done if c["note"] == note)
        sizes = next(c for c in done if c["note"] == note)
        lines.append(
            f"- {', '.join(names)}: {note}; rows of the source / of the target to adapt to / to test "
            f"{sizes['n_source']} / {sizes['n_train']} / {sizes['n_test']}."
        )
    lines += ["", "| method | " + " | ".join(pairs) + " |", "|---" * (len(pairs) + 1) + "|"]
    for method in methods_of(done, pairs):
        lines.append(f"| `{method}` | " + " | ".join(text(cells, p, method, kind) for p in pairs) + " |")
    lines += ["", *told(done), *refusals(done)]
    return [*lines, ""] if lines[-1] else lines


def text(cells: Cells, pair: str, method: str, kind: str) -> str:
    key = (pair, TASK, method)
    if not cells.scored(key):
        return "refused" if key in cells.by else ""
    parts = [f"{cells.mean(key):.3f}"]
    if kind == "open":
        both = np.mean([c["known_unknown"] for c in cells.scored(key).values()], axis=0)
        parts[0] += f" ({both[0]:.2f}, {both[1]:.2f})"
    gain = None if method == "source_only" else gain_of(cells, pair, method)
    if gain is not None:
        part = share(cells, pair, method)
        parts.append(said(gain) + (f" ({part:.0%})" if part is not None and method != "target_only" else ""))
    return "; ".join(parts)


def told(done: list[Cell]) -> list[str]:
    """Weights of sources, in the first draw."""
    lines = []
    for cell in done:
        if cell["kind"] == "several" and cell["seed"] == 0 and cell.get("told"):
            lines += [f"- `{cell['method']}` on {cell['pair']}, first draw: {cell['told']}."]
    return [*lines, ""] if lines else []


def refusals(done: list[Cell]) -> list[str]:
    """Why cells have no score, each reason once."""
    why: dict[str, set[str]] = {}
    for cell in done:
        if "refused" in cell:
            why.setdefault(cell["refused"].splitlines()[0][:200], set()).add(cell["method"])
    return [f"Refused, {', '.join(sorted(names))}: {reason}" for reason, names in why.items()]
