"""`fit` on a table of texts with a phase before the strategy: run folder, baselines, the saved model opens and says the same."""

import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest

import headstart
from headstart.errors import HandshakeError, RecipeError

_spec = importlib.util.spec_from_file_location(
    "text_problem", Path(__file__).parents[1] / "strategies" / "text_problem.py"
)
problem = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(problem)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    home = tmp_path_factory.mktemp("texts")
    problem.tiny(home / "bert")
    data = problem.sentences(45)
    names = [data.classes[i] for i in data.labels]
    pd.DataFrame({"text": data.inputs, "label": names}).to_csv(home / "t.csv", index=False)
    return home


def fit(here, tmp_path, strategy, **options):
    return headstart.fit(
        str(here / "t.csv"),
        source=str(here / "bert"),
        strategy=strategy,
        out=tmp_path / "run",
        **{"baselines": "none", **options},
    )


def test_setfit_is_saved_and_compared_with_names_alone(here, tmp_path):
    run = fit(here, tmp_path, "mlm(epochs=2)>setfit(lr=0.003)", baselines="probe,classical,zeroshot")
    facts = run.metrics
    assert set(facts["baselines"]) == {"probe", "classical", "zeroshot"}
    assert facts["reload_check"]["ok"], "the weights that were saved are those that were tuned"
    before = facts["strategy"]["before"]
    assert [p["steps"] for p in before] == [4, 20] and before[1]["loss"][1] < before[1]["loss"][0]
    assert facts["transfer_gain"]["versus"] == "classical", (
        "names alone use a source, so they are not what transfer has to beat"
    )
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "SetFit" in report and "zero-shot from names" in report
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text(encoding="utf-8"))["model_type"] == "bert"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategy": "setfit", "epochs": 3}, "say it in the phase, as in setfit"),
        ({"strategy": "finetune", "cutmix": 0.2}, "cutmix"),
    ],
)
def test_what_would_do_nothing_is_refused(here, tmp_path, options, words):
    with pytest.raises(HandshakeError, match=words):
        fit(here, tmp_path, **options)
    assert not (tmp_path / "run").exists()


def test_a_rate_that_was_given_is_the_sources_and_scratch_keeps_its_own(here, tmp_path):
    run = fit(
        here, tmp_path, "finetune", epochs=1, lr=1e-4, warmup=0, schedule="constant", baselines="scratch", verify=False
    )
    history = pd.read_csv(run.path / "history.csv").set_index("model")
    assert history.lr["transfer"] == pytest.approx(1e-4) and history.lr["scratch"] == pytest.approx(5e-4)


def test_plan_tells_how_long_the_phases_take_and_a_budget_counts_them(here, tmp_path):
    asked = {"source": str(here / "bert"), "baselines": "none"}
    plan = headstart.plan(str(here / "t.csv"), strategy="mlm(epochs=2)>setfit(lr=0.003)", **asked)
    why = {step.name: step.why for step in plan.steps}
    assert "2 x 2 steps" in why["first mlm"] and "10 x 2 steps" in why["first setfit"], "the courses that fit takes"
    with pytest.raises(
        RecipeError, match=r"does not allow what comes before the strategy: mlm takes about .* --budget \d+s"
    ):
        headstart.plan(str(here / "t.csv"), strategy="mlm(epochs=1000000)>finetune", budget="60s", **asked)
    run = fit(here, tmp_path, "mlm(epochs=2)>finetune", budget="10m", epochs=2, verify=False)
    assert run.metrics["strategy"]["before"][0]["steps"] == 4 and run.metrics["strategy"]["epochs"] == 2
    kept = json.loads((run.path / "plan.json").read_text(encoding="utf-8"))
    phase = kept["phases"][0]
    assert (phase["name"], phase["steps"], phase["epochs"]) == ("mlm", 2, 2)
    assert kept["training_seconds"] > 4 * (phase["update"] + phase["load"]), "the phase and what follows"


def test_texts_without_labels_beside_the_labelled_ones(here, tmp_path):
    more = problem.sentences(30, seed=5)
    pd.DataFrame({"text": more.inputs}).to_csv(tmp_path / "more.csv", index=False)
    run = fit(here, tmp_path, "mlm>finetune", unlabelled=str(tmp_path / "more.csv"), epochs=1, verify=False)
    n = run.metrics["n"]
    assert n["unlabelled"] == 30
    assert f"over {n['train'] + 30} texts" in run.metrics["strategy"]["before"][0]["said"]
    with pytest.raises(HandshakeError, match="no term of the strategy learns from unlabelled.*mlm>finetune"):
        fit(here, tmp_path / "other", "finetune", unlabelled=str(tmp_path / "more.csv"))
