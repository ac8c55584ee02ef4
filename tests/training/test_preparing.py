"""Phases before a strategy: their losses against transformers' own, what they change, how they go on, what they refuse."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.data.text_preprocessing import IDS, MASK, TYPES
from headstart.errors import HandshakeError, RecipeError
from headstart.features.extract import extract
from headstart.functional.masking import IGNORED
from headstart.functional.pair_contrast import pair_contrast, shared
from headstart.progress import SILENT
from headstart.sources.language_head import embeddings
from headstart.sources.text_backbone import reads_left_to_right
from headstart.strategies.arguments import arguments_of, with_arguments
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.handshake import reads_unlabelled
from headstart.strategies.preparation.setfit import FEWEST, SetFit
from headstart.tasks.task import Model
from headstart.training.contrast import contrast_course, one_label
from headstart.training.finetune import Feeding
from headstart.training.language import language_course
from headstart.training.preparing import prepared

_spec = importlib.util.spec_from_file_location(
    "text_problem", Path(__file__).parents[1] / "strategies" / "text_problem.py"
)
problem = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(problem)
DATA = problem.sentences(24)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def phase(text):
    return parse_strategy(text).before[0]


def prepare(source, text, data=DATA, unlabelled=None, folder=None, seed=0):
    return prepared(
        source, phase(text), data, unlabelled, device=torch.device("cpu"), seed=seed, folder=folder, progress=SILENT
    )


def loss_of(course, backbone, batch):
    return course.procedure.losses(Model(backbone, course.head), course.task, batch, {}, None, 0.0)["loss"]


# the losses


def sharp(model):
    """Weights fifteen times as large, so that nothing is nearly zero, and biases that are not."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.mul_(15 if p.ndim > 1 else 1).add_(0.3 * torch.randn_like(p) if name.endswith("bias") else 0)
    return model.eval()


def test_the_causal_loss_is_that_of_gpt2_with_its_own_tied_head(home):
    import transformers

    source = problem.tiny(home / "gpt2", "gpt2")
    theirs = transformers.GPT2LMHeadModel(source.backbone.config)
    theirs.transformer.load_state_dict(source.backbone.model.state_dict())
    theirs.tie_weights()
    theirs = sharp(theirs)
    source.backbone.model.load_state_dict(theirs.transformer.state_dict())
    course = language_course(source, phase("clm(batch_size=5)"), DATA, None, seed=0)
    for batch in course.batches(0):
        ids, mask = batch.inputs[:, IDS], batch.inputs[:, MASK]
        asked = theirs.eval()(ids, attention_mask=mask, labels=torch.where(mask.bool(), ids, IGNORED)).loss
        torch.testing.assert_close(loss_of(course, source.backbone, batch), asked)
        assert asked > 5.6, "far from the loss of knowing nothing"


def test_the_masked_loss_is_that_of_bert_with_the_head_of_its_checkpoint(home):
    import transformers

    folder = home / "with-head"
    problem.tiny(folder)
    torch.manual_seed(1)
    theirs = transformers.BertForMaskedLM(transformers.AutoConfig.from_pretrained(folder))
    theirs.tie_weights()
    theirs = sharp(theirs)
    theirs.save_pretrained(folder)
    source = problem.tiny(folder)
    course = language_course(source, phase("mlm(batch_size=5)"), DATA, None, seed=0)
    assert "the checkpoint's own" in course.said
    for batch in course.batches(0):
        asked = theirs(batch.inputs[:, IDS], batch.inputs[:, MASK], batch.inputs[:, TYPES], labels=batch.targets).loss
        torch.testing.assert_close(loss_of(course, source.backbone, batch), asked)


def test_a_new_masked_head_written_out(home):
    source = problem.tiny(home / "bert")
    course = language_course(source, phase("mlm(batch_size=6)"), DATA, None, seed=0)
    assert "new, tied to the input embeddings" in course.said
    batch = next(iter(course.batches(0)))
    states, total, n = source.backbone.tokens(batch.inputs), 0.0, 0
    table = embeddings(source.backbone)
    for i, row in enumerate(batch.targets):
        for t, token in enumerate(row):
            if token != IGNORED:
                h = states[i, t]
                h = (h - h.mean()) / (h.var(correction=0) + 1e-12).sqrt()
                logits = table @ h / (table - table.mean(0)).norm(dim=1).mean()
                total, n = total + torch.logsumexp(logits, 0) - logits[token], n + 1
    torch.testing.assert_close(loss_of(course, source.backbone, batch), total / n)
    assert course.task.mass(batch.targets) == n
    special = {source.preprocessing.tokenizer.cls_token_id, source.preprocessing.tokenizer.sep_token_id, 0}
    assert not special & set(batch.targets[batch.targets != IGNORED].tolist())


def test_the_head_shares_the_embeddings(home):
    source = problem.tiny(home / "bert")
    course = language_course(source, phase("mlm"), DATA, None, seed=0)
    net = source.build()
    loss_of(course, net, next(iter(course.batches(0)))).backward()
    grad = embeddings(net).grad
    never = sorted(
        set(range(len(grad))) - {int(i) for text in DATA.inputs for i in source.preprocessing([text]).flatten()}
    )
    assert never and (grad[never].abs().sum(1) > 0).all(), "tokens that no text has learn from the head alone"


# what a phase does


@pytest.mark.parametrize(
    ("kind", "text"),
    [("bert", "mlm(epochs=8, lr=0.02)"), ("gpt2", "clm(epochs=8, lr=0.02)"), ("bert", "setfit(lr=0.003)")],
)
def test_the_loss_falls_the_source_stays_and_what_comes_out_has_a_key_of_its_own(kind, text, home):
    source = problem.tiny(home / kind, kind)
    before = {k: v.clone() for k, v in source.backbone.state_dict().items()}
    moved, told = prepare(source, text)
    assert told["loss"][1] < 0.9 * told["loss"][0] and told["steps"] == told["epochs"]
    assert all(torch.equal(v, before[k]) for k, v in source.backbone.state_dict().items())
    after = moved.backbone.state_dict()
    assert list(after) == list(before) and sum(not torch.equal(after[k], before[k]) for k in before) > 20
    assert moved.digest != source.digest and moved.layers == source.layers and not moved.backbone.training
    again = prepare(source, text)[0]
    assert again.digest == moved.digest, "the same seed gives the same weights"
    assert prepare(source, text, seed=1)[0].digest != moved.digest


def test_setfit_draws_labels_together(home):
    source = problem.tiny(home / "bert")
    moved, told = prepare(source, "setfit(lr=0.003)")
    value = [
        pair_contrast(torch.as_tensor(extract(s, DATA, cache_dir=None).X), torch.as_tensor(DATA.labels)).item()
        for s in (source, moved)
    ]
    assert value[1] < 0.3 * value[0]
    assert told["epochs"] == FEWEST and "all pairs of 24" in told["said"]


@pytest.mark.parametrize(("steps", "passes"), [(1, 15), (2, 10), (5, 10), (8, 7), (25, 2), (50, 1), (300, 1)])
def test_setfit_makes_ten_passes_within_fifteen_and_fifty_steps(steps, passes):
    assert SetFit().passes(steps) == passes and SetFit(epochs=1000, steps=100 * steps).passes(steps) == 100


def test_every_batch_of_setfit_has_pairs_of_a_label_whatever_their_number(home):
    source = problem.tiny(home / "bert")
    data = replace(problem.sentences(45), labels=np.arange(45) % 15, classes=tuple(map(str, range(15))))
    course = contrast_course(source, phase("setfit(batch_size=8)"), data, seed=0)
    assert (course.steps, course.epochs) == (6, 9)
    seen = []
    for batch in course.batches(0):
        counts = torch.bincount(batch.targets)
        assert counts.max() >= 2 and (counts > 0).sum() >= 2
        assert torch.equal(batch.targets, torch.as_tensor(data.labels[batch.index]))
        seen += batch.index.tolist()
    assert sorted(seen) == list(range(45))


def test_setfit_with_several_labels_an_input(home):
    source = problem.tiny(home / "bert")
    few = DATA.labels
    rows = np.stack([few == 0, (few == 1) | (np.arange(24) % 5 == 0), few == 3], 1).astype(np.float32)
    data = replace(problem.sentences(24), labels=rows, classes=("x", "y", "z"), task="multilabel")
    _, told = prepare(source, "setfit(lr=0.003, batch_size=8)", data)
    assert told["loss"][1] < 0.8 * told["loss"][0]
    for batch in contrast_course(source, phase("setfit(batch_size=8)"), data, seed=0).batches(0):
        assert torch.equal(batch.targets, torch.as_tensor(rows[batch.index]))
        assert shared(batch.targets).triu(1).any(), "a pair to draw together in each batch"
    drawn = {tuple(one_label(rows, seed)) for seed in range(20)}
    assert len(drawn) > 1 and all(
        rows[i, k] if k < 3 else not rows[i].any() for found in drawn for i, k in enumerate(found)
    )
    whole = problem.move(source, "setfit", data)
    assert whole.task.name == "multilabel" and whole.moved
    with pytest.raises(HandshakeError, match="no label has two"):
        prepare(
            source,
            "setfit",
            replace(data, labels=np.eye(3, dtype=np.float32)[np.full(24, 1)] * (np.arange(24) == 1)[:, None]),
        )


def test_one_input_a_label_has_no_pairs(home):
    data = problem.sentences(3)
    with pytest.raises(HandshakeError, match="no label has two.*--strategy probe"):
        prepare(problem.tiny(home / "bert"), "setfit", data)


def test_a_phase_that_was_finished_is_not_run_again(home, tmp_path):
    source = problem.tiny(home / "bert")
    first, _ = prepare(source, "mlm(epochs=2)", folder=tmp_path / "a")
    steps = []
    again, told = prepared(
        source, phase("mlm(epochs=2)"), DATA, None, device=torch.device("cpu"), seed=0, folder=tmp_path / "a", progress=Counting(steps),
    )  # fmt: skip
    assert again.digest == first.digest and any("going on after epoch 2" in line for line in steps)
    assert told["loss"][0] > 0


class Counting(type(SILENT)):
    def __init__(self, lines):
        self.lines = lines

    def say(self, line):
        self.lines.append(line)


# with what follows


def test_unlabelled_texts_and_training_texts_are_both_read(home):
    source, more = problem.tiny(home / "bert"), replace(problem.sentences(10, seed=7), labels=None)
    course = language_course(source, phase("mlm(batch_size=4)"), DATA, more, seed=0)
    rows = [len(batch) for batch in course.batches(0)]
    assert sum(rows) == 34 and len(rows) == course.steps == 9 and "34 texts" in course.said
    pairs = replace(DATA, inputs=[(text, "and more") for text in DATA.inputs])
    joined = next(iter(language_course(source, phase("mlm"), pairs, more, seed=0).batches(0)))
    assert (joined.inputs[:, TYPES] == 0).all(), "pairs beside single texts come as one text"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("bert", "setfit"),
        ("bert", "mlm>finetune"),
        ("bert", "mlm>lpft"),
        ("gpt2", "clm>ulmfit"),
        ("bert", "mlm>setfit"),
        ("gpt2", "setfit>head"),
    ],
)
def test_what_follows_begins_from_the_prepared_source(kind, text, home, tmp_path):
    source = problem.tiny(home / kind, kind)
    moved = problem.move(source, text, DATA, epochs=3, cache_dir=tmp_path / "cache", folder=tmp_path / "run")
    assert moved.moved and len(moved.found["before"]) == len(parse_strategy(text).before)
    if "head" in text or not parse_strategy(text).procedure.by_steps:
        assert all(
            torch.equal(a, b)
            for a, b in zip(moved.backbone.parameters(), moved.reads.backbone.parameters(), strict=True)
        )
    assert moved.reads.digest != source.digest
    changed = [k for k, v in source.backbone.state_dict().items() if not torch.equal(v, moved.backbone.state_dict()[k])]
    assert changed


def test_a_head_behind_features_that_saw_the_labels_has_no_held_out_predictions(home):
    source = problem.tiny(home / "bert")
    seen, unseen = problem.move(source, "setfit", DATA), problem.move(source, "mlm>probe", DATA)
    assert seen.oof is None and seen.cross_validated is None and "have seen them" in seen.criterion
    assert unseen.oof is not None and unseen.cross_validated is not None


# the grammar and the handshake


@pytest.mark.parametrize(
    ("text", "name", "before"),
    [
        ("setfit", "setfit", ["setfit"]),
        ("setfit(epochs=10)>probe", "setfit>probe", ["setfit"]),
        ("mlm(2)>finetune(layer_decay=0.5)+l2sp", "mlm(epochs=2)>finetune(layer_decay=0.5)+l2sp", ["mlm"]),
        ("mlm>setfit", "mlm>setfit", ["mlm", "setfit"]),
        ("clm>ulmfit(until=0.4)", "clm>gradual(layer_decay=0.3846, until=0.4)", ["clm"]),
        ("mlm>probe>finetune", "mlm>probe>finetune", ["mlm"]),
    ],
)
def test_phases_are_read_and_written(text, name, before):
    found = parse_strategy(text)
    assert (found.name, [p.name for p in found.before]) == (name, before)
    assert parse_strategy(found.name) == replace(found, name=found.name)
    assert found.before[0].describe() in found.describe()


def test_setfit_alone_is_setfit_and_the_probe():
    alone, long = parse_strategy("setfit"), parse_strategy("setfit>probe")
    assert replace(alone, name="") == replace(long, name="")
    assert (
        parse_strategy("mlm>lpft").solved_head
        and reads_unlabelled(parse_strategy("mlm"))
        and not reads_unlabelled(alone)
    )
    assert arguments_of("setfit(lr=0.001)")["setfit.lr"] == 0.001
    assert with_arguments("setfit", {"setfit.epochs": 3}) == "setfit(epochs=3)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("finetune>mlm", "'mlm' prepares the source, so it comes first"),
        ("mlm+l2sp>finetune", "terms act on what follows"),
        ("finetune+setfit", "a phase of its own"),
        ("mlm(epochs=0)>finetune", "'epochs' of phase 'mlm' is out of range: got 0.*from 1 on"),
        ("mlm(share=1)", "'share' of phase 'mlm'"),
        ("setfit(lr=0)", "'lr' of phase 'setfit'"),
        ("setfit(steps=0)", "'steps' of phase 'setfit'.*from 1 on"),
        ("setfit(batch_size=1)", "'batch_size' of phase 'setfit'.*from 2 on"),
        ("setfit(iterations=3)", "unknown argument of phase 'setfit': got 'iterations'"),
    ],
)
def test_what_cannot_be_read_is_refused(text, words):
    with pytest.raises(RecipeError, match=words):
        parse_strategy(text)


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("gpt2", "mlm>finetune", "phase 'mlm' hides tokens behind the tokenizer's mask, but this source has none.*clm"),
        ("bert", "clm>finetune", "phase 'clm' guesses each token from those before it.*Try: mlm"),
    ],
)
def test_a_language_model_of_the_other_kind_is_refused(kind, text, words, home):
    with pytest.raises(HandshakeError, match=words):
        problem.move(problem.tiny(home / kind, kind), text, DATA)


def test_setfit_needs_classes(home):
    data = replace(DATA, labels=np.arange(24, dtype=np.float64), classes=("x",), task="regression")
    with pytest.raises(HandshakeError, match="phase 'setfit' draws inputs of one label together"):
        problem.move(problem.tiny(home / "bert"), "setfit", data)


def test_which_models_read_from_left_to_right_is_seen_by_trying(home):
    assert reads_left_to_right(problem.tiny(home / "gpt2", "gpt2").backbone)
    bert = problem.tiny(home / "bert").backbone.train()
    assert not reads_left_to_right(bert) and bert.training
    assert not reads_left_to_right(torch.nn.Linear(2, 2))


def test_images_are_refused_a_language_model_and_can_have_pairs(tiny_source, image_folder, tmp_path):
    from headstart.data.readers import read_dataset
    from headstart.data.scan import scan
    from headstart.sources import load_source

    source = load_source(str(tiny_source))
    data, _ = scan(read_dataset(image_folder), cache_dir=tmp_path / "cache")
    with pytest.raises(HandshakeError, match="phase 'mlm'.*on images there is no language model"):
        problem.move(source, "mlm>finetune", data)
    moved = problem.move(source, "setfit", data, feeding=Feeding(batch_size=8))
    assert moved.moved and torch.isfinite(moved.head[0]).all()
