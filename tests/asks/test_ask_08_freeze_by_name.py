"""Ask 8: layers are frozen by name or by a slice, and the plan is a table: stage, modules, parameters, lr, when it opens, BN.

yolov5 #9677, ultralytics #20136 and #13770 (does `freeze=10` mean layer 10?), lightly-train #615.
"""

import pytest
from typer.testing import CliRunner

import headstart as hs
from headstart.cli.main import app
from headstart.errors import HandshakeError, RecipeError
from headstart.recipe import make_recipe
from headstart.sources import load_source
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.tuning.full import Full
from headstart.strategies.tuning.keep import Keep
from headstart.training.optim import Optimisation
from headstart.training.stage_table import stage_table


def test_the_recipe_field_is_a_part_of_the_strategy():
    for values in (
        {"strategy": "finetune", "freeze": "backbone[:-2]"},
        {"strategy": "finetune+freeze(backbone[:-2])"},
        {"strategy": {"finetune": None, "freeze": "backbone[:-2]"}},
    ):
        text = make_recipe({"data": "d", **values}).strategy
        found = parse_strategy(text)
        assert found.tuning == Keep(Full(), "backbone[:-2]")
        assert parse_strategy(found.name) == found
    names = make_recipe({"data": "d", "strategy": "last(2)+l2sp", "freeze": "conv1, layer1.0"}).strategy
    assert parse_strategy(names).tuning.what == "conv1, layer1.0"
    assert parse_strategy(parse_strategy(names).name) == parse_strategy(names)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"freeze": "stem"}, "freeze needs a strategy that trains the other layers, and none is named"),
        ({"freeze": "stem", "strategy": "auto"}, "--strategy finetune --freeze 'stem'"),
    ],
)
def test_freeze_without_a_strategy_is_refused(values, words):
    with pytest.raises(RecipeError) as caught:
        make_recipe({"data": "d", **values})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("strategy", "freeze", "words"),
    [
        ("finetune", "layerx", "freeze names a layer that this backbone does not have: got 'layerx'"),
        ("finetune", "[:]", "freeze leaves no layer of the backbone to train"),
        ("head", "[:1]", "freeze would do nothing: the tuning freezes the whole backbone"),
        ("probe", "[:1]", "freeze would do nothing"),
    ],
)
def test_what_cannot_act_is_refused(image_folder, tiny_source, tmp_path, strategy, freeze, words):
    with pytest.raises(HandshakeError) as caught:
        hs.fit(image_folder, source=str(tiny_source), strategy=strategy, freeze=freeze, out=tmp_path / "run", workers=1)
    assert words in str(caught.value)


def test_the_table_by_hand(tiny_source):
    source = load_source(str(tiny_source))
    names = [layer.name for layer in source.layers]
    strategy = parse_strategy(f"gradual(until=0.5, layer_decay=0.5)+freeze('{names[0]}')")
    stages = strategy.tuning.stages(source.layers)
    rows = stage_table(source, strategy, stages, Optimisation(epochs=8, lr=0.01))
    n = len(names) - 1
    assert [row["name"] for row in rows] == names
    assert rows[0] | {"modules": 0, "parameters": 0} == {
        "name": names[0], "modules": 0, "parameters": 0, "moving": 0, "only": "all", "trainable": False, "lr": 0.0,
        "opens": None, "bn": "frozen statistics", "mode": "eval",
    }  # fmt: skip
    assert [row["lr"] for row in rows[1:]] == pytest.approx([0.01 * 0.5 ** (n - 1 - i) for i in range(n)])
    # the k-th from the output opens after 0.5 k / n of 8 epochs: in the epoch after the next whole number from there
    assert [row["opens"] for row in rows[1:]] == [-(-4 * (n - i) // n) + 1 for i in range(n)]
    assert rows[-1]["mode"] == f"eval, train from epoch {rows[-1]['opens']}"
    assert sum(row["parameters"] for row in rows) == source.parameters


def test_the_plan_prints_it_and_the_run_keeps_it(image_folder, tiny_source, tmp_path):
    asked = [
        "--source",
        str(tiny_source),
        "--strategy",
        "gradual",
        "--freeze",
        "backbone[:1]",
        "--epochs",
        "2",
        "--workers",
        "1",
    ]
    shown = CliRunner().invoke(app, ["plan", str(image_folder), *asked], env={"COLUMNS": "160"})
    assert shown.exit_code == 0, shown.output
    for word in (
        "stage",
        "modules",
        "parameters",
        "trained",
        "lr",
        "from epoch",
        "batch norms",
        "mode",
        "frozen",
        "eval, train from",
    ):
        assert word in shown.output, word
    run = hs.fit(
        image_folder, source=str(tiny_source), strategy="gradual", freeze="backbone[:1]", epochs=2, baselines="none",
        verify=False, workers=1, out=tmp_path / "run",
    )  # fmt: skip
    rows = run.metrics["strategy"]["stages"]
    assert rows[0]["mode"] == "eval" and rows[0]["moving"] == 0
    assert {row["opens"] for row in rows[1:]} == {2}
    assert "frozen, in eval mode" in (run.path / "report.html").read_text()
    assert "from epoch 2" in (run.path / "report.html").read_text()
    assert run.recipe["strategy"] == "gradual+freeze('backbone[:1]')"
