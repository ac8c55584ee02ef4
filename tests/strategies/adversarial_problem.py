"""Two small domains and an objective on them, for the tests of adversarial terms."""

import copy

import numpy as np
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.data.rows import ArrayRows
from headstart.progress import SILENT
from headstart.sources.bottleneck import on_rows
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import WORDS, handshake
from headstart.strategies.terms.term import Seen, Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model
from headstart.training.domains import DomainBatches, Labelled
from headstart.training.loop import train
from headstart.training.objective import bind
from headstart.training.optim import Optimisation

CPU = torch.device("cpu")
TASK = Classification(("a", "b", "c"))
FACTS = set(WORDS) - {
    "trainable_backbone",
    "frozen_backbone",
    "pretrained_backbone",
    "class_probabilities",
    "class_labels",
    "loss_per_image",
}


def domain(n=24, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.normal(0, 1, (n, 4)) + 2 * np.eye(3, 4)[y] + shift).astype(np.float32), y


def batch(n=12, u=10, weights=None):
    (X, y), (T, _) = domain(), domain(seed=1, shift=1.0)
    return Batch(
        torch.as_tensor(X[:n]), torch.as_tensor(y[:n]), torch.arange(n), weights=weights, target=torch.as_tensor(T[:u])
    )


def objective(text, task=TASK, width=6):
    """The strategy bound to a small network whose head is drawn, not zero."""
    torch.manual_seed(0)
    net = on_rows(4, (width,))
    model = Model(net.backbone, nn.Linear(width, task.rows))
    start = Start(model, net.layers, task, list, CPU, 0, batch=12, target_batches=list, target_total=24)
    how = parse_strategy(text)
    stages = handshake(how, net.layers, task, pretrained=False, has=FACTS)
    bound = bind(how, stages, start)
    bound.begin(0.0)
    bound.penalties.eval()  # the same value at each call: without the dropout of discriminators
    return bound


def forward(bound, progress=0.3, of=None) -> Seen:
    return bound.procedure.forward(bound.model, of or batch(), {}, bound.start, progress)


def handmade(bound, features, outputs, target_features, target_outputs, **parts) -> Seen:
    """What was seen, given instead of computed."""
    weights, seen_domain = parts.get("weights"), parts.get("domain")
    targets = torch.zeros(len(features), dtype=torch.int64)
    of = Batch(torch.zeros(len(features), 4), targets, domain=seen_domain, weights=weights)
    seen = Seen(bound.model, of, features, outputs, parts.get("progress", 0.3), bound.start, weights=weights)
    seen.target_features, seen.target_outputs = target_features, target_outputs
    return seen


def gradients(value, module):
    """Of a scalar, by name; ``None`` where there is none."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return dict(zip(names, found, strict=True))


def run(text, folder=None, stop_after=None, epochs=4, procedure=None, lr=0.01):
    """Train on two domains; two updates an epoch."""
    bound = objective(text)
    if procedure:
        bound.procedure = procedure
    (X, y), (T, _) = domain(), domain(seed=1, shift=1.0)
    batches = DomainBatches(Labelled(ArrayRows(X), y), ArrayRows(T), 12, seed=0)

    def stop(row):
        if row["epoch"] == stop_after:
            raise KeyboardInterrupt

    said = []
    progress = type("Said", (type(SILENT),), {"say": lambda self, line: said.append(line)})()
    fitted = train(
        bound, batches, batches.steps, Optimisation(epochs, lr, head_lr_scale=1.0, weight_decay=0.0), device=CPU, seed=0,
        folder=folder, progress=progress, on_epoch=stop,
    )  # fmt: skip
    fitted.extra |= {"objective": bound, "said": said}
    return fitted


def state(module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(dict(module.state_dict()))


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
