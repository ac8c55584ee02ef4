"""Which parameters move, and what happens to the batch norms of those that do not (ask 9)."""

import pytest
import torch
from torch import nn

from headstart.errors import HandshakeError
from headstart.sources.source import Layer
from headstart.strategies.tuning.frozen import Frozen
from headstart.strategies.tuning.full import Full
from headstart.strategies.tuning.last_n import LastN
from headstart.strategies.tuning.tuning import frozen_to_eval, set_trainable

LAYERS = [Layer("stem", ("0", "1")), Layer("middle", ("3",)), Layer("end", ("4",))]


def backbone() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))


@pytest.mark.parametrize(
    ("tuning", "moving"), [(Frozen(), set()), (Full(), {"0", "1", "3", "4"}), (LastN(1), {"4"}), (LastN(2), {"3", "4"})]
)
def test_exactly_the_named_layers_move(tuning, moving):
    net = backbone()
    set_trainable(net, tuning.stages(LAYERS))
    assert {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad} == moving


def test_last_n_beyond_the_depth_is_refused():
    with pytest.raises(HandshakeError, match=r"got 4; allowed: 1 to 3. Try: --strategy 'last\(3\)'"):
        LastN(4).stages(LAYERS)


def test_ask09_batch_norm_of_frozen_layers_keeps_the_source_statistics():
    net = backbone()
    stages = LastN(1).stages(LAYERS)
    set_trainable(net, stages)
    before = [net[1].running_mean.clone(), net[4].running_mean.clone()]
    net.train()
    frozen_to_eval(net, stages)
    net(torch.randn(8, 3, 12, 12) + 5)
    assert torch.equal(net[1].running_mean, before[0]), "the frozen norm moved"
    assert not torch.equal(net[4].running_mean, before[1]), "the trained norm did not adapt"
