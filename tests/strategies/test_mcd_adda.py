"""The steps of MCD and the stages of ADDA: what moves, what is held to the bit, and planted faults that are caught."""

import copy
import importlib.util
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from headstart.functional.classifier_discrepancy import classifier_discrepancy
from headstart.functional.domain_classifier import domain_loss
from headstart.strategies.procedures.procedure import Step
from headstart.strategies.terms.adda import TwoStages
from headstart.strategies.terms.mcd import ClassifierDiscrepancy
from headstart.strategies.terms.unlabelled import statistics_kept
from headstart.training.deep_adapter import DeepAdapter

_spec = importlib.util.spec_from_file_location(
    "adversarial_problem", Path(__file__).with_name("adversarial_problem.py")
)
problem = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(problem)
objective, state, equal = problem.objective, problem.state, problem.equal


@dataclass
class Moment:
    """What stood before a step, and the batch that it was taken on."""

    step: str
    progress: float
    backbone: dict
    head: dict
    terms: dict
    model: object
    penalties: object
    batch: object


class Watched:
    """Writes down every moment of a procedure."""

    def losses(self, model, task, batch, penalties, start, progress, step=""):
        whole = torch.nn.ModuleDict(penalties)
        kept = [state(part) for part in (model.backbone, model.head, whole)]
        moment = Moment(step, progress, *kept, copy.deepcopy(model), copy.deepcopy(whole), batch)
        self.__dict__.setdefault("moments", []).append(moment)
        return super().losses(model, task, batch, penalties, start, progress, step)


def parameters(of: dict) -> dict:
    return {key: value for key, value in of.items() if "running" not in key and "batches" not in key}


# MCD


class Seesaw(Watched, ClassifierDiscrepancy):
    pass


def discrepancy(moment) -> float:
    """Of both classifiers on the moment's target rows, with the statistics of the batch, as the steps see it."""
    model, second = copy.deepcopy(moment.model).train(), moment.penalties["mcd"].head
    with torch.no_grad():
        features = model.backbone(torch.cat([moment.batch.inputs, moment.batch.target]))[len(moment.batch) :]
        return classifier_discrepancy(model.head(features), second(features)).item()


def check_mcd(procedure):
    """Two epochs of two updates with three steps each, of which the third is taken twice."""
    problem.run("mcd(weight=3, steps=2)", epochs=10, procedure=procedure, lr=0.02)
    moments = procedure.moments
    assert [m.step for m in moments[:8]] == ["", "apart", "closer", "closer"] * 2, "another order"
    for first, apart, closer, again, after in zip(*(moments[i:-4:4] for i in range(4)), moments[4::4], strict=True):
        assert not equal(first.backbone, apart.backbone) and not equal(first.head, apart.head)
        assert not equal(first.terms, apart.terms)
        assert equal(apart.backbone, closer.backbone), "the second step moved the backbone, or its running statistics"
        assert not equal(apart.head, closer.head) and not equal(apart.terms, closer.terms)
        assert equal(closer.head, after.head) and equal(closer.terms, after.terms), "the third step moved a classifier"
        assert not equal(parameters(closer.backbone), parameters(again.backbone)), "the third step moved nothing"
        same = {key: value for key, value in closer.backbone.items() if "running" in key or "batches" in key}
        assert len(same) == 3 and equal(same, {key: after.backbone[key] for key in same})
    late = moments[24:]
    for apart, closer, again, after in zip(late[1::4], late[2::4], late[3::4], late[4::4], strict=False):
        after = replace(after, batch=apart.batch)
        assert discrepancy(closer) > discrepancy(apart), "the second step lowers the discrepancy"
        assert discrepancy(closer) > discrepancy(again) > discrepancy(after), "the third step raises it"


def test_the_second_step_raises_the_discrepancy_and_the_third_lowers_it():
    check_mcd(Seesaw(2))


class SignOfTheSecond(Seesaw):
    def losses(self, model, task, batch, penalties, start, progress, step=""):
        own = penalties["mcd"]
        right = own.term
        own.term = replace(right, weight=-right.weight) if step == "apart" else right
        found = super().losses(model, task, batch, penalties, start, progress, step)
        own.term = right
        return found


class SignOfTheThird(Seesaw):
    def losses(self, model, task, batch, penalties, start, progress, step=""):
        found = super().losses(model, task, batch, penalties, start, progress, step)
        return {name: -value for name, value in found.items()} if step == "closer" else found


class OtherOrder(Seesaw):
    def steps(self, progress):
        first, apart, *closer = super().steps(progress)
        return (first, *closer, apart)


class BackboneMovesToo(Seesaw):
    def steps(self, progress):
        first, apart, *closer = super().steps(progress)
        return (first, replace(apart, moves=frozenset({"backbone", "head", "terms"})), *closer)

    def losses(self, model, task, batch, penalties, start, progress, step=""):
        found = super().losses(model, task, batch, penalties, start, progress, step)
        with statistics_kept(model):
            seen = self.forward(model, batch, penalties, start, progress)  # with a gradient, where the step has none
        return found | ({"more": seen.features.mean() * 0.01} if step == "apart" else {})


class HeadsMoveToo(Seesaw):
    def steps(self, progress):
        return tuple(replace(s, moves=Step().moves) if s.name == "closer" else s for s in super().steps(progress))


class Detached(Seesaw):
    def forward(self, model, batch, penalties, start, progress):
        seen = super().forward(model, batch, penalties, start, progress)
        seen.target_features = seen.target_features.detach()
        seen.target_outputs = model.head(seen.target_features)
        return seen


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (SignOfTheSecond, "the second step lowers the discrepancy"),
        (SignOfTheThird, "the third step raises it"),
        (OtherOrder, "another order"),
        (BackboneMovesToo, "the second step moved the backbone"),
        (HeadsMoveToo, "the third step moved a classifier"),
        (Detached, "the third step moved nothing"),
    ],
)
def test_a_planted_fault_in_the_steps_is_caught(fault, words):
    with pytest.raises(AssertionError, match=words):
        check_mcd(fault(2))


def test_the_losses_of_the_steps_by_hand():
    bound = objective("mcd(weight=0.5)+mcc")
    weights = torch.linspace(0, 2, 12)
    batch = problem.batch(weights=weights)
    model, second = bound.model, bound.penalties["mcd"].head
    before = state(model.backbone)
    found = {step: bound.losses(batch, 0.3, step) for step in ("apart", "closer")}
    assert equal(before, state(model.backbone)), "running statistics follow the first step alone"
    found[""] = bound.losses(batch, 0.3)
    assert [list(found[step]) for step in ("", "apart", "closer")] == [
        ["loss", "mcd_second", "mcc"],
        ["mcd_apart"],
        ["mcd"],
    ]
    features = model.backbone(torch.cat([batch.inputs, batch.target]))
    of_source = [(torch.nn.functional.cross_entropy(head(features[:12]), batch.targets, reduction="none") * weights).mean() for head in (model.head, second)]  # fmt: skip
    apart = classifier_discrepancy(model.head(features[12:]), second(features[12:]))
    for step, name, value in (("", "loss", of_source[0]), ("", "mcd_second", of_source[1]), ("closer", "mcd", 0.5 * apart), ("apart", "mcd_apart", sum(of_source) - 0.5 * apart)):  # fmt: skip
        torch.testing.assert_close(found[step][name], value)
    assert all(g is None for g in problem.gradients(found["apart"]["mcd_apart"], model.backbone).values())


def test_the_two_classifiers_start_apart():
    (X, y), (T, _) = problem.domain(), problem.domain(seed=1, shift=1.0)
    fitted = DeepAdapter("mcd", hidden=(6,), epochs=3).fit(X, y, X_target=T)
    assert all(row["mcd"] > 0 for row in fitted.history_)
    assert [*fitted.history_[0]][2:6] == ["train_loss", "mcd_second", "mcd_apart", "mcd"]


# ADDA


class Stages(Watched, TwoStages):
    pass


def check_adda(procedure):
    """Four epochs of two updates, half of them in each stage."""
    fitted = problem.run("adda", procedure=procedure, epochs=4)
    moments = procedure.moments
    assert [m.step for m in moments] == [""] * 4 + ["discriminator", "encoder"] * 4, "another order"
    first, second = moments[:4], moments[4:]
    source = second[0].backbone
    assert not equal(first[-1].backbone, source)
    for before, after in pairwise(first):
        assert not equal(before.head, after.head)
        judge = {k: v for k, v in before.terms.items() if "discriminator" in k}
        assert equal(judge, {k: after.terms[k] for k in judge}), "the discriminator learns in the second stage alone"
    for place, moment in enumerate(second):
        assert equal(moment.head, second[0].head), "the head moved in the second stage"
        if place:
            kept = {k.removeprefix("adda.encoder."): v for k, v in moment.terms.items() if "encoder" in k}
            assert equal(kept, source), "the source's encoder is not the backbone at the end of the first stage"
    for teach, fool, after in zip(second[::2], second[1::2], second[2::2], strict=False):
        assert equal(teach.backbone, fool.backbone), "the discriminator's step moved the encoder, or its statistics"
        assert not equal(parameters(fool.backbone), parameters(after.backbone)), "the encoder did not move"
        judges = [{k: v for k, v in m.terms.items() if "discriminator" in k} for m in (teach, fool, after)]
        assert not equal(judges[0], judges[1])
        assert equal(judges[1], judges[2]), "the encoder's step moved the discriminator"
    for teach, fool, after in zip(second[::2], second[1::2], second[2::2], strict=False):
        assert judged(fool, fool) < judged(teach, fool), "the discriminator got worse"
        assert fooled(after, fool) < fooled(fool, fool), "the encoder is taken for the source's less than before"
    return fitted


def passed(moment, of):
    own = moment.penalties["adda"].eval()
    with torch.no_grad():
        target = copy.deepcopy(moment.model).train().backbone(of.batch.target)
        return own, own.encoder(of.batch.inputs), target


def judged(moment, of) -> float:
    """Loss of the moment's discriminator on the features of ``of``."""
    own = moment.penalties["adda"]
    _, source, target = passed(of, of)
    return domain_loss(own.discriminator(source), own.discriminator(target)).item()


def fooled(moment, of) -> float:
    """How little the moment's encoder is taken for the source's by the discriminator of ``of``."""
    target = passed(moment, of)[2]
    found = of.penalties["adda"].discriminator(target)
    return binary_cross_entropy_with_logits(found, torch.ones_like(found)).item()


def test_the_stages_move_what_they_say():
    check_adda(Stages(0.5))


class NotInverted(Stages):
    def losses(self, model, task, batch, penalties, start, progress, step=""):
        found = super().losses(model, task, batch, penalties, start, progress, step)
        return {name: -value for name, value in found.items()} if step == "encoder" else found


class SwappedSteps(Stages):
    def steps(self, progress):
        return super().steps(progress)[::-1]


class AllMove(Stages):
    def steps(self, progress):
        return tuple(replace(s, moves=Step().moves) for s in super().steps(progress))


class DetachedTarget(Stages):
    def both(self, *given):
        seen = super().both(*given)
        seen.target_features = seen.target_features.detach()
        return seen


class SourceThroughTheTarget(Stages):
    def both(self, own, model, *given):
        own.encoder.load_state_dict(model.backbone.state_dict())
        return super().both(own, model, *given)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (NotInverted, "taken for the source's less than before"),
        (SwappedSteps, "another order"),
        (AllMove, "the encoder's step moved the discriminator"),
        (DetachedTarget, "the encoder did not move"),
        (SourceThroughTheTarget, "the source's encoder is not the backbone at the end"),
    ],
)
def test_a_planted_fault_in_the_stages_is_caught(fault, words):
    with pytest.raises(AssertionError, match=words):
        check_adda(fault(0.5))


def test_the_first_stage_is_training_on_the_source_alone():
    """To the bit: the weights, and the statistics of batch norms, of the fine-tuning that sees no target."""
    alone = problem.run("adda(share=0.99)", epochs=2)
    assert equal(state(alone.model), state(problem.run("adda(share=0.99)", epochs=2, procedure=Plain(0.99)).model))


class Plain(TwoStages):
    def losses(self, model, task, batch, penalties, start, progress, step=""):
        return {"loss": task.loss(model.head(model.backbone(batch.inputs)), batch.targets)}


def test_the_losses_of_the_second_stage_by_hand():
    bound = objective("adda(weight=0.5)+mcc")
    batch = problem.batch(weights=torch.linspace(0, 2, 12))
    model, own = bound.model, bound.penalties["adda"]
    first = bound.losses(batch, 0.1)
    assert list(first) == ["loss", "mcc"], "other terms act beside the source"
    source = copy.deepcopy(model.backbone).eval()
    running = state(model.backbone)
    found = bound.losses(batch, 0.6, "discriminator")["adda"]
    assert equal(running, state(model.backbone))
    target = model.backbone(batch.target)
    judge = own.discriminator
    torch.testing.assert_close(found, 0.5 * domain_loss(judge(source(batch.inputs)), judge(target), batch.weights))
    loss = bound.losses(batch, 0.6, "encoder")["loss"]
    torch.testing.assert_close(loss, -0.5 * judge(target).sigmoid().log().mean())
    assert equal(state(own.encoder), running)


def test_where_the_stages_meet_within_an_epoch_the_encoder_is_taken_there():
    how = Stages(0.6)  # of 2 epochs with 2 updates each: the fourth update is the first of the second stage
    problem.run("adda", procedure=how, epochs=2)
    assert [m.step for m in how.moments] == ["", "", "", "discriminator", "encoder"]
    taken = {k.removeprefix("adda.encoder."): v for k, v in how.moments[-1].terms.items() if "encoder" in k}
    assert equal(taken, how.moments[3].backbone)


@pytest.mark.parametrize("name", ["mcd", "adda"])
def test_a_piece_of_a_batch_without_inputs_of_the_target_can_be_descended(name):
    bound = objective(name)
    for step in bound.procedure.steps(0.9):
        sum(bound.losses(problem.batch(u=0), 0.9, step.name).values()).backward()
