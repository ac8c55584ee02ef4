"""selftrain, meanteacher and shot on the loop: what they label, what moves, what is read, and that a resumed run is the same."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from headstart.data.batch import Batch
from headstart.data.rows import ArrayRows
from headstart.errors import HandshakeError, RecipeError
from headstart.functional.class_balanced import class_balanced_labels, class_thresholds
from headstart.functional.mean_teacher import consistency
from headstart.functional.shot import centroid_labels, information_maximisation
from headstart.progress import Progress
from headstart.sources.bottleneck import on_rows
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.procedures.procedure import Step
from headstart.strategies.procedures.source_free import SourceFree
from headstart.strategies.terms.mean_teacher import MeanTeacher
from headstart.strategies.terms.self_training import SelfTraining
from headstart.strategies.terms.shot import SHOT
from headstart.strategies.terms.term import Seen, Start
from headstart.tasks.classification import Classification
from headstart.tasks.regression import Regression
from headstart.tasks.task import Model
from headstart.training.adapt import adapt
from headstart.training.domains import DomainBatches, Labelled
from headstart.training.optim import Optimisation
from headstart.training.source_free import source_free

CPU = torch.device("cpu")
TASK = Classification(("a", "b", "c"))


def blobs(n=60, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.normal(0, 0.6, (n, 4)) + 3 * np.eye(3, 4)[y] + shift).astype(np.float32), y


X, Y = blobs()
T = blobs(50, seed=1, shift=1.0)[0]


class Counting(ArrayRows):
    """Rows that note how many of them are read."""

    read = 0

    def stream(self, order, size, seed, *, vary):
        for x in super().stream(order, size, seed, vary=vary):
            self.read += len(x)
            yield x


class Stops(Progress):
    """Interrupts after so many updates."""

    def __init__(self, after):
        self.left = after

    def advance(self, n=1, **fields):
        self.left -= n
        if self.left < 0:
            raise KeyboardInterrupt


def run(text, epochs=4, source=None, **more):
    torch.manual_seed(1)
    return adapt(
        on_rows(4, (8,)), parse_strategy(f"finetune+{text}"), TASK, Labelled(source or ArrayRows(X), Y), ArrayRows(T),
        Optimisation(epochs, 0.01), batch_size=20, device=CPU, seed=0, **more,
    )  # fmt: skip


def weights(fitted):
    return torch.cat([value.flatten().double() for value in fitted.model.state_dict().values()])


def starting(head=True):
    torch.manual_seed(2)
    model = Model(on_rows(4, (8,)).backbone, torch.nn.Linear(8, 3) if head else TASK.head(8), 0.0)
    model.backbone(torch.as_tensor(X))  # running statistics that are not those of a new network
    target = lambda: Labelled(ArrayRows(T), None).batches  # noqa: E731
    return Start(model.train(), [], TASK, list, CPU, 0, target_batches=target, target_total=len(T))


def seen_of(start, rows, progress=0.5):
    """The target's rows at ``rows`` beside four of the source, by one joint pass."""
    batch = Batch(torch.as_tensor(X[:4]), torch.as_tensor(Y[:4]), target=torch.as_tensor(T)[rows], target_index=rows)
    features = start.model.backbone(torch.cat([batch.inputs, batch.target]))
    outputs = start.model.head(features)
    return Seen(
        start.model,
        batch,
        features[:4],
        outputs[:4],
        progress,
        start,
        target_features=features[4:],
        target_outputs=outputs[4:],
    )


def evaluated(model):
    with torch.no_grad():
        features = copy.deepcopy(model).eval().backbone(torch.as_tensor(T))
        return features, torch.softmax(model.head(features), 1)


def test_selftrain_labels_all_of_the_target_before_an_epoch_and_finds_them_by_their_rows():
    start = starting()
    bound = SelfTraining(weight=2.0, first=0.3, last=0.7, warmup=0.2).bind(start)
    before = copy.deepcopy(start.model.state_dict())
    bound.begin(start.model, 0.1)
    assert (bound.labels == -1).all()
    bound.begin(start.model, 0.6)
    p = evaluated(start.model)[1]
    torch.testing.assert_close(bound.labels, class_balanced_labels(p, class_thresholds(p, 0.5)))
    assert 0 < (bound.labels >= 0).sum() < 50
    assert start.model.training and start.model.backbone[1].training
    assert all(torch.equal(value, before[name]) for name, value in start.model.state_dict().items())
    rows = torch.tensor([7, 3, 41, 12, 30, 2])
    seen = seen_of(start, rows)
    log_p = torch.log_softmax(seen.target_outputs, 1)
    by_hand = [-log_p[i, bound.labels[r]].item() for i, r in enumerate(rows) if bound.labels[r] >= 0]
    assert bound(seen).item() == pytest.approx(2 * sum(by_hand) / 6, rel=1e-5)
    by_place = [-log_p[i, bound.labels[i]].item() for i in range(6) if bound.labels[i] >= 0]  # planted: labels by place
    assert bound(seen).item() != pytest.approx(2 * sum(by_place) / 6, rel=1e-3)
    assert bound.said()["labelled"] == pytest.approx((bound.labels >= 0).float().mean().item())
    assert set(bound.said()["thresholds"]) == {"a", "b", "c"}


def test_the_share_grows_in_a_line():
    term = SelfTraining(first=0.2, last=0.8, warmup=0.2)
    assert [term.portion(t) for t in (0.0, 0.19, 0.2, 0.6, 1.0)] == pytest.approx([0, 0, 0.2, 0.5, 0.8])


def test_the_teacher_follows_every_update_and_learns_nothing_itself():
    start = starting()
    bound = MeanTeacher(decay=0.6, rampup=0).bind(start)
    assert not list(bound.parameters()) and {"step", "teacher/head/weight"} <= set(
        bound.state_dict()
    )  # what a checkpoint keeps
    kept = [copy.deepcopy(start.model)]
    for _ in range(5):
        with torch.no_grad():
            for parameter in start.model.parameters():
                parameter += torch.randn_like(parameter)
        kept.append(copy.deepcopy(start.model))
        bound.after_step(start.model)
    w = [m.head.weight.detach() for m in kept[1:]]
    by_hand = 0.6**3 * (w[0] + w[1]) / 2 + 0.4 * (0.6**2 * w[2] + 0.6 * w[3] + w[4])
    torch.testing.assert_close(dict(bound.named_buffers())["teacher/head/weight"], by_hand)
    swapped = 0.4**3 * (w[0] + w[1]) / 2 + 0.6 * (
        0.4**2 * w[2] + 0.4 * w[3] + w[4]
    )  # planted: decay and its rest exchanged
    assert not torch.allclose(by_hand, swapped, atol=1e-2)

    teacher = copy.deepcopy(start.model)
    with torch.no_grad():
        for name, parameter in teacher.named_parameters():
            parameter.copy_(dict(bound.named_buffers())["teacher/" + name.replace(".", "/")])
    weak, strong = torch.as_tensor(T[:10]), torch.as_tensor(T[:10]) + 0.3
    seen = seen_of(start, torch.arange(10))
    seen.batch = replace(seen.batch, weak=weak, strong=strong)
    running = copy.deepcopy(dict(start.model.named_buffers()))
    value = bound(seen)
    expected = 3.0 * consistency(copy.deepcopy(start.model)(strong), teacher(weak))
    torch.testing.assert_close(value, expected)
    assert all(torch.equal(b, running[name]) for name, b in start.model.named_buffers())
    before = [b.clone() for b in bound.buffers()]
    value.backward()
    assert all(torch.equal(a, b) and not b.requires_grad for a, b in zip(before, bound.buffers(), strict=True))
    assert start.model.head.weight.grad.abs().sum() > 0


def test_shot_in_its_second_part_is_its_equation_on_the_target_alone():
    start = starting()
    bound = SHOT(0.3, 0.5).bind(start)
    how = SourceFree(0.5)
    bound.begin(start.model, 0.5)
    features, p = evaluated(start.model)
    torch.testing.assert_close(bound.labels, centroid_labels(features, p))
    rows = torch.tensor([7, 3, 41, 12, 30, 2])
    nothing = torch.full((4, 4), torch.nan)  # labelled rows that would spoil whatever reads them
    batch = Batch(nothing, torch.zeros(4, dtype=torch.int64), target=torch.as_tensor(T)[rows], target_index=rows)
    found = how.losses(start.model, TASK, batch, {"shot": bound}, start, 0.5, "target")
    outputs = start.model(batch.target)
    torch.testing.assert_close(found["loss"], information_maximisation(outputs))
    torch.testing.assert_close(found["shot"], 0.3 * torch.nn.functional.cross_entropy(outputs, bound.labels[rows]))
    assert [step.name for step in how.steps(0.49)] == [""] and how.steps(0.5)[0].moves == {"backbone"}


def test_shot_reads_no_source_row_in_its_second_part():
    source = Counting(X)
    fitted = run("shot", source=source)
    assert source.read == 2 * 60  # two of four epochs
    shown = [set(row) for row in fitted.history]
    assert "shot" not in shown[1] and "shot" in shown[2]
    assert sum(fitted.extra["terms"]["shot"]["labels"].values()) == 50


@pytest.mark.parametrize("fault", [False, True])
def test_shot_keeps_the_head_in_its_second_part(fault, monkeypatch):
    """And a head that goes on moving is seen."""
    if fault:
        monkeypatch.setattr(SourceFree, "steps", lambda self, t: (Step("target" if t >= self.source else ""),))
    heads = []

    def validate(model):
        heads.append(model.head.weight.detach().clone())
        return {"accuracy": 0.0, "loss": 1.0}

    run("shot", validate=validate)
    assert not torch.equal(heads[0], heads[1])
    assert torch.equal(heads[1], heads[3]) != fault


def test_shot_that_begins_within_an_epoch_has_labels_at_once():
    fitted = run("shot(source=0.6)", epochs=2)
    assert fitted.history[1]["shot"] > 0


def test_a_trained_model_moves_without_its_source():
    plain = run("shot(source=0.9)", epochs=10).model
    head, backbone = copy.deepcopy(plain.head), copy.deepcopy(plain.backbone)
    kept = copy.deepcopy(head.state_dict())
    network = on_rows(4, (8,))
    network.backbone = backbone
    fitted = source_free(network, head, TASK, ArrayRows(T), Optimisation(3, 0.01), batch_size=20, device=CPU, seed=0)
    assert all(torch.equal(value, kept[name]) for name, value in fitted.model.head.state_dict().items())
    assert not torch.equal(fitted.model.backbone[0].weight, plain.backbone[0].weight)
    assert {"train_loss", "shot"} <= set(fitted.history[0])
    with pytest.raises(
        HandshakeError, match="'shot' keeps the head as it is.*new one that says nothing.*headstart adapt RUN"
    ):
        source_free(network, TASK.head(8), TASK, ArrayRows(T), Optimisation(3, 0.01), device=CPU, seed=0)


@pytest.mark.parametrize("text", ["selftrain(warmup=0)", "meanteacher", "shot", "fixmatch(threshold=0.4)"])
def test_resumed_is_as_if_never_stopped(text, tmp_path):
    whole = run(text)
    with pytest.raises(KeyboardInterrupt):
        run(text, folder=tmp_path, progress=Stops(8 if text == "shot" else 5))
    again = run(text, folder=tmp_path)
    assert torch.equal(weights(again), weights(whole))
    assert [row["train_loss"] for row in again.history] == [row["train_loss"] for row in whole.history]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("selftrain(first=0)", "'first' of 'selftrain' is out of range"),
        ("selftrain(last=0.1)", "'last' of 'selftrain' is out of range.*first \\(0.2\\) to 1"),
        ("selftrain(warmup=1)", "'warmup' of 'selftrain'"),
        ("meanteacher(decay=1)", "'decay' of 'meanteacher' is out of range"),
        ("meanteacher(rampup=2)", "'rampup' of 'meanteacher'"),
        ("shot(source=0.95)", "'source' of 'shot' is out of range"),
    ],
)
def test_arguments_out_of_range(text, words):
    with pytest.raises(RecipeError, match=words):
        run(text)


@pytest.mark.parametrize(
    ("text", "epochs", "words"),
    [
        ("selftrain", 1, "'selftrain' warms up from nothing"),
        ("selftrain(warmup=0.9)", 4, "begins with the first epoch after 90% of the training, and there is none"),
        ("shot(source=0)", 4, "'shot' keeps the head as it is"),
        ("meanteacher+fixmatch(ratio=2)", 4, "share one stream.*meanteacher\\(ratio=1\\) and fixmatch\\(ratio=2\\)"),
    ],
)
def test_what_cannot_act_is_refused(text, epochs, words):
    with pytest.raises(HandshakeError, match=words):
        run(text, epochs)


@pytest.mark.parametrize("text", ["selftrain", "meanteacher", "shot"])
def test_without_classes_or_without_a_target_they_are_refused(text):
    how, options = parse_strategy(f"finetune+{text}"), Optimisation(3, 0.01)
    values = Labelled(ArrayRows(X), Y.astype(np.float64))
    with pytest.raises(HandshakeError, match="needs class probabilities, but the task gives none"):
        adapt(on_rows(4, (8,)), how, Regression(("v",)), values, ArrayRows(T), options, device=CPU, seed=0)
    with pytest.raises(HandshakeError, match=f"'{text}' .* but there (is|are) none"):
        adapt(on_rows(4, (8,)), how, TASK, Labelled(ArrayRows(X), Y), None, options, device=CPU, seed=0)


def test_the_ratio_is_that_of_target_rows_to_labelled_ones():
    batches = DomainBatches(Labelled(ArrayRows(X), Y), ArrayRows(T), 10, seed=0, views=True, ratio=2.5)
    batch = next(batches(0))
    assert len(batch) == 10 and len(batch.target) == len(batch.weak) == len(batch.strong) == 25
    alone = list(batches.target_alone(0))
    assert len(alone) == batches.steps and torch.equal(alone[0].target, batch.target)
    assert torch.equal(alone[0].strong, batch.strong) and alone[0].targets is None
