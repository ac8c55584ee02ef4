"""Hidden words told by the source model, and texts translated there and back."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.data.text_augment import TextAugmentation
from headstart.data.text_units import split_units
from headstart.data.text_variation import variation
from headstart.errors import HandshakeError, SourceError
from headstart.sources import load_source
from headstart.sources.back_translation import BackTranslation
from headstart.sources.hidden_words import hidden_states, word_tokens
from headstart.sources.masked_head import masked_head
from headstart.sources.masked_words import MaskedWords
from headstart.training.text_variation import prepared

_spec = importlib.util.spec_from_file_location("tiny_texts", Path(__file__).parents[1] / "tiny_texts.py")
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return load_source(str(tiny.save_bert(tmp_path_factory.mktemp("bare"))))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return load_source(str(tiny.save_bert(tmp_path_factory.mktemp("whole"), masked=True)))


def test_words_are_tokens_that_are_a_whole_unit(bare):
    tokenizer = bare.preprocessing.tokenizer
    words = set(tokenizer.convert_ids_to_tokens(word_tokens(tokenizer).tolist()))
    assert words == {*tiny.GOOD, *tiny.BAD, *tiny.THINGS, *tiny.REST, *tiny.LETTERS, "positive", "negative"}


def test_the_head_of_the_checkpoint_says_what_the_whole_model_says(whole):
    from transformers import BertForMaskedLM

    told = masked_head(whole, [], device=CPU)
    assert told.found is None
    model = BertForMaskedLM.from_pretrained(whole.extra["folder"], local_files_only=True).eval()
    texts, places = ["The film was lovely and bright, really.", "酒店很好。", "no"], [[1, 3], [2], []]
    states, where = hidden_states(told.model, whole.preprocessing, texts, places, CPU)
    logits = told(states)
    assert sorted(where) == [(0, 1), (0, 3), (1, 2)] and logits.shape == (3, len(told.tokens))
    for i, shown in ((0, "The [MASK] was [MASK] and bright, really."), (1, "酒店[MASK]好。")):
        given = whole.preprocessing.tokenizer(shown, return_tensors="pt")
        with torch.no_grad():
            own = model(**given).logits[0][given["input_ids"][0] == whole.preprocessing.tokenizer.mask_token_id]
        mine = logits[[k for k, (text, _) in enumerate(where) if text == i]]
        torch.testing.assert_close(mine, own[:, told.tokens], rtol=1e-4, atol=1e-4)


def test_words_are_drawn_by_their_probabilities_and_never_those_of_labels(whole):
    told = masked_head(whole, [], device=CPU)
    words = MaskedWords(told, whole.preprocessing, barred=frozenset({"lovely"}), device=CPU)
    text, n = "The film was awful.", 600
    shares = told(hidden_states(told.model, whole.preprocessing, [text], [[3]], CPU)[0])[0].double()
    names = np.array(words.words)
    shares[torch.as_tensor(np.isin(names, ["lovely", "awful"]))] = -torch.inf
    best = shares.topk(10)
    wanted = dict(zip(names[best.indices], best.values.softmax(0).tolist(), strict=True))
    made = words([text] * n, [[3]] * n, [np.random.default_rng(i) for i in range(n)])
    drawn = [split_units(copy)[0][3] for copy in made]
    assert all(copy.startswith("The film was ") and copy.endswith(".") for copy in made)
    assert set(drawn) <= set(wanted)  # among the ten best; neither the word itself nor a barred one
    for word, share in wanted.items():
        assert abs(drawn.count(word) / n - share) < 5 * (share * (1 - share) / n) ** 0.5 + 1e-9
    assert words(["[MASK] is a sign"], [[1]], [np.random.default_rng(0)]) == ["[MASK] is a sign"]


def sayings(n, *, told):
    """Texts in which a hidden word is the one that stands all around it; or follows from nothing."""
    rng = np.random.default_rng(0)
    words = [[rng.choice(tiny.GOOD + tiny.BAD)] * 8 if told else rng.choice(tiny.GOOD + tiny.BAD, 8) for _ in range(n)]
    return [" ".join(row) for row in words]


def test_a_head_tied_to_the_embeddings_is_fitted_where_there_is_none(bare):
    told = masked_head(bare, sayings(220, told=True), device=CPU)
    assert told.found is not None and told.found["loss"] < 0.95 * told.found["loss_of_frequencies"]
    assert told.found["accuracy"] > 0.15 and told(torch.zeros(2, 32)).shape == (2, len(told.tokens))
    before = bare.backbone.state_dict()["model.embeddings.word_embeddings.weight"].clone()
    words = MaskedWords(told, bare.preprocessing, barred=frozenset(), device=CPU)
    text = "awful awful film awful awful awful awful awful"  # as long as what the head was fitted to
    made = [words([text], [[2]], [np.random.default_rng(i)])[0].split() for i in range(40)]
    assert all(copy[:2] == ["awful"] * 2 and copy[2] != "film" for copy in made)
    assert [copy[2] for copy in made].count("awful") > 30  # by chance 3
    assert torch.equal(before, bare.backbone.state_dict()["model.embeddings.word_embeddings.weight"])


def test_a_source_that_cannot_tell_hidden_words_is_refused(bare, tmp_path):
    with pytest.raises(HandshakeError, match="hardly tells hidden words .* better than their frequencies"):
        masked_head(bare, sayings(220, told=False), device=CPU)
    with pytest.raises(HandshakeError, match="too few to fit one.*allowed: 400 or more"):
        masked_head(bare, ["The film was lovely."] * 20, device=CPU)
    with pytest.raises(HandshakeError, match="its weights are random"):
        masked_head(replace(bare, name="random/x"), [], device=CPU)
    mute = load_source(str(tiny.save_bert(tmp_path / "mute", mask=False)))
    with pytest.raises(HandshakeError, match="no sign for a hidden word"):
        masked_head(mute, [], device=CPU)


def test_labels_that_would_move_are_refused_and_scratch_is_not_taught_by_the_source(whole):
    given = {"classes": ("positive",), "device": CPU, "seed": 0}
    with pytest.raises(HandshakeError, match="would no longer fit what was marked"):
        prepared("light", whole, [], task="token_classification", **given)
    assert prepared("auto", whole, [], task="token_classification", **given) is None
    asked = {"mlm": 0.3, "swap": 0.1}
    assert prepared(asked, whole, [], task="classification", pretrained=False, **given).rewrite is None
    vary = prepared(asked, whole, ["The film was lovely."], task="classification", **given)
    assert vary.rewrite is not None and vary.barred == {"positive"}
    texts = ["The film was lovely and the meal was really bright."] * 20
    made = vary(texts, [(0, i, 0) for i in range(20)])
    assert len(set(made)) > 12 and not any("positive" in copy.lower() for copy in made)
    assert vary(texts[7:8], [(0, 7, 0)]) == made[7:8]  # whatever is beside it


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    """A tiny random encoder-decoder with a tokenizer of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("bart")
    words = ["<s>", "<pad>", "</s>", "<unk>", *tiny.GOOD, *tiny.THINGS]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=32
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=len(words), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=40, bos_token_id=0, pad_token_id=1, eos_token_id=2,
        decoder_start_token_id=2, forced_eos_token_id=2, init_std=0.5,
    )  # fmt: skip
    BartForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_back_translation_is_what_two_models_say_once(translator, tmp_path):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    both = BackTranslation(str(translator), str(translator), cache_dir=tmp_path, device=CPU)
    texts = ["lovely film", "great meal room", "lovely film"]
    found = both(texts)
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(translator), AutoTokenizer.from_pretrained(translator)
    said = ["lovely film"]
    for _ in range(2):  # by hand, a text alone, the likeliest token each time
        ids = tokenizer(said, return_tensors="pt")["input_ids"][:, :32]
        out = torch.tensor([[2]])
        for step in range(31):
            with torch.no_grad():
                scores = model(input_ids=ids, decoder_input_ids=out).logits[0, -1]
            token = int(scores.argmax()) if step < 30 else 2
            out = torch.cat([out, torch.tensor([[token]])], dim=1)
            if token == 2:
                break
        said = tokenizer.batch_decode(out, skip_special_tokens=True)
    assert found[0] == found[2] == said[0].strip()
    kept = [json.loads(line) for line in next((tmp_path / "translations").glob("*.jsonl")).read_text().splitlines()]
    assert dict(kept) == dict(zip(texts, found, strict=True)) and len(kept) == 2
    again = BackTranslation(str(translator), str(translator), cache_dir=tmp_path, device=CPU)
    assert again(texts) == found and again.models is None  # nothing was loaded
    vary = variation(TextAugmentation(back_translate="a,b", translated=0.5))
    vary.translate = lambda texts: ["other"] * len(texts)
    made = vary(["lovely film"] * 200, [(0, i) for i in range(200)])
    assert 70 < made.count("other") < 130


def test_folders_that_do_not_translate_are_refused(translator, whole, tmp_path):
    with pytest.raises(SourceError, match="no translation model in this folder"):
        BackTranslation(str(tmp_path), str(translator), cache_dir=None, device=CPU)
    with pytest.raises(SourceError, match="holds no model that translates"):
        BackTranslation(whole.extra["folder"], str(translator), cache_dir=None, device=CPU)(["lovely film"])


def test_back_translation_takes_runs_and_keeps_texts_with_other_ends_of_lines(translator, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "model").symlink_to(translator)
    texts = ["lovely\u2028film", "great meal"]
    found = BackTranslation(str(run), str(translator), cache_dir=tmp_path, device=CPU)(texts)
    again = BackTranslation(str(run), str(translator), cache_dir=tmp_path, device=CPU)
    assert again.kept == dict(zip(texts, found, strict=True))


def test_a_folder_that_does_not_translate_is_named_by_its_kind(tmp_path):
    tiny.save_bert(tmp_path / "bert")
    both = BackTranslation(str(tmp_path / "bert"), str(tmp_path / "bert"), cache_dir=None, device=CPU)
    with pytest.raises(SourceError, match="no model that translates .*a model of the kind bert.*encoder-decoder"):
        both(["a text"])
