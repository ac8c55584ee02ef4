"""Parts that cannot act together are refused in words; all that can are let through."""

import itertools

import pytest

from headstart.errors import HandshakeError, RecipeError
from headstart.sources.source import Layer
from headstart.strategies.grammar import names, parse_strategy
from headstart.strategies.handshake import handshake
from headstart.strategies.procedures.solve import Solve
from headstart.strategies.procedures.standard import Standard
from headstart.strategies.strategy import Strategy
from headstart.strategies.terms.l2sp import L2SP
from headstart.strategies.tuning.frozen import Frozen
from headstart.strategies.tuning.full import Full
from headstart.strategies.tuning.last_n import LastN
from headstart.tasks.classification import Classification

LAYERS = [Layer("a", ("0",)), Layer("b", ("1",))]
TASK = Classification(("x", "y"))


def shake(strategy, **options):
    return handshake(strategy, LAYERS, TASK, **{"pretrained": True, **options})


EVERYTHING = (
    "source_head",
    "hard_labels",
    "unlabelled_target",
    "batch_norms",
    "norms",
    "biases",
    "mask_token",
    "left_to_right",
)


@pytest.mark.parametrize("name", names())
def test_every_name_passes_where_all_that_it_needs_is_there(name):
    assert len(shake(parse_strategy(name), has=EVERYTHING)) == len(LAYERS)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (
            Strategy("s", Frozen(), (L2SP(),)),
            "term 'l2sp' moves parameters of the backbone, but the tuning freezes all of it",
        ),
        (
            Strategy("s", Full(), (), Solve()),
            "procedure 'solve' solves the head on features that stay the same, but the tuning trains",
        ),
        (Strategy("s", Full(), (L2SP(0.0),)), "term 'l2sp' has weight 0 and would do nothing"),
    ],
)
def test_pairings_that_cannot_act_are_refused(strategy, words):
    with pytest.raises(HandshakeError, match=words):
        shake(strategy)


def test_l2sp_needs_a_pretrained_start():
    with pytest.raises(HandshakeError, match="starts from random weights"):
        shake(parse_strategy("l2sp"), pretrained=False)


def test_options_of_gradient_steps_are_refused_where_the_head_is_solved():
    with pytest.raises(HandshakeError, match="these options would do nothing.*'epochs, mixup'.*--strategy head"):
        shake(parse_strategy("probe"), stepwise_options=["epochs", "mixup"])
    shake(parse_strategy("head"), stepwise_options=["epochs"])


def test_all_combinations_either_act_or_are_refused():
    seen = set()
    for tuning, terms, procedure in itertools.product(
        [Frozen(), Full(), LastN(1)], [(), (L2SP(),)], [Standard(), Solve()]
    ):
        try:
            shake(Strategy("s", tuning, terms, procedure))
            seen.add((type(tuning).__name__, bool(terms), procedure.name))
        except HandshakeError:
            pass
    assert seen == {
        ("Frozen", False, "standard"), ("Frozen", False, "solve"), ("Full", False, "standard"), ("Full", True, "standard"),
        ("LastN", False, "standard"), ("LastN", True, "standard"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("finetune", "trained by gradient steps on the last layer, so the option layer would do nothing.*got 'a'"),
        ("head", "trained by gradient steps on the last layer"),
        ("head2toe", "reads every layer and selects among their features itself, so the option layer would do nothing"),
    ],
)
def test_a_layer_is_refused_where_the_strategy_would_ignore_it(strategy, words):
    with pytest.raises(HandshakeError, match=words):
        shake(parse_strategy(strategy), layer="a")
    shake(parse_strategy(strategy), layer="last")
    shake(parse_strategy("probe"), layer="auto")


def test_head2toe_refuses_arguments_out_of_range():
    assert parse_strategy("head2toe(fraction=0.05, grid=2)").procedure.grid == 2
    assert "selected features of every layer" in parse_strategy("head2toe").describe()
    with pytest.raises(RecipeError, match="'fraction' of strategy 'head2toe' is out of range: got 1.5"):
        parse_strategy("head2toe(fraction=1.5)")
    for grid in ("0", "1.5"):
        with pytest.raises(RecipeError, match="'grid'.*a whole number from 1 on"):
            parse_strategy(f"head2toe(grid={grid})")


@pytest.mark.parametrize("term", ["l2sp", "ewc"])
@pytest.mark.parametrize("tuning", ["lora", "ia3"])
def test_a_distance_of_weights_is_refused_beside_adapters_and_distances_of_features_are_not(tuning, term):
    pytest.importorskip("peft")
    with pytest.raises(
        HandshakeError,
        match=f"'{term}' compares weights with those of the source, but the tuning moves adapters.*distill",
    ):
        shake(parse_strategy(f"{tuning}+{term}"), has=EVERYTHING)
    shake(parse_strategy(f"{tuning}+distill+delta+lwf"), has=EVERYTHING)


def test_a_head_that_is_solved_first_is_in_the_description():
    assert parse_strategy("probe>finetune").describe() == "head solved first, whole backbone trained"
    assert parse_strategy("finetune").describe() == "whole backbone trained"
