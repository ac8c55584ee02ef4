"""`headstart doctor`: is everything here that Headstart needs?"""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any

from headstart.folder import cache_root

OK, NOTE, BAD = "ok", "note", "bad"
PAIR = "pip install 'torch==2.12.1' 'torchvision==0.27.1'"


def doctor(*, online: bool = False) -> dict[str, Any]:
    """Check versions, the torch/torchvision pair, devices, disk, caches and fonts.

    Args:
        online: also ask the two hubs for an answer; without it no network is reached.

    Returns:
        ``{"ok": bool, "checks": [{"name", "state": "ok" | "note" | "bad", "value", "fix"}]}``. A part that is itself broken
        (a torch that cannot be imported) is a bad check, never an exception.
    """
    parts = [("versions", _versions), ("torch + torchvision", _pair), ("devices", _devices), ("disk", _disk)]
    parts += [("caches", _caches), ("Chinese font", _fonts)]
    if online:
        parts.append(("network", _network))
    checks = []
    for name, look in parts:
        try:
            checks += look()
        except Exception as error:  # whatever is broken on this machine, the rest is still looked at
            fix = "see the other lines" if name != "torch + torchvision" else PAIR
            checks.append(_check(name, BAD, f"{type(error).__name__}: {(str(error).splitlines() or ['?'])[0]}", fix))
    return {"ok": all(check["state"] != BAD for check in checks), "checks": checks}


def _check(name: str, state: str, value: str, fix: str = "") -> dict[str, str]:
    return {"name": name, "state": state, "value": value, "fix": fix}


def _versions() -> list[dict[str, str]]:
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    found = [_check("python", OK, platform.python_version())]
    for line in requires("headstart") or []:
        need = Requirement(line)
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            have = version(need.name)
        except PackageNotFoundError:
            found.append(_check(need.name, BAD, "not installed", f"pip install '{need}'"))
            continue
        good = need.specifier.contains(have, prereleases=True)
        found.append(
            _check(
                need.name,
                OK if good else BAD,
                have + ("" if good else f", needs {need.specifier}"),
                "" if good else f"pip install '{need}'",
            )
        )
    return found


def _pair() -> list[dict[str, str]]:
    """torch and torchvision must be built for each other: torch 2.(n) goes with torchvision 0.(n + 15)."""
    import torch
    import torchvision

    pair = f"torch {torch.__version__} with torchvision {torchvision.__version__}"
    minor, other = (int(x.split(".")[1]) for x in (torch.__version__, torchvision.__version__))
    if minor + 15 != other:
        return [
            _check(
                "torch + torchvision",
                BAD,
                f"{pair} were not made for each other",
                f"pip install 'torchvision==0.{minor + 15}.*'",
            )
        ]
    from torchvision.ops import nms  # compiled against one torch: with another it fails or is missing

    nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    return [_check("torch + torchvision", OK, f"{pair}, nms works")]


def _devices() -> list[dict[str, str]]:
    import torch

    flags = ""
    path = Path("/proc/cpuinfo")
    if path.is_file():
        text = path.read_text(errors="replace")
        flags = ", ".join(f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {f}" in text)
    found = [
        _check(
            "cpu",
            OK,
            f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads" + (f"; {flags}" if flags else ""),
        )
    ]
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            p = torch.cuda.get_device_properties(i)
            found.append(
                _check(
                    f"cuda:{i}",
                    OK,
                    f"{p.name}, {p.total_memory / 2**30:.0f} GiB, bf16 {'yes' if torch.cuda.is_bf16_supported() else 'no'}",
                )
            )
    elif torch.backends.mps.is_available():
        found.append(_check("mps", OK, "Apple GPU"))
    else:
        found.append(_check("gpu", NOTE, "none; probes are quick on a CPU, fine-tuning large sources is not"))
    return found


def _disk() -> list[dict[str, str]]:
    found = []
    for name, path in (("disk here", Path.cwd()), ("disk of the cache", cache_root())):
        there = next(p for p in (path, *path.parents) if p.exists())
        free = shutil.disk_usage(there).free / 2**30
        low = free < 1
        found.append(
            _check(
                name,
                NOTE if low else OK,
                f"{free:.1f} GiB free",
                "a run of a large source needs up to 1 GiB" if low else "",
            )
        )
    return found


def _caches() -> list[dict[str, str]]:
    root = cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = root / ".doctor"
        probe.write_text("x")
        probe.unlink()
        size = sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) / 2**20
        found = [_check("cache", OK, f"{root}, {size:.0f} MiB")]
    except OSError as error:
        found = [
            _check("cache", BAD, f"{root}: {error.strerror}", "set HEADSTART_CACHE to a folder that can be written")
        ]
    hub = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"
    models = len(list(hub.glob("models--*"))) if hub.is_dir() else 0
    found.append(_check("Hugging Face cache", OK, f"{hub}, {models} models"))
    torch_home = (
        os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
    )
    torch_hub = Path(torch_home) / "hub" / "checkpoints"
    files = len(list(torch_hub.glob("*.pth"))) if torch_hub.is_dir() else 0
    found.append(_check("torch cache", OK, f"{torch_hub}, {files} checkpoints"))
    return found


def _fonts() -> list[dict[str, str]]:
    from headstart.evaluation.fonts import font_for

    path = font_for("汉字")
    if path is None:
        return [
            _check(
                "Chinese font",
                NOTE,
                "none on this machine",
                "reports still show Chinese where the reader's machine has a font; Debian: apt install fonts-wqy-microhei",
            )
        ]
    return [_check("Chinese font", OK, str(path))]


def _network() -> list[dict[str, str]]:
    """Do the hubs answer? Needed only for sources that are not on this machine yet."""
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    found = []
    for name, url in (
        ("Hugging Face hub", os.environ.get("HF_ENDPOINT") or "https://huggingface.co"),
        ("torchvision's weights", "https://download.pytorch.org"),
    ):
        try:
            with urlopen(Request(url, method="HEAD"), timeout=5) as answer:
                found.append(_check(name, OK, f"{url} answers ({answer.status})"))
        except (URLError, OSError, ValueError) as error:
            code = getattr(error, "code", None)
            if code is not None:  # it refused this page, but it answered
                found.append(_check(name, OK, f"{url} answers ({code})"))
            else:
                reason = getattr(error, "reason", error)
                found.append(_check(name, NOTE, f"{url}: {reason}", "bundled/ and local sources need no network"))
    return found
