"""Imports point one way, the public surface is what it says, the documents name what exists."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import headstart

ROOT = Path(headstart.__file__).parent
REPO = ROOT.parents[1]
ROOMS = [
    "functional",
    "data",
    "sources",
    "tasks",
    "adapters",
    "strategies",
    "features",
    "training",
    "ranking",
    "evaluation",
    "deploy",
    "verbs",
    "cli",
]
GROUND = {"errors", "tables", "progress", "recipe", "folder", "run"}


def imports(path: Path) -> set[str]:
    """Rooms and ground-floor modules of headstart that a file imports at its top level or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("headstart."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("headstart.")}
    return found


def test_rooms_use_only_what_stands_above_them():
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 70, "the walk went empty"
    wrong = []
    for path in files:
        room = path.relative_to(ROOT).parts[0]
        below = set(ROOMS[ROOMS.index(room) + 1 :])
        wrong += [f"{path.relative_to(ROOT)} imports {other}" for other in sorted(imports(path) & below)]
    assert wrong == []


def test_the_ground_floor_knows_no_room_at_import():
    for name in GROUND - {"run"}:  # a run opens the verbs lazily, inside its methods
        assert imports(ROOT / f"{name}.py") <= GROUND, name


def test_only_the_verbs_see_a_recipe():
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).parts
        if parts[0] not in ("verbs", "cli", "recipe.py", "__init__.py", "estimator.py"):
            assert "recipe" not in imports(path), path


def test_the_public_list_is_importable_and_documented():
    for name in headstart.__all__:
        assert getattr(headstart, name) is not None
        if name[0].isupper() or name in ("fit", "predict", "rank", "inspect", "evaluate", "compare", "pretrain"):
            assert (getattr(headstart, name).__doc__ or "").strip(), name
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = headstart.fitt


def test_importing_headstart_or_asking_for_help_imports_nothing_heavy():
    code = (
        "import sys, headstart\nfrom headstart.cli.main import run\n"
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    run(['--help']); run(['fit', '--help'])\n"
        "print([m for m in ('torch', 'numpy', 'pandas', 'sklearn', 'timm', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_field_of_the_recipe_is_a_flag_of_fit_and_no_other():
    from headstart.cli.options import OPTIONS
    from headstart.recipe import Recipe

    own = {"data", "source", "sources", "arch", "strategy"}
    assert set(OPTIONS) | own == set(Recipe.model_fields)


def test_the_walk_in_the_architecture_names_what_exists():
    text = (REPO / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py):(\w+)`", text)
    assert len(named) >= 7
    for file, function in named:
        assert re.search(rf"^\s*(def|class) {function}\b", (ROOT / file).read_text(encoding="utf-8"), re.M), (
            f"{file}:{function}"
        )
    for file in re.findall(r"`((?:verbs|sources|ranking|strategies|training|tests)/[\w/]+\.py)`", text):
        assert (ROOT / file).exists() or (REPO / file).exists(), file


def test_the_two_readmes_are_kept_equal():
    en, zh = ((REPO / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
    for pattern in (r"^#+ ", r"^```", r"^\| `", r"\]\(([^)]+)\)", r"^- "):
        a, b = re.findall(pattern, en, re.M), re.findall(pattern, zh, re.M)
        assert a == b, pattern
    code_en, code_zh = (
        [re.sub(r"#.*", "", c) for c in re.findall(r"```(?:bash|python)\n(.*?)```", t, re.S)] for t in (en, zh)
    )
    assert code_en == code_zh
    for link in re.findall(r"\]\(([^)]+)\)", en):
        assert (REPO / link).exists(), link


def test_every_verb_and_strategy_of_the_readme_exists():
    from headstart.cli.main import app
    from headstart.strategies.grammar import parse_strategy

    text = (REPO / "README.md").read_text(encoding="utf-8")
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert set(re.findall(r"^\| `headstart (\w+)", text, re.M)) == verbs
    strategies = re.findall(r"^\| `(probe|head2toe|head|last\(2\)|finetune|l2sp\([^)]*\))`", text, re.M)
    assert len(strategies) == 7
    for strategy in strategies:
        parse_strategy(strategy)
