"""What the gains of the study come to, in sentences made from the cells: nothing in them is written by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from adaptation_cells import LABELLED, SHORT, Cell, Cells, adapting, pairs_of
from adaptation_gain import verdict

Gain = dict[str, Any]


def findings(cells: Cells, done: list[Cell]) -> list[str]:
    """A list of statements, over all pairs in which something can be compared with ``source_only``."""
    pairs = [key for key in pairs_of(done) if cells.scored((*key, "source_only"))]
    if not pairs:
        return []
    free = by_method(cells, pairs, "target", "source_only")
    few = by_method(cells, pairs, "target_labels", "source_only")
    lines = ["### What the figures say", "", *oracle(free, pairs)]
    lines += about(free, "target labels: none")
    steep = [gain["value"] for (_, task), gain in free.get("sinkhorn", {}).items() if task == "regression"]
    if steep and min(steep) < -1:
        lines.append(
            f"- `sinkhorn` at its default `reg` is not for regression (worst {min(steep):+.1f} R2): a source row becomes a mean "
            "of many target rows, the moved source is far narrower than the target, and slopes learned on it are too steep."
        )
    lines += choosing(cells, done, pairs)
    lines += about(few, "target labels: a few")
    for rival, what in (("pooled_few", "adding the labelled rows to the source"), ("target_few", "those rows alone")):
        gains = [gain for found in by_method(cells, pairs, "target_labels", rival).values() for gain in found.values()]
        if gains:
            count = Counter(map(verdict, gains))
            lines.append(
                f"- Of {len(gains)} gains with a few target labels over `{rival}` ({what}), {count['helped']} helped and "
                f"{count['hurt']} hurt."
            )
    for reference in ("target_only", *LABELLED):
        gains = [gain for key in pairs if (gain := cells.gain((*key, reference), "source_only")) is not None]
        count = Counter(map(verdict, gains))
        lines.append(
            f"- `{reference}` over `source_only`: better in {count['helped']} of {len(gains)} pairs, worse in {count['hurt']}."
        )
    return [*lines, ""]


def by_method(
    cells: Cells, pairs: list[tuple[str, str]], needs: str, rival: str
) -> dict[str, dict[tuple[str, str], Gain]]:
    """Of each method its gain over ``rival`` in each pair."""
    found: dict[str, dict[tuple[str, str], Gain]] = {}
    for key in pairs:
        for method in adapting(cells, *key, needs):
            gain = cells.gain((*key, method), rival)
            if gain is not None:
                found.setdefault(method, {})[key] = gain
    return found


def oracle(free: dict[str, dict[tuple[str, str], Gain]], pairs: list[tuple[str, str]]) -> list[str]:
    """In how many pairs some method helped, and the share of gains that helped and hurt."""
    helped = {key for gains in free.values() for key, gain in gains.items() if verdict(gain) == "helped"}
    hurt = {key for gains in free.values() for key, gain in gains.items() if verdict(gain) == "hurt"}
    count = Counter(verdict(gain) for gains in free.values() for gain in gains.values())
    return [
        f"- Without target labels: {sum(count.values())} gains over {len(pairs)} pairs; {count['helped']} helped, {count['hurt']} hurt, "
        f"{count['no evidence']} show no evidence. In {len(helped)} pairs some method helped, in {len(hurt)} some method hurt."
    ]


def about(found: dict[str, dict[tuple[str, str], Gain]], kind: str) -> list[str]:
    """Which methods helped more often than they hurt, and which hurt more often."""
    tally = {m: Counter(map(verdict, gains.values())) for m, gains in found.items()}

    def named(sign: int) -> str:
        chosen = [m for m, c in tally.items() if sign * (c["helped"] - c["hurt"]) > 0]
        chosen.sort(key=lambda m: sign * (tally[m]["hurt"] - tally[m]["helped"]))
        return ", ".join(f"{m} ({tally[m]['helped']}:{tally[m]['hurt']})" for m in chosen) or "none"

    never = [m for m, c in tally.items() if not c["hurt"]]
    if not tally:
        return []
    return [
        f"- Pairs helped : hurt ({kind}). More helped: {named(1)}. More hurt: {named(-1)}. Hurt nowhere: {', '.join(never) or 'none'}."
    ]


def choosing(cells: Cells, done: list[Cell], pairs: list[tuple[str, str]]) -> list[str]:
    """The search by criterion: helped, hurt, and its mean gain in accuracy and in R2."""
    parts = []
    for name in dict.fromkeys(cell["method"] for cell in done if cell["method"].startswith("auto")):
        gains = {key: gain for key in pairs if (gain := cells.gain((*key, name), "source_only")) is not None}
        if gains:
            count = Counter(map(verdict, gains.values()))
            mean = "".join(
                f", mean {np.mean([gain['value'] for (_, t), gain in gains.items() if t == task]):+.3f} {short}"
                for task, short in SHORT.items()
                if any(t == task for _, t in gains)
            )
            parts.append(f"`{name}` {count['helped']}:{count['hurt']} of {len(gains)}{mean}")
    return [f"- Choosing a method without target labels, pairs helped : hurt: {'; '.join(parts)}."] if parts else []
