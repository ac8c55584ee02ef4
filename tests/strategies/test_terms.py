"""Every term of the catalogue changes what is trained, shows in the log, resumes exactly, and refuses where it cannot act."""

import copy
import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.errors import HandshakeError, RecipeError
from headstart.functional.fisher import fisher_diagonal
from headstart.progress import SILENT
from headstart.sources.source import Layer
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import WORDS, handshake
from headstart.strategies.terms.catalogue import TERMS
from headstart.strategies.terms.sample import sample
from headstart.strategies.terms.term import Seen, Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model
from headstart.training.loop import train
from headstart.training.objective import bind, unbind
from headstart.training.optim import Optimisation

LAYERS = [Layer("one", ("0", "1")), Layer("two", ("3", "4"))]
TASK = Classification(("a", "b", "c"))
NAMES = list(TERMS)
IN_THE_LOSS = [name for name in NAMES if name != "stochnorm"]
TO_THE_SOURCE = ["l2sp", "ewc", "delta", "bss", "cotuning", "bituning", "stochnorm", "lwf", "distill", "contrastive"]
WEIGHED = [name for name in TO_THE_SOURCE if name != "stochnorm"]
SAID = {
    "fixmatch": "fixmatch(threshold=0)",
    "pseudo": "pseudo(threshold=0, warmup=0)",
    "smallloss": "smallloss(warmup=0)",
}
"""How a term is written where it would wait for a longer training to act."""
FACTS = set(WORDS) - {"trainable_backbone", "frozen_backbone", "pretrained_backbone"}


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    images = rng.normal(0, 1, (24, 3, 6, 6)) + labels[:, None, None, None] * 0.8
    return torch.tensor(images, dtype=torch.float32), torch.tensor(labels)


IMAGES, LABELS = problem()


def starting() -> Start:
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )  # fmt: skip
    net(IMAGES)  # moving statistics that are not those of a new net
    head = (torch.randn(5, 8), torch.randn(5))

    def once():
        return [Batch(IMAGES[i], LABELS[i], i) for i in torch.arange(24).split(10)]

    return Start(
        Model(net, TASK.head(8)), LAYERS, TASK, once, torch.device("cpu"), 0, head, tuple("vwxyz"), 24,
    )  # fmt: skip


def written(*names: str) -> str:
    return "+".join(SAID.get(name, name) for name in names)


def some(rows: torch.Tensor) -> Batch:
    return Batch(IMAGES[rows], LABELS[rows], rows, IMAGES[rows] + 0.1, IMAGES[rows] * 0.9)


def objective(text: str):
    how, start = parse_strategy(text), starting()
    stages = handshake(how, LAYERS, TASK, pretrained=True, has=FACTS)
    return bind(how, stages, start)


def run(text, folder=None, stop_after=None, epochs=2):
    bound = objective(text)

    def batches(epoch):
        order = torch.randperm(24, generator=torch.Generator().manual_seed(epoch))
        return [some(i) for i in order.split(12)]

    def stop(row):
        if row["epoch"] == stop_after:
            raise KeyboardInterrupt

    return train(
        bound, batches, 2, Optimisation(epochs=epochs, lr=0.01), device=torch.device("cpu"), seed=0, folder=folder,
        progress=SILENT, on_epoch=stop,
    )  # fmt: skip


def weights(fitted) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in fitted.model.state_dict().items()}


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def plain():
    return weights(run("finetune"))


def seen(bound, batch=None) -> Seen:
    """One forward pass in train mode."""
    bound.begin(0.0)
    batch = batch or Batch(IMAGES[:12], LABELS[:12], torch.arange(12))
    return watched(bound, batch)


def watched(bound, batch) -> Seen:
    with ExitStack() as watching:
        for penalty in bound.penalties.values():
            watching.enter_context(penalty.watching(bound.model))
        features = bound.model.backbone(batch.images)
    return Seen(bound.model, batch, features, bound.model.head(features), 0.0, bound.start)


# every term


@pytest.mark.parametrize("name", NAMES)
def test_each_term_changes_the_trained_weights(name, plain):
    found = run(written(name))
    held = weights(found)
    moved = {k for k in held if k.startswith("backbone") and not torch.equal(held[k], plain[k])}
    assert "backbone.0.weight" in moved
    assert set(held) == set(plain), "the trained model has other tensors than the plain architecture"


@pytest.mark.parametrize("name", NAMES)
def test_without_weight_a_term_is_refused(name):
    argument = {"stochnorm": "p", "smallloss": "rate"}.get(name, "weight")
    with pytest.raises((HandshakeError, RecipeError), match="would do nothing|out of range.*got 0"):
        objective(f"{name}({argument}=0)")


@pytest.mark.parametrize("name", WEIGHED)
def test_each_term_scales_with_its_weight(name):
    head = {"head_weight": 0} if "head_weight" in TERMS[name].arguments else {}
    values = []
    for weight in (0.5, 1.5):
        said = ", ".join(f"{k}={v}" for k, v in {"weight": weight, **head}.items())
        bound = objective(f"{name}({said})")
        with torch.no_grad():
            for p in bound.model.backbone.parameters():
                p.mul_(1.1)
        values.append(bound.penalties[name](seen(bound)).item())
    assert values[0] > 0
    assert values[1] == pytest.approx(3 * values[0], rel=1e-4)


@pytest.mark.parametrize("name", WEIGHED)
def test_the_gradient_of_each_term_is_that_of_its_value(name):
    """Along the gradient the value rises as much as the gradient says: catches one that is lost, turned or scaled."""
    bound = objective(name)
    with torch.no_grad():
        bound.model.head.weight.copy_(torch.randn(3, 8, generator=torch.Generator().manual_seed(1)))
        for p in bound.model.backbone.parameters():
            p.mul_(1.1)
    state = copy.deepcopy(bound.penalties.state_dict())
    value = bound.penalties[name](seen(bound))
    value.backward()
    weight = bound.model.backbone[3].weight
    slope = weight.grad.square().sum().item()
    assert slope > 0, "no gradient reaches the backbone"
    step, values = 1e-3 * value.item() / slope, []
    for way in (step, -2 * step):
        bound.penalties.load_state_dict(state)  # the queue as it was
        with torch.no_grad():
            weight.sub_(way * weight.grad)
        values.append(bound.penalties[name](seen(bound)).item())
    assert (values[1] - values[0]) / (2 * step * slope) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ["cotuning", "bituning", "lwf"])
def test_the_modules_of_a_term_are_trained_along_and_kept_in_the_checkpoint(name, tmp_path):
    run(name, tmp_path)
    kept = torch.load(tmp_path / "last.pt", weights_only=True)["terms"]
    before = objective(name).penalties.state_dict()
    assert kept.keys() == before.keys() and len(kept) >= 2
    assert all(not torch.equal(kept[key], value) for key, value in before.items())


@pytest.mark.parametrize("name", NAMES)
def test_interrupted_and_resumed_equals_left_alone(name, tmp_path):
    whole = run(written(name), tmp_path / "whole", epochs=3)
    with pytest.raises(KeyboardInterrupt):
        run(written(name), tmp_path / "parts", stop_after=2, epochs=3)
    again = run(written(name), tmp_path / "parts", epochs=3)
    assert equal(weights(whole), weights(again))


def test_all_terms_at_once_train_and_each_has_its_column():
    found = run(written("finetune", *NAMES))
    for name in IN_THE_LOSS:
        assert all(np.isfinite(row[name]) for row in found.history), name
        assert found.history[-1][name] != 0, name
    assert "stochnorm" not in found.history[0]


@pytest.mark.parametrize("name", NAMES)
def test_after_training_nothing_of_a_term_is_left_on_the_model(name):
    bound = objective(name)
    seen(bound)
    unbind(parse_strategy(name), bound.model)
    copied = copy.deepcopy(bound.model)
    for module in copied.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert [type(m) for m in copied.backbone] == [type(m) for m in starting().model.backbone]


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_of_the_objective_trains_on_its_own(name):
    """The memory probe and the range test work on copies."""
    bound = objective(written(name))
    with torch.no_grad():
        bound.model.head.weight.copy_(torch.randn(3, 8, generator=torch.Generator().manual_seed(1)))
    twin = copy.deepcopy(bound)
    with torch.no_grad():
        for p in twin.model.backbone.parameters():
            p.mul_(1.2)
    for each in (bound, twin):
        torch.manual_seed(0)
        each.begin(0.0)
        sum(each.losses(some(torch.arange(12)), 0.0).values()).backward()
    a, b = bound.model.backbone[3].weight.grad, twin.model.backbone[3].weight.grad
    assert a is not None and b is not None and not torch.equal(a, b)
    assert bound.model.backbone[3].weight.grad is not twin.model.backbone[3].weight.grad


@pytest.mark.parametrize("name", NAMES)
def test_a_term_that_needs_a_source_head_is_refused_without_one(name):
    needs = "source_head" in TERMS[name]().needs
    how = parse_strategy(name)
    if not needs:
        handshake(how, LAYERS, TASK, pretrained=True, has=FACTS - {"source_head"})
        return
    with pytest.raises(HandshakeError, match=f"term '{name}' .*source task.*without one"):
        handshake(how, LAYERS, TASK, pretrained=True, has=FACTS - {"source_head"})


def test_which_terms_read_the_source_head_and_one_label_an_image():
    needing = {need: {n for n in TO_THE_SOURCE if need in TERMS[n]().needs} for need in ("source_head", "hard_labels")}
    assert needing == {"source_head": {"ewc", "cotuning", "lwf"}, "hard_labels": {"bituning", "contrastive"}}


@pytest.mark.parametrize("name", TO_THE_SOURCE)
def test_a_frozen_backbone_refuses_every_term(name):
    with pytest.raises(HandshakeError, match="freezes all of it"):
        objective(f"head+{name}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bss(k=1.5)", "'k' of 'bss' is out of range in strategy: got 1.5; allowed: a whole number from 1 on"),
        (
            "distill(distance=far)",
            "'distance' of 'distill' is out of range in strategy: got 'far'; allowed: cosine, squared",
        ),
        ("delta(attention=none)", "allowed: rise, equal"),
        ("delta(stages=0)", "'stages' of 'delta'"),
        ("ewc(images=0)", "'images' of 'ewc'"),
        ("lwf(temperature=0)", "'temperature' of 'lwf'"),
        ("contrastive(temperature=0)", "'temperature' of 'contrastive'"),
        ("bituning(queue=0.5)", "'queue' of 'bituning'"),
        ("stochnorm(p=1.5)", "'p' of 'stochnorm' is out of range in strategy: got 1.5"),
    ],
)
def test_arguments_out_of_range_are_refused(text, words):
    with pytest.raises(RecipeError, match=words):
        parse_strategy(text)


# what each one is


def test_ewc_is_the_fisher_of_the_source_model_times_the_way_gone():
    bound = objective("ewc(weight=0.7, head_weight=0, normalize=false)")
    start, penalty = bound.start, bound.penalties["ewc"]
    assert all(module.training for module in start.model.modules()), "the model was not left in its mode"
    assert penalty(seen(bound)).item() == 0
    # the same labels, on a network of its own
    W, b = start.source_head
    net = starting().model.backbone.eval()

    def logp(x):
        return torch.log_softmax(net(x) @ W.T + b, 1)

    with torch.no_grad():
        chances = [logp(batch.images).exp() for batch in start.batches()]
    drawn = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.multinomial(p, 1, generator=drawn)[:, 0] for p in chances])
    fisher = fisher_diagonal(logp, list(net.parameters()), IMAGES, labels)
    start_weight = bound.model.backbone[3].weight.detach().clone()
    with torch.no_grad():
        for p in bound.model.backbone.parameters():
            p.add_(torch.randn_like(p))
    penalty(seen(bound)).backward()
    weight = bound.model.backbone[3].weight
    expected = 2 * 0.7 * fisher[4] / 24 * (weight.detach() - start_weight)
    torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-7)


def test_ewc_normalized_has_the_scale_of_l2sp():
    fisher = objective("ewc").penalties["ewc"].fisher
    count = sum(f.numel() for f in fisher)
    assert sum(f.sum().item() for f in fisher) / count == pytest.approx(1, rel=1e-5)


def test_delta_attention_is_the_rise_of_the_loss_without_each_channel():
    bound = objective("delta(weight=1, head_weight=0, images=24)")
    found = bound.penalties["delta"].attention["4"]
    start = bound.start
    from headstart.strategies.terms.delta import _solved_head

    X = start.frozen(IMAGES)
    head = _solved_head(start, X, LABELS)
    assert TASK.loss(head(X), LABELS) < 0.9 * np.log(3)
    rises = []
    for j in range(8):
        without = copy.deepcopy(start.frozen)
        with torch.no_grad():
            without[4].weight[j] = 0
            without[4].bias[j] = 0
            rises.append(TASK.loss(head(without(IMAGES)), LABELS) - TASK.loss(head(X), LABELS))
    torch.testing.assert_close(found, torch.softmax(torch.stack(rises), 0), rtol=1e-3, atol=1e-4)


def test_delta_is_zero_where_nothing_moved_and_the_distance_of_the_maps_elsewhere():
    bound = objective("delta(weight=2, head_weight=0, attention=equal, stages=2)")
    bound.model.backbone.eval()
    batch = Batch(IMAGES[:5], LABELS[:5], torch.arange(5))

    def value():
        return bound.penalties["delta"](watched(bound, batch)).item()

    assert value() == 0
    with torch.no_grad():
        bound.model.backbone[3].weight.add_(0.1)
        moved = bound.model.backbone(batch.images)
        old, new = bound.start.frozen[:5](batch.images), bound.model.backbone[:5](batch.images)
    assert moved.shape == (5, 8)
    assert value() == pytest.approx(2 * (new - old).square().mean().item(), rel=1e-4)


def test_delta_reads_the_pass_of_the_labelled_images_whatever_else_passes():
    bound = objective("delta(attention=equal)")
    with torch.no_grad():
        bound.model.backbone[3].weight.add_(0.1)
    alone = bound.penalties["delta"](seen(bound)).item()
    both = seen(bound)
    bound.model(IMAGES[12:])  # another term's views
    assert bound.penalties["delta"](both).item() == pytest.approx(alone)


def test_delta_refuses_stages_that_are_not_there():
    with pytest.raises(HandshakeError, match="reads more stages than this backbone has: got 3; allowed: 1 to 2"):
        objective("delta(stages=3)")


def test_cotuning_targets_are_the_mean_source_probabilities_of_each_class():
    bound = objective("cotuning(weight=1, temperature=2)")
    W, b = bound.start.source_head
    P = torch.softmax((bound.start.frozen(IMAGES) @ W.T + b) / 2, 1)
    expected = torch.stack([P[k == LABELS].mean(0) for k in range(3)])
    torch.testing.assert_close(bound.penalties["cotuning"].given, expected.detach())
    mixed = seen(bound, Batch(IMAGES[:6], torch.eye(3)[LABELS[:6]], torch.arange(6)))
    hard = seen(bound, Batch(IMAGES[:6], LABELS[:6], torch.arange(6)))
    penalty = bound.penalties["cotuning"]
    torch.testing.assert_close(penalty(mixed), penalty(hard))


def test_lwf_and_distillation_are_zero_at_the_start_and_not_after():
    for text in ("lwf", "distill", "distill(distance=squared)"):
        bound = objective(text)
        bound.model.backbone.eval()
        penalty = next(iter(bound.penalties.values()))
        batch = Batch(IMAGES, LABELS, torch.arange(24))

        def value(bound=bound, penalty=penalty, batch=batch):
            features = bound.model.backbone(batch.images)
            return penalty(Seen(bound.model, batch, features, features, 0.0, bound.start)).item()

        assert value() == pytest.approx(0, abs=1e-6), text
        with torch.no_grad():
            bound.model.backbone[3].weight.add_(torch.randn_like(bound.model.backbone[3].weight))
        assert value() > 1e-3, text


def test_bituning_compares_with_earlier_batches():
    bound = objective("bituning(queue=20)")
    penalty = bound.penalties["bituning"]
    first = seen(bound)
    penalty(first)
    assert (penalty.labels[:12] == LABELS[:12]).all() and (penalty.labels[12:] == -1).all()
    torch.testing.assert_close(penalty.keys[:12], first.features.detach())
    second = seen(bound, Batch(IMAGES[12:], LABELS[12:], torch.arange(12, 24)))
    penalty(second)
    assert (penalty.labels[:12] == LABELS[12:]).all() and (penalty.labels[12:] == LABELS[:8]).all()
    lone = Batch(IMAGES[:2], torch.tensor([0, 1]), torch.arange(2))
    with_queue = penalty(seen(bound, lone)).item()
    none = objective("bituning(queue=0)")
    assert none.penalties["bituning"](seen(none, lone)).item() != pytest.approx(with_queue)


def test_stochnorm_normalises_each_channel_by_one_of_the_two_statistics():
    bound = objective("stochnorm")
    norm, plain = bound.model.backbone[1], starting().model.backbone[1]
    assert type(norm).__name__ == "StochasticBatchNorm2d" and isinstance(norm, nn.BatchNorm2d)
    bound.begin(0.0)
    x = torch.randn(8, 6, 4, 4) * 2 + 1
    by_moving, by_batch = plain.eval()(x), plain.train()(x)
    out = norm(x)
    chosen = [torch.allclose(out[:, j], by_moving[:, j], atol=1e-5) for j in range(6)]
    other = [torch.allclose(out[:, j], by_batch[:, j], atol=1e-5) for j in range(6)]
    assert [a or b for a, b in zip(chosen, other, strict=True)] == [True] * 6
    assert 0 < sum(chosen) < 6
    torch.testing.assert_close(norm.running_mean, plain.running_mean)  # followed as in any batch norm, once
    torch.testing.assert_close(norm.num_batches_tracked, plain.num_batches_tracked)
    torch.testing.assert_close(norm.eval()(x), plain.eval()(x))


def test_stochnorm_weights_load_into_the_plain_architecture():
    fitted = run("stochnorm")
    unbind(parse_strategy("stochnorm"), fitted.model)
    fresh = starting().model
    fresh.load_state_dict(fitted.model.state_dict())
    torch.testing.assert_close(fresh.eval()(IMAGES), fitted.model.eval()(IMAGES))


@pytest.mark.parametrize("text", ["finetune(bn=frozen)+stochnorm", "stochnorm"])
def test_stochnorm_is_refused_where_no_batch_norm_trains(text):
    how, start = parse_strategy(text), starting()
    if text == "stochnorm":
        start.model.backbone[1], start.model.backbone[4] = nn.Identity(), nn.Identity()
    with pytest.raises(HandshakeError, match="has none that trains on its batches"):
        bind(how, how.tuning.stages(LAYERS), start)


# with other parts


@pytest.mark.parametrize("tuning", ["last(1)", "last(1)>finetune", "probe>finetune(layer_decay=0.5)"])
def test_terms_go_with_every_tuning_that_moves_the_backbone(tuning):
    found = run(written(tuning, *NAMES))
    assert all(np.isfinite(row[name]) for row in found.history for name in IN_THE_LOSS)


def test_terms_that_need_no_single_label_train_on_mixed_ones():
    names = [n for n in TO_THE_SOURCE if "hard_labels" not in TERMS[n]().needs]
    bound = objective(written("finetune", *names))
    bound.begin(0.0)
    mixed = 0.7 * torch.eye(3)[LABELS[:12]] + 0.3 * torch.eye(3)[LABELS[1:13]]
    parts = bound.losses(Batch(IMAGES[:12], mixed, torch.arange(12)), 0.0)
    assert set(parts) == {"loss", *names} - {"stochnorm"}
    assert all(torch.isfinite(value) for value in parts.values())


def test_pieces_of_a_batch_and_half_precision_keep_the_values_finite():
    bound = objective(written("finetune", *NAMES))
    bound.begin(0.0)
    batch = some(torch.arange(12))
    with torch.autocast("cpu", torch.bfloat16):
        for piece in batch.split(12):  # one image at a time: no pairs, no spectrum
            if len(piece) == 1:
                bound.model.eval()
            parts = bound.losses(piece, 0.0)
            sum(value.float() for value in parts.values()).backward()
            assert all(torch.isfinite(value) for value in parts.values())
    assert all(torch.isfinite(p.grad).all() for p in bound.parameters if p.grad is not None)


def test_a_sample_is_drawn_once_for_a_seed():
    start = starting()
    rows = [torch.cat([b.index for b in sample(start, 7)]).tolist() for _ in range(2)]
    assert rows[0] == rows[1] and len(set(rows[0])) == 7
    assert {k for batch in sample(start, 99) for k in batch.index.tolist()} == set(range(24))
    for batch in sample(start, 5):
        assert torch.equal(batch.images, IMAGES[batch.index]) and torch.equal(batch.targets, LABELS[batch.index])


def test_the_documents_name_every_term_with_its_defaults():
    text = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `((\w+)\([^`]*)` \|", text, re.M))
    documented = {name: said for said, name in rows.items() if name in TERMS}
    assert set(documented) == set(TERMS)
    for name, said in documented.items():
        assert parse_strategy(said) == parse_strategy(name)
        assert all(f"{argument}=" in said for argument in TERMS[name].arguments), said
