"""Strategies as users write them: what is read, what is refused, and that the shortest text reads back to the same."""

import pytest

from headstart.errors import RecipeError
from headstart.recipe import make_recipe
from headstart.strategies.grammar import names, parse_strategy
from headstart.strategies.procedures.solve import Solve
from headstart.strategies.terms.l2sp import L2SP
from headstart.strategies.tuning.full import Full
from headstart.strategies.tuning.last_n import LastN
from headstart.strategies.tuning.phases import Phases


def test_parts_are_read_as_written():
    assert parse_strategy("last(2)").tuning == LastN(2)
    assert parse_strategy("last(2, layer_decay=0.5, bn=frozen)").tuning == LastN(2, layer_decay=0.5, bn="frozen")
    found = parse_strategy("finetune(layer_decay=0.75) + l2sp(0.1, head_weight=0)")
    assert found.tuning == Full(layer_decay=0.75)
    assert found.terms == (L2SP(0.1, 0),)
    assert found.name == "finetune(layer_decay=0.75)+l2sp(weight=0.1, head_weight=0)"


def test_phases():
    found = parse_strategy("probe>finetune(layer_decay=0.75)")
    assert found.solved_head and found.tuning == Full(layer_decay=0.75)
    assert parse_strategy("last(1)>finetune").tuning == Phases((LastN(1), Full()))
    both = parse_strategy("probe>last(1)>finetune+l2sp")
    assert both.solved_head and both.tuning == Phases((LastN(1), Full())) and both.terms == (L2SP(),)
    assert isinstance(parse_strategy("probe").procedure, Solve) and not parse_strategy("probe").solved_head


def test_names_that_stand_for_more():
    assert parse_strategy("lpft") == parse_strategy("probe>finetune")
    assert parse_strategy("lpft(layer_decay=0.5)+l2sp") == parse_strategy("probe>finetune(layer_decay=0.5)+l2sp")
    assert parse_strategy("l2sp(0.1)") == parse_strategy("finetune+l2sp(0.1)")
    assert parse_strategy("probe>l2sp(0.1)") == parse_strategy("probe>finetune+l2sp(0.1)")


@pytest.mark.parametrize("text", [*names(), "last(3)>finetune(bn=frozen)", "probe>finetune(layer_decay=0.3)+l2sp(2)"])
def test_the_shortest_text_reads_back_to_an_equal_strategy(text):
    found = parse_strategy(text)
    assert parse_strategy(found.name) == found
    assert parse_strategy(found.name).name == found.name


def test_yaml_and_python_have_the_same_strategies():
    def of(value):
        return make_recipe({"data": "d", "strategy": value}).strategy

    assert of(["probe", {"finetune": {"layer_decay": 0.75}, "l2sp": 0.01}]) == (
        "probe>finetune(layer_decay=0.75)+l2sp(0.01)"
    )
    assert of({"last": [2, 0.5], "l2sp": None}) == "last(2, 0.5)+l2sp"
    assert of(parse_strategy("finetune+l2sp(0.2)")) == "finetune+l2sp(weight=0.2)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("finetun", "unknown strategy: got 'finetun'; allowed: "),
        ("finetun", "Try: finetune"),
        ("finetune+l2s", "unknown term of a strategy: got 'l2s'"),
        ("last(m=2)", "unknown argument of strategy 'last': got 'm'; allowed: n, layer_decay, bn"),
        ("last(1, 1, adapt, 4)", "unknown argument of strategy 'last': got 'argument 4'"),
        ("last(2, n=1)", "argument 'n' of strategy 'last' is given twice"),
        ("l2sp('a')", "argument 'weight' of term 'l2sp' must be a number"),
        ("l2sp(-1)", "must be a number"),
        ("l2sp(true)", "must be a number"),
        ("finetune(bn=3)", "argument 'bn' of strategy 'finetune' must be a word"),
        ("finetune(bn=warm)", "unknown value of the argument 'bn': got 'warm'; allowed: auto, adapt, frozen"),
        ("finetune(layer_decay=0)", "'layer_decay' is out of range"),
        ("last(1.5)", "whole number"),
        ("a b", "cannot read the strategy: got 'a b'"),
        ("finetune<probe", "cannot read the strategy"),
        ("finetune-l2sp", "cannot read the strategy"),
        ("", "cannot read the strategy"),
        ("finetune+last(2)", "'last' is a tuning, and there can be one in a phase"),
        ("l2sp+l2sp", "term 'l2sp' is there twice"),
        ("finetune>probe", "a head that is solved at once can only be the first phase"),
        ("last(1)>probe>finetune", "only the first phase can be one that is solved"),
        ("head2toe>finetune", "only the first phase can be one that is solved, the probe"),
        ("last(1)+l2sp>finetune", "terms stand in the last phase"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(text, words):
    with pytest.raises(RecipeError) as caught:
        parse_strategy(text)
    assert words in str(caught.value)
