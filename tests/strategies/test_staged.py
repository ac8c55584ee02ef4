"""Tunings of whole layers: which move at which epoch, at which rate, and which never do."""

import pytest
import torch
from torch import nn

from headstart.errors import HandshakeError, RecipeError
from headstart.sources.source import Layer
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.tuning.biases import Biases
from headstart.strategies.tuning.full import Full
from headstart.strategies.tuning.gradual import Gradual
from headstart.strategies.tuning.keep import Keep, chosen
from headstart.strategies.tuning.last_n import LastN
from headstart.strategies.tuning.norms import Norms
from headstart.strategies.tuning.tuning import frozen_to_eval, set_trainable

LAYERS = [Layer(name, (str(i),)) for i, name in enumerate(("stem", "layer1.0", "layer1.1", "layer2.0"))]


def net() -> nn.Sequential:
    def block(a: int, b: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.GroupNorm(1, b), nn.ReLU())

    return nn.Sequential(block(3, 4), block(4, 4), block(4, 4), block(4, 4))


def open_at(tuning, epochs):
    """The places of the layers that move, epoch by epoch."""
    body, stages, found = net(), tuning.stages(LAYERS), []
    for epoch in range(epochs):
        set_trainable(body, stages, epoch / epochs)
        body.train()
        frozen_to_eval(body, stages, epoch / epochs)
        moving = [i for i, layer in enumerate(body) if all(p.requires_grad for p in layer.parameters())]
        assert [i for i, layer in enumerate(body) if layer.training] == moving, "frozen means eval mode"
        assert [i for i, layer in enumerate(body) if any(p.requires_grad for p in layer.parameters())] == moving
        found.append(moving)
    return found


@pytest.mark.parametrize(
    ("tuning", "epochs", "expected"),
    [
        (
            Gradual(),
            8,
            [[], [3], [2, 3], [1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]],
        ),  # one an epoch
        (Gradual(), 4, [[], [2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]),
        (Gradual(until=0.8), 5, [[], [3], [2, 3], [1, 2, 3], [0, 1, 2, 3]]),
        (Gradual(until=0.9), 3, [[], [3], [2, 3]]),
        (Keep(Gradual(), "stem"), 6, [[], [3], [2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3]]),
        (Keep(Full(), "[1:3]"), 2, [[0, 3], [0, 3]]),
        (Keep(LastN(n=2), "layer2"), 1, [[1, 2]]),
    ],
)
def test_the_trainable_set_at_every_epoch(tuning, epochs, expected):
    assert open_at(tuning, epochs) == expected


def test_rates_fall_with_depth_as_by_hand():
    assert [s.lr_scale for s in Gradual(layer_decay=0.5).stages(LAYERS)] == [0.125, 0.25, 0.5, 1]
    assert [s.lr_scale for s in Full(layer_decay=0.5).stages(LAYERS)] == [0.125, 0.25, 0.5, 1]
    assert [s.lr_scale for s in Keep(Full(layer_decay=0.5), "stem").stages(LAYERS)] == [0, 0.25, 0.5, 1]


@pytest.mark.parametrize(
    ("what", "places"),
    [
        ("backbone[:-2]", {0, 1}), ("[:3]", {0, 1, 2}), ("backbone[-1:]", {3}), ("[1:-1]", {1, 2}), ("stem", {0}),
        ("layer1", {1, 2}), ("stem, layer1.1", {0, 2}), ("layer2.0", {3}),
    ],
)  # fmt: skip
def test_layers_are_named_as_python_slices_or_by_name(what, places):
    assert chosen(what, LAYERS) == places


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("[:]", "leaves no layer of the backbone to train"),
        ("stem,layer1,layer2", "leaves no layer"),
        ("[9:]", "freeze names no layer"),
        ("[3:1]", "freeze names no layer"),
        ("", "freeze names no layer"),
        ("layer3", "does not have: got 'layer3'; allowed: stem, layer1.0, layer1.1, layer2.0"),
        ("layer", "does not have: got 'layer'"),
        ("10", "does not have: got '10'"),
    ],
)
def test_names_that_freeze_nothing_or_everything_are_refused(what, words):
    with pytest.raises(HandshakeError) as caught:
        chosen(what, LAYERS)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("tuning", "moving"),
    [(Biases(), {"0.bias", "1.bias", "2.bias"}), (Norms(), {"1.weight", "1.bias", "2.weight", "2.bias"})],
)
def test_only_biases_or_only_norms_move(tuning, moving):
    body = net()
    stages = tuning.stages(LAYERS)
    set_trainable(body, stages)
    assert {name[2:] for name, p in body.named_parameters() if p.requires_grad} == moving
    assert {s.lr_scale for s in stages} == {10.0}


def test_a_layer_of_which_nothing_moves_is_frozen_whatever_the_tuning():
    body = nn.Sequential(nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Dropout()), nn.Sequential(nn.Conv2d(3, 3, 1)))
    stages = Biases().stages(LAYERS[:2])
    set_trainable(body, stages)
    body.train()
    frozen_to_eval(body, stages)
    assert [module.training for module in body] == [False, True]


@pytest.mark.parametrize(
    "tuning", [Biases(), Norms(), Full(bn="frozen"), Full(), Norms(bn="adapt"), Biases(bn="adapt")]
)
def test_batch_norms_keep_the_source_statistics_or_adapt(tuning):
    body, stages = net(), tuning.stages(LAYERS)
    set_trainable(body, stages)
    body.train()
    frozen_to_eval(body, stages)
    before = {name: b.clone() for name, b in body.named_buffers()}
    body(torch.randn(4, 3, 6, 6) + 3)
    same = {torch.equal(before[name], b) for name, b in body.named_buffers()}
    assert same == {tuning.bn == "frozen"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Gradual(until=1.0), "'until' of strategy 'gradual' is out of range: got 1.0"),
        (lambda: Gradual(until=0), "'until'"),
        (lambda: Biases(lr_scale=0), "'lr_scale' is out of range"),
        (lambda: Norms(bn="off"), "unknown value of the argument 'bn': got 'off'"),
    ],
)
def test_arguments_out_of_range_are_refused(make, words):
    with pytest.raises(RecipeError, match=words):
        make()


def test_batch_norms_follow_the_head_where_nothing_is_said():
    """A head that was solved on the source's features keeps the source's statistics; asked for, each mode is taken."""

    def modes(text):
        return {stage.bn for stage in parse_strategy(text).stages(LAYERS)}

    assert modes("finetune") == modes("last(3)>finetune") == {"adapt"}
    assert modes("lpft") == modes("probe>last(2)>finetune+l2sp") == {"frozen"}
    assert modes("probe>finetune(bn=adapt)") == {"adapt"} and modes("finetune(bn=frozen)") == {"frozen"}
