"""Copies of texts: what counts as one, how near is near, and that a split does not tear them apart."""

import numpy as np
import pandas as pd
import pytest

from headstart.data import text_copies
from headstart.data.checks import inspect_dataset
from headstart.data.dataset import Dataset
from headstart.data.readers import read_dataset
from headstart.data.scan import scan
from headstart.data.scripts import SCRIPTS, scripts_of
from headstart.data.splits import make_splits
from headstart.data.text_copies import (
    NEAR,
    bands_of,
    clusters,
    near_pairs,
    normal_digest,
    normal_form,
    resemblance,
    shingles,
)

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "while",
    "seven",
    "old",
    "ships",
    "sailed",
    "from",
    "port",
    "to",
    "sea",
    "with",
    "rum",
    "and",
    "maps",
    "of",
    "every",
    "coast",
    "known",
    "then",
]


def runs(text: str) -> set[str]:
    """By the definition: all runs of five letters."""
    return {text[i : i + 5] for i in range(max(1, len(text) - 4))}


def made(rng: np.random.Generator, n: int) -> list[str]:
    return [" ".join(rng.choice(WORDS, rng.integers(8, 30))) for _ in range(n)]


def find(texts: list[str]) -> dict[tuple[int, int], float]:
    forms = [normal_form(text) for text in texts]
    normal = np.array([normal_digest(form) for form in forms], dtype=np.uint64)
    return {(i, j): like for i, j, like in near_pairs(normal, bands_of(forms), lambda i: forms[i])}


def test_the_normal_form():
    assert normal_form("  Ok,  LAR…\n") == normal_form("ok lar") == "ok lar"
    assert normal_form("ＦＲＥＥ！") == "free" and normal_form("很好，很好。") == "很好 很好"
    assert normal_form(":-)") == ":-)" != normal_form(":-(")
    assert normal_form(("a b", "c")) != normal_form(("a", "b c"))


def test_resemblance_is_the_share_of_common_runs():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = made(rng, 2)
        b = a[: len(a) // 2] + b[: len(b) // 2]
        assert resemblance(shingles(a), shingles(b)) == pytest.approx(len(runs(a) & runs(b)) / len(runs(a) | runs(b)))
    assert resemblance(shingles("abc"), shingles("abc")) == 1 and resemblance(shingles("abc"), shingles("abd")) == 0


def test_near_copies_are_those_of_brute_force():
    rng = np.random.default_rng(1)
    texts = made(rng, 150)
    for text in texts[:100]:  # copies with a word or two replaced
        words = text.split()
        for _ in range(rng.integers(1, 3)):
            words[rng.integers(len(words))] = str(rng.choice(WORDS))
        texts.append(" ".join(words))
    texts += [text.upper() + "!" for text in texts[:20]]
    sets = [runs(normal_form(text)) for text in texts]
    true = {
        (i, j): len(sets[i] & sets[j]) / len(sets[i] | sets[j])
        for i in range(len(sets))
        for j in range(i + 1, len(sets))
    }
    found = find(texts)
    assert all(like == pytest.approx(true[pair]) and like >= NEAR for pair, like in found.items())
    joined, _ = clusters(len(texts), [(*pair, like) for pair, like in found.items()], 10**6)
    near = [pair for pair, like in true.items() if like >= NEAR]
    missed = [pair for pair in near if joined[pair[0]] != joined[pair[1]]]
    assert len(near) > 30 and len(missed) <= 0.02 * len(near)


def test_least_values_agree_as_often_as_the_sets_do(monkeypatch):
    """The chance that the least hash of two sets is the same is their resemblance, so that bands of one row agree in that share."""
    monkeypatch.setattr(text_copies, "BANDS", 4000)
    monkeypatch.setattr(text_copies, "ROWS", 1)
    a = "seven old ships sailed from port to sea with rum"
    b = "seven old ships sailed from port to sea with maps of every coast"
    agree = (bands_of([a])[0] == bands_of([b])[0]).mean()
    true = len(runs(a) & runs(b)) / len(runs(a) | runs(b))
    assert abs(agree - true) < 4 * np.sqrt(true * (1 - true) / 4000)


def test_bands_do_not_depend_on_what_stands_beside_a_text():
    alone, beside = (
        bands_of(["ab", "a longer text than that"]),
        bands_of(["what else", "ab", "x", "a longer text than that"]),
    )
    assert (alone == beside[[1, 3]]).all()


def test_large_clusters_stay_apart_but_for_equal_forms():
    pairs = [(0, 1, 1.0), (1, 2, 0.9), (2, 3, 0.85), (5, 6, 0.9)]
    joined, patterns = clusters(8, pairs, 3)
    assert joined.tolist() == [0, 0, 2, 3, 4, 5, 5, 7] and patterns == 4
    joined, patterns = clusters(8, pairs, 4)
    assert joined.tolist() == [0, 0, 0, 0, 4, 5, 5, 7] and patterns == 0
    joined, patterns = clusters(6, [(0, i, 1.0) for i in range(1, 6)], 2)
    assert set(joined) == {0} and patterns == 0  # a text said six times is no pattern


def split_up(dataset: Dataset) -> int:
    """Copies by the normal form that stand in two splits."""
    where: dict[str, set[str]] = {}
    for text, split in zip(dataset.inputs, dataset.splits, strict=True):
        where.setdefault(normal_form(text), set()).add(str(split))
    return sum(len(splits) > 1 for splits in where.values())


def test_copies_stay_in_one_split_and_would_not_by_chance(tmp_path):
    rng = np.random.default_rng(3)
    texts = made(rng, 60)
    rows = [*texts, *(text.title() + " ..." for text in texts[:30])]
    pd.DataFrame({"text": rows, "label": [i % 2 for i in range(60)] + [i % 2 for i in range(30)]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    found, scanned = scan(read_dataset(tmp_path / "t.csv"), cache_dir=tmp_path)
    assert len(set(found.digests)) == 90 and len(scanned.pairs) == 30
    assert split_up(make_splits(found)) == 0
    from dataclasses import replace

    assert split_up(make_splits(replace(found, copies=None))) > 5  # exact equality alone does not see them


def test_leaks_and_conflicts_of_given_splits_are_named_with_their_words(tmp_path):
    rng = np.random.default_rng(4)
    texts = made(rng, 8)
    rows = [*texts, texts[0] + "!", texts[1]]
    labels = ["a", "b"] * 4 + ["a", "a"]
    splits = ["train"] * 8 + ["test"] * 2
    pd.DataFrame({"text": rows, "label": labels, "split": splits}).to_csv(tmp_path / "t.csv", index=False)
    found, scanned = scan(read_dataset(tmp_path / "t.csv"), cache_dir=tmp_path)
    info = inspect_dataset(found, scanned)
    assert info["n_leaks"] == 1 and info["n_near_leaks"] == 1 and info["n_label_conflicts"] == 1
    said = " ".join(info["warnings"])
    assert texts[0][:20] in said and "row 2" in said and "row 10" in said


def test_the_repeats_of_real_messages_stay_together(shared_data, tmp_path):
    path = shared_data / "nonvision" / "sms-spam" / "sms_spam.csv"
    if not path.exists():
        pytest.skip("no sms-spam")
    found, scanned = scan(read_dataset(path), cache_dir=tmp_path)
    forms = [normal_form(text) for text in found.inputs]
    assert len(forms) - len(set(forms)) > 400  # by plain equality
    chosen = make_splits(found)
    assert split_up(chosen) == 0
    assert {s: int((chosen.splits == s).sum()) for s in ("train", "test")}["test"] > 1000
    for i, j, _ in scanned.pairs:
        assert chosen.splits[i] == chosen.splits[j]


def test_scripts():
    texts = [
        "plain words",
        "Привет, мир",
        "这是中文 with English",
        "これは日本語の文です",
        "한국어 문장",
        "สวัสดีครับ",
        "12:30!",
        "Ελληνικά",
        "שלום",
        "سلام",
        "हिन्दी",
    ]
    assert [SCRIPTS[i] for i in scripts_of(texts)] == [
        "Latin", "Cyrillic", "Latin", "Japanese", "Korean", "Thai", "no letters", "Greek", "Hebrew", "Arabic", "Devanagari",
    ]  # fmt: skip
