"""BLEU, chrF and ROUGE against the packages that everyone quotes, IBM model 1 against the numbers of the textbook."""

import random

import numpy as np
import pytest

from headstart.functional import bleu as module
from headstart.functional.bleu import bleu, bleu_counts, tokens_13a, tokens_for, tokens_zh
from headstart.functional.chrf import chrf, chrf_counts
from headstart.functional.rouge import longest_common, rouge, words
from headstart.functional.word_translation import ibm_model_1

LETTERS = "abc XYZ019.,-'\"&;:!?()[]{}<>/\\|@#$%^*_+=~`“”‘’—…，。！？「」中文字　é ñ가のア\n☀𠀀"
PAIRS = {
    "13a": [
        ("The cat sat on the mat.", "The cat sat on the mat."), ("the cat is on a mat", "The cat sat on the mat, it's 3.5 years-old."), ("", "Not empty."),
        ("I'm best. the", "I'm the best."), ("one", "one two"), ("It costs $5,000.00 - isn't that & (much)?", "It costs $5,000 - is it not &amp; much?"),
        ("a b c d e f g h", "a b c d x f g h"), ("x y z", "nothing shared here at all"),
    ],
    "zh": [("我喜欢吃苹果。", "我喜欢苹果。"), ("他说：“你好！”", "他说“你好”。"), ("", "没有"), ("Tom在2019年去了北京", "汤姆2019年去北京了"), ("好", "好的")],
}  # fmt: skip


@pytest.mark.parametrize("tokens", list(PAIRS))
def test_bleu_and_chrf_are_sacrebleus(tokens):
    sacrebleu = pytest.importorskip("sacrebleu")
    said, right = zip(*PAIRS[tokens], strict=True)
    assert bleu(bleu_counts(said, right, tokens).sum(0, keepdims=True))[0] == pytest.approx(
        sacrebleu.corpus_bleu(said, [right], tokenize=tokens).score, abs=1e-9
    )
    assert chrf(chrf_counts(said, right).sum(0, keepdims=True))[0] == pytest.approx(
        sacrebleu.corpus_chrf(said, [right]).score, abs=1e-9
    )
    for a, b in PAIRS[tokens]:  # each alone: no match of an order, nothing said, fewer than four tokens
        assert bleu(bleu_counts([a], [b], tokens))[0] == pytest.approx(
            sacrebleu.corpus_bleu([a], [[b]], tokenize=tokens).score, abs=1e-9
        )
        assert chrf(chrf_counts([a], [b]))[0] == pytest.approx(sacrebleu.sentence_chrf(a, [b]).score, abs=1e-9)


def strings(n: int) -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choice(LETTERS) for _ in range(rng.randint(0, 14))) for _ in range(n)]


def test_tokens_are_sacrebleus():
    tokenizers = pytest.importorskip("sacrebleu.tokenizers.tokenizer_zh")
    western = pytest.importorskip("sacrebleu.tokenizers.tokenizer_13a")
    zh, en = tokenizers.TokenizerZh(), western.Tokenizer13a()
    assert [s for s in strings(2000) if tokens_zh(s) != zh(s).split() or tokens_13a(s) != en(s).split()] == []


def test_a_rule_left_out_is_noticed(monkeypatch):
    western = pytest.importorskip("sacrebleu.tokenizers.tokenizer_13a").Tokenizer13a()
    for i in range(len(module.MARKS)):
        monkeypatch.setattr(module, "MARKS", module.MARKS[:i] + module.MARKS[i + 1 :])
        assert any(tokens_13a(s) != western(s).split() for s in strings(2000)), i
        monkeypatch.undo()


def test_a_resample_is_the_corpus_of_its_sentences():
    said, right = zip(*PAIRS["13a"], strict=True)
    weights = np.array([2, 0, 1, 0, 0, 3, 1, 1])
    rows = np.repeat(np.arange(8), weights)
    for counts, score in ((bleu_counts(said, right), bleu), (chrf_counts(said, right), chrf)):
        again = score(
            (bleu_counts if score is bleu else chrf_counts)([said[i] for i in rows], [right[i] for i in rows]).sum(
                0, keepdims=True
            )
        )
        assert score(weights[None] @ counts) == pytest.approx(again, abs=1e-9)


def test_rouge_is_that_of_rouge_score():
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rouge2", "rougeL"])
    for a, b in PAIRS["13a"]:
        wanted = [scorer.score(b, a)[k].fmeasure for k in ("rouge1", "rouge2", "rougeL")]
        assert rouge([a], [b])[0] == pytest.approx(wanted, abs=1e-12)


def test_rouge_by_hand():
    # police killed the gunman / police kill the gunman: Lin 2004, section 3.2, has an LCS of 3 of 4 words
    assert longest_common(["police", "killed", "the", "gunman"], ["police", "kill", "the", "gunman"]) == 3
    assert rouge(["police kill the gunman"], ["police killed the gunman"])[0] == pytest.approx([3 / 4, 1 / 3, 3 / 4])
    assert words("我去Paris 2号") == ["我", "去", "paris", "2", "号"]  # rouge-score would keep paris and 2 alone
    assert rouge(["我去北京"], ["我在北京"])[0, 0] == pytest.approx(3 / 4)


def test_which_tokens_suit():
    assert tokens_for(["The station is there."]) == "13a"
    assert tokens_for(["车站在那里。", "Tom 在北京"]) == "zh"
    assert tokens_for(["駅はどこですか。"]) == "char"
    assert tokens_for(["สถานีอยู่ที่ไหน"]) == "char"


def test_ibm_model_1_of_the_textbook():
    """Koehn, *Statistical Machine Translation* (2010), figure 4.4: das Haus, das Buch, ein Buch."""
    german = [["das", "Haus"], ["das", "Buch"], ["ein", "Buch"]]
    english = [["the", "house"], ["the", "book"], ["a", "book"]]
    wanted = {
        1: {("das", "the"): 0.5, ("das", "book"): 0.25, ("Buch", "book"): 0.5, ("ein", "a"): 0.5, ("Haus", "house"): 0.5},
        2: {("das", "the"): 0.6364, ("das", "house"): 0.1818, ("Buch", "a"): 0.1818, ("ein", "book"): 0.4286, ("Haus", "house"): 0.5714},
        3: {("das", "the"): 0.7479, ("das", "book"): 0.1208, ("Buch", "book"): 0.7479, ("ein", "a"): 0.6534, ("Haus", "the"): 0.3466},
    }  # fmt: skip
    for rounds, values in wanted.items():
        table = ibm_model_1(german, english, rounds, empty=False)
        t = {(table.source[e], table.target[f]): p for e, f, p in zip(table.e, table.f, table.t, strict=True)}
        for pair, value in values.items():
            assert t[pair] == pytest.approx(value, abs=5e-5), (rounds, pair)
        assert np.bincount(table.e, table.t)[1:] == pytest.approx(1)


def test_the_empty_word_takes_what_is_everywhere():
    source = [["a"], ["b"], ["c"]]
    target = [["x", "de"], ["y", "de"], ["z", "de"]]
    table = ibm_model_1(source, target, 20)
    of_a = {table.target[f]: p for e, f, p in zip(table.e, table.f, table.t, strict=True) if table.source[e] == "a"}
    assert of_a["x"] > 0.6 > of_a["de"]
