"""From a name to a source."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from headstart.errors import SourceError, near, sentence
from headstart.sources.assemble import assemble, timm_preprocessing
from headstart.sources.source import Source
from headstart.tables import Table


def bundled_folder() -> Path:
    """Where the sources that come with the package lie."""
    return Path(str(resources.files("headstart.sources"))) / "bundled"


def bundled_names() -> list[str]:
    """Names of the sources that come with the package, without ``bundled/``."""
    root = bundled_folder()
    return sorted(p.name for p in root.iterdir() if (p / "config.json").is_file()) if root.is_dir() else []


def _bundled(rest: str, *, image_size: int | None = None) -> Source:
    from headstart.sources import folder

    names = bundled_names()
    if rest not in names:
        close = near(rest, names, 1)
        raise SourceError(
            sentence(
                "no such bundled source",
                got=f"bundled/{rest}",
                allowed=[f"bundled/{n}" for n in names],
                fix=f"bundled/{close[0] if close else names[0]}",
            )
        )
    return folder.load(f"bundled/{rest}", bundled_folder() / rest, image_size=image_size)


def _timm(rest: str, *, image_size: int | None = None) -> Source:
    from headstart.sources import timm

    return timm.load(rest, image_size=image_size)


def _torchvision(rest: str, *, image_size: int | None = None) -> Source:
    from headstart.sources import torchvision

    return torchvision.load(rest, image_size=image_size)


def _hub(rest: str, *, image_size: int | None = None) -> Source:
    from headstart.sources import hub

    return hub.load(rest, image_size=image_size)


def _random(rest: str, *, image_size: int | None = None) -> Source:
    """An architecture with random weights: what `pretrain` starts from."""
    library, architecture = split_architecture(rest)
    return assemble(
        f"random/{rest}",
        library,
        architecture,
        {},
        _plain_preprocessing(library, architecture, image_size),
        None,
        licence="none needed",
        description="random weights",
    )


LOADERS: Table[Callable[..., Source]] = Table(
    "kind of source",
    {"bundled": _bundled, "timm": _timm, "torchvision": _torchvision, "hf": _hub, "random": _random},
    SourceError,
)


def split_architecture(arch: str) -> tuple[str, str]:
    """``"timm/resnet18"`` -> ``("timm", "resnet18")``; a bare name means timm's.

    Raises:
        SourceError: another library.
    """
    library, slash, name = arch.partition("/")
    if not slash:
        return "timm", arch
    if library not in ("timm", "torchvision"):
        raise SourceError(
            sentence(
                "unknown library of an architecture",
                got=arch,
                allowed=["timm/NAME", "torchvision/NAME"],
                fix="--arch timm/resnet18",
            )
        )
    return library, name


def _plain_preprocessing(library: str, architecture: str, image_size: int | None) -> Any:
    if library == "timm":
        from timm.models import get_pretrained_cfg, is_model

        config = get_pretrained_cfg(architecture) if is_model(architecture.split(".")[0]) else None
        return timm_preprocessing({**(config.to_dict() if config else {}), "crop_pct": 1.0}, image_size)
    return timm_preprocessing(
        {"crop_pct": 1.0, "interpolation": "bilinear"}, image_size or (299 if architecture == "inception_v3" else 224)
    )


def load_source(name: str, *, arch: str | None = None, image_size: int | None = None) -> Source:
    """Open a source by name.

    Args:
        name: ``bundled/NAME``, ``timm/NAME[.TAG]``, ``torchvision/NAME[.WEIGHTS]``, ``hf/ORG/NAME``, ``random/timm/NAME``; a
            model folder, a run folder, or a checkpoint file.
        arch: architecture of a bare checkpoint file, ``timm/NAME`` or ``torchvision/NAME``.
        image_size: input side in pixels; default: the source's own.

    Raises:
        SourceError: in one sentence; near spellings are offered.
    """
    name = str(name)
    kind, slash, rest = name.partition("/")
    if slash and kind in LOADERS:
        return LOADERS[kind](rest, image_size=image_size)
    path = Path(name)
    if path.is_dir():
        from headstart.sources import folder

        return folder.load(name, path, image_size=image_size)
    if path.is_file():
        return _checkpoint(name, path, arch, image_size)
    raise SourceError(sentence("unknown source", got=name, allowed=_spellings(name)[1], fix=_spellings(name)[0]))


def _checkpoint(name: str, path: Path, arch: str | None, image_size: int | None) -> Source:
    from headstart.sources.checkpoint import read_tensors

    tensors = read_tensors(path)
    if arch is None:
        raise SourceError(
            sentence(
                "a bare checkpoint does not say its architecture", got=name, fix=f"--source {name} --arch timm/resnet18"
            )
        )
    library, architecture = split_architecture(arch)
    return assemble(
        name, library, architecture, {}, _checkpoint_preprocessing(library, architecture, image_size), tensors
    )


def _checkpoint_preprocessing(library: str, architecture: str, image_size: int | None) -> Any:
    """What the architecture's published weights expect, the best guess for a bare checkpoint."""
    if library == "timm":
        from timm.models import get_pretrained_cfg, is_model

        config = get_pretrained_cfg(architecture) if is_model(architecture.split(".")[0]) else None
        return timm_preprocessing(config.to_dict() if config else {}, image_size)
    return _plain_preprocessing(library, architecture, image_size)


def _spellings(name: str) -> tuple[str, list[str]]:
    """What the user may have meant: the best guess, and a few that would work."""
    bundled = [f"bundled/{n}" for n in bundled_names()]
    close = near(name, [*bundled, *bundled_names()], 1)
    best = ([c if "/" in c else f"bundled/{c}" for c in close] or bundled or ["headstart sources"])[0]
    shown = list(bundled)
    kind, slash, _ = name.partition("/")
    if slash:
        similar = near(kind, LOADERS, 1)
        if similar:
            best = f"{similar[0]}/{name.partition('/')[2]}"
        return best, [*shown, *(f"{kind}/..." for kind in LOADERS if kind != "bundled"), "a folder or file that exists"]
    try:
        import timm
        import torchvision.models as models

        if timm.is_model(name.split(".")[0]):
            shown.append(f"timm/{name}")
            best = f"timm/{name}"
        if name in models.list_models(module=models):
            shown.append(f"torchvision/{name}")
    except ImportError:
        pass
    return best, [*shown, "a folder or file that exists"]


def list_sources(offline: bool = False) -> list[dict[str, Any]]:
    """One row a source: name, licence, description, parameters (where known), and whether it is on this machine.

    Args:
        offline: only those on this machine.
    """
    import json

    rows: list[dict[str, Any]] = []
    for name in bundled_names():
        config = json.loads((bundled_folder() / name / "config.json").read_text(encoding="utf-8"))
        own = config.get("headstart", {})
        rows.append(
            {
                "name": f"bundled/{name}", "architecture": config["architecture"], "description": own.get("description", ""),
                "licence": config.get("pretrained_cfg", {}).get("license", "not stated"),
                "size": config.get("pretrained_cfg", {}).get("input_size", [3, 0, 0])[-1], "here": True,
            }
        )  # fmt: skip
    import timm
    import torchvision.models as models
    from timm.models import get_pretrained_cfg

    from headstart.sources import timm as ours
    from headstart.sources import torchvision as theirs

    for full in timm.list_pretrained():
        config = get_pretrained_cfg(full)
        here = config is not None and ours.cached(config) is not None
        if config is not None and (here or not offline):
            rows.append(
                {
                    "name": f"timm/{full}",
                    "architecture": full.split(".")[0],
                    "description": full.partition(".")[2],
                    "licence": config.license or "not stated",
                    "size": config.input_size[-1],
                    "here": here,
                }
            )
    for base in models.list_models(module=models):
        for weights in models.get_model_weights(base):
            here = theirs.weights_file(weights).is_file()
            if here or not offline:
                rows.append(
                    {
                        "name": f"torchvision/{base}.{weights.name}",
                        "architecture": base,
                        "description": weights.name,
                        "licence": "BSD-3-Clause",
                        "size": None,
                        "here": here,
                    }
                )
    return rows
