"""Real tables with a natural source and target, as pairs of arrays: what benchmarks/results_adaptation.py studies.

``load(name, root, seed)`` reads one set of ``<root>/nonvision`` and gives its pairs. The seed draws the rows where a set is
larger than ``rows`` a domain, and the users where a set has users; everything else is the same in every draw.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from adaptation_pair import Pair, drawn
from adaptation_texts import newsgroups, sentences

ROWS = 1000
"""At most so many rows a domain are drawn."""


def codes(*frames: pd.DataFrame) -> list[np.ndarray]:
    """A number for each row of each frame (n, d): the same where the rows are equal."""
    every = pd.concat(frames).astype(str).agg("\x1f".join, axis=1)
    return np.split(pd.factorize(every)[0], np.cumsum([len(f) for f in frames])[:-1])


def dummies(*frames: pd.DataFrame) -> list[np.ndarray]:
    """Float (n, d) of each frame: numbers as they are, text as one column a value (one fewer where there are two)."""
    every = pd.concat(frames)
    text = every.select_dtypes(exclude="number").columns
    binary = [c for c in text if every[c].nunique() == 2]
    wide = pd.get_dummies(every, columns=[c for c in text if c not in binary])
    wide = pd.get_dummies(wide, columns=binary, drop_first=True)
    return np.split(wide.to_numpy(np.float64), np.cumsum([len(f) for f in frames])[:-1])


def wine(folder: Path, seed: int, rows: int) -> list[Pair]:
    tables = {c: pd.read_csv(folder / f"winequality-{c}.csv") for c in ("red", "white")}
    group = dict(zip(tables, codes(*tables.values()), strict=True))
    pick = {c: drawn(len(t), rows, seed) for c, t in tables.items()}
    X = {c: t.drop(columns="quality").to_numpy(np.float64)[pick[c]] for c, t in tables.items()}
    quality = {c: t["quality"].to_numpy()[pick[c]] for c, t in tables.items()}
    found = []
    for s, t in (("red", "white"), ("white", "red")):
        same = group[t][pick[t]]
        for task, y, what in (
            ("classification", {c: (q >= 6).astype(int) for c, q in quality.items()}, "quality 6 or more"),
            ("regression", {c: q.astype(np.float64) for c, q in quality.items()}, "quality as a number"),
        ):
            note = f"{what}; {rows} rows a colour; identical rows are never parted"
            names = ("below 6", "6 or more") if task == "classification" else ()
            found.append(Pair(f"wine {s} -> {t}", X[s], y[s], X[t], y[t], task, note, same, same, classes=names))
    return found


PERSON = [
    "school",
    "sex",
    "age",
    "address",
    "famsize",
    "Pstatus",
    "Medu",
    "Fedu",
    "Mjob",
    "Fjob",
    "reason",
    "nursery",
    "internet",
]
"""By these the two tables of students are joined in the data set's own description: most are in both."""


def students(folder: Path, seed: int, rows: int) -> list[Pair]:
    tables = {k: pd.read_csv(folder / f"student-{k}.csv") for k in ("mat", "por")}
    person = dict(zip(tables, codes(*(t[PERSON] for t in tables.values())), strict=True))
    grades = ["G1", "G2", "G3"]
    X = dict(zip(tables, dummies(*(t.drop(columns=grades) for t in tables.values())), strict=True))
    G3 = {k: t["G3"].to_numpy() for k, t in tables.items()}
    long = {"mat": "mathematics", "por": "Portuguese"}
    note = "without G1 and G2; students of the target's test half are taken out of the source"
    found = []
    for s, t in (("mat", "por"), ("por", "mat")):
        for task, y in (
            ("regression", {k: g.astype(np.float64) for k, g in G3.items()}),
            ("classification", {k: (g >= 10).astype(int) for k, g in G3.items()}),
        ):
            found.append(
                Pair(
                    f"students {long[s]} -> {long[t]}",
                    X[s],
                    y[s],
                    X[t],
                    y[t],
                    task,
                    ("final grade G3; " if task == "regression" else "passed, G3 >= 10; ") + note,
                    person[t],
                    person[t],
                    source_groups=person[s],
                    classes=("failed", "passed") if task == "classification" else (),
                )
            )
    return found


def credit(root: Path, seed: int, rows: int) -> list[Pair]:
    german = pd.read_csv(root / "credit-german/german_credit.csv")
    australian = pd.read_csv(root / "credit-australian/australian_credit.csv")
    for column in ["A1", "A4", "A5", "A6", "A8", "A9", "A11", "A12"]:
        australian[column] = australian[column].astype(str)  # codes, not amounts
    tables = {"German": german.drop(columns="class"), "Australian": australian.drop(columns="class")}
    X = {k: dummies(t)[0] for k, t in tables.items()}
    y = {"German": (german["class"] == 1).to_numpy(int), "Australian": (australian["class"] == 1).to_numpy(int)}
    found = []
    for s, t in (("German", "Australian"), ("Australian", "German")):
        same = codes(tables[t])[0]
        note = f"other columns: {X[s].shape[1]} in the source, {X[t].shape[1]} in the target, none shared"
        found.append(
            Pair(
                f"credit {s} -> {t}",
                X[s],
                y[s],
                X[t],
                y[t],
                "classification",
                note,
                same,
                same,
                classes=("bad", "good"),
            )
        )
    return found


def wisdm(folder: Path, seed: int, rows: int) -> list[Pair]:
    table = pd.read_csv(folder / "wisdm_transformed.csv")
    names = tuple(sorted(table["class"].unique()))
    y = table["class"].map({c: i for i, c in enumerate(names)}).to_numpy(int)
    user, X = table["user"].to_numpy(), table.drop(columns=["UNIQUE_ID", "user", "class"]).to_numpy(np.float64)
    order = np.random.default_rng(seed).permutation(np.unique(user))
    source = np.flatnonzero(np.isin(user, order[:18]))
    X = np.where(np.isnan(X), np.nanmedian(X[source], axis=0), X)
    source = source[drawn(len(source), rows, seed)]
    found = []
    for users, what in ((order[18:], "18 others"), (order[18:21], "3 others")):
        target = np.flatnonzero(np.isin(user, users))
        target = target[drawn(len(target), rows, seed)]
        note = (
            f"each draw has other users; at most {rows} windows a domain; missing peaks are the source's median; "
            "the target's halves share users, so target_only knows them"
        )
        found.append(
            Pair(
                f"activity 18 users -> {what}",
                X[source],
                y[source],
                X[target],
                y[target],
                "classification",
                note,
                target,
                user[target],
                classes=names,
            )
        )
    return found


URBAN, RURAL = ("Aotizhongxin", "Dongsi", "Wanliu"), ("Changping", "Huairou", "Shunyi")
WINDS = ["N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"]


def beijing(folder: Path, seed: int, rows: int) -> list[Pair]:
    table = pd.read_parquet(folder / "beijing_air_quality.parquet").dropna()
    angle = 2 * np.pi / 16 * table["wd"].map({w: i for i, w in enumerate(WINDS)}).to_numpy(np.float64)
    columns = ["PM10", "SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "RAIN", "WSPM"]
    X = np.column_stack([table[columns].to_numpy(np.float64), np.sin(angle), np.cos(angle)])
    y, station = table["PM2.5"].to_numpy(np.float64), table["station"].to_numpy(str)
    day = (table["year"].astype(int) * 10000 + table["month"] * 100 + table["day"]).to_numpy()
    source = np.flatnonzero(np.isin(station, URBAN))
    source = source[drawn(len(source), rows, seed)]
    found = []
    for site in RURAL:
        target = np.flatnonzero(station == site)
        target = target[drawn(len(target), rows, seed)]
        note = (
            f"PM2.5 from five pollutants and the weather; source: {', '.join(URBAN)}; {rows} hours a domain of those "
            "without missing values; a day is never parted"
        )
        found.append(
            Pair(
                f"air 3 urban sites -> {site}",
                X[source],
                y[source],
                X[target],
                y[target],
                "regression",
                note,
                day[target],
                day[target],
            )
        )
    return found


def bikes(folder: Path, seed: int, rows: int) -> list[Pair]:
    table = pd.read_csv(folder / "hour.csv")
    kept = table.drop(columns=["instant", "dteday", "yr", "casual", "registered", "cnt"])
    for column in ("season", "mnth", "hr", "weekday", "weathersit"):
        kept[column] = kept[column].astype(str)  # one column a value
    X, y, day = dummies(kept)[0], np.log(table["cnt"].to_numpy(np.float64)), pd.factorize(table["dteday"])[0]
    years = [np.flatnonzero(table["yr"] == year) for year in (0, 1)]
    source, target = (part[drawn(len(part), rows, seed)] for part in years)
    note = f"log of the hourly count, without casual and registered; {rows} hours a year; a day is never parted"
    return [
        Pair(
            "bikes 2011 -> 2012",
            X[source],
            y[source],
            X[target],
            y[target],
            "regression",
            note,
            day[target],
            day[target],
        )
    ]


SETS: dict[str, tuple[str, Callable[[Path, int, int], list[Pair]]]] = {
    "wine": ("wine-quality-red-white", wine),
    "students": ("student-performance-math-portuguese", students),
    "activity": ("wisdm-activity-36-users", wisdm),
    "air": ("beijing-air-quality-6-sites", beijing),
    "bikes": ("bike-sharing-hourly", bikes),
    "newsgroups": ("20newsgroups-mtrick-pair", newsgroups),
    "sentiment": ("sentiment-3-sites", sentences),
    "credit": ("", credit),
}
"""The folder under ``nonvision`` (the credit pair reads two) and the reader of each set."""


def load(name: str, root: Path, seed: int = 0, rows: int = ROWS) -> list[Pair]:
    """The pairs of one set.

    Args:
        name: a key of :data:`SETS`.
        root: the folder of data sets, which holds ``nonvision``.
        seed: draws rows and users.
        rows: at most so many rows a domain.
    """
    folder, reader = SETS[name]
    return reader(root / "nonvision" / folder, seed, rows)
