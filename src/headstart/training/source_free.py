"""A trained model moves to a target without the data that it was trained on."""

from __future__ import annotations

from typing import Any

from torch import nn

from headstart.data.rows import Rows
from headstart.errors import HandshakeError, sentence
from headstart.sources.bottleneck import Network
from headstart.sources.source import Source
from headstart.sources.taps import Tapped
from headstart.strategies.strategy import Strategy
from headstart.strategies.terms.shot import SHOT
from headstart.strategies.tuning.full import Full
from headstart.tasks.classification import Classification
from headstart.tasks.task import Task
from headstart.training.adapt import adapt
from headstart.training.domains import Labelled
from headstart.training.loop import Fitted
from headstart.training.optim import Optimisation


def source_free(
    network: Network,
    head: nn.Module,
    task: Task,
    target: Rows,
    options: Optimisation,
    *,
    weight: float = 0.3,
    **more: Any,
) -> Fitted:
    """The second part of SHOT alone (:class:`headstart.strategies.terms.shot.SHOT`).

    Args:
        network: a trained backbone, changed in place.
        head: (B, width) -> (B, K), trained with it; it stays as it is.
        task: what the two were trained for.
        target: unlabelled inputs.
        weight: of the pseudo-labels, > 0.
        more: ``batch_size``, ``device``, ``seed``, ``validate``, ``folder``, ``progress``, as for :func:`headstart.training.adapt.adapt`.

    Raises:
        HandshakeError: a task without class probabilities. DataError: a target of one input. Diverged, OutOfMemory: as there.
    """
    strategy = Strategy("shot", Full(), (SHOT(weight, source=0.0),), SHOT(weight, source=0.0).procedure)
    return adapt(network, strategy, task, Labelled(target, None), target, options, head=head, **more)


def source_free_images(source: Source, target: Rows, options: Optimisation, **more: Any) -> Fitted:
    """:func:`source_free` for the model of a run folder or of a hub, with its own head.

    Args:
        source: its own backbone is not touched.
        target: images (:class:`headstart.data.rows.ImageRows`) with the preprocessing of the source.

    Raises:
        HandshakeError: the source has no head, its classes have no names, or the head reads earlier layers than the last.
    """
    if source.head is None or not source.classes:
        raise HandshakeError(
            sentence("SHOT keeps the head of the source model, but this one has none", where=source.name,
                     fix="a run folder of headstart fit as SOURCE")
        )  # fmt: skip
    if isinstance(source.backbone, Tapped):
        raise HandshakeError(
            sentence("SHOT trains the layers that the head reads, but the head of this model reads earlier ones than the last",
                     where=source.name, fix="a run folder of headstart fit --strategy finetune or probe")
        )  # fmt: skip
    weight, bias = source.head
    head = nn.Linear(weight.shape[1], len(weight))
    head.load_state_dict({"weight": weight, "bias": bias})
    backbone = source.build()
    backbone.load_state_dict(source.backbone.state_dict())
    network = Network(backbone, source.layers, source.width, pretrained=True)
    return source_free(network, head, Classification(source.classes), target, options, **more)
