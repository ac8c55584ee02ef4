"""The doctor looks at everything even where something is broken."""

import sys

import pytest

from headstart.verbs import doctor as module
from headstart.verbs.doctor import doctor


def named(found: dict, name: str) -> dict:
    return next(check for check in found["checks"] if check["name"] == name)


class Broken:
    """An import of torch that fails as a missing library does."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError("libcudart.so.13: cannot open shared object file")


def test_a_torch_that_cannot_be_imported_is_a_finding(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("torch", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    found = doctor()
    assert not found["ok"]
    pair = named(found, "torch + torchvision")
    assert pair["state"] == "bad"
    assert "libcudart.so.13" in pair["value"]
    assert pair["fix"] == "pip install 'torch==2.12.1' 'torchvision==0.27.1'"
    assert named(found, "python")["state"] == named(found, "cache")["state"] == "ok"


def test_operators_that_do_not_fit_are_a_finding(monkeypatch):
    import torchvision.ops

    def missing(*_):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torchvision.ops, "nms", missing)
    found = doctor()
    assert not found["ok"]
    assert "operator torchvision::nms does not exist" in named(found, "torch + torchvision")["value"]


def test_a_version_that_is_known_to_be_bad_is_a_finding(monkeypatch):
    import importlib.metadata as metadata

    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "2.13.0" if name == "torch" else real(name))
    bad = named(doctor(), "torch")
    assert bad["state"] == "bad"
    assert bad["value"].startswith("2.13.0, needs")
    assert bad["fix"].startswith("pip install 'torch")


def test_a_package_that_is_missing_is_a_finding(monkeypatch):
    import importlib.metadata as metadata

    real = metadata.version

    def version(name):
        if name == "timm":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    assert named(doctor(), "timm")["value"] == "not installed"


def test_a_cache_that_cannot_be_written_is_a_finding(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file" / "cache"))
    bad = named(doctor(), "cache")
    assert bad["state"] == "bad"
    assert "HEADSTART_CACHE" in bad["fix"]


def test_the_network_is_asked_only_when_told(monkeypatch):
    from urllib.error import HTTPError, URLError

    asked = []

    def answer(request, timeout):
        asked.append(request.full_url)
        if "pytorch" in request.full_url:
            raise HTTPError(request.full_url, 403, "Forbidden", None, None)
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", answer)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    doctor()
    assert asked == []
    found = doctor(online=True)
    assert len(asked) == 2
    hub = named(found, "Hugging Face hub")
    assert (hub["state"], hub["value"]) == ("note", "https://huggingface.co: Name or service not known")
    assert named(found, "torchvision's weights")["state"] == "ok", "a 403 is an answer"


@pytest.mark.parametrize("part", ["_versions", "_devices", "_disk", "_caches", "_fonts"])
def test_any_part_may_fail_alone(monkeypatch, part):
    def fails():
        raise OSError("strange machine\nsecond line")

    monkeypatch.setattr(module, part, fails)
    found = doctor()
    assert not found["ok"]
    assert sum(check["value"] == "OSError: strange machine" for check in found["checks"]) == 1
    assert len(found["checks"]) > 5
