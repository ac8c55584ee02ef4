"""From a name to a source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from headstart.errors import SourceError, near, sentence
from headstart.sources import bundle
from headstart.sources.assemble import GUESSED, assemble, timm_preprocessing
from headstart.sources.folder import is_of_texts, read_config, refuse_texts
from headstart.sources.source import Source
from headstart.tables import Table


def _bundled(rest: str, *, image_size: int | None = None, **texts: Any) -> Source:
    if rest == "minilm":
        from headstart.sources import minilm

        return minilm.load(max_length=image_size, **texts)
    return bundle.load(rest, image_size=image_size, **texts)


def _timm(rest: str, *, image_size: int | None = None, **texts: Any) -> Source:
    from headstart.sources import timm

    refuse_texts(f"timm/{rest}", texts)
    return timm.load(rest, image_size=image_size)


def _torchvision(rest: str, *, image_size: int | None = None, **texts: Any) -> Source:
    from headstart.sources import torchvision

    refuse_texts(f"torchvision/{rest}", texts)
    return torchvision.load(rest, image_size=image_size)


def _hub(rest: str, *, image_size: int | None = None, **texts: Any) -> Source:
    from headstart.sources import hub

    return hub.load(rest, image_size=image_size, **texts)


def _random(rest: str, *, image_size: int | None = None, **texts: Any) -> Source:
    """An architecture with random weights: what `pretrain` starts from. ``rest`` is an architecture of images, or a source of texts, whose
    configuration and tokenizer are taken."""
    folder = texts_of(rest)
    if folder is not None:
        from headstart.sources.texts import load

        return load(
            f"random/{rest}", folder, max_length=image_size, licence="none needed", description="random weights", pretrained=False, **texts
        )  # fmt: skip
    refuse_texts(f"random/{rest}", texts)
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


def texts_of(name: str) -> Path | None:
    """The folder of a source of texts by its name, ``None`` for anything else: ``bundled/minilm``, ``hf/ORG/NAME`` or a folder.

    Raises:
        SourceError: its package is not installed, or the hub has it not.
    """
    kind, _, rest = name.partition("/")
    if name == "bundled/minilm":
        from headstart.sources import minilm

        return minilm.weights_folder()
    if kind == "hf":
        from headstart.sources import hub

        path = hub.snapshot(rest)
    else:
        path = Path(name).expanduser()
        path = path / "model" if (path / "model" / "config.json").is_file() else path
    return path if (path / "config.json").is_file() and is_of_texts(read_config(path)) else None


CHECKPOINTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")

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
                allowed=[
                    "timm/NAME",
                    "torchvision/NAME",
                    "for texts bundled/minilm, hf/ORG/NAME or a folder with config.json and a tokenizer",
                ],
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


def load_source(
    name: str,
    *,
    arch: str | None = None,
    image_size: int | None = None,
    pool: str | None = None,
    long: str | None = None,
) -> Source:
    """Open a source by name.

    Args:
        name: ``bundled/NAME``, ``timm/NAME[.TAG]``, ``torchvision/NAME[.WEIGHTS]``, ``hf/ORG/NAME``, ``random/timm/NAME``,
            ``random/`` and a source of texts; a model folder, a run folder, or a checkpoint file.
        arch: architecture of a bare checkpoint file, ``timm/NAME`` or ``torchvision/NAME``.
        image_size: input side in pixels, or tokens of a text; default: the source's own.
        pool: of tokens, see :data:`headstart.sources.text_backbone.POOLS`; only for texts; default: the source's own.
        long: of texts longer than that, see :class:`headstart.data.text_preprocessing.TextPreprocessing`; only for texts.

    Raises:
        SourceError: in one sentence; near spellings are offered.
    """
    name = str(name)
    texts = {"pool": pool, "long": long}
    kind, slash, rest = name.partition("/")
    if slash and kind in LOADERS:
        return LOADERS[kind](rest, image_size=image_size, **texts)
    path = Path(name).expanduser()
    if name and path.is_dir():
        from headstart.sources import folder

        return folder.load(name, path, image_size=image_size, **texts)
    if path.is_file():
        refuse_texts(name, texts)
        return _checkpoint(name, path, arch, image_size)
    if name.startswith((".", "/", "~")) or path.suffix in CHECKPOINTS:
        raise SourceError(sentence("no such file or folder for a source", got=name, fix="headstart sources --offline"))
    best, others = spellings(name)
    raise SourceError(sentence("unknown source", got=name, allowed=others, fix=f"--source {best}"))


def _checkpoint(name: str, path: Path, arch: str | None, image_size: int | None) -> Source:
    from headstart.sources.checkpoint import read_tensors

    if arch is None:
        raise SourceError(
            sentence(
                "a bare checkpoint does not say its architecture", got=name, allowed=["timm/NAME", "torchvision/NAME"],
                fix=f"--source {name} --arch timm/resnet18",
            )
        )  # fmt: skip
    tensors = read_tensors(path)
    library, architecture = split_architecture(arch)
    source = assemble(
        name, library, architecture, {}, _checkpoint_preprocessing(library, architecture, image_size), tensors
    )
    source.extra["guessed"] = GUESSED
    return source


def _checkpoint_preprocessing(library: str, architecture: str, image_size: int | None) -> Any:
    """What the architecture's published weights expect, the best guess for a bare checkpoint."""
    if library == "timm":
        from timm.models import get_pretrained_cfg, is_model

        config = get_pretrained_cfg(architecture) if is_model(architecture.split(".")[0]) else None
        return timm_preprocessing(config.to_dict() if config else {}, image_size)
    return _plain_preprocessing(library, architecture, image_size)


def spellings(name: str) -> tuple[str, list[str]]:
    """What the user may have meant: the best guess, and other names that would work."""
    import timm
    import torchvision.models as models

    bundled = [f"bundled/{n}" for n in (*bundle.bundled_names(), "minilm")]
    others = [*bundled, "a folder or file that exists"]
    kind, slash, rest = name.partition("/")
    if slash:
        close = near(kind, LOADERS, 1)
        kinds = [f"{k}/..." for k in LOADERS if k != "bundled"]
        return (f"{close[0]}/{rest}" if close else f"hf/{name}"), [*kinds, *others]
    base = name.partition(".")[0]
    known = models.list_models(module=models)
    exact = [f"timm/{name}"] * timm.is_model(base) + [f"torchvision/{name}"] * (base in known)
    if exact:
        return exact[0], [*exact, *others]
    close = near(name, [*bundle.bundled_names(), "minilm"], 1)
    if close:
        return f"bundled/{close[0]}", others
    alike = [f"timm/{n}" for n in near(base, timm.list_models(), 2)]
    alike += [f"torchvision/{n}" for n in near(base, known, 1)]
    return (alike or bundled or ["bundled/..."])[0], [*alike, *others]
