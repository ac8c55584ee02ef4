"""What `import headstart` offers is written down, and means the same whatever was imported before."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import headstart
from headstart.cli.main import app

REPO = Path(headstart.__file__).parents[2]


def test_the_public_list_is_the_documented_list():
    text = (REPO / "docs" / "python.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \|", text, re.M)
    documented = {name for row in rows for name in re.findall(r"hs\.(\w+)", row)}
    documented |= set(re.findall(r"`hs\.(\w+Error)`", text))
    assert documented == set(headstart.__all__) - {"__version__"}


def test_every_verb_is_a_function_of_the_same_name():
    verbs = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert len(verbs) == 15
    assert verbs - {"sources"} | {"list_sources"} <= set(headstart.__all__)


def test_no_public_name_is_a_room_or_a_file_of_the_package():
    """A submodule takes its name in the package once anything imports it; a function of that name would be gone."""
    modules = {path.stem for path in Path(headstart.__file__).parent.iterdir() if not path.name.startswith("_")}
    assert modules & set(headstart.__all__) == set()
    code = (
        "import headstart as hs, headstart.verbs.fit, headstart.sources.names, headstart.verbs.sources\n"
        "assert all(callable(getattr(hs, name)) for name in hs.__all__ if name != '__version__')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_is_the_one_of_the_package():
    import tomllib

    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert headstart.__version__ == project["version"]


def test_python_in_the_documents_uses_what_exists():
    blocks = []
    for name in ("README.md", "README.zh-CN.md", "docs/python.md"):
        blocks += re.findall(r"```python\n(.*?)```", (REPO / name).read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 7
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id == "hs":
                    assert node.attr in headstart.__all__, node.attr
                if node.value.id in ("run", "again"):
                    assert hasattr(headstart.Run, node.attr), node.attr


def test_the_pins_are_exact_allowed_and_without_addresses():
    import tomllib

    from packaging.requirements import Requirement

    lines = (REPO / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert "://" not in "".join(lines)
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    needs = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in project["project"]["optional-dependencies"].values():
        needs += extra
    plain = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    for need in map(Requirement, needs):
        name = re.sub(r"[-_.]+", "-", need.name).lower()
        assert name in plain, f"{name} is not pinned"
        assert need.specifier.contains(plain[name]), f"{name}=={plain[name]} is not allowed by {need}"
