"""Telling words: a closed form, completeness on a transformer, leave-one-out by hand, pieces that are the text."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headstart.data.text_preprocessing import IDS, MASK
from headstart.evaluation.telling import Reading, against, attributions, left_out, telling
from headstart.evaluation.texts import excerpt, scaled
from headstart.sources.text_backbone import TextBackbone
from headstart.sources.texts import load

from .tiny_bert import tiny_bert

TEXTS = [
    "the film was lovely , a great story",
    "in an old town music was awful",
    "这家酒店很好，房间干净。",
    ("the story", "of an old town"),
]
WAY = np.array([1.0, -1.0])


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    pytest.importorskip("transformers")
    source = load("tiny", tiny_bert(tmp_path_factory.mktemp("sources") / "tiny"))
    torch.manual_seed(3)
    return Reading(source.backbone, (torch.randn(2, 32), torch.randn(2)), source.preprocessing)


class Sum(torch.nn.Module):
    """A model that only looks tokens up: with the mean over tokens, a bag of words."""

    def __init__(self, table):
        super().__init__()
        self.table, self.config = table, SimpleNamespace()

    def get_input_embeddings(self):
        return self.table

    def forward(self, input_ids, attention_mask, return_dict=True):
        return SimpleNamespace(last_hidden_state=self.table(input_ids))


def test_of_a_bag_of_words_each_token_has_its_own_term(reading):
    """way . W mean_t E[t] + b: token t has way . W (E[t] - E[pad]) / T, and what frames every text has nothing."""
    torch.manual_seed(0)
    table = torch.nn.Embedding(len(reading.preprocessing.tokenizer), 32)
    bag = Reading(TextBackbone(Sum(table)), reading.head, reading.preprocessing)
    found = attributions(bag, TEXTS[0], WAY)
    ids = reading.preprocessing([TEXTS[0]])[0, IDS]
    pad = reading.preprocessing.tokenizer.pad_token_id
    direction = torch.as_tensor(WAY).float() @ reading.head[0]
    expected = ((table(ids) - table.weight[pad]) @ direction / len(ids)).detach().numpy()
    expected[[0, -1]] = 0  # [CLS], [SEP]
    assert np.allclose(found, expected, atol=1e-6) and np.abs(expected).max() > 0.01


@pytest.mark.parametrize("text", TEXTS)
def test_completeness_on_a_transformer(reading, text):
    """The shares add up to f(text) - f(text with padding tokens in the place of its words)."""
    inputs = reading.preprocessing([text])
    blank = inputs.clone()
    tokenizer = reading.preprocessing.tokenizer
    words = ~torch.isin(inputs[0, IDS], torch.tensor([tokenizer.cls_token_id, tokenizer.sep_token_id]))
    blank[0, IDS, words] = tokenizer.pad_token_id
    assert (blank[0, MASK] == 1).all()
    with torch.no_grad():
        rise = float((reading(inputs) - reading(blank))[0] @ torch.as_tensor(WAY).float())
    found = attributions(reading, text, WAY, steps=32)
    assert found.sum() == pytest.approx(rise, abs=0.02 * max(1.0, abs(rise)))
    assert attributions(reading, text, -WAY, steps=32).sum() == pytest.approx(-rise, abs=0.02 * max(1.0, abs(rise)))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("how", [telling, left_out])
def test_pieces_are_the_text(reading, text, how):
    pieces = how(reading, text, WAY)
    whole = text if isinstance(text, str) else " | ".join(text)
    assert "".join(letters for letters, _ in pieces) == whole
    told = [letters for letters, weight in pieces if weight]
    assert {"lovely", "great"} <= set(told) if text == TEXTS[0] else "好" in told if text == TEXTS[2] else told


def test_words_keep_their_tokens_share(reading):
    """A word of several tokens has their sum; the sum over all pieces is that over all tokens."""
    text = TEXTS[0].replace("lovely", "lovelygreat")
    pieces = dict(telling(reading, text, WAY))
    assert "lovelygreat" in pieces
    assert sum(pieces.values()) == pytest.approx(float(attributions(reading, text, WAY).sum()), abs=1e-5)


def test_leaving_one_word_out_by_hand(reading):
    text = "the old town , music"
    with torch.no_grad():
        f = [float(reading(reading.preprocessing([t]))[0] @ torch.as_tensor(WAY).float())
             for t in (text, "the  town , music", "the old town , ")]  # fmt: skip
    found = dict(left_out(reading, text, WAY))
    assert found["old"] == pytest.approx(f[0] - f[1], abs=1e-5) and found["music"] == pytest.approx(
        f[0] - f[2], abs=1e-5
    )
    assert left_out(reading, text, WAY, most=2)[-1] == (" town , music", None)


def test_a_tokenizer_that_does_not_say_where_its_tokens_stand_has_words_left_out(reading, monkeypatch):
    def refuse(*args, **more):
        if more.get("return_offsets_mapping"):
            raise NotImplementedError
        return encode(*args, **more)

    encode = reading.preprocessing.encode
    monkeypatch.setattr(type(reading.preprocessing), "encode", lambda self, *a, **k: refuse(*a, **k))
    assert telling(reading, TEXTS[1], WAY) == left_out(reading, TEXTS[1], WAY)


def test_what_is_cut_off_is_said_to_be_unread(reading):
    short = Reading(reading.backbone, reading.head, reading.preprocessing.resized(6))
    pieces = telling(short, "the old town was great and lovely", WAY)
    assert pieces[-1] == (" great and lovely", None)
    assert [letters for letters, weight in telling(reading, "the old town", WAY) if weight is None] == []


def test_the_way_of_a_mistake():
    said = against(SimpleNamespace(name="classification", rows=3), np.array([0.2, 0.7, 0.1]), 2)
    assert said.tolist() == [0, 1, -1]
    several = SimpleNamespace(name="multilabel", rows=3, thresholds=np.array([0.5, 0.9, 0.1]))
    assert against(several, np.array([0.6, 0.6, 0.2]), np.array([1.0, 1.0, 0.0])).tolist() == [0, -1, 1]
    assert against(SimpleNamespace(name="regression", rows=1), np.array([2.0]), 5.0).tolist() == [-1]
    assert against(SimpleNamespace(name="ordinal", rows=2), np.array([0.1, 0.1, 0.8]), 0).tolist() == [1, 1]
    assert against(SimpleNamespace(name="embedding", rows=8), np.zeros(8), 0) is None


def test_long_texts_are_shown_around_their_most_telling_word():
    pieces = [(f"word{i} ", 0.1) for i in range(200)]
    pieces[120] = ("needle ", -2.0)
    found = excerpt(scaled(pieces), 100)
    shown = "".join(letters for letters, _ in found)
    assert ("needle ", -1.0) in found and len(shown) < 115 and shown.startswith("… ") and shown.endswith("…")
    assert excerpt(pieces[:5]) == pieces[:5]
