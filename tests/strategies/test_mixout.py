"""Mixout: its expectation is the weight, at p = 1 it is the source, and on a linear layer its gradient is known."""

import copy
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from headstart.errors import HandshakeError, RecipeError
from headstart.functional.mixout import mixout
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import handshake

_spec = importlib.util.spec_from_file_location("text_problem", Path(__file__).with_name("text_problem.py"))
problem = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(problem)
_spec = importlib.util.spec_from_file_location("terms_problem", Path(__file__).with_name("terms_problem.py"))
terms = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(terms)


def test_the_two_values_of_equation_5_and_their_shares():
    """With chance p a number is ``source``, else ``(weight - p source) / (1 - p)``: equation 5 of the paper written out."""
    torch.manual_seed(0)
    weight, source, p = torch.full((200, 200), 2.0), torch.full((200, 200), 0.5), 0.7
    found = mixout(weight, source, p)
    other = (2.0 - p * 0.5) / (1 - p)
    at_source, kept = torch.isclose(found, source), torch.isclose(found, torch.tensor(other))
    assert (at_source | kept).all()
    assert at_source.float().mean().item() == pytest.approx(p, abs=0.01)
    assert found.mean().item() == pytest.approx(2.0, abs=0.05), "the expectation is the weight"
    assert torch.equal(mixout(weight, source, 1.0), source)
    assert torch.equal(mixout(weight, source, 0.0), weight)


def test_a_linear_layer_under_mixout_by_its_first_two_moments():
    """y = x w': E y = x w and Var y = p / (1 - p) sum x^2 (w - u)^2, as for dropout of w - u."""
    torch.manual_seed(1)
    w, u, x, p = torch.randn(6), torch.randn(6), torch.randn(6), 0.4
    draws = torch.stack([x @ mixout(w, u, p) for _ in range(20000)])
    assert draws.mean().item() == pytest.approx((x @ w).item(), abs=0.05)
    assert draws.var().item() == pytest.approx((p / (1 - p) * (x * (w - u)).square().sum()).item(), rel=0.05)


def outputs(bound, batch, times):
    with torch.no_grad():
        return torch.stack([terms.watched(bound, batch).features for _ in range(times)])


def test_inside_a_network_weights_are_mixed_for_the_pass_and_plain_after_it():
    bound = terms.objective("mixout(p=0.5)")
    batch = terms.some(torch.arange(12))
    bound.model.eval()  # batch norms stay as they are
    at_source = terms.watched(bound, batch).features
    torch.testing.assert_close(outputs(bound, batch, 3), at_source.expand(3, -1, -1), rtol=0, atol=0)
    with torch.no_grad():
        for p in bound.model.backbone.parameters():
            p.add_(0.1 * torch.randn_like(p))
    found = outputs(bound, batch, 4)
    assert (found[0] - found[1]).abs().max() > 1e-4, "each pass has draws of its own"
    assert all(type(p) is nn.Parameter for p in bound.model.backbone.parameters())
    terms.watched(bound, batch).features.sum().backward()
    grads = {name: p.grad for name, p in bound.model.backbone.named_parameters() if p.ndim > 1}
    assert set(grads) == {"0.weight", "3.weight"}
    for grad in grads.values():
        assert 0.3 < (grad == 0).float().mean() < 0.7, "half of the numbers were the source's and have no gradient"


def test_a_pass_that_fails_leaves_the_weights_in_place():
    bound = terms.objective("mixout")
    mine = list(bound.model.backbone.parameters())
    with pytest.raises(RuntimeError, match="stop"), bound.penalties["mixout"].watching(bound.model, None):
        assert type(bound.model.backbone[0]._parameters["weight"]) is torch.Tensor
        raise RuntimeError("stop")
    assert all(a is b for a, b in zip(mine, bound.model.backbone.parameters(), strict=True))


def test_dropout_is_off_in_its_place_and_back_afterwards(tmp_path):
    source = problem.tiny(tmp_path / "bert")
    term = parse_strategy("mixout").terms[0]
    net = copy.deepcopy(source.backbone)
    before = [m.p for m in net.modules() if isinstance(m, nn.Dropout)]
    assert max(before) > 0
    term.rewire(net)
    assert all(m.p == 0 for m in net.modules() if isinstance(m, nn.Dropout))
    term.restore(net)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == before


def test_embeddings_norms_and_biases_are_not_mixed(tmp_path):
    source, data = problem.tiny(tmp_path / "bert"), problem.sentences(12)
    from headstart.training.finetune import Feeding, set_up
    from headstart.training.transfer import Settings, task_of

    course = set_up(
        source, copy.deepcopy(source.backbone), parse_strategy("mixout"), task_of(data, Settings()), data, Feeding(batch_size=6),
        pretrained=True, device=torch.device("cpu"), seed=0,
    )  # fmt: skip
    names = set(course.objective.penalties["mixout"].anchors)
    assert len(names) == 12 and all("dense" in name or "self" in name for name in names)


@pytest.mark.parametrize("p", ["0", "1", "1.5"])
def test_chances_that_would_do_nothing_or_learn_nothing_are_refused(p):
    with pytest.raises(RecipeError, match=f"'p' of 'mixout' is out of range in strategy: got {p}.*above 0, below 1"):
        parse_strategy(f"mixout({p})")


def test_beside_adapters_it_is_refused():
    pytest.importorskip("peft")
    with pytest.raises(HandshakeError, match="term 'mixout' compares weights with those of the source.*adapters"):
        handshake(parse_strategy("lora+mixout"), terms.LAYERS, terms.TASK, pretrained=True)
