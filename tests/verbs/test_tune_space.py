"""What is searched where nothing is declared, strategy by strategy, and that every end of it can be trained."""

import numpy as np
import pytest

pytest.importorskip("optuna")

from headstart.data.dataset import Dataset
from headstart.errors import HandshakeError, RecipeError
from headstart.recipe import make_recipe
from headstart.sources import load_source
from headstart.strategies.arguments import arguments_of, with_arguments
from headstart.training.search.space import Choice, Range, read_space
from headstart.verbs.tune_space import apply, make_space


@pytest.fixture(scope="module")
def source(tiny_source):
    return load_source(str(tiny_source))


def images(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    names, classes = [f"{i}.png" for i in range(len(labels))], tuple("abc"[: len(counts)])
    return Dataset(inputs=names, labels=labels, classes=classes, splits=np.full(len(labels), "train"))


EVEN = images(20, 20, 20)


def space(source, data=EVEN, declared=None, **options):
    recipe = make_recipe({"data": "-", "source": "random/resnet18"} | options)
    return make_space(recipe, source, data, read_space(declared) if declared else None)


def test_by_steps_the_rate_is_searched_around_its_default_and_what_is_given_is_kept(source):
    found = space(source, strategy="finetune").space.branches["finetune"]
    assert found["lr"] == Range(5e-5, 5e-3, log=True)
    assert set(found) == {"lr", "weight_decay", "label_smoothing", "mixup", "augment"}
    found = space(source, strategy="finetune", optimizer="sgd", augment="none").space.branches["finetune"]
    assert found["lr"] == Range(1e-3, 1e-1, log=True) and "augment" not in found
    assert "lr" not in space(source, strategy="finetune", lr=1e-3).space.branches["finetune"]


def test_the_parts_of_a_composition_bring_their_arguments(source):
    (found,) = space(source, strategy="last(2)+l2sp(weight=0.03)").space.branches.values()
    assert found["l2sp.weight"] == Range(0.001, 0.9, log=True)
    assert found["last.n"] == Choice((1, 2, 3))
    (found,) = space(source, strategy="head2toe").space.branches.values()
    assert set(found) == {"head2toe.fraction", "head2toe.grid"}


def test_a_solved_head_has_its_layer_and_weights_only_where_classes_differ(source):
    found = space(source, strategy="probe")
    (branch,) = found.space.branches.values()
    assert set(branch) == {"layer"} and branch["layer"].values[0] == source.layers[-1].name
    assert found.by_cross_validation and found.starts == [{"layer": source.layers[-1].name}]
    (branch,) = space(source, images(20, 5, 5), strategy="probe").space.branches.values()
    assert branch["imbalance"] == Choice(("none", "weights"))
    assert not space(source, strategy="probe", metric="macro_f1").by_cross_validation


def test_with_no_strategy_each_has_its_own_and_begins_with_its_defaults(source):
    found = space(source)
    assert list(found.space.branches) == ["probe", "lpft", "finetune"]
    assert set(found.space.branches["probe"]) == {"layer"}
    assert [start["strategy"] for start in found.starts] == ["probe", "lpft", "finetune"]
    assert list(space(source, epochs=3).space.branches) == ["lpft", "finetune"]  # epochs say that steps are wanted


def test_trials_are_compared_at_as_many_points_as_the_shortest_has_epochs(source):
    assert space(source, strategy="finetune", epochs=7).rungs == 7
    assert space(source, strategy="finetune", declared="epochs=4..12").rungs == 4


def test_a_parameter_that_no_strategy_or_only_another_reads_is_refused(source):
    with pytest.raises(HandshakeError, match="no strategy of the space reads this parameter.*'lr'"):
        space(source, declared="strategy=probe|head2toe,lr=0.1|1")
    with pytest.raises(HandshakeError, match="without gradient steps"):
        space(source, strategy="probe", epochs=3)
    with pytest.raises(RecipeError, match="nothing is left to search"):
        space(source, strategy="probe", layer=source.layers[-1].name)
    with pytest.raises(RecipeError, match="the layer is left open, but the space does not search it"):
        space(source, strategy="probe", layer="auto", declared="imbalance=none|weights")


def test_a_trial_has_its_values_in_their_places_and_nothing_that_its_strategy_would_not_read():
    base = {"data": "-", "epochs": 3, "metric": "accuracy"}
    assert apply({**base, "strategy": "l2sp"}, {"l2sp.weight": 0.25, "lr": 1e-3}) == {
        **base, "lr": 1e-3, "strategy": "finetune+l2sp(weight=0.25)",
    }  # fmt: skip
    assert apply(base, {"strategy": "probe"}) == {"data": "-", "metric": "accuracy", "strategy": "probe"}


def test_arguments_are_read_and_set_by_name():
    assert arguments_of("last(2)+l2sp(0.1)")["last.n"] == 2
    assert arguments_of("finetune+l2sp")["l2sp.weight"] == 0.05
    assert with_arguments("probe>finetune(layer_decay=0.75)+l2sp", {"finetune.bn": "frozen", "l2sp.weight": 1e-5}) == (
        "probe>finetune(layer_decay=0.75, bn=frozen)+l2sp(weight=1e-05)"
    )
    assert with_arguments("l2sp(weight=0.1)", {"l2sp.weight": 0.05}) == "finetune+l2sp"  # back at the default
    assert not any(name.startswith("last.") for name in arguments_of("last(1)>last(3)"))  # which of the two?
    with pytest.raises(RecipeError, match="no such argument.*'l2sp.wieght'.*l2sp.weight"):
        with_arguments("l2sp", {"l2sp.wieght": 1.0})
