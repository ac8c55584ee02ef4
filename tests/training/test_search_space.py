"""The space of a search: what is read, what is refused, and that a grid is exactly the product."""

import itertools

import pytest

from headstart.errors import RecipeError
from headstart.training.search.space import Choice, Range, Space, read_space, split_outside


def test_text_and_tables_read_alike():
    text = "lr=1e-5..1e-2:log,weight_decay=0|0.01|0.1,epochs=4..12,strategy=l2sp(0.1, 0.2)|finetune,l2sp.weight=1e-3..1:log/4"
    table = {
        "lr": {"low": 1e-5, "high": "1e-2", "log": True}, "weight-decay": [0, 0.01, 0.1], "epochs": "4..12",
        "strategy": ["l2sp(0.1, 0.2)", "finetune"], "l2sp.weight": {"low": 1e-3, "high": 1, "log": True, "points": 4},
    }  # fmt: skip
    found = read_space(text)
    assert found == read_space(table)
    assert found["lr"] == Range(1e-5, 1e-2, log=True)
    assert found["epochs"].points == tuple(range(4, 13))
    assert found["l2sp.weight"] == Choice((0.001, 0.01, 0.1, 1.0))
    assert read_space("d=0..0.5/6")["d"].points == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert read_space("x=-1..-0.5")["x"] == Range(-1, -0.5)
    assert read_space("verify=true|false")["verify"].points == (True, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr=2..1", "a range goes from a lower to a higher number in the space of lr: got '2..1'"),
        ("lr=0..1:log", "a range in the logarithm begins above 0 in the space of lr"),
        ("lr", "cannot read the space: got 'lr'"),
        ("lr=3", "one value leaves nothing to search in the space of lr: got 3. Try: --lr 3"),
        ("lr=1..x", "a range goes from a lower to a higher number"),
        ("lr=a|a", "a choice is there twice"),
        ("lr=1|2,lr=1|2", "a parameter is in the space twice: got 'lr'"),
        ("lr=1..2/1", "too few points of a range"),
        ("", "the space is empty"),
        ({"lr": {"low": 1, "hihg": 2}}, "cannot read a range"),
        ({"lr": [1, float("nan")]}, "a choice is a number or a word"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text, words):
    with pytest.raises(RecipeError, match=words.replace("(", r"\(")):
        read_space(text)


def test_a_grid_is_the_product_and_of_several_strategies_the_sum_of_products():
    lr, mixup, layer = Choice((0.1, 0.2, 0.3)), Choice((0.0, 0.2)), Choice(("a", "b"))
    one = Space({"finetune": {"lr": lr, "mixup": mixup}})
    assert [tuple(p.values()) for p in one.grid()] == list(itertools.product(lr.values, mixup.values))
    two = Space({"finetune": {"lr": lr, "mixup": mixup}, "probe": {"layer": layer}})
    assert two.size == len(two.grid()) == 3 * 2 + 2
    assert two.names == ["strategy", "lr", "mixup", "layer"]
    assert {p["strategy"]: set(p) for p in two.grid()} == {
        "finetune": {"strategy", "lr", "mixup"},
        "probe": {"strategy", "layer"},
    }
    assert Space.from_dict(two.to_dict()) == two


def test_a_grid_over_a_range_without_points_is_refused():
    with pytest.raises(RecipeError, match=r"no end of them in the space of lr: got '0.001..0.1:log'.*/4"):
        Space({"finetune": {"lr": Range(1e-3, 1e-1, log=True)}}).grid()
    assert Space({"finetune": {"lr": Range(1e-3, 1e-1, log=True)}}).size is None


def test_defaults_start_the_search_where_the_space_holds_them():
    space = Space({"finetune": {"lr": Range(1e-4, 1e-2, log=True), "augment": Choice(("none", "light"))}})
    assert space.starts({"finetune": {"lr": 5e-4, "augment": "light"}}) == [{"lr": 5e-4, "augment": "light"}]
    assert space.starts({"finetune": {"lr": 5e-2, "augment": "light"}}) == []


def test_marks_inside_brackets_part_nothing():
    assert split_outside("a=f(1, 2)|g,b={x: 1, y: 2}", ",") == ["a=f(1, 2)|g", "b={x: 1, y: 2}"]
