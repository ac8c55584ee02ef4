"""Every term of the catalogue changes what is trained, shows in the log, resumes exactly, and refuses where it cannot act."""

import copy
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.data.batch import Batch
from headstart.errors import HandshakeError, RecipeError
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import handshake
from headstart.strategies.terms.catalogue import TERMS
from headstart.strategies.terms.sample import sample
from headstart.training.objective import unbind

_spec = importlib.util.spec_from_file_location("terms_problem", Path(__file__).with_name("terms_problem.py"))
problem = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(problem)
LAYERS = problem.LAYERS
TASK = problem.TASK
NAMES = problem.NAMES
IN_THE_LOSS = problem.IN_THE_LOSS
TO_THE_SOURCE = problem.TO_THE_SOURCE
WEIGHED = problem.WEIGHED
FACTS = problem.FACTS
IMAGES = problem.IMAGES
LABELS = problem.LABELS
starting = problem.starting
written = problem.written
some = problem.some
objective = problem.objective
run = problem.run
weights = problem.weights
equal = problem.equal
seen = problem.seen


@pytest.fixture(scope="module")
def plain():
    return weights(run("finetune"))


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
    argument = {"stochnorm": "p", "mixout": "p", "smallloss": "rate"}.get(name, "weight")
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


# with other parts


@pytest.mark.parametrize("tuning", ["last(1)", "last(1)>finetune", "probe>finetune(layer_decay=0.5, bn=adapt)"])
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
        assert torch.equal(batch.inputs, IMAGES[batch.index]) and torch.equal(batch.targets, LABELS[batch.index])


def test_the_documents_name_every_term_with_its_defaults():
    docs = Path(__file__).parents[2] / "docs"
    text = "".join((docs / page).read_text(encoding="utf-8") for page in ("strategies.md", "adaptation_terms.md"))
    rows = dict(re.findall(r"^\| `((\w+)\([^`]*)` \|", text, re.M))
    documented = {name: said for said, name in rows.items() if name in TERMS}
    assert set(documented) == set(TERMS)
    for name, said in documented.items():
        assert parse_strategy(said) == parse_strategy(name)
        assert all(f"{argument}=" in said for argument in TERMS[name].arguments), said


@pytest.mark.parametrize(
    ("text", "batch", "words"),
    [
        ("bss(k=8)", 32, "no more than k, so it cannot act: got 'k=8'; allowed: k below 8"),
        ("bss", 1, "cannot act"),
        ("contrastive", 1, "a batch holds one, so it cannot act"),
        ("smallloss(rate=0.1)", 9, "of so few that is none.*from 0.11 on"),
    ],
)
def test_a_batch_in_which_a_term_could_not_act_is_refused(text, batch, words):
    start = starting()
    start.batch = batch
    (term,) = parse_strategy(text).terms
    with pytest.raises(HandshakeError, match=words):
        term.bind(start)
    start.batch = max(10, batch)
    (term,) = parse_strategy(text.replace("k=8", "k=7")).terms
    assert term.bind(start) is not None
