"""What precision a network trains in, where nothing is asked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.training import device
from headstart.training.device import accelerator, reads_tokens

CPU = torch.device("cpu")
TOKENS = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4))
PICTURES = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 4))
BOTH = nn.ModuleList([TOKENS, PICTURES])


@pytest.mark.parametrize(("network", "bf16", "expected"), [
    (TOKENS, True, "bf16"), (TOKENS, False, "no"), (PICTURES, True, "no"), (BOTH, True, "no"), (nn.Linear(2, 2), True, "no"), (None, True, "no"),
])  # fmt: skip
def test_on_a_cpu_bf16_is_for_networks_of_tokens_where_the_cpu_has_it(monkeypatch, network, bf16, expected):
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: bf16)
    assert accelerator(CPU, "auto", network).mixed_precision == expected
    assert accelerator(CPU, "fp32", network).mixed_precision == "no"
    assert accelerator(CPU, "bf16", network).mixed_precision == "bf16"


def test_a_real_encoder_reads_tokens():
    transformers = pytest.importorskip("transformers")
    how = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=11)
    assert reads_tokens(transformers.GPT2Model(how))  # its Conv1D is a product of matrices
