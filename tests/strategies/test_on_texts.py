"""Every tuning and every term on texts: each works for a step, or is refused in words before it."""

import copy
import importlib.util
from pathlib import Path

import pytest
import torch

from headstart.errors import HandshakeError
from headstart.strategies.terms.catalogue import TERMS
from headstart.strategies.terms.domains import DOMAIN_TERMS
from headstart.strategies.tuning.adapters import targets
from headstart.strategies.tuning.ia3 import IA3, mlps
from headstart.strategies.tuning.lora import LoRA
from headstart.strategies.tuning.tuning import set_trainable
from headstart.strategies.tunings import TUNINGS

_spec = importlib.util.spec_from_file_location("text_problem", Path(__file__).with_name("text_problem.py"))
problem = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(problem)

DATA = problem.sentences(24)
REFUSED = {
    "stochnorm": "draws between the two statistics of batch norms.*this backbone has none",
    "ewc": "reads the head of the source task", "cotuning": "reads the head of the source task", "lwf": "reads the head of the source task",
    "delta": r"once for each channel.*allowed: equal.*delta\(attention=equal\)",
    "fixmatch": "learns from unlabelled target", "pseudo": "learns from unlabelled target",
    "finetune(bn=frozen)": "says what batch norms do, but this backbone has none",
}  # fmt: skip
"""What cannot act on texts as they come, and what the user reads."""
NAMES = [
    *TUNINGS,
    "lpft",
    *(name for name in TERMS if name not in DOMAIN_TERMS),
    "finetune(bn=frozen)",
    "delta(attention=equal)",
]
SAID = {"smallloss": "smallloss(warmup=0)", "gradual": "gradual(until=0.4)"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize("name", NAMES)
def test_each_name_moves_a_model_of_texts_or_says_why_not(name, kind, home):
    source = problem.tiny(home / kind, kind)
    before = copy.deepcopy(source.backbone.state_dict())
    epochs = 2 if name == "gradual" else 1
    if name in REFUSED:
        with pytest.raises(HandshakeError, match=REFUSED[name]):
            problem.move(source, SAID.get(name, name), DATA)
        return
    moved = problem.move(source, SAID.get(name, name), DATA, epochs=epochs)
    after = moved.backbone.state_dict()
    changed = [k for k in before if not torch.equal(before[k], after[k])]
    assert list(after) == list(before), "the network has its plain form again"
    assert bool(changed) == (name not in ("probe", "head2toe", "head"))
    assert all(torch.equal(before[k], v) for k, v in source.backbone.state_dict().items()), "the source stays as it is"
    assert torch.isfinite(moved.head[0]).all()


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize("tuning", [LoRA(rank=2), LoRA(rank=3, dora=True), IA3()], ids=["lora", "dora", "ia3"])
def test_adapters_sit_on_every_linear_layer_and_merge_into_what_they_learned(tuning, kind, home):
    source = problem.tiny(home / kind, kind)
    net, inputs = copy.deepcopy(source.backbone), source.preprocessing(DATA.inputs[:5])
    good, left = targets(net, source.layers, 24, grouped=False)
    # bert: query, key, value, output, two of the MLP; gpt2: one for query, key and value, output, two of the MLP (Conv1D)
    assert (len(good), left) == ({"bert": 12, "gpt2": 8}[kind], [])
    before = net(inputs)
    tuning.rewire(net, source.layers, 24)
    set_trainable(net, tuning.stages(source.layers))
    torch.testing.assert_close(net(inputs), before, rtol=0, atol=1e-6)
    with torch.no_grad():
        for p in net.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    unmerged = net(inputs)
    assert (unmerged - before).abs().max() > 1e-3
    tuning.restore(net)
    torch.testing.assert_close(net(inputs), unmerged, rtol=0, atol=1e-5)
    assert list(net.state_dict()) == list(source.backbone.state_dict())


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_the_two_halves_of_each_mlp_are_found(kind, home):
    source = problem.tiny(home / kind, kind)
    first, second = mlps(source.backbone, targets(source.backbone, source.layers, 24, grouped=True)[0])
    assert (len(first), len(second)) == (2, 2)
    ends = {"bert": ("intermediate.dense", "output.dense"), "gpt2": ("mlp.c_fc", "mlp.c_proj")}[kind]
    assert all(name.endswith(ends[0]) for name in first) and all(name.endswith(ends[1]) for name in second)
    assert not any("attention" in name for name in second)


@pytest.mark.slow
def test_each_name_on_the_real_encoder():
    source = problem.minilm()
    if source is None:
        pytest.skip("the weights of MiniLM are not installed")
    for name in NAMES:
        if name not in REFUSED:
            moved = problem.move(source, SAID.get(name, name), DATA, epochs=2 if name == "gradual" else 1)
            assert torch.isfinite(moved.head[0]).all(), name


def test_delta_counts_the_tokens_of_each_text_and_no_padding(home):
    """By hand: the mean over the tokens of the squared difference, whatever the padding."""
    from headstart.functional.delta import attended_distance
    from headstart.strategies.terms.delta import token_weights

    f, g = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    lengths, mask = (5, 2), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    attention = torch.tensor([0.2, 0.5, 0.3])
    by_hand = [((f[i, :n] - g[i, :n]).square().mean(0) * attention).sum() for i, n in enumerate(lengths)]
    weights = token_weights(mask)
    torch.testing.assert_close(attended_distance(f * weights, g * weights, attention), torch.stack(by_hand).mean())
