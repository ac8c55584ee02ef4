"""Ask 4: truly offline. No socket is opened unless the source needs one; what is missing is said at once, with its place."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision.models as models
from safetensors.torch import save as to_bytes

from headstart.errors import SourceError
from headstart.sources import list_sources, load_source, network

Put = Callable[[str, dict[str, bytes]], Path]


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Any socket, or look-up of a host name, is an error, and is counted."""
    tried: list[Any] = []

    def refuse(*args: Any, **_: Any) -> None:
        tried.append(args)
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@pytest.fixture
def dead_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A machine that does not know it has no network: looking up a host takes for ever."""
    asked: list[str] = []

    def hang(address: tuple[str, int], **_: Any) -> None:
        asked.append(address[0])
        time.sleep(3)
        raise OSError("unreachable")

    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(network, "_answers", {})
    monkeypatch.setattr(network, "_set_here", set())
    monkeypatch.setattr(socket, "create_connection", hang)
    yield asked
    os.environ["HF_HUB_OFFLINE"] = "1"


def test_ask_04_local_and_bundled_sources_open_no_socket(
    no_sockets: list[Any], timm_folder: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folder, model = timm_folder
    torch.save(model.state_dict(), tmp_path / "w.pt")
    load_source(str(folder))
    load_source("bundled/glyphs")
    load_source(str(tmp_path / "w.pt"), arch="timm/test_resnet")
    load_source("random/torchvision/mobilenet_v3_small", image_size=64)
    assert len(list_sources()) > 1000 and list_sources(offline=True)[0]["name"].startswith("bundled/")
    assert no_sockets == []


def test_ask_04_cached_weights_open_no_socket(
    no_sockets: list[Any], torch_cache: Path, hub_cache: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    torch.save(models.mobilenet_v3_small().state_dict(), torch_cache / "mobilenet_v3_small-047dcff4.pth")
    name = "mobilenetv3_small_050.lamb_in1k"
    hub_cache(f"timm/{name}", {"model.safetensors": to_bytes(timm.create_model(name).state_dict())})
    load_source("torchvision/mobilenet_v3_small", image_size=64)
    load_source(f"timm/{name}", image_size=64)
    here = {row["name"] for row in list_sources(offline=True)}
    assert {f"timm/{name}", "torchvision/mobilenet_v3_small.IMAGENET1K_V1"} <= here
    assert no_sockets == []


@pytest.mark.parametrize(
    ("name", "file", "place"),
    [
        ("timm/resnet18.a1_in1k", "model.safetensors", "config.json and model.safetensors of https://huggingface.co/timm/resnet18.a1_in1k in a folder, given as --source FOLDER"),
        ("torchvision/resnet18.IMAGENET1K_V1", "resnet18-f37072fd.pth", "https://download.pytorch.org/models/resnet18-f37072fd.pth saved as {cache}/resnet18-f37072fd.pth"),
        ("hf/someone/birds", "model.safetensors", "config.json and model.safetensors of https://huggingface.co/someone/birds in a folder, given as --source FOLDER"),
    ],
)  # fmt: skip
def test_ask_04_no_network_is_said_within_a_second(
    name: str, file: str, place: str, dead_network: list[str], torch_cache: Path, hub_cache: Put
) -> None:
    import huggingface_hub  # noqa: F401  (the import is not what is timed)

    began = time.perf_counter()
    with pytest.raises(SourceError) as said:
        load_source(name)
    assert time.perf_counter() - began < 1.5  # 0.8 s for the one try; the rest is the time that a busy machine takes
    text = str(said.value)
    assert text.startswith(f"the weights of {name} are not on this machine and there is no network: got '{file}'")
    assert f"allowed: {place.format(cache=torch_cache)}" in text
    assert "Try: --source bundled/" in text
    assert len(dead_network) == 1


def test_ask_04_what_was_told_to_copy_works(torch_cache: Path, timm_folder: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(SourceError) as said:
        load_source("torchvision/mobilenet_v3_small")
    path = Path(str(said.value).partition(" saved as ")[2].partition(". Try")[0])
    torch.save(models.mobilenet_v3_small().state_dict(), path)
    assert load_source("torchvision/mobilenet_v3_small", image_size=64).report.new == ()


def test_ask_04_other_weights_that_are_here_are_offered(torch_cache: Path) -> None:
    torch.save(models.resnet50().state_dict(), torch_cache / "resnet50-0676ba61.pth")
    with pytest.raises(
        SourceError,
        match=r"torchvision/resnet50.IMAGENET1K_V2 are not on this machine and HF_HUB_OFFLINE is set.*Try: --source torchvision/resnet50.IMAGENET1K_V1 or --source bundled/",
    ):
        load_source("torchvision/resnet50")


def test_ask_04_hub_clients_are_told_once_and_do_not_retry(dead_network: list[str]) -> None:
    assert not network.online()
    assert os.environ["HF_HUB_OFFLINE"] == "1" and not network.wanted_offline()
    assert network.why_offline() == "there is no network"
    began = time.perf_counter()
    assert not network.online()
    assert time.perf_counter() - began < 0.1 and dead_network == ["huggingface.co"]
    # a hub that is out of reach says nothing about another host
    assert not network.online("https://download.pytorch.org/models/x.pth")
    assert dead_network[1:] == ["download.pytorch.org"]


def test_ask_04_a_proxy_is_asked_instead(dead_network: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    network.online()
    assert dead_network == ["proxy.example"]


def test_ask_04_a_network_that_is_back_is_noticed(dead_network: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not network.online()
    monkeypatch.setattr(network, "REMEMBERED", 0.0)
    monkeypatch.setattr(network, "_reachable", lambda host, port: True)
    assert network.online() and "HF_HUB_OFFLINE" not in os.environ
