"""What surrounds the steps, on texts: pieces of a batch, the memory probe, the range test, averages, soups, the line to the source."""

import copy
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from headstart.evaluation.metrics import point_metrics
from headstart.progress import SILENT
from headstart.strategies.grammar import parse_strategy
from headstart.training.after import After
from headstart.training.device import accelerator
from headstart.training.finetune import Feeding, set_up
from headstart.training.soup import parse_soup
from headstart.training.transfer import Settings, task_of, transfer
from headstart.training.update import Pieces, batch_gradient

_spec = importlib.util.spec_from_file_location(
    "text_problem", Path(__file__).parents[1] / "strategies" / "text_problem.py"
)
problem = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(problem)
DATA, VALID, CPU = problem.sentences(18), problem.sentences(12, seed=1), torch.device("cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return problem.tiny(tmp_path_factory.mktemp("models") / "bert")


def move(source, text="finetune", *, feeding=None, after=None, **optimisation):
    settings = Settings(
        feeding=feeding or Feeding(batch_size=6), optimisation={"epochs": 2, "lr": 1e-3, **optimisation}
    )
    return transfer(
        source, parse_strategy(text), DATA.classes, DATA, VALID, settings, device=CPU, seed=0, score=point_metrics, cache_dir=None,
        progress=SILENT, **({} if after is None else {"after": after}),
    )  # fmt: skip


def gradients(source, pieces):
    net = copy.deepcopy(source.backbone)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    course = set_up(
        source, net, parse_strategy("finetune+l2sp"), task_of(DATA, Settings()), DATA, Feeding(batch_size=7), pretrained=True, device=CPU, seed=0,
    )  # fmt: skip
    with torch.no_grad():
        course.objective.model.head.weight.copy_(torch.randn(3, 16, generator=torch.Generator().manual_seed(1)))
    course.objective.begin(0.0)
    window = list(course.batches(0))[:2]
    batch_gradient(course.objective, window, Pieces(pieces, SILENT.say, "x"), accelerator(CPU, "fp32"))
    return [p.grad for p in course.objective.model.parameters()]


def test_a_batch_of_texts_in_pieces_has_the_gradient_of_the_whole(source):
    whole, parts = gradients(source, None), gradients(source, 2)
    assert max(float(g.abs().max()) for g in whole) > 1e-3
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_memory_probe_and_the_range_test_run_on_texts(source):
    found = move(source, feeding=Feeding(batch_size=6, fit_memory=True), lr="auto").found
    assert found["memory"]["pieces"] == 1 and found["lr_range"]["lr"] > 0


@pytest.mark.parametrize("average", ["ema(0.9)", "swa(0.5)"])
def test_averages_of_weights_on_texts(source, average):
    plain, mean = move(source), move(source, average=average)
    differ = [
        not torch.equal(a, b) for a, b in zip(plain.backbone.parameters(), mean.backbone.parameters(), strict=True)
    ]
    assert any(differ) and all(torch.isfinite(p).all() for p in mean.backbone.parameters())


def test_soups_and_the_line_to_the_source_on_texts(source):
    soup = move(source, after=After(soup=parse_soup("uniform(2)")))
    assert soup.found["soup"]["n"] == 2
    half = move(source, "probe>finetune", after=After(wise=0.5))
    ends = move(source, "probe>finetune")
    for a, b, mine in zip(
        source.backbone.parameters(), ends.backbone.parameters(), half.backbone.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, (a + b) / 2)
