"""`headstart plan`, `fit` that follows it, and the budget."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import headstart as hs
from headstart.cli.main import app
from headstart.errors import RecipeError
from headstart.run import Run
from headstart.training.timing import Loading, StepTimes
from headstart.verbs import decide as deciding
from headstart.verbs.decide import CLOSING, read_budget

TEXT = {"source", "layer", "strategy", "tuning", "terms", "augmentation", "learning rate", "batch size", "epochs"}


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(deciding, "CHOOSING", 6.0)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("45", 45), (None, None)])
def test_a_budget_is_read_with_its_unit(text, seconds):
    assert read_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "ten", "-5m", "0s", "inf", "nanm", "m"])
def test_a_budget_that_is_no_time_is_refused(text):
    with pytest.raises(RecipeError, match="cannot read the budget"):
        read_budget(text)


def test_a_plan_says_everything_and_fit_does_it(image_folder, tiny_source, tmp_path):
    out = tmp_path / "plan.yaml"
    plan = hs.plan(image_folder, source=str(tiny_source), out=out, baselines="none", workers=1)
    assert {step.name for step in plan.steps} == TEXT
    assert all(step.value and step.why for step in plan.steps)
    assert plan.seconds > 0 and plan.planning_seconds > 0 and plan.memory_mb > 50
    written = yaml.safe_load(out.read_text())
    assert written["strategy"] == plan.recipe["strategy"] != "auto"
    run = hs.fit(recipe=out, out=tmp_path / "run", verify=False, workers=1)
    assert run.recipe["strategy"] == run.metrics["strategy"]["name"] == plan.recipe["strategy"]
    assert run.recipe["layer"] == plan.recipe["layer"]
    assert not (run.path / "plan.json").exists(), "nothing was open any more"
    with pytest.raises(RecipeError, match="there is a file already"):
        hs.plan(image_folder, source=str(tiny_source), out=out)


def test_fit_without_options_compares_and_keeps_to_what_it_decided(image_folder, tiny_source, tmp_path):
    run = hs.fit(image_folder, source=str(tiny_source), out=tmp_path / "run", baselines="none", verify=False, workers=1)
    made = json.loads((run.path / "plan.json").read_text())
    assert {t["name"].split(",")[0] for t in made["choice"]["trials"]} == {"probe", "head2toe", "lpft", "finetune"}
    assert run.recipe["strategy"] == made["strategy"] == made["choice"]["chosen"]["strategy"]
    assert made["choice"]["why"] in (run.path / "report.html").read_text()
    again = Run(run.path)
    assert again.metrics["seconds"]["choosing"] > 0


def test_options_that_only_steps_obey_leave_the_probe_out(image_folder, tiny_source, tmp_path):
    run = hs.fit(
        image_folder, source=str(tiny_source), out=tmp_path / "run", epochs=1, baselines="none", verify=False, workers=1
    )
    trials = json.loads((run.path / "plan.json").read_text())["choice"]["trials"]
    assert {t["name"] for t in trials} == {"lpft", "finetune"}
    assert run.metrics["strategy"]["epochs"] == 1


TIMES = StepTimes(
    update=1.0, evaluate=0.0, train=Loading(0, 0, 1), valid=Loading(0, 0, 1), save=0.0, batch_size=32, peak_bytes=0
)  # a second an update: an epoch of 32 images takes one


class Target:
    """Enough of a prepared target: 32 training images and none for validation."""

    def split(self, name):
        return np.zeros(32 if name == "train" else 0)


SOURCE = SimpleNamespace(pretrained=True, preprocessing=SimpleNamespace(modality="image"))


def fitted(recipe, left, strategy="finetune"):
    notes = []
    found = deciding._fit_time(
        recipe, SOURCE, deciding.Candidate(strategy), strategy != "probe", TIMES, Target(), left, 0.0, notes
    )  # fmt: skip
    return *found, notes


@pytest.mark.parametrize("left", [10.0, 37.0, 1000.0])
def test_epochs_and_baselines_fit_into_what_is_left(left):
    recipe = hs.Recipe(data="x", strategy="finetune", baselines=["scratch"], budget="1m")
    values, baselines, seconds, notes = fitted(recipe, left)
    assert baselines == ["scratch"]
    assert seconds == 2 * values["epochs"] <= left
    assert 2 * (values["epochs"] + 1) > left or values["epochs"] == 60  # the whole of it is used
    assert values["seconds"] == left / 2
    assert bool(notes) == (values["epochs"] < 60)


def test_scratch_of_texts_takes_more_epochs_where_there_is_time(monkeypatch):
    texts = SimpleNamespace(pretrained=True, preprocessing=SimpleNamespace(modality="text"), width=384)
    monkeypatch.setitem(globals(), "SOURCE", texts)
    recipe = hs.Recipe(data="x", strategy="finetune", baselines=["scratch"], budget="1m")
    assert fitted(recipe, 1000.0)[0] == {"seconds": 500.0}  # 20 and 60
    assert fitted(recipe, 60.0)[0] == {"epochs": 20, "seconds": 30.0}
    assert fitted(recipe, 20.0)[0] == {"epochs": 10, "seconds": 10.0}
    assert fitted(recipe, float("inf"))[2] == 80


def test_a_baseline_goes_before_the_transfer_does():
    recipe = hs.Recipe(data="x", strategy="finetune", baselines=["scratch"], budget="1m")
    values, baselines, seconds, notes = fitted(recipe, 1.5)
    assert baselines == [] and values["epochs"] == 1 and seconds == 1 and "scratch is left out" in notes[0]
    with pytest.raises(RecipeError, match="does not allow one epoch of finetune: it takes about 1 s"):
        fitted(recipe, 0.5)
    values, baselines, seconds, notes = fitted(recipe, 0.5, "probe")
    assert baselines == [] and seconds == 0


def test_the_loop_stops_before_it_would_overrun(image_folder, tiny_source, tmp_path, monkeypatch):
    """The forecast is wrong (an epoch is said to take no time), so that only the loop's own watch can keep the budget."""
    forecast = StepTimes(1e-9, 0.0, Loading(0, 0, 1), Loading(0, 0, 1), 0.0, 32, 0)
    monkeypatch.setattr(deciding, "measure_times", lambda *a, **k: forecast)
    budget = CLOSING + 60.0
    monkeypatch.setattr(deciding, "SAFE", 1e-3)  # leaves 0.06 s of training at most
    run = hs.fit(
        image_folder, source=str(tiny_source), strategy="finetune", budget=f"{budget}s", out=tmp_path / "run",
        baselines="none", verify=False, workers=1,
    )  # fmt: skip
    assert run.metrics["strategy"]["stopped_early"]
    rows = (run.path / "history.csv").read_text().splitlines()[1:]
    assert len(rows) < run.metrics["strategy"]["epochs"]


def test_the_command_prints_the_plan(image_folder, tiny_source):
    words = ["plan", str(image_folder), "--source", str(tiny_source), "--strategy", "probe", "--workers", "1"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    for word in ("source", "strategy", "learning rate", "Expected: about", "next: headstart fit"):
        assert word in shown.output
    assert "--workers 1" in shown.output.split("next:")[1]
    found = json.loads(CliRunner().invoke(app, [*words, "--json", "--quiet"]).stdout)
    assert found["recipe"]["strategy"] == "probe"
    bad = CliRunner().invoke(app, ["plan", str(image_folder), "--budget", "soon"])
    assert bad.exit_code != 0


def test_a_stopped_run_goes_on_with_what_it_decided(image_folder, tiny_source, tmp_path, monkeypatch):
    from headstart.verbs import work

    options = {"source": str(tiny_source), "out": tmp_path / "run", "baselines": "none", "verify": False, "workers": 1}
    experiment = work.experiment

    def stops(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(work, "experiment", stops)
    with pytest.raises(KeyboardInterrupt):
        hs.fit(image_folder, **options)
    monkeypatch.setattr(work, "experiment", experiment)
    monkeypatch.setattr(work, "decide", None)
    monkeypatch.setattr(work, "find_source", None)
    run = hs.fit(image_folder, resume=True, **options)
    made = json.loads((run.path / "plan.json").read_text())
    assert run.metrics["strategy"]["name"] == made["strategy"]
