"""The terms on several sources and those without a target, on the joint pass: what they read, weigh and leave behind."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from headstart.data.batch import Batch
from headstart.errors import HandshakeError, RecipeError
from headstart.functional.source_weights import worst_case_shares
from headstart.sources.bottleneck import on_rows
from headstart.sources.source import Layer
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import WORDS, handshake
from headstart.strategies.terms.mixstyle import stage_ends
from headstart.strategies.terms.term import Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model
from headstart.training.deep_adapter import DeepAdapter
from headstart.training.objective import bind, unbind
from headstart.training.update import batch_gradient

TASK = Classification(("a", "b", "c"))
FACTS = set(WORDS) - {"trainable_backbone", "frozen_backbone", "pretrained_backbone"}
CPU = torch.device("cpu")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


DOMAIN, LABELS = torch.arange(24) % 3, torch.arange(24) // 8
ROWS, TARGET = normal(24, 4) + DOMAIN[:, None] * 2.0, normal(10, 4, seed=1) - 1.0


def objective(text, has=FACTS, batch=24, sources=3, layers=None, backbone=None, rows=ROWS):
    torch.manual_seed(3)
    network = on_rows(4, (6,))
    backbone, layers = backbone or network.backbone, layers or network.layers
    how = parse_strategy(text)
    stages = handshake(how, layers, TASK, pretrained=False, has=has)
    model = Model(backbone, TASK.head(6))
    with torch.no_grad():
        model.head.weight.copy_(normal(3, 6, seed=4))
    start = Start(
        model, layers, TASK, lambda: [Batch(rows, LABELS, torch.arange(24), domain=DOMAIN)], CPU, 0, batch=batch, sources=sources,
        total=24, target_total=10, target_batches=lambda: [Batch(TARGET, index=torch.arange(10))],
    )  # fmt: skip
    bound = bind(how, stages, start)
    bound.begin(0.0)
    return bound


def batch(target=True, rows=ROWS):
    return Batch(rows, LABELS, torch.arange(24), domain=DOMAIN, target=TARGET if target else None)


def test_groupdro_weighs_as_by_hand_and_adds_nothing():
    bound = objective("finetune+groupdro(0.5)")
    parts = bound.losses(batch(False), 0.0)
    assert set(parts) == {"loss"}
    x = bound.model.backbone(ROWS)
    losses = cross_entropy(bound.model.head(x), LABELS, reduction="none").detach()
    risks = torch.stack([losses[d == DOMAIN].mean() for d in range(3)])
    q = torch.exp(0.5 * risks) / torch.exp(0.5 * risks).sum()
    torch.testing.assert_close(bound.terms["groupdro"].shares, q)
    torch.testing.assert_close(parts["loss"].detach(), (q * risks).sum())
    wrong = torch.exp(-0.5 * risks) / torch.exp(-0.5 * risks).sum()  # the other sign: the best group counts most
    assert (parts["loss"].detach() - (wrong * risks).sum()).abs() > 1e-3
    said = bound.terms["groupdro"].said()
    assert said["sources"] == pytest.approx(q.tolist()) and said["losses"] == pytest.approx(risks.tolist())
    assert "groupdro.shares" in bound.penalties.state_dict(), "a run that goes on keeps the shares"


def test_vrex_and_irm_on_the_loop_are_their_functions_of_the_weighted_losses():
    for name in ("vrex", "irm"):
        bound = objective(f"finetune+{name}(4, anneal=0.5)")
        weighted = replace(batch(False), weights=torch.linspace(0.5, 1.5, 24))
        early, late = (bound.losses(weighted, p)[name] for p in (0.4, 0.6))
        assert late.item() == pytest.approx(4 * early.item(), rel=1e-4)
        if name == "vrex":
            x = bound.model.head(bound.model.backbone(ROWS))
            losses = cross_entropy(x, LABELS, reduction="none") * weighted.weights
            risks = [float(losses[d == DOMAIN].mean().detach()) for d in range(3)]
            assert early.item() == pytest.approx(np.var(risks), rel=1e-4)
        early.backward()
        assert bound.model.backbone[0].weight.grad.abs().max() > 0


def discriminator_losses(bound, seen, target):
    """What each discriminator says of its source and the target, by the library's cross-entropy."""
    found = []
    for i, network in enumerate(bound.terms["mdan"].discriminators):
        x = torch.cat([seen[i == DOMAIN], target])
        y = torch.cat([torch.ones(8), torch.zeros(10)])
        weights = torch.cat([torch.full((8,), 1 / 16), torch.full((10,), 1 / 20)])
        found.append(binary_cross_entropy_with_logits(network(x)[:, 0], y, weight=weights, reduction="sum"))
    return torch.stack(found)


@pytest.mark.parametrize("how", ["soft", "hard"])
def test_mdans_weights_and_gradients_by_hand(how):
    bound = objective(f"finetune+mdan(2, sources={how}, gamma=3, hidden=8, ramp=0)")
    parts = bound.losses(batch(), 0.0)
    both = bound.model.backbone(torch.cat([ROWS, TARGET])).detach().requires_grad_()
    features, target = both[:24], both[24:]
    losses = cross_entropy(bound.model.head(features), LABELS, reduction="none")
    risks = torch.stack([losses[d == DOMAIN].mean() for d in range(3)])
    domains = discriminator_losses(bound, features, target)
    w = worst_case_shares((risks - 2 * domains).detach(), 3.0 if how == "soft" else float("inf"))
    torch.testing.assert_close(bound.terms["mdan"].now, w)
    assert bound.terms["mdan"].said()["sources"] == pytest.approx(w.tolist())
    torch.testing.assert_close(parts["loss"], (w * risks).sum())
    torch.testing.assert_close(parts["mdan"], 2 * domains.mean())
    flipped = worst_case_shares((risks + 2 * domains).detach(), 3.0)
    assert (flipped - w).abs().max() > 1e-3, "the sign of the domain loss shows"

    # the features climb what the discriminators descend, each source by its share; all discriminators learn alike
    (features_up,) = torch.autograd.grad((w * domains).sum(), both, retain_graph=True)
    seen = bound.procedure.forward(bound.model, batch(), bound.terms, bound.start, 0.0)
    value = bound.terms["mdan"](seen)
    down = torch.autograd.grad(value, [seen.features, seen.target_features], retain_graph=True)
    torch.testing.assert_close(torch.cat(down), -2 * features_up, rtol=1e-4, atol=1e-6)
    for network in bound.terms["mdan"].discriminators:
        plain = torch.autograd.grad(domains.mean(), network[0].weight, retain_graph=True)[0]
        reversed_ = torch.autograd.grad(value, network[0].weight, retain_graph=True)[0]
        torch.testing.assert_close(reversed_, 2 * plain, rtol=1e-4, atol=1e-6)


def test_mdan_near_gives_a_source_that_costs_much_nothing():
    bound = objective("finetune+mdan(sources=near, tau=0.05)")
    bound.losses(batch(), 0.0)
    w = bound.terms["mdan"].now
    assert w.sum() == pytest.approx(1) and (w == 0).any()


def test_m3sda_on_the_loop_and_its_near_weights():
    bound = objective("finetune+m3sda(0.5, ramp=0)")
    parts = bound.losses(batch(), 0.0)
    both = bound.model.backbone(torch.cat([ROWS, TARGET]))
    sides = [*(both[:24][d == DOMAIN] for d in range(3)), both[24:]]

    def far(a, b):
        return sum(float(((a**k).mean(0) - (b**k).mean(0)).norm().detach()) for k in (1, 2))

    to_target = [far(side, sides[3]) for side in sides[:3]]
    pairs = [far(sides[0], sides[1]), far(sides[0], sides[2]), far(sides[1], sides[2])]
    assert parts["m3sda"].item() == pytest.approx(0.5 * (sum(to_target) / 3 + sum(pairs) / 3), rel=1e-4)
    assert bound.terms["m3sda"].said()["distances"] == pytest.approx(to_target, rel=1e-4)
    parts["m3sda"].backward()
    assert bound.model.backbone[0].weight.grad.abs().max() > 0
    near = objective("finetune+m3sda(sources=near)")
    shares = near.terms["m3sda"].said()["sources"]
    assert (
        sum(shares) == pytest.approx(1) and shares[0] > shares[1] > shares[2]
    )  # moved by 0, 2 and 4; the target by -1
    near.losses(batch(), 0.0)


def test_dsbn_equals_separate_batch_norms():
    for affine in (False, True):
        bound = objective(f"finetune+dsbn(affine={str(affine).lower()})")
        layer = bound.model.backbone[1]
        with torch.no_grad():
            layer.weight.copy_(torch.linspace(0.5, 2, 6))
            layer.bias.copy_(torch.linspace(-1, 1, 6))
            if affine:
                layer.sources[1].weight.fill_(3.0)
        seen = bound.procedure.forward(bound.model, batch(), bound.terms, bound.start, 0.0)
        linear = bound.model.backbone[0]
        domain = torch.cat([DOMAIN, torch.full((10,), 3)])
        raw = linear(torch.cat([ROWS, TARGET]))
        expected = torch.empty(34, 6)
        norms = [nn.BatchNorm1d(6) for _ in range(4)]
        for d, norm in enumerate(norms):
            own = layer if d == 3 or not affine else layer.sources[d]
            norm.weight, norm.bias = own.weight, own.bias
            expected[domain == d] = norm(raw[domain == d])
        got = torch.cat([seen.features, seen.target_features])
        torch.testing.assert_close(got, torch.relu(expected), rtol=1e-4, atol=1e-5)
        for d in range(3):  # statistics by hand: 0.9 * 0 + 0.1 * mean
            torch.testing.assert_close(layer.sources[d].running_mean, 0.1 * raw[domain == d].mean(0).detach())
            torch.testing.assert_close(layer.sources[d].running_var, norms[d].running_var)
        torch.testing.assert_close(layer.running_mean, norms[3].running_mean)
        pooled = nn.BatchNorm1d(6)(raw)  # the fault: one batch norm for all
        assert (torch.relu(pooled) - got).abs().max() > 0.1


@pytest.mark.parametrize("affine", [False, True])
def test_dsbn_of_a_layer_with_its_activation_inside(affine):
    """As in most networks of timm: scale and shift come before the activation, and the layer has modules of its own."""
    from timm.layers import BatchNormAct2d

    from headstart.strategies.terms.dsbn import DSBN

    torch.manual_seed(0)
    network = nn.Sequential(BatchNormAct2d(3))
    DSBN(affine=affine).rewire(network)
    layer = network[0]
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([-1.0, 0.5, 2.0]))
        layer.bias.copy_(torch.tensor([-0.5, 0.0, 1.0]))
    layer.give_sources(2)
    layer.rows = torch.tensor([0, 1, 2] * 4)
    x = torch.randn(12, 3, 5, 5) * torch.tensor([1.0, 2, 3] * 4)[:, None, None, None]
    got = network(x)
    for d in range(3):
        own = nn.BatchNorm2d(3)
        own.weight, own.bias = layer.weight, layer.bias
        torch.testing.assert_close(got[layer.rows == d], torch.relu(own(x[layer.rows == d])))
        held = layer if d == 2 else layer.sources[d]
        torch.testing.assert_close(held.running_var, own.running_var)
        assert held.num_batches_tracked == 1
    late = nn.BatchNorm2d(3, affine=False)(x[::3])  # the fault: scale and shift behind the activation
    late = torch.relu(late) * layer.weight[:, None, None] + layer.bias[:, None, None]
    assert (late - got[::3]).abs().max() > 0.1


def test_dsbn_leaves_a_plain_network_with_the_targets_statistics():
    bound = objective("finetune+dsbn")
    copied = copy.deepcopy(bound)
    names = {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}
    for _ in range(100):
        bound.losses(batch(), 0.0)
    layer = bound.model.backbone[1]
    raw = bound.model.backbone[0](TARGET).detach()
    unbind(parse_strategy("finetune+dsbn"), bound.model)
    assert type(layer) is nn.BatchNorm1d and set(bound.model.backbone.state_dict()) == names
    torch.testing.assert_close(layer.running_mean, raw.mean(0), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(layer.running_var, raw.var(0), rtol=1e-3, atol=1e-3)
    bound.model.eval()
    bound.model(ROWS)
    assert copied.model.backbone[1].rows is None and len(copied.model.backbone[1].sources) == 3


def test_dsbns_own_affine_parameters_are_trained():
    bound = objective("finetune+dsbn(affine=true)+mdan(ramp=0)")
    sum(bound.losses(batch(), 0.5).values()).backward()
    layer = bound.model.backbone[1]
    assert all(source.weight.grad.abs().max() > 0 for source in layer.sources) and layer.weight.grad.abs().max() > 0
    assert all(p.requires_grad for p in layer.sources.parameters())


def test_a_batch_in_pieces_has_the_gradient_of_the_whole_where_rows_are_independent():
    """GroupDRO and M3SDA compare rows, V-REx too; what is checked is that pieces hold every source and run."""

    class Plain:
        device = CPU

        def autocast(self):
            return torch.autocast("cpu", enabled=False)

        def backward(self, loss):
            loss.backward()

    from headstart.training.update import Pieces

    bound = objective("finetune+groupdro+vrex+irm+m3sda+mdan+dsbn")
    values = batch_gradient(bound, [batch()], Pieces(12, print, "test"), Plain(), 0.5)
    assert {"loss", "vrex", "irm", "m3sda", "mdan"} == set(values) and np.isfinite(list(values.values())).all()


def images_net():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 6, 3, 2, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    return net, [Layer(f"l{i}", (str(i),)) for i in range(4)]


def test_mixstyle_acts_at_the_ends_of_stages_in_training_alone():
    net, layers = images_net()
    images = normal(24, 3, 16, 16) * (1 + DOMAIN[:, None, None, None])
    bound = objective("finetune+mixstyle(p=1)", backbone=net, layers=layers, rows=images)
    assert stage_ends(bound.start) == ["2", "3"]  # the stem is none; layers 1 and 2 share a size
    plain = net(images)
    torch.manual_seed(0)
    seen = bound.procedure.forward(bound.model, batch(False, images), bound.terms, bound.start, 0.0)
    assert (seen.features - plain).abs().max() > 1e-3
    assert set(bound.losses(batch(False, images), 0.0)) == {"loss"}
    torch.testing.assert_close(net(images), plain)  # no hook is left behind
    bound.penalties.eval()
    still = bound.procedure.forward(bound.model, batch(False, images), bound.terms, bound.start, 0.0)
    torch.testing.assert_close(still.features, plain)
    with pytest.raises(HandshakeError, match=r"has fewer of them: got 'stages=3'; allowed: 1 to 2"):
        objective("finetune+mixstyle(stages=3)", backbone=images_net()[0], layers=layers, rows=images)


@pytest.mark.parametrize(
    ("text", "lacks", "says"),
    [
        ("mdan", "several_sources", "compares several labelled domains, but there is one"),
        ("m3sda", "target_stream", "compares the source with a second domain, but there is none"),
        ("groupdro", "several_sources", "there is one"),
        ("irm", "several_sources", "there is one"),
        ("vrex", "several_sources", "there is one"),
        ("mixstyle", "feature_maps", "texts and rows of features have none"),
        ("dsbn", "batch_norms", "this backbone has none"),
        ("dsbn", "target_stream", "there is none"),
        ("dsbn(affine=true)", "loss_on_target", "learns from a loss on the target's inputs, but no other term has one"),
    ],
)
def test_what_cannot_act_is_refused_in_words(text, lacks, says):
    with pytest.raises(HandshakeError, match=says):
        objective(f"finetune+{text}", has=FACTS - {lacks})


def test_batches_too_small_and_arguments_out_of_range():
    for name in ("irm", "dsbn"):
        with pytest.raises(HandshakeError, match="needs two rows of every source in each batch"):
            objective(f"finetune+{name}", batch=5)
    with pytest.raises(HandshakeError, match="no batch norm of this backbone trains"):
        objective("finetune(bn=frozen)+dsbn")
    for text in ("groupdro(0)", "irm(anneal=1)", "vrex(anneal=1)", "mdan(sources=some)", "mdan(gamma=0)", "mdan(tau=0)",
                 "mdan(hidden=0)", "m3sda(moments=1.5)", "m3sda(sources=soft)", "mixstyle(p=0)", "mixstyle(alpha=0)"):  # fmt: skip
        with pytest.raises(RecipeError, match="out of range"):
            parse_strategy(f"finetune+{text}")


def test_one_source_with_the_estimator_is_refused():
    X, y = ROWS.numpy(), LABELS.numpy()
    with pytest.raises(HandshakeError, match="headstart adapt SOURCE SOURCE TARGET"):
        DeepAdapter("vrex").fit(X, y)
