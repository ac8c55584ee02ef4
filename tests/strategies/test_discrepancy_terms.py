"""The discrepancy and feature terms on the loop: what each reads of a joint pass, that it trains, and where it is refused."""

import copy
import math

import pytest
import torch

from headstart.data.batch import Batch
from headstart.errors import HandshakeError, RecipeError
from headstart.functional.bsp import largest_singular_values
from headstart.functional.central_moments import central_moment_discrepancy
from headstart.functional.class_alignment import contrastive_discrepancy
from headstart.functional.deep_coral import coral_loss
from headstart.functional.feature_norm import hard_feature_norm, stepwise_feature_norm
from headstart.functional.gaussian_mixture_kernel import gaussian_kernels, pair_distances
from headstart.functional.joint_mmd import joint_kernel
from headstart.functional.mmd import kernel_discrepancy
from headstart.functional.shares import shares
from headstart.functional.sliced_wasserstein import random_directions, sliced_wasserstein
from headstart.progress import SILENT
from headstart.sources.bottleneck import on_rows
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import WORDS, handshake
from headstart.strategies.terms import two_domains
from headstart.strategies.terms.catalogue import TERMS
from headstart.strategies.terms.term import Start
from headstart.tasks.classification import Classification
from headstart.tasks.regression import Regression
from headstart.tasks.task import Model
from headstart.training.loop import train
from headstart.training.objective import bind
from headstart.training.optim import Optimisation

NAMES = ["dan", "jan", "deepcoral", "cmd", "swd", "afn", "bsp", "alignment"]
TASK = Classification(("a", "b", "c"))
FACTS = set(WORDS) - {"trainable_backbone", "frozen_backbone", "pretrained_backbone"}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LABELS = torch.arange(24) % 3
ROWS = normal(24, 4) + 3 * torch.eye(3, 4)[LABELS]
TARGET = normal(15, 4, seed=1) + 3 * torch.eye(3, 4)[LABELS[:15]] + 0.7
SAID = {"alignment": "alignment(threshold=0.4)"}
"""How a term is written where a network without training would leave it without a row to act on."""


def objective(text, rows=24, task=TASK, has=FACTS, sources=1):
    torch.manual_seed(3)
    network = on_rows(4, (6,))
    how = parse_strategy(text)
    stages = handshake(how, network.layers, task, pretrained=False, has=has)
    model = Model(network.backbone, task.head(6))
    with torch.no_grad():
        model.head.weight.copy_(normal(*model.head.weight.shape, seed=4))
    start = Start(
        model,
        network.layers,
        task,
        list,
        torch.device("cpu"),
        0,
        total=24,
        batch=rows,
        sources=sources,
        target_total=15,
    )
    return bind(how, stages, start)


def batch(weights=None, domain=None, target=TARGET):
    return Batch(ROWS, LABELS, torch.arange(24), target=target, weights=weights, domain=domain)


def value(name, given, progress=0.3, text=None, sources=1, seed=7):
    """The term's part of the loss of one batch, in eval mode, so that a row's features do not hang on the others."""
    bound = objective(text or SAID.get(name, name), sources=sources)
    bound.model.eval()
    torch.manual_seed(seed)
    return bound.losses(given, progress)[name], bound


def by_hand(name, bound, weights):
    """The value without weight and ramp, from two passes and the pure functions."""
    model = bound.model
    Xs, Xt = model.backbone(ROWS), model.backbone(TARGET)
    a, b = shares(Xs, weights), shares(Xt)
    both = torch.cat([Xs, Xt])
    if name == "dan":
        return kernel_discrepancy(gaussian_kernels(pair_distances(both)), a, b)
    if name == "jan":
        return kernel_discrepancy(joint_kernel(both, torch.softmax(model.head(both), 1)), a, b)
    if name == "deepcoral":
        return coral_loss(Xs, Xt, a, b)
    if name == "cmd":
        return central_moment_discrepancy(Xs, Xt, a, b)
    if name == "swd":
        torch.manual_seed(7)
        return sliced_wasserstein(Xs, Xt, random_directions(6, 128, Xs), a, b)
    if name == "afn":
        return stepwise_feature_norm(Xs, Xt, a, b)
    if name == "bsp":
        return largest_singular_values(Xs, Xt, a, b)
    said = torch.softmax(model.head(Xt), 1).max(1)
    labels = torch.where(said.values >= 0.4, said.indices, -1)
    return contrastive_discrepancy(Xs, Xt, LABELS, labels, a, b, 3)


WEIGHTS = torch.linspace(0.0, 2.0, 24)


def agrees(name, weights, progress=0.3):
    """Whether the term is its weight times the ramp times the number made by hand, and has its gradient."""
    found, bound = value(name, batch(weights), progress)
    term = parse_strategy(SAID.get(name, name)).terms[0]
    rate = term.ramp
    expected = term.weight * (math.tanh(rate * progress / 2) if rate else 1) * by_hand(name, bound, weights)
    weight = bound.model.backbone[0].weight
    mine, theirs = (torch.autograd.grad(each, weight)[0] for each in (found, expected))
    assert expected != 0 and theirs.abs().max() > 1e-6
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-7) and torch.allclose(mine, theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("name", NAMES)
def test_each_term_is_its_weight_times_the_ramp_times_the_pure_function(name, weights):
    assert agrees(name, weights)
    assert agrees(name, weights, 0.9)


def planted(fault):
    """The two sides with a fault in them."""

    def sides(seen, right=two_domains.two_sides):
        found = right(seen)
        fields = dict(vars(found))
        if fault == "target detached":
            fields["target_features"] = found.target_features.detach()
        elif fault == "weights left out":
            fields["source"] = shares(found.source_features)
        elif fault == "domains swapped":
            fields["source_features"], fields["target_features"] = found.target_features, found.source_features
            fields["source"], fields["target"] = shares(found.target_features), shares(found.source_features)
        elif fault == "a row short":
            fields["target_features"] = torch.cat([found.target_features[1:], found.source_features[-1:]])
        return two_domains.Sides(**fields)

    return sides


@pytest.mark.parametrize("fault", ["target detached", "weights left out", "domains swapped", "a row short"])
@pytest.mark.parametrize("name", ["dan", "deepcoral", "cmd", "swd", "afn", "bsp"])
def test_planted_faults_are_caught(name, fault, monkeypatch):
    assert agrees(name, WEIGHTS)
    monkeypatch.setattr(two_domains, "two_sides", planted(fault))
    assert not agrees(name, WEIGHTS)


@pytest.mark.parametrize("name", NAMES)
def test_the_weight_scales_and_the_ramp_begins_at_nothing(name):
    text = SAID.get(name, name)
    text = text[:-1] + ", " if text.endswith(")") else text + "("
    one, two = (value(name, batch(), text=f"{text}weight={w}, ramp=0)")[0].item() for w in (0.5, 1.5))
    assert two == pytest.approx(3 * one, rel=1e-4) and one != 0
    assert value(name, batch(), 0.0, text=f"{text}ramp=5)")[0].item() == 0
    assert value(name, batch(), 0.0, text=f"{text}weight=0.5, ramp=0)")[0].item() == pytest.approx(one)


@pytest.mark.parametrize("name", NAMES)
def test_labelled_rows_of_the_target_stand_on_its_side(name):
    """Six labelled rows with domain 1 of 1 source, against the same six among the unlabelled ones."""
    domain = (torch.arange(24) < 6).long()
    weights = torch.cat([torch.ones(6), torch.linspace(0.5, 1.5, 18)])
    found = value(name, batch(weights, domain))[0]
    moved = Batch(ROWS[6:], LABELS[6:], torch.arange(18), target=torch.cat([ROWS[:6], TARGET]), weights=weights[6:])
    apart = value(name, moved)[0]
    if name == "alignment":  # which takes their labels, and not what the model says
        assert found.item() != pytest.approx(apart.item())
    else:
        assert found.item() == pytest.approx(apart.item(), rel=1e-4)
    several = value(name, batch(weights, domain), sources=2)[0]
    if name != "afn":  # whose value is always the same
        assert several.item() != pytest.approx(found.item()), "domain 1 of two sources is a source"


def test_alignment_takes_the_labels_of_labelled_target_rows():
    domain = (torch.arange(24) < 6).long()
    found, bound = value("alignment", batch(None, domain))
    F, U = bound.model.backbone(ROWS), bound.model.backbone(TARGET)
    said = torch.softmax(bound.model.head(U), 1).max(1)
    labels = torch.cat([LABELS[:6], torch.where(said.values >= 0.4, said.indices, -1)])
    Xt = torch.cat([F[:6], U])
    expected = contrastive_discrepancy(F[6:], Xt, LABELS[6:], labels, shares(F[6:]), shares(Xt), 3)
    assert found.item() == pytest.approx(math.tanh(1.5) * expected.item(), rel=1e-4)
    nobody = value("alignment", batch(), text="alignment(threshold=0.999999)")[0]
    assert nobody.item() == 0 and nobody.requires_grad


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["no target", "an empty target", "all rows of the target", "no weight"])
def test_a_batch_with_one_domain_gives_nothing_and_its_gradient(name, case):
    given = {
        "no target": batch(target=None),
        "an empty target": batch(target=TARGET[:0]),
        "all rows of the target": batch(domain=torch.ones(24, dtype=torch.long)),
        "no weight": batch(weights=torch.zeros(24)),
    }[case]
    found, bound = value(name, given)
    found.backward()
    for p in (bound.model.backbone[0].weight, bound.model.head.weight):
        assert p.grad is not None and p.grad.isfinite().all()
    if name not in ("afn", "bsp"):  # these ask something of each domain alone
        assert found.item() == 0 and not bound.model.backbone[0].weight.grad.any()


@pytest.mark.parametrize("name", NAMES)
def test_pieces_of_a_batch_and_half_precision_keep_values_finite(name):
    bound = objective(SAID.get(name, name))
    bound.model.eval()
    with torch.autocast("cpu", torch.bfloat16):
        for piece in batch(WEIGHTS).split(24):  # one labelled row and at most one of the target
            parts = bound.losses(piece, 0.5)
            sum(part.float() for part in parts.values()).backward()
            assert all(part.isfinite() for part in parts.values())
        whole = bound.losses(batch(WEIGHTS), 0.5)[name]
    assert whole.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in bound.model.parameters() if p.grad is not None)


def run(text, folder=None, stop_after=None):
    bound = objective(text)

    def batches(epoch):
        order = torch.randperm(24, generator=torch.Generator().manual_seed(epoch))
        return [Batch(ROWS[i], LABELS[i], i, target=TARGET[i[i < 15]]) for i in order.split(12)]

    def stop(row):
        if row["epoch"] == stop_after:
            raise KeyboardInterrupt

    return train(
        bound, batches, 2, Optimisation(epochs=3, lr=0.01), device=torch.device("cpu"), seed=0, folder=folder,
        progress=SILENT, on_epoch=stop,
    )  # fmt: skip


def equal(a, b):
    return all(
        torch.equal(p, q) for p, q in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_term_changes_what_is_trained_shows_in_the_history_and_resumes(name, tmp_path):
    text = SAID.get(name, name)
    whole = run(text)
    assert not equal(whole, run("finetune"))
    assert whole.history[-1][name] != 0
    with pytest.raises(KeyboardInterrupt):
        run(text, tmp_path, stop_after=2)
    assert equal(whole, run(text, tmp_path))


def test_all_of_them_at_once_and_a_copy_on_its_own():
    text = "finetune+" + "+".join(SAID.get(name, name) for name in NAMES)
    bound = objective(text)
    twin = copy.deepcopy(bound)
    with torch.no_grad():
        twin.model.backbone[0].weight.mul_(1.5)
    for each in (bound, twin):
        each.begin(0.0)
        parts = each.losses(batch(), 0.5)
        assert set(parts) == {"loss", *NAMES}
        sum(parts.values()).backward()
    assert not torch.equal(bound.model.backbone[0].weight.grad, twin.model.backbone[0].weight.grad)


# refusals


@pytest.mark.parametrize("name", NAMES)
def test_without_a_second_domain_a_backbone_that_moves_or_a_weight_each_is_refused(name):
    with pytest.raises(
        HandshakeError, match=f"term '{name}' compares the source with a second domain, but there is none"
    ):
        objective(name, has=FACTS - {"target_stream"})
    with pytest.raises(HandshakeError, match="freezes all of it"):
        objective(f"head+{name}")
    with pytest.raises(HandshakeError, match="has weight 0 and would do nothing"):
        objective(f"{name}(weight=0)")


@pytest.mark.parametrize("name", NAMES)
def test_what_reads_classes_is_refused_for_a_quantity(name):
    task, facts = Regression(("value",)), {"target_stream", "hard_labels"}
    if name in ("jan", "alignment"):
        with pytest.raises(
            HandshakeError, match=f"term '{name}'.*(class_probabilities|class probabilities|class an image)"
        ):
            objective(name, task=task, has=facts)
    else:
        bound = objective(name, task=task, has=facts)
        given = Batch(ROWS, ROWS[:, 0].float(), torch.arange(24), target=TARGET)
        assert bound.losses(given, 0.5)[name].isfinite()


@pytest.mark.parametrize("name", ["dan", "jan", "deepcoral", "cmd", "swd", "alignment"])
def test_a_batch_of_one_row_is_refused(name):
    with pytest.raises(
        HandshakeError, match=f"term '{name}' compares rows of a batch by domain, and there are too few"
    ):
        objective(name, rows=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dan(widths=0)", "'widths' of 'dan' is out of range in strategy: got 0; allowed: a whole number from 1 on"),
        ("jan(widths=1.5)", "'widths' of 'jan'"),
        ("cmd(moments=0)", "'moments' of 'cmd'"),
        ("swd(directions=0.5)", "'directions' of 'swd'"),
        ("bsp(k=0)", "'k' of 'bsp'"),
        ("afn(step=0)", "'radius' of 'afn' is out of range.*got 'step=0, radius=0'.*stepwise"),
        ("afn(radius=25)", "got 'step=1, radius=25'"),
        ("alignment(threshold=1)", "'threshold' of 'alignment'"),
    ],
)
def test_arguments_out_of_range_are_refused(text, words):
    with pytest.raises(RecipeError, match=words):
        parse_strategy(text)


def test_the_hard_form_of_afn_and_the_other_statistics_of_dan():
    given, bound = value("afn", batch(), text="afn(step=0, radius=3)")
    Xs, Xt = bound.model.backbone(ROWS), bound.model.backbone(TARGET)
    expected = 0.05 * hard_feature_norm(Xs, Xt, shares(Xs), shares(Xt), 3.0)
    assert given.item() == pytest.approx(expected.item())
    biased = value("dan", batch(), text="dan(unbiased=false)")[0].item()
    assert biased > value("dan", batch())[0].item()
    assert value("dan", batch(), text="dan(widths=1)")[0].item() != value("dan", batch())[0].item()


def test_every_default_of_the_table_is_that_of_the_class():
    for name in NAMES:
        assert TERMS[name]() == TERMS[name].make()
