"""Ranking: better features first, equals by cost, and one broken source does not stop the others."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.data.preprocessing import Preprocessing
from headstart.errors import DataError, QuestionError, SourceError
from headstart.progress import Progress
from headstart.ranking import rank as ranking
from headstart.ranking.cost import count_macs, forward_memory
from headstart.ranking.probe import probe_score
from headstart.ranking.rank import Row, rank_sources, sample
from headstart.sources.source import LoadReport, Source
from headstart.training.probe import fit_probe


class Colours(nn.Module):
    """The mean colour, which tells the classes apart; ``extra`` convolutions cost and change nothing."""

    def __init__(self, extra: int = 0, blind: bool = False) -> None:
        super().__init__()
        self.extra = nn.ModuleList(nn.Conv2d(3, 8, 3) for _ in range(extra))
        self.blind = blind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in self.extra:
            conv(x)
        mean = x.mean((2, 3))
        return torch.cat([mean * 0 if self.blind else mean, x[:, :, 3, 3]], 1)


class Broken(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no kernel for this\nlong tail")


def source(name: str, backbone: nn.Module) -> Source:
    return Source(
        name=name, library="none", architecture="x", model_args={}, backbone=backbone, preprocessing=Preprocessing(size=16),
        layers=[], width=6, classifier="head", licence="MIT", digest=name, report=LoadReport(0, (), (), 0), build=Broken,
    )  # fmt: skip


@pytest.fixture
def colours() -> Dataset:
    """90 pictures whose mean colour tells three classes apart, nearly always."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    pictures = [
        (rng.integers(0, 256, (16, 16, 3)) * 0.5 + 24 * np.eye(3)[k] + rng.normal(0, 8, 3) + 40)
        .clip(0, 255)
        .astype(np.uint8)
        for k in y
    ]
    digests = np.array([hashlib.sha256(picture.tobytes()).hexdigest()[:24] for picture in pictures])
    return Dataset(pictures, y, ("r", "g", "b"), np.array(["train"] * 90), digests=digests)


def test_the_source_that_sees_the_classes_comes_first(colours: Dataset, tmp_path: Path) -> None:
    found = rank_sources([source("blind", Colours(blind=True)), source("sees", Colours())], colours, cache_dir=tmp_path)
    assert [row.source for row in found.rows] == ["sees", "blind"]
    best, worst = found.rows
    for score in ("probe", "logme", "knn"):
        assert getattr(best, score) > getattr(worst, score)
    assert best.probe is not None and best.probe > 0.8 and best.probe_se is not None and 0 < best.probe_se < 0.06
    assert (best.parameters, best.width, best.licence, best.error) == (0, 6, "MIT", "")
    assert found.chosen == "sees" and found.by == "probe" and found.n == 90
    assert found.why.startswith("sees is chosen: ") and "ahead of blind with" in found.why
    assert found.to_dict()["rows"][0]["source"] == "sees"


def test_equals_are_ordered_by_cost(colours: Dataset, tmp_path: Path) -> None:
    dear, cheap = source("dear", Colours(extra=3)), source("cheap", Colours())
    found = rank_sources([dear, cheap], colours, cache_dir=tmp_path)
    assert found.chosen == "cheap"
    assert found.rows[0].macs == 0 and found.rows[1].macs == 3 * 8 * 3 * 9 * 14 * 14
    assert "cheaper than 1 that it does not clearly beat" in found.why


def test_a_slightly_better_dear_source_yields_to_a_cheap_one_and_why_says_so() -> None:
    right = np.ones(100)
    near, far = right.copy(), right.copy()
    near[0], far[:9] = 0, 0
    rows = [
        ranking._Result(Row("dear", probe=1.0, macs=9), right),
        ranking._Result(Row("cheap", probe=0.99, macs=1), near),
        ranking._Result(Row("poor", probe=0.91, macs=0), far),
    ]
    ordered, equal = ranking._order(rows, "probe")
    assert ([row.source for row in ordered], equal) == (["cheap", "dear", "poor"], 2)
    why = ranking._why(ordered, equal, "probe", 100)
    assert why.startswith(
        "cheap is chosen: 99.0% held-out accuracy by cross-validated probe on 100 images; dear has 100.0%"
    )


def test_another_score_may_decide(colours: Dataset) -> None:
    sources = [source("blind", Colours(blind=True)), source("sees", Colours())]
    found = rank_sources(sources, colours, scores=["logme"], cache_dir=None)
    assert found.chosen == "sees" and found.by == "logme" and "nats an image" in found.why
    assert found.rows[0].probe is None and found.rows[0].knn is None


class Heard(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_a_source_that_fails_has_a_row_with_its_error(
    colours: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str, reading: Any) -> Source:
        raise SourceError(f"unknown source: got {name!r}")

    monkeypatch.setattr(ranking, "_load", load)
    heard = Heard()
    sources = [source("broken", Broken()), "nowhere/x", source("sees", Colours())]
    found = rank_sources(sources, colours, cache_dir=tmp_path, progress=heard)
    assert found.chosen == "sees" and "the only source that could be used" in found.why
    errors = {row.source: row.error for row in found.rows}
    assert errors == {
        "sees": "",
        "broken": "RuntimeError: no kernel for this",
        "nowhere/x": "unknown source: got 'nowhere/x'",
    }
    assert len(heard.lines) == 2 and heard.lines[0].startswith("broken is left out: ")


def test_the_second_ranking_computes_no_features(colours: Dataset, tmp_path: Path) -> None:
    first = rank_sources([source("sees", Colours())], colours, cache_dir=tmp_path)
    model = source("sees", Broken())  # the same digest, and a forward pass would raise
    again = rank_sources([model], colours, cache_dir=tmp_path)
    assert again.rows[0].probe == first.rows[0].probe and again.rows[0].error == ""
    assert again.rows[0].images_per_second == first.rows[0].images_per_second is not None
    assert again.rows[0].macs is None


def test_a_sample_keeps_the_shares_and_two_of_each_class() -> None:
    labels = np.repeat([0, 1, 2], [900, 98, 2])
    picked = sample(labels, 100, seed=0)
    assert np.bincount(labels[picked]).tolist() == [90, 10, 2]
    assert (np.diff(picked) > 0).all()
    assert (sample(labels, 100, seed=0) == picked).all() and (sample(labels, 100, seed=1)[:50] != picked[:50]).any()
    assert len(sample(labels, 1000, seed=0)) == 1000


def test_only_the_sample_is_extracted(colours: Dataset, tmp_path: Path) -> None:
    assert rank_sources([source("sees", Colours())], colours, cache_dir=tmp_path, max_images=30).n == 30


def test_multiply_adds_of_a_known_network() -> None:
    import torchvision

    model = torchvision.models.resnet18()
    assert count_macs(replace(source("r", model), preprocessing=Preprocessing(size=224))) == pytest.approx(
        1.814e9, rel=0.01
    )


def test_the_probe_score_is_the_held_out_accuracy_at_the_chosen_strength() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 120)
    X = rng.normal(size=(120, 6)) + np.eye(3, 6)[y]
    score, probe = probe_score(X, y, 3, seed=2), fit_probe(X, y, 3, seed=2)
    chosen = probe.strengths.index(probe.strength)
    assert score.accuracy == pytest.approx(probe.cv_accuracy[chosen]) and score.right.mean() == score.accuracy
    assert score.se == probe.cv_se
    single = probe_score(np.eye(3), np.arange(3), 3)
    assert np.isnan(single.accuracy) and np.isnan(single.right).all()


def test_one_image_a_class_still_gives_an_answer(colours: Dataset) -> None:
    found = rank_sources([source("sees", Colours())], colours.subset(np.arange(3)), cache_dir=None)
    assert found.rows[0].probe is None and found.rows[0].probe_se is None
    assert found.why == "sees comes first as given: 3 images are too few for a score"


def test_questions_that_cannot_be_answered(colours: Dataset) -> None:
    sees = source("sees", Colours())
    with pytest.raises(SourceError, match="no source to rank"):
        rank_sources([], colours, cache_dir=None)
    with pytest.raises(QuestionError, match="unknown score: got 'logm'; allowed: .*Try: logme"):
        rank_sources([sees], colours, scores=["logm"], cache_dir=None)
    with pytest.raises(DataError, match="no score to rank by"):
        rank_sources([sees], colours, scores=[], cache_dir=None)
    with pytest.raises(DataError, match="labels of at least two classes"):
        rank_sources([sees], replace(colours, labels=None), cache_dir=None)
    with pytest.raises(DataError, match="labels of at least two classes"):
        rank_sources([sees], replace(colours, labels=np.zeros(90, dtype=int)), cache_dir=None)
    with pytest.raises(SourceError, match="none of the sources could be used: got 'broken: RuntimeError"):
        rank_sources([source("broken", Broken())], colours, cache_dir=None)


def test_a_head_gives_source_probabilities_and_none_gives_a_dash(colours: Dataset) -> None:
    headed = source("headed", Colours())
    headed.head = (torch.cat([torch.eye(3), torch.zeros(3, 3)], 1) * 9, torch.tensor([0.0, 0.1, 0.2]))
    X = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    expected = torch.softmax(torch.from_numpy(X) @ headed.head[0].T + headed.head[1], 1)
    P = ranking.probabilities(headed, X)
    assert P is not None and pytest.approx(expected.numpy(), abs=1e-6) == P
    found = rank_sources([source("bare", Colours()), headed], colours, scores=["leep", "nce"], cache_dir=None)
    assert found.chosen == "headed" and found.by == "leep"
    first, second = found.rows
    assert first.scores["leep"]["value"] < 0 and first.scores["leep"]["why"] == ""
    assert second.scores["nce"] == {
        "value": None,
        "low": None,
        "high": None,
        "why": "the source has no head of its own",
    }
    assert (first.place, second.place) == ("1", "")
    alone = rank_sources([source("bare", Colours())], colours, scores=["leep"], cache_dir=None)
    assert alone.why == "bare comes first as given: no source has LEEP, as the source has no head of its own"


def test_every_score_has_an_interval_equals_share_a_place_and_the_combined_verdict_decides(
    colours: Dataset,
) -> None:
    from headstart.ranking.scores import SCORES

    names = [name for name in SCORES if not SCORES[name].needs_probabilities]
    sources = [source("blind", Colours(blind=True)), source("sees", Colours()), source("too", Colours(extra=1))]
    found = rank_sources(sources, colours, scores=names, by="combined", resamples=20, cache_dir=None)
    assert found.by == "combined" and [row.source for row in found.rows] == ["sees", "too", "blind"]
    assert [row.place for row in found.rows] == ["1=", "1=", "3"]
    for row in found.rows:
        assert list(row.scores) == names
        for cell in row.scores.values():
            assert cell["low"] <= cell["value"] <= cell["high"]
        assert row.combined is not None and 0 <= row.combined["low"] <= row.combined["value"] <= row.combined["high"]
    assert "cheaper than 1 that it does not clearly beat" in found.why
    assert "wins 75.0% of its comparisons by probe (CV), LogME, k-NN, N-LEEP" in found.why
    assert found.to_dict()["rows"][0]["scores"]["gbc"]["value"] == found.rows[0].scores["gbc"]["value"]


def test_a_score_that_cannot_be_had_does_not_take_the_others_with_it(colours: Dataset) -> None:
    class Flat(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(x), 6)

    found = rank_sources(
        [source("flat", Flat()), source("sees", Colours())], colours, scores=["knn", "nleep"], cache_dir=None
    )
    flat = next(row for row in found.rows if row.source == "flat")
    assert flat.error == "" and flat.knn is not None
    assert flat.scores["nleep"]["value"] is None and "features that do not vary" in flat.scores["nleep"]["why"]


def test_the_deciding_score_must_be_one_of_those_asked_for(colours: Dataset) -> None:
    with pytest.raises(DataError, match="not among those asked for: got 'gbc'; allowed: knn, logme, combined"):
        rank_sources([source("sees", Colours())], colours, scores=["knn", "logme"], by="gbc", cache_dir=None)


def test_memory_of_a_known_network() -> None:
    """One convolution: the batch, its output, and the output of the pooling are alive together at most."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found, how = forward_memory(source("x", model), batch=4)
    images, maps, weights = 4 * 3 * 16 * 16 * 4, 4 * 8 * 16 * 16 * 4, 8 * 3 * 9 * 4
    assert how == "counted"
    assert found == pytest.approx(weights + images + maps, abs=4 * 8 * 4)


def test_a_source_that_states_no_preprocessing_is_used_and_said_so(colours: Dataset) -> None:
    from headstart.sources.assemble import GUESSED

    heard = Heard()
    guessed = source("guessed", Colours())
    guessed.extra["guessed"] = GUESSED
    row = rank_sources([guessed], colours, scores=["knn"], cache_dir=None, progress=heard).rows[0]
    assert row.note == GUESSED and row.error == ""
    assert heard.lines == [f"guessed is {GUESSED}"] and "it states none of its own" in GUESSED
