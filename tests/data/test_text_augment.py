"""Texts varied by replacement: shares that come out as asked, draws of their own, and nothing that gives an answer away."""

import json
from collections import Counter

import numpy as np
import pytest

from headstart.data.dataset import Dataset
from headstart.data.synonyms import read_synonyms
from headstart.data.text_augment import (
    TEXT_PRESETS,
    TextAugmentation,
    strong_text_view,
    text_augmentation,
    with_files,
)
from headstart.data.text_loader import text_batches
from headstart.data.text_units import join_units, plain, split_units
from headstart.data.text_variation import (
    TextVariation,
    cased,
    content,
    deleted,
    inserted,
    label_words,
    some,
    swapped,
    variation,
)
from headstart.errors import DataError, RecipeError

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("It's good, really well-made.", ["It's", "good", "really", "well-made"]),
        ("酒店很好，very 不错！", ["酒", "店", "很", "好", "very", "不", "错"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("สวย", ["ส", "ว", "ย"]),
        ("...", []),
        ("", []),
    ],
)
def test_units_are_words_or_characters_and_the_text_comes_back(text, units):
    found, gaps = split_units(text)
    assert found == units and len(gaps) == len(units) + 1
    assert join_units(list(found), gaps) == text


def test_a_unit_left_out_takes_its_space_along():
    units, gaps = split_units("so good, really good.")
    assert join_units([units[0], None, *units[2:]], gaps) == "so, really good."
    assert join_units([None, *units[1:]], gaps) == "good, really good."
    assert join_units([*units[:3], None], gaps) == "so good, really."


def test_swapping_keeps_the_words_and_deleting_draws_each_by_itself():
    rng = np.random.default_rng(0)
    assert all(Counter(swapped(list(WORDS), 0.3, rng)) == Counter(WORDS) for _ in range(50))
    assert swapped(["alone"], 0.9, rng) == ["alone"] and swapped([], 0.9, rng) == []
    gone = np.array([[unit is None for unit in deleted(list(WORDS), 0.3, rng)] for _ in range(4000)])
    assert np.abs(gone.mean(0) - 0.3).max() < 0.04  # 5 standard errors
    assert np.abs(np.corrcoef(gone.T) - np.eye(10)).max() < 0.08
    assert all(sum(unit is not None for unit in deleted(["a", "b"], 0.999, rng)) == 1 for _ in range(30))


def test_a_share_is_met_on_average_where_it_is_no_whole_number():
    rng = np.random.default_rng(0)
    counts = [len(some(7, 0.1, rng)) for _ in range(4000)]
    assert set(counts) == {0, 1} and abs(np.mean(counts) - 0.7) < 0.04
    assert len(some(10, 0.3, rng)) == 3 and some(0, 0.5, rng) == []
    assert len(set(some(10, 0.999, rng))) >= 9


def test_a_copy_depends_on_its_own_draws_alone():
    vary = variation(text_augmentation({"swap": 0.3, "delete": 0.3}))
    texts = [" ".join(np.random.default_rng(i).permutation(WORDS)) for i in range(8)]
    draws = [(3, i, 0) for i in range(8)]
    whole = vary(texts, draws)
    assert vary(texts[::-1], draws[::-1])[::-1] == whole and vary([texts[5]], [draws[5]]) == [whole[5]]
    assert vary(texts, [(4, i, 0) for i in range(8)]) != whole != vary(texts, [(3, i, 1) for i in range(8)])
    # what one change draws does not shift the others
    more = variation(text_augmentation({"swap": 0.3, "delete": 0.3, "mlm": 0.5}))
    more.rewrite = lambda texts, places, rngs: [
        str(rng.random()) and text for text, rng in zip(texts, rngs, strict=True)
    ]
    assert more(texts, draws) == whole


def test_of_a_pair_each_text_is_varied_by_itself():
    vary = variation(text_augmentation({"delete": 0.5}))
    first, second = vary([(" ".join(WORDS), " ".join(WORDS))], [(0, 0)])[0]
    assert first != second and set(first.split()) <= set(WORDS) and set(second.split()) <= set(WORDS)


def test_chinese_is_varied_by_characters():
    vary = variation(text_augmentation({"delete": 0.3, "swap": 0.3}))
    text = "酒店的房间很干净，服务态度也不错。"
    made = [vary([text], [(0, 0, k)])[0] for k in range(20)]
    assert len(set(made)) > 15 and all(set(copy) <= set(text) for copy in made)


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_lists_of_synonyms_are_read_from_tables_and_json(tmp_path):
    wanted = {"good": ("fine", "nice", "great"), "film": ("movie",)}
    assert read_synonyms(table(tmp_path / "a.csv", "Good,fine,nice\nfilm,movie\ngood,great\n\ngood,GOOD\n")) == wanted
    assert read_synonyms(table(tmp_path / "b.csv", "good,fine|nice|great\nfilm,movie\n")) == wanted
    assert read_synonyms(table(tmp_path / "c.tsv", "good\tfine\tnice\tgreat\nfilm\tmovie\n")) == wanted
    given = json.dumps({"good": ["fine", "nice", "great"], "film": "movie"})
    assert read_synonyms(table(tmp_path / "d.json", given)) == wanted
    for name, text, why in [
        ("e.json", "{", "is no JSON"), ("f.json", "[1]", "a table of lists of words"), ("g.csv", "word\n", "no word has a synonym"),
        ("h.xml", "<a>", "from other files"),
    ]:  # fmt: skip
        with pytest.raises(DataError, match=why):
            read_synonyms(table(tmp_path / name, text))
    (tmp_path / "i.csv").write_bytes("gut,schön\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_synonyms(tmp_path / "i.csv")
    with pytest.raises(DataError, match="no file of synonyms"):
        read_synonyms(tmp_path / "none.csv")


def test_synonyms_come_in_the_case_of_the_word_and_no_other_word_changes(tmp_path):
    lists = table(tmp_path / "s.csv", "good,fine,nice\n很,真\n")
    vary = variation(TextAugmentation(synonyms=lists, synonym_share=1.0))
    made = {vary(["Good film, a GOOD one. 很"], [(0, 0, k)])[0] for k in range(20)}
    assert made == {f"{a} film, a {b} one. 真" for a in ("Fine", "Nice") for b in ("FINE", "NICE")}
    assert cased("nice", "it") == "nice" and cased("nice", "I") == "Nice"
    assert variation(TextAugmentation(synonyms=lists))(["no such word"], [(0, 0)]) == ["no such word"]


def test_the_word_of_a_label_is_never_put_into_a_text(tmp_path):
    """The planted leak: a list that replaces words by the names of the classes."""
    lists = table(tmp_path / "s.json", json.dumps({"good": ["positive", "fine"], "bad": ["negative"], "体": ["运动"]}))
    spec = TextAugmentation(synonyms=lists, synonym_share=1.0)
    text = "a good film, 体 and not a bad one"
    planted = variation(spec)  # nobody says what the labels are
    assert any("positive" in planted([text], [(0, 0, k)])[0] for k in range(10))
    assert inserted(planted([text], [(0, 0, 0)])[0], text, label_words(("negative",)))  # and the check sees it
    vary = variation(spec, classes=("positive", "negative", "运动"))
    assert {vary([text], [(0, 0, k)])[0] for k in range(30)} == {"a fine film, 体 and not a bad one"}
    # a word that was there may stay: it is not put in
    assert vary(["a good positive film"], [(0, 0)])[0] in ("a fine positive film", "a good positive film")
    # where a change is no list of ours, the copy as a whole is looked at
    vary = TextVariation(
        TextAugmentation(back_translate="a,b", translated=1.0), barred=label_words(("card_arrival", "体育"))
    )
    vary.translate = lambda texts: [f"{text} card" for text in texts]
    assert vary(["where is it"], [(0, 0)]) == ["where is it"] and vary.refused == 1
    assert vary(["my card"], [(0, 0)]) == ["my card card"] and vary.refused == 1
    vary.translate = lambda texts: [text.replace("操", "育") for text in texts]
    assert vary(["学体操"], [(0, 0)]) == ["学体操"] and vary.refused == 2


def test_a_copy_that_says_what_a_test_text_says_is_not_used():
    """The planted leak: a test text that one deletion away."""
    texts = ["one two three"]
    free = variation(text_augmentation({"delete": 0.4}))
    assert "two three" in {free(texts, [(0, 0, k)])[0] for k in range(40)}
    held = variation(text_augmentation({"delete": 0.4}), held_out=["Two, three!"])
    made = [held(texts, [(0, 0, k)])[0] for k in range(40)]
    assert "two three" not in made and held.refused > 0 and len(set(made)) > 3
    assert content("Two, three!") == "two three" and plain("?!") == "?!" and content(("a", "b")) != content("a b")


def test_batches_vary_by_seed_row_and_time(tmp_path):
    class Plain:
        def __call__(self, texts):
            import torch

            self.seen = [*getattr(self, "seen", []), *texts]
            return torch.zeros(len(texts), 3, 1, dtype=torch.int64)

    n = 40
    data = Dataset([" ".join(WORDS)] * n, np.arange(n), ("a",) * n, np.full(n, "train"), modality="text")
    vary = variation(text_augmentation({"swap": 0.3, "delete": 0.3}))

    def passed(order, seed, size=8, times=None):
        prep = Plain()
        index = [
            int(i)
            for batch in text_batches(
                data, prep, order, batch_size=size, shuffle_seed=seed, augmentation=vary, times=times
            )
            for i in batch.index
        ]  # fmt: skip
        return dict(zip(index, prep.seen, strict=True))

    first = passed(np.arange(n), 5)
    assert first == passed(np.arange(n)[::-1], 5, size=3) and first != passed(np.arange(n), 6)
    assert len(set(first.values())) > 35
    twice = passed(np.array([4, 4]), 5, times=np.array([0, 1]))
    assert twice[4] != first[4]


def test_names_tables_and_files_make_an_augmentation(tmp_path):
    assert text_augmentation("auto") is text_augmentation("none") is text_augmentation({"swap": 0}) is None
    assert text_augmentation("light") == TEXT_PRESETS["light"] != text_augmentation("strong")
    assert with_files("auto", None, None) == "auto"
    assert with_files("auto", "s.csv", None) == {"synonyms": "s.csv"}
    assert with_files("light", None, "a,b") == {"swap": 0.05, "delete": 0.05, "back_translate": "a,b"}
    assert with_files({"mlm": 0.1}, "s.csv", None) == {"mlm": 0.1, "synonyms": "s.csv"}
    strong = strong_text_view(TextAugmentation(swap=0.4, mlm=0.1))
    assert strong == TextAugmentation(swap=0.4, delete=0.2, mlm=0.1) and strong_text_view(None).delete == 0.2
    for spec, why in [
        ("wild", "unknown augmentation of texts"), ({"flip": 0.5}, "unknown key of augment for texts"), ({"swap": 1}, "bad value of augment.swap"),
        ({"delete": True}, "bad value of augment.delete"), ({"synonyms": 0.1}, "augment.synonyms is no path"),
        ({"synonym_share": 0.2}, "a share of nothing"), ({"back_translate": "one"}, "two folders, there and back"),
        ({"synonyms": "a", "synonym_share": 0}, "above 0"),
    ]:  # fmt: skip
        with pytest.raises(RecipeError, match=why):
            text_augmentation(spec)
    with pytest.raises(RecipeError, match="named twice"):
        with_files({"synonyms": "a"}, "b", None)
