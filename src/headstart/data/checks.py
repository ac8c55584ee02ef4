"""What is in the data, and what is wrong with it: counts, imbalance, copies, leaks, sizes; each warning says what to do."""

from __future__ import annotations

from typing import Any

from headstart.data.dataset import SEQUENCES, Dataset
from headstart.data.scan import ScanResult
from headstart.data.splits import like_ids
from headstart.data.text_scan import TextScan

FEW = 10
SHOWN = 20
WORDS = {"image": "images", "text": "texts"}
"""What inputs are called, by modality."""


def inspect_dataset(dataset: Dataset, scanned: ScanResult | TextScan) -> dict[str, Any]:
    """Everything that `headstart inspect` shows, as plain values.

    Args:
        dataset: labelled and scanned, with or without splits.
        scanned: facts of its images, in its order or in the order before a split left images out (matched by digest).
    """
    assert dataset.labels is not None and dataset.digests is not None
    shown = dataset.as_classes if dataset.task == "regression" else dataset  # a quantity is counted by its fifths
    counts = {name: int(n) for name, n in zip(shown.classes, shown.counts, strict=True)}
    split_names = [s for s in ("train", "valid", "test") if s in set(dataset.splits)]
    by_split = {
        split: {name: int(n) for name, n in zip(shown.classes, shown.select(split).counts, strict=True)}
        for split in split_names
    }
    positive = [n for n in counts.values() if n]
    # labels, ranks and fifths are not meant to be equally frequent
    imbalance = max(positive) / min(positive) if positive and dataset.task == "classification" else 1.0
    copies = _copies(dataset)
    looks = scanned.near_pairs() if len(scanned) == len(dataset) else []
    exact = {frozenset(pair) for group in copies for pair in _pairs(group)}
    looks = [pair for pair in looks if frozenset(pair) not in exact]
    leaks = [group for group in copies if len({dataset.splits[i] for i in group}) > 1]
    near_leaks = [(i, j) for i, j in looks if dataset.splits[i] != dataset.splits[j]]
    several = dataset.task in SEQUENCES  # a text may be translated in more ways than one
    conflicts = [group for group in copies if not several and len({_label(dataset, i) for i in group}) > 1]
    # pictures that look alike may well be of two classes; texts of nearly the same words hardly, but another name is another span
    near_conflicts = [
        (i, j)
        for i, j in looks
        if dataset.modality == "text"
        and not several
        and not dataset.annotated
        and _label(dataset, i) != _label(dataset, j)
    ]
    crowds = dataset.task not in ("embedding", "regression")  # identities are many and small, fifths are no classes
    few = {name: n for name, n in counts.items() if n < FEW and crowds}
    info: dict[str, Any] = {
        "root": dataset.root,
        "layout": dataset.layout,
        "n": len(dataset),
        "task": dataset.task,
        "classes": list(shown.classes),
        "counts": counts,
        "splits": {split: int((dataset.splits == split).sum()) for split in split_names},
        "counts_by_split": by_split,
        "imbalance": round(imbalance, 2),
        "bad": [list(row) for row in scanned.bad[:200]],
        "n_bad": len(scanned.bad),
        "duplicates": [[_name(dataset, i) for i in group] for group in copies[:SHOWN]],
        "n_duplicates": sum(len(group) - 1 for group in copies),
        "near_duplicates": [[_name(dataset, i) for i in pair] for pair in looks[:SHOWN]],
        "n_near_duplicates": len(looks),
        "leaks": [[_name(dataset, i) for i in group] for group in leaks[:SHOWN]],
        "n_leaks": len(leaks),
        "near_leaks": [[_name(dataset, i) for i in pair] for pair in near_leaks[:SHOWN]],
        "n_near_leaks": len(near_leaks),
        "label_conflicts": [
            [f"{_name(dataset, i)} ({dataset.label_text(i)})" for i in group] for group in conflicts[:SHOWN]
        ],
        "n_label_conflicts": len(conflicts),
        "near_conflicts": [
            [f"{_name(dataset, i)} ({dataset.label_text(i)})" for i in pair] for pair in near_conflicts[:SHOWN]
        ],
        "n_near_conflicts": len(near_conflicts),
        "modality": dataset.modality,
        **scanned.facts(),
        "few": few,
        "groups": None if dataset.groups is None else len(set(dataset.groups)),
        "notes": list(dataset.notes),
    }
    info["warnings"] = [*_warnings(info, few, WORDS[dataset.modality]), *scanned.warnings()]
    return info


def _copies(dataset: Dataset) -> list[list[int]]:
    assert dataset.digests is not None
    where: dict[str, list[int]] = {}
    for i, digest in enumerate(dataset.digests):
        where.setdefault(str(digest), []).append(i)
    return [group for group in where.values() if len(group) > 1]


def _label(dataset: Dataset, index: int) -> Any:
    assert dataset.labels is not None
    return dataset.labels[index] if dataset.annotated else dataset.labels[index].tobytes()


def _pairs(group: list[int]) -> list[tuple[int, int]]:
    return [(a, b) for i, a in enumerate(group) for b in group[i + 1 :]]


def _name(dataset: Dataset, index: int) -> str:
    if dataset.modality == "text":
        return f"{dataset.name(index)} ({shown(dataset.inputs[index])})"
    reference = dataset.inputs[index]
    if not isinstance(reference, str):
        return f"#{index}"
    return reference.removeprefix(dataset.root).lstrip("/\\!") or reference


def shown(text: Any, most: int = 60) -> str:
    """A text, or a pair of them, in a line of at most ``most`` letters."""
    line = " ".join((text if isinstance(text, str) else " | ".join(text)).split())
    return line if len(line) <= most else line[: most - 3] + "..."


def _warnings(info: dict[str, Any], few: dict[str, int], words: str):  # type: ignore[no-untyped-def]
    if info["n_bad"]:
        path, reason = info["bad"][0]
        what = "files cannot be decoded" if words == "images" else f"{words} cannot be used"
        yield f"{info['n_bad']} {what} and are left out (first: {path}: {reason}); mend or remove them."
    if info["n_leaks"]:
        yield f"{info['n_leaks']} {words} stand in more than one split (first: {' = '.join(info['leaks'][0][:2])}); the test score would flatter, remove the copies."
    if info["n_near_leaks"]:
        yield f"{info['n_near_leaks']} pairs of nearly equal {words} stand in different splits (first: {' ~ '.join(info['near_leaks'][0])}); look at them, the test score may flatter."
    if info["n_label_conflicts"]:
        yield f"{info['n_label_conflicts']} {words} have copies under another label (first: {' / '.join(info['label_conflicts'][0][:2])}); decide which label is right."
    if info["n_near_conflicts"]:
        yield f"{info['n_near_conflicts']} pairs of nearly equal {words} have different labels (first: {' / '.join(info['near_conflicts'][0])}); look at them."
    if info["n_duplicates"]:
        yield f"{info['n_duplicates']} {words} are exact copies of others; copies are kept in one split."
    if info["imbalance"] > 3:
        low, high = (f(info["counts"].items(), key=lambda kv: kv[1]) for f in (min, max))
        yield f"The classes are unequal: {high[0]} has {high[1]} {words}, {low[0]} has {low[1]}; --imbalance auto weighs them, and balanced accuracy tells more than accuracy."
    if info["task"] in ("classification", "ordinal", "hierarchical"):
        one, alone = words.removesuffix("s"), [name for name, n in few.items() if n == 1]
        if len(info["counts"]) == 1:
            yield f"There is only one class, {info['classes'][0]}; to learn, there must be two."
        elif like_ids(len(alone), info["n"]):
            yield f"{len(alone)} of {info['n']} {words} have a label that no other has, as ids have; name the column of the classes with --label-col."
        elif alone:
            named = (
                f"Only one {one} has the label {alone[0]}"
                if len(alone) == 1
                else f"{len(alone)} labels have only one {one} each ({', '.join(alone[:5])})"
            )
            yield f"{named}, which cannot be both learned and tested; add {words} or leave the label out."
    if few:
        names = ", ".join(f"{name} ({n})" for name, n in list(few.items())[:5])
        have = "1 class has" if len(few) == 1 else f"{len(few)} classes have"
        yield f"{have} fewer than {FEW} {words}: {names}; scores will be uncertain, add {words} if you can."
