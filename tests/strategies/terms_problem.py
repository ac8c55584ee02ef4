"""A small problem with everything that a term may read, for the tests of terms."""

from contextlib import ExitStack

import numpy as np
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.progress import SILENT
from headstart.sources.source import Layer
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import WORDS, handshake
from headstart.strategies.terms.catalogue import TERMS
from headstart.strategies.terms.domains import DOMAIN_TERMS
from headstart.strategies.terms.term import Seen, Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model
from headstart.training.loop import train
from headstart.training.objective import bind
from headstart.training.optim import Optimisation

LAYERS = [Layer("one", ("0", "1")), Layer("two", ("3", "4"))]
TASK = Classification(("a", "b", "c"))
NAMES = [name for name in TERMS if name not in DOMAIN_TERMS]
IN_THE_LOSS = [name for name in NAMES if name not in ("stochnorm", "mixout")]
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


def seen(bound, batch=None) -> Seen:
    """One forward pass in train mode."""
    bound.begin(0.0)
    batch = batch or Batch(IMAGES[:12], LABELS[:12], torch.arange(12))
    return watched(bound, batch)


def watched(bound, batch) -> Seen:
    with ExitStack() as watching:
        for penalty in bound.penalties.values():
            watching.enter_context(penalty.watching(bound.model, batch))
        features = bound.model.backbone(batch.inputs)
    return Seen(bound.model, batch, features, bound.model.head(features), 0.0, bound.start)
