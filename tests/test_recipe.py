"""The recipe refuses what it does not know and undoes the surprises of YAML."""

import pytest

from headstart.errors import RecipeError
from headstart.recipe import Recipe, make_recipe, read_recipe


def test_unknown_key_offers_the_nearest():
    with pytest.raises(RecipeError, match="unknown key in the recipe: got 'lable_col'. Try: label_col"):
        make_recipe({"data": "d", "lable_col": "x"})


def test_all_problems_are_told_at_once():
    with pytest.raises(RecipeError) as caught:
        make_recipe({"data": "d", "epoch": 3, "baselines": "scrach", "imbalance": "yes"})
    assert str(caught.value).count(" · ") == 2
    assert "Try: epochs" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("lr", -1, "bad value of lr in the recipe: got -1; allowed: greater than 0"),
        ("lr", "fast", "bad value of lr in the recipe: got 'fast'; allowed: "),
        ("lr", "fast", "or 'auto'"),
        (
            "batch_size",
            0,
            "bad value of batch_size in the recipe: got 0; allowed: greater than or equal to 1 or 'auto'",
        ),
        ("batch_size", "big", "or 'auto'"),
        ("epochs", 0, "bad value of epochs in the recipe: got 0; allowed: greater than or equal to 1"),
        ("optimizer", "adam", "got 'adam'; allowed: 'adamw' or 'sgd'"),
        ("metric", "f7", "bad value of metric in the recipe: got 'f7'"),
    ],
)
def test_values_out_of_range(key, value, words):
    with pytest.raises(RecipeError) as caught:
        make_recipe({"data": "d", key: value})
    assert words in str(caught.value)


def test_auto_and_numbers_as_text():
    recipe = make_recipe({"data": "d", "lr": "auto", "batch_size": "auto"})
    assert (recipe.lr, recipe.batch_size) == ("auto", "auto")
    recipe = make_recipe({"data": "d", "lr": "1e-3", "batch_size": "8"})  # as a command line gives them
    assert (recipe.lr, recipe.batch_size) == (1e-3, 8)


def test_data_is_asked_for():
    with pytest.raises(RecipeError, match="the recipe lacks 'data'. Try: headstart fit DATA"):
        make_recipe({})


def test_yaml_surprises_are_undone(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("data: pets\nlr: 1e-4\nbaselines: no\naugment: off\n")
    recipe = make_recipe(read_recipe(path))
    assert recipe.lr == 1e-4
    assert recipe.baselines == []
    assert recipe.augment == "none"


def test_ask21_paths_are_relative_to_the_recipe(tmp_path):
    path = tmp_path / "deep" / "r.yaml"
    path.parent.mkdir()
    path.write_text("data: ../pets\nsource: timm/resnet18\n")
    values = read_recipe(path)
    assert values["data"] == str(tmp_path / "deep" / "../pets")
    assert values["source"] == "timm/resnet18"


@pytest.mark.parametrize(("text", "words"), [("- a\n", "not a table of keys"), ("a: [", "not YAML")])
def test_unreadable_recipes(tmp_path, text, words):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=words):
        read_recipe(path)
    with pytest.raises(RecipeError, match="no such recipe"):
        read_recipe(tmp_path / "none.yaml")


def test_round_trip_through_yaml(tmp_path):
    recipe = make_recipe({"data": "猫狗", "strategy": "l2sp(0.1)", "imbalance": {"猫": 2.0}})
    path = tmp_path / "r.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    again = make_recipe(read_recipe(path) | {"data": "猫狗"})
    assert again.model_dump() == recipe.model_dump()
    assert "猫狗" in path.read_text(encoding="utf-8")


def test_every_field_says_what_it_does():
    assert all(field.description for field in Recipe.model_fields.values())


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("calibrate", "temprature", "allowed: 'none' or 'temperature'. Try: --calibrate temperature"),
        ("wise", "atuo", "allowed: a number or 'none' or 'auto'. Try: --wise auto"),
        ("optimizer", "adam", "Try: --optimizer adamw"),
        ("imbalance", "wieghts", "Try: weights"),
    ],
)
def test_a_misspelt_word_offers_the_nearest(key, value, words):
    with pytest.raises(RecipeError) as caught:
        make_recipe({"data": "d", key: value})
    assert str(caught.value).startswith(f"bad value of {key} in the recipe: got {value!r}; ")
    assert words in str(caught.value)
