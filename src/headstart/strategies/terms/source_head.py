"""What the head of the source task says, frozen or as a module that goes on learning."""

from __future__ import annotations

from torch import nn

from headstart.strategies.terms.term import Start


def source_head(start: Start) -> nn.Linear:
    """A linear layer (S, width) with the weights of the source's own head, to be trained with the model.

    The handshake has made sure that there is one (need ``"source_head"``).
    """
    assert start.source_head is not None
    weight, bias = start.source_head
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.load_state_dict({"weight": weight, "bias": bias})
    return head.to(start.device)
