"""The first seconds of a user: help that is grouped, taught and quick; options that stay; output that scripts can read."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from headstart.cli import common, progress
from headstart.cli.main import app, kebab
from headstart.cli.main import run as command

VERBS = [
    "demo",
    "inspect",
    "sources",
    "rank",
    "plan",
    "fit",
    "tune",
    "adapt",
    "multitask",
    "pretrain",
    "predict",
    "evaluate",
    "compare",
    "report",
    "doctor",
]
KEPT = Path(__file__).parent / "options.json"


def options() -> dict[str, list[str]]:
    """Every flag of every verb, in its long spelling."""
    group = typer.main.get_command(app)
    return {
        name: sorted(flag for p in verb.params for flag in (*p.opts, *p.secondary_opts) if flag.startswith("--"))
        for name, verb in group.commands.items()
    }


def test_the_verbs_and_their_options_stay():
    """A flag that disappears breaks somebody's script. To change the list on purpose, edit tests/cli/options.json."""
    assert options() == json.loads(KEPT.read_text(encoding="utf-8"))
    assert list(options()) == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert command([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"headstart {verb}" in text.split("Options:")[0].split("\n", 2)[2] or verb == "demo", "an example"
    assert "--json" in text
    assert "\033" not in text


def test_help_of_fit_groups_its_options(capsys):
    command(["fit", "--help"])
    text = capsys.readouterr().out
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Arguments:", "Options:", "Data:", "Training:", "Augmentation and imbalance:", "Proof:", "Machine:",
    ]  # fmt: skip
    assert text.index("Data:") < text.index("--labels-per-class") < text.index("Training:") < text.index("--lr")


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_imports_nothing_heavy(verb):
    code = (
        "import sys\nfrom headstart.cli.main import run\n"
        f"run({[verb, '--help'] if verb else ['--help']})\n"
        "heavy = ('torch', 'numpy', 'pandas', 'PIL', 'sklearn', 'timm', 'matplotlib', 'yaml', 'rich', 'headstart.recipe')\n"
        "print('HEAVY', [m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "HEAVY []"


def test_snake_is_kebab_up_to_a_lone_dashes():
    given = ["fit", "my_data", "--batch_size=8", "--path_col", "my_col", "--out=my_run", "--", "--not_an_option"]
    assert kebab(given) == [
        "fit", "my_data", "--batch-size=8", "--path-col", "my_col", "--out=my_run", "--", "--not_an_option",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [(["fti"], "fit"), (["prdict"], "predict"), (["inspct"], "inspect"), (["rank", "x", "--sorce", "y"], "--source")],
)
def test_a_near_spelling_is_offered(arguments, wanted, capsys):
    assert command(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert wanted in said.err
    assert "--help" in said.err


def test_json_is_json_whatever_is_in_it(capsys):
    common.emit(
        {"nan": math.nan, "inf": [np.float32("inf")], "array": np.arange(2), "path": Path("a"), 3: (np.int64(4), None),
         "yes": np.bool_(True), "名": "花"}
    )  # fmt: skip
    text = capsys.readouterr().out
    assert "花" in text
    assert json.loads(text) == {
        "nan": None, "inf": [None], "array": [0, 1], "path": "a", "3": [4, None], "yes": True, "名": "花",
    }  # fmt: skip


def test_printed_lines_are_never_broken_or_read_as_markup(capsys):
    path = "/a/long/[bold]folder[/bold]" * 60
    common.console().print(f"report:  {path} :smile:")
    assert capsys.readouterr().out == f"report:  {path} :smile:\n"


def test_commands_to_copy_are_quoted():
    assert common.typed("headstart", "predict", Path("runs/花 data")) == "headstart predict 'runs/花 data'"
    assert common.typed("headstart", "fit", "a/b.csv") == "headstart fit a/b.csv"


def test_predictions_name_their_file_in_json_however_it_is_called(monkeypatch, tmp_path, capsys):
    import pandas as pd

    table = pd.DataFrame({"path": ["x.png"], "predicted": ["a"]})
    monkeypatch.setattr("headstart.verbs.predict.predict", lambda *a, **k: table)
    out = tmp_path / 'a "quoted" name.csv'
    assert command(["predict", "run", "x.png", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(out), "n": 1}


class Screen:
    """A standard error that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


def test_a_live_line_is_shorter_than_the_terminal_and_shows_the_numbers(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    bar = progress.Terminal()
    bar.start("训练训练训练训练训练", total=10, unit="step")
    bar.spoke = -1.0
    bar.advance(5, loss=0.25, lr=1e-3)
    line = screen.text.split("\033[K")[-1]
    assert 0 < sum(2 if ord(c) > 0x2E80 else 1 for c in line) < 60
    assert "5/10 steps" in line
    monkeypatch.setenv("COLUMNS", "200")
    bar.spoke = -1.0
    bar.advance(1, loss=0.125, lr=1e-3, unknown=3, valid_accuracy="none", terms={"l2sp": 0.5})
    line = screen.text.split("\033[K")[-1]
    for words in ("6/10 steps", "left", "loss 0.125", "lr 0.001", "l2sp 0.5", "█" * 12 + "·" * 8):
        assert words in line
    assert "unknown" not in line


def test_without_a_terminal_a_line_comes_now_and_then(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 25.0, 26.0, 27.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    plain = progress.Terminal()
    plain.start("head", total=100, unit="step")
    for _ in range(3):
        plain.advance(25, loss=0.5)
    plain.done()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "head: 50/100 steps, 2/s, 25 s left, loss 0.5",
        "head: 75 steps in 27.0 s (loss 0.5)",
    ]


def test_an_error_clears_the_line_of_progress(monkeypatch):
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert command(["report", "nowhere"]) == 2
    assert screen.text.startswith("\r\033[K\033[1;31merror:\033[0m there is no finished run")


def test_the_help_of_strategy_names_every_tuning_and_term():
    import inspect

    from headstart.cli.fit import fit
    from headstart.strategies.grammar import names

    said = inspect.signature(fit).parameters["strategy"].default.help
    assert set(names()) <= set(re.findall(r"\w+", said))
