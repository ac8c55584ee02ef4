"""Teacher forcing on the one loop: the loss in closed form, pieces, what strategies move, what is refused; writing by hand."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from headstart.data.readers import read_dataset
from headstart.data.sequence_preprocessing import NONE, sequence_batches
from headstart.deploy.generator import write_texts
from headstart.errors import HandshakeError
from headstart.progress import SILENT
from headstart.sources.sequences import load_sequences
from headstart.strategies.grammar import parse_strategy
from headstart.tasks.generation import Decoding, Translation
from headstart.training.device import accelerator
from headstart.training.sequence_baselines import first_sentences, sentences, word_by_word
from headstart.training.sequences import _course, check_strategy, mean_loss, train_sequences
from headstart.training.transfer import Settings
from headstart.training.update import Pieces, batch_gradient

CPU = torch.device("cpu")
WORDS = {"red": "红", "blue": "蓝", "green": "绿", "cat": "猫", "dog": "狗", "bird": "鸟", "big": "大", "small": "小"}


def pairs(n=64, seed=0):
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(list(WORDS), rng.integers(2, 5))) for _ in range(n)]
    return read_dataset((texts, ["".join(WORDS[w] for w in t.split()) for t in texts]), task="translation")


@pytest.fixture
def source():
    data = pairs()
    torch.manual_seed(0)
    return load_sequences("random/transformers/marian-tiny", max_length=16, texts=lambda: [*data.inputs, *data.labels])


def test_the_loss_in_closed_form():
    logits = torch.log(torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], [[0.2, 0.3, 0.5], [0.4, 0.3, 0.3]]]))
    targets = torch.tensor([[0, 1], [2, NONE]])
    task = Translation(("zh",))
    assert task.mass(targets) == 3
    assert task.loss(logits, targets).item() == pytest.approx(-(math.log(0.7) + math.log(0.8) + math.log(0.5)) / 3)
    assert task.each(logits, targets).tolist() == pytest.approx([-math.log(0.56), -math.log(0.5)])
    smooth = Translation(("zh",), smoothing=0.3)
    each = [(0.7, 0.2, 0.1), (0.8, 0.1, 0.1), (0.5, 0.2, 0.3)]
    wanted = -sum(0.7 * math.log(r[0]) + 0.1 * sum(map(math.log, r)) for r in each) / 3
    assert smooth.loss(logits, targets).item() == pytest.approx(wanted)


def test_the_gradient_of_pieces_is_that_of_the_batch(source):
    data = pairs()
    course = _course(source, source.build().eval(), parse_strategy("finetune"), Translation(("zh",)), data, Settings().feeding, check_strategy(parse_strategy("finetune"), source, Translation(("zh",)), pretrained=False), CPU, 0)  # fmt: skip
    objective, batch = course.objective, next(iter(course.batches(0)))
    objective.model.eval()
    found = []
    for largest in (None, 5):
        objective.model.zero_grad()
        batch_gradient(objective, [batch], Pieces(largest, print, "test"), accelerator(CPU, "fp32"))
        found.append(torch.cat([p.grad.flatten() for p in objective.model.parameters() if p.grad is not None]))
    assert len({len(b) for b in batch.split(7)}) > 1  # pieces of unequal mass
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["marian", "t5", "bart"])
def test_mixout_and_l2sp_hold_an_encoder_decoder_near_its_source(kind):
    data, task, settings = pairs(), Translation(("zh",)), Settings(optimisation={"epochs": 2, "lr": 3e-3})
    torch.manual_seed(0)
    source = load_sequences(
        f"random/transformers/{kind}-tiny", max_length=16, texts=lambda: [*data.inputs, *data.labels]
    )
    how = parse_strategy("finetune+mixout(p=0.5)")
    stages = check_strategy(how, source, task, pretrained=True)
    course = _course(source, copy.deepcopy(source.backbone), how, task, data, settings.feeding, stages, CPU, 0)
    bound, batch = course.objective, next(iter(course.batches(0)))
    mixed, net = bound.penalties["mixout"], bound.model.backbone
    assert len(mixed.anchors) == {"marian": 32, "t5": 32, "bart": 32}[kind]
    assert not any("lm_head" in name or "shared" in name or "embed" in name for name in mixed.anchors)

    def passed(train):
        bound.model.train(train)
        with torch.no_grad(), mixed.watching(bound.model, batch):
            return bound.model(batch.inputs)

    torch.testing.assert_close(
        passed(True), passed(False), msg="at the source mixout gives the source, and nothing else drops"
    )
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p)) if p.requires_grad else p
    assert (passed(False) - passed(False)).abs().max() > 1e-3, "each pass has draws of its own"
    assert net.model.get_output_embeddings().weight is net.model.get_input_embeddings().weight

    far = {}
    for name in ("finetune", "finetune+mixout(p=0.8)", "finetune+l2sp(weight=1)"):
        fitted, _ = train_sequences(
            source, parse_strategy(name), task, data, None, settings, pretrained=True, device=CPU, seed=0, folder=None, progress=SILENT, name="x",
        )  # fmt: skip
        moved, start = dict(fitted.model.backbone.named_parameters()), dict(source.backbone.named_parameters())
        far[name] = sum(float((moved[k] - start[k]).detach().square().sum()) for k in moved)
        chances = [m.p for m in fitted.model.backbone.modules() if isinstance(m, torch.nn.Dropout)]
        chances += [
            m.dropout for m in fitted.model.backbone.modules() if isinstance(getattr(m, "dropout", None), float)
        ]
        assert chances and max(chances) > 0, "dropout is back"
        losses = [row["train_loss"] for row in fitted.history]
        assert losses[-1] < losses[0]
    assert far["finetune+l2sp(weight=1)"] < 0.9 * far["finetune"]


def test_batches_hold_every_pair_once_and_are_of_like_length():
    data = pairs(100)
    torch.manual_seed(0)
    source = load_sequences("random/transformers/t5-tiny", max_length=16, texts=lambda: [*data.inputs, *data.labels])
    for seed in (None, 3):
        found = list(sequence_batches(data, source.preprocessing, batch_size=8, shuffle_seed=seed))
        assert sorted(torch.cat([b.index for b in found]).tolist()) == list(range(100))
        for batch in found:
            for i, row in zip(batch.index.tolist(), batch.inputs, strict=True):
                assert source.preprocessing.text(row[2].tolist()) == data.labels[i]
                assert source.preprocessing.text(row[0][row[1] == 1].tolist()) == data.inputs[i]
    again = list(sequence_batches(data, source.preprocessing, batch_size=8, shuffle_seed=3))
    assert all(torch.equal(a.index, b.index) for a, b in zip(found, again, strict=True))


def test_strategies_move_what_they_say(source):
    data, task = pairs(), Translation(("zh",))
    settings = Settings(optimisation={"epochs": 1, "lr": 1e-2})
    before = {k: v.clone() for k, v in source.backbone.state_dict().items()}
    for name, moved in {
        "last(2)": {"decoder2"},
        "finetune+freeze('encoder1')": {"embeddings", "encoder2", "decoder1", "decoder2"},
    }.items():
        fitted, _ = train_sequences(source, parse_strategy(name), task, data, None, settings, pretrained=True, device=CPU, seed=0, folder=None, progress=SILENT, name="t")  # fmt: skip
        after = fitted.model.backbone.state_dict()
        changed = set()
        for layer in source.layers:
            inside = [k for k in after if any(k == m or k.startswith(f"{m}.") for m in layer.modules)]
            if any(not torch.equal(after[k], before[k]) for k in inside):
                changed.add(layer.name)
        assert changed >= moved and "encoder1" not in changed, name
        assert all(torch.equal(after[k], before[k]) for k in after if "embed_positions" in k)


def test_l2sp_holds_the_weights_of_the_source(source):
    data, task, moved = pairs(32), Translation(("zh",)), []
    for name in ("finetune", "finetune+l2sp(10)"):
        fitted, _ = train_sequences(source, parse_strategy(name), task, data, None, Settings(optimisation={"epochs": 2, "lr": 1e-3}), pretrained=True, device=CPU, seed=0, folder=None, progress=SILENT, name="t")  # fmt: skip
        after, before = fitted.model.backbone.state_dict(), source.backbone.state_dict()
        moved.append(sum(float((after[k] - before[k]).square().sum()) for k in after))
    assert 0 < moved[1] < moved[0]
    assert fitted.history[0]["l2sp"] >= 0


@pytest.mark.parametrize(("name", "why"), [("probe", "solves a head"), ("lpft", "solves a head"), ("head", "nothing would be trained"), ("finetune+bss(0.1)", "features or classes")])  # fmt: skip
def test_what_needs_a_head_or_features_is_refused(source, name, why):
    with pytest.raises(HandshakeError, match=why):
        check_strategy(parse_strategy(name), source, Translation(("zh",)), pretrained=True)


def test_it_learns_twelve_pairs_by_heart():
    data, task = pairs(12), Translation(("zh",))
    torch.manual_seed(0)
    source = load_sequences("random/transformers/t5-tiny", max_length=16, texts=lambda: [*data.inputs, *data.labels])
    settings = Settings(optimisation={"epochs": 60, "lr": 1e-2})
    fitted, _ = train_sequences(source, parse_strategy("finetune"), task, data, data, settings, pretrained=False, device=CPU, seed=0, folder=None, progress=SILENT, name="t")  # fmt: skip
    losses = [row["valid_loss"] for row in fitted.history]
    assert min(losses) < 0.1 * losses[0]
    assert fitted.best_epoch == 1 + int(np.argmin(losses))
    assert mean_loss(fitted.model, task, data, source.preprocessing, CPU) == pytest.approx(min(losses), rel=1e-4)
    found = write_texts(fitted.model.backbone.model, source.preprocessing, list(data.inputs), Decoding(1, 1.0, 8), CPU)  # type: ignore[union-attr]
    assert (found == data.labels).mean() >= 0.5


def test_greedy_writing_is_the_likeliest_token_at_each_step(source):
    model, text = source.backbone.model, "red cat"
    said = write_texts(model, source.preprocessing, [text, "big dog bird"], Decoding(1, 1.0, 6), CPU)[0]
    inputs = source.preprocessing([text])
    ids = [int(model.config.decoder_start_token_id)]
    with torch.no_grad():
        for _ in range(6):
            logits = model(input_ids=inputs[:, 0], attention_mask=inputs[:, 1], decoder_input_ids=torch.tensor([ids])).logits  # fmt: skip
            ids.append(int(logits[0, -1].argmax()))
            if ids[-1] == 1:
                break
    assert said == source.preprocessing.text(ids)


def test_wide_beams_find_the_likeliest_of_all_texts(source):
    """With as many beams as there are texts of two tokens, the search is a full one: the best sum of log-probabilities wins."""
    model, v = source.backbone.model, len(source.preprocessing.tokenizer)
    inputs = source.preprocessing(["red cat"])
    start = int(model.config.decoder_start_token_id)
    given = {"input_ids": inputs[:, 0], "attention_mask": inputs[:, 1]}
    with torch.no_grad():
        first = model(**given, decoder_input_ids=torch.tensor([[start]])).logits[0, -1].log_softmax(0)
        every = {(1,): float(first[1])}
        for a in itertools.chain(range(1), range(2, v)):
            second = model(**given, decoder_input_ids=torch.tensor([[start, a]])).logits[0, -1].log_softmax(0)
            every |= {(a, b): float(first[a] + second[b]) for b in range(v)}
    best = max(every, key=every.get)
    said = write_texts(model, source.preprocessing, ["red cat"], Decoding(v, 0.0, 2), CPU)[0]
    assert said == source.preprocessing.text(best)


def test_a_dictionary_translates_word_by_word():
    data = pairs(200)
    assert word_by_word(data, ["red cat", "big unseen dog"]) == ["红猫", "大unseen狗"]
    back = read_dataset((list(data.labels), list(data.inputs)), task="translation")
    assert word_by_word(back, ["红猫"]) == ["red cat"]
    two = read_dataset((["an apple", "a pear", "an apple tree", "the pear tree"], ["苹果", "梨", "苹果树", "梨树"]), task="translation")  # fmt: skip
    assert word_by_word(two, ["apple"]) == ["苹果"]


def test_the_first_sentences():
    text = "One is first. Two costs 3.5 dollars! Is it three? 四在这里。五也在。"
    assert sentences(text) == ["One is first.", "Two costs 3.5 dollars!", "Is it three?", "四在这里。", "五也在。"]
    texts = [f"Alpha {i} is here. Beta {i} too. Gamma {i} last. Delta." for i in range(10)]
    data = read_dataset((texts, [f"Alpha {i} is here. Beta {i} too." for i in range(10)]), task="summarization")
    assert first_sentences(data, ["A b. C d. E f."]) == ["A b. C d."]
