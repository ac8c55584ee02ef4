"""A transformer of texts as a backbone: pooling by hand, layers that hold everything once, a folder that comes back."""

from __future__ import annotations

import pytest
import torch

from headstart.data.text_preprocessing import MASK
from headstart.errors import SourceError
from headstart.sources.text_backbone import TextBackbone, dry_input, pooled_tokens, text_layers
from headstart.strategies.tuning.tuning import part

transformers = pytest.importorskip("transformers")


def bert(**more) -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        **more,
    )
    return transformers.BertModel(config, add_pooling_layer=False).eval()


def gpt2() -> torch.nn.Module:
    torch.manual_seed(0)
    return transformers.GPT2Model(
        transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    ).eval()


def encoded(lengths: list[int]) -> torch.Tensor:
    ids = torch.randint(1, 50, (len(lengths), max(lengths)))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return torch.stack([ids * mask, mask, torch.zeros_like(ids)], 1)


def test_pooling_by_hand():
    states = torch.tensor([[[1.0], [2.0], [9.0]], [[4.0], [6.0], [8.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pooled_tokens(states, mask, "mean").flatten().tolist() == [1.5, 6.0]
    assert pooled_tokens(states, mask, "cls").flatten().tolist() == [1.0, 4.0]
    assert pooled_tokens(states, mask, "last").flatten().tolist() == [2.0, 8.0]
    left = torch.tensor([[0, 1, 1], [1, 1, 1]])  # padded on the left
    assert pooled_tokens(states, left, "cls").flatten().tolist() == [2.0, 4.0]
    assert pooled_tokens(states, left, "last").flatten().tolist() == [9.0, 8.0]
    with pytest.raises(SourceError, match="pooling"):
        TextBackbone(bert(), "max")


@pytest.mark.parametrize(("make", "pool"), [(bert, "mean"), (bert, "cls"), (gpt2, "last")])
def test_padding_changes_nothing(make, pool):
    backbone = TextBackbone(make(), pool).eval()
    inputs = encoded([5, 9])
    with torch.no_grad():
        alone = backbone(inputs[:1, :, :5])
        beside = backbone(inputs)[:1]
    torch.testing.assert_close(alone, beside, atol=1e-5, rtol=1e-5)


def test_scaled_vectors_point_the_same_way():
    inputs = encoded([4, 7])
    with torch.no_grad():
        plain, scaled = TextBackbone(bert(), "mean")(inputs), TextBackbone(bert(), "mean", scaled=True)(inputs)
    torch.testing.assert_close(scaled.square().mean(1), torch.ones(2))
    torch.testing.assert_close(torch.cosine_similarity(plain, scaled), torch.ones(2))


@pytest.mark.parametrize("make", [bert, gpt2])
def test_layers_hold_every_parameter_once_from_the_input_to_the_output(make):
    backbone = TextBackbone(make(), "mean")
    layers = text_layers(backbone)
    held = []
    for layer in layers:
        for name in layer.modules:
            item = part(backbone, name)
            held += [id(p) for p in (item.parameters() if isinstance(item, torch.nn.Module) else [item])]
    assert sorted(held) == sorted(id(p) for p in backbone.parameters()) and len(set(held)) == len(held)
    names = [layer.name for layer in layers]
    assert names[0] == "embeddings" and "block1" in names and names.index("block1") < names.index("block2")


def test_a_dry_input_is_of_the_kind_of_the_backbone():
    text = dry_input(TextBackbone(bert()), 6)
    assert text.shape == (1, 3, 6) and text.dtype == torch.int64 and text[:, MASK].all()
    assert dry_input(torch.nn.Linear(1, 1), 6).shape == (1, 3, 6, 6)
