"""Zero-shot: the cosine to the mean of the prompts' unit vectors, by hand; names that tell nothing are left out in words."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.features.extract import extract
from headstart.features.zero_shot import SCALE, spoken, why_not, zero_shot

_spec = importlib.util.spec_from_file_location(
    "text_problem", Path(__file__).parents[1] / "strategies" / "text_problem.py"
)
problem = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(problem)


@pytest.mark.parametrize(
    ("name", "words"),
    [("card_arrival", "card arrival"), ("sci.space", "sci space"), ("getCard", "get Card"), ("体育", "体育")],
)
def test_names_are_said_as_words(name, words):
    assert spoken(name) == words


def test_it_is_the_cosine_to_the_mean_prompt_written_out(tmp_path):
    source, data = problem.tiny(tmp_path / "bert"), problem.sentences(7)
    templates = ("{}", "this text is about {}")

    def vector(text):
        x = extract(source, replace(data.subset(np.array([0])), inputs=[text], digests=None), cache_dir=None).X[0]
        return x / np.linalg.norm(x)

    found = zero_shot(source, data.classes, data, cache_dir=None, templates=templates)
    for i, text in enumerate(data.inputs):
        logits = []
        for name in data.classes:
            mean = np.mean([vector(t.format(name)) for t in templates], axis=0)
            logits.append(SCALE * vector(text) @ mean / np.linalg.norm(mean))
        np.testing.assert_allclose(found[i], np.exp(logits) / np.exp(logits).sum(), atol=2e-3)
    mixed_up = zero_shot(source, data.classes[::-1], data, cache_dir=None, templates=templates)
    np.testing.assert_allclose(mixed_up, found[:, ::-1], atol=1e-5)


def test_names_that_tell_nothing(tmp_path):
    source, data = problem.tiny(tmp_path / "bert"), problem.sentences(6)
    assert why_not(source, data) == ""
    assert "numbers for names (0, 1)" in why_not(source, replace(data, classes=("0", "1")))
    assert "--task regression" in why_not(source, replace(data, task="regression"))
    assert "random weights" in why_not(replace(source, name="random/x"), data)


def test_the_real_encoder_names_topics_that_it_was_never_shown():
    source = problem.minilm()
    if source is None:
        pytest.skip("the weights of MiniLM are not installed")
    texts = [
        "the goalkeeper saved a penalty",
        "the central bank raised its rates",
        "a new telescope found a distant planet",
    ]
    data = replace(problem.sentences(3), inputs=texts, digests=None)
    assert zero_shot(source, ("football", "economy", "astronomy"), data, cache_dir=None).argmax(1).tolist() == [0, 1, 2]
