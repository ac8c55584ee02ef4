"""What the scripts that make the bundled sources share: options, the training loop, the folder they write.

Every script is one command, ``python scripts/sources/make_<name>.py``, and is deterministic for its ``--seed`` and
``--steps`` on one machine with one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLED = REPOSITORY / "src" / "headstart" / "sources" / "bundled"
LIMIT = 5_000_000
"""Bytes that the weights of one bundled source may take."""

Batch = tuple[Tensor, Tensor]


def arguments(name: str, *, steps: int, description: str, data: bool = False) -> argparse.Namespace:
    """Read the options that every script has; ``data`` adds the folder of real data sets."""
    parser = argparse.ArgumentParser(prog=f"make_{name}.py", description=description)
    parser.add_argument("--out", type=Path, default=BUNDLED / name, help="the folder to write")
    parser.add_argument("--steps", type=int, default=steps, help=f"optimiser steps (default {steps})")
    parser.add_argument(
        "--minutes", type=float, help="end after so many minutes of training: the result then depends on the machine"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=128, help="images a step (default 128)")
    parser.add_argument(
        "--draws", type=int, default=10, help="draws of the few labels in the measurements (default 10)"
    )
    parser.add_argument("--limit", type=int, help="use only so many images of each real data set (for a quick try)")
    parser.add_argument(
        "--data",
        type=Path,
        default=REPOSITORY.parent / "shared" / "data",
        help="the folder of real data sets" + (" (needed)" if data else "; measured on only where it is there"),
    )
    return parser.parse_args()


def start(seed: int) -> torch.Generator:
    """One thread, one seed: the generator for batches; model initialisation uses torch's global one."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    return torch.Generator().manual_seed(seed)


def train(
    model: nn.Module,
    next_batch: Callable[[], Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    *,
    steps: int,
    lr: float,
    minutes: float | None = None,
    weight_decay: float = 0.05,
    bf16: bool = True,
    every: int = 250,
    watch: Callable[[int], str] | None = None,
) -> int:
    """AdamW with a linear warm-up over the first 5 % and a cosine to zero; returns the steps taken.

    ``loss`` gets the model and a batch and is evaluated under bfloat16 autocast where ``bf16``. With ``minutes`` the
    schedule follows whichever is further, the steps or the clock.
    """
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}], lr=lr
    )
    model.train()
    began, mean = time.monotonic(), 0.0
    for step in range(steps):
        done = step / steps
        if minutes is not None:
            done = max(done, (time.monotonic() - began) / (minutes * 60))
            if done >= 1:
                return step
        rate = lr * min(1.0, done / 0.05 + 1e-3) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = next_batch()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = loss(model, batch)
        optimizer.zero_grad(set_to_none=True)
        value.float().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        now = float(value.detach())
        mean = now if step == 0 else 0.98 * mean + 0.02 * now
        if (step + 1) % every == 0 or step + 1 == steps:
            note = watch(step + 1) if watch else ""
            seconds = time.monotonic() - began
            print(f"step {step + 1}/{steps}  loss {mean:.4f}  {seconds:.0f} s  {note}", flush=True)
            model.train()
    return steps


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of convolutions and linear layers in float16; norms, biases and running statistics in float32."""
    return {k: (v.half() if v.is_floating_point() and v.ndim > 1 else v).contiguous() for k, v in state.items()}


def write_source(
    folder: Path,
    model: nn.Module,
    *,
    architecture: str,
    model_args: dict[str, Any],
    size: int,
    classes: list[str],
    description: str,
    trained_on: list[str],
    licence: str,
    licence_text: str,
    card: str,
) -> None:
    """Write ``config.json``, ``model.safetensors``, ``labels.txt``, ``README.md`` and ``LICENSE`` in timm's layout.

    Raises SystemExit where the weights are over :data:`LIMIT` or where timm does not read them back.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cfg = model.pretrained_cfg
    config = {
        "architecture": architecture,
        "num_classes": len(classes),
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "num_classes": len(classes),
            "classifier": cfg["classifier"],
            "first_conv": cfg["first_conv"],
            "license": licence,
        },
        "model_args": model_args,
        "library": "timm",
        "headstart": {"description": description, "trained_on": trained_on},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "labels.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
    (folder / "LICENSE").write_text(licence_text, encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
    save_file(halved(model.state_dict()), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # the writer keeps it to its owner
    size_now = (folder / "model.safetensors").stat().st_size
    if size_now >= LIMIT:
        raise SystemExit(f"{folder / 'model.safetensors'} has {size_now} bytes; allowed: under {LIMIT}")
    reread = read_source(folder)
    expected = halved(model.state_dict())
    if any(not torch.equal(v, expected[k].to(v.dtype)) for k, v in reread.state_dict().items()):
        raise SystemExit(f"timm reads other weights from {folder} than were written")
    print(f"wrote {folder} ({size_now / 1e6:.2f} MB)", flush=True)


def read_source(folder: Path) -> nn.Module:
    """The model of a folder, through timm's own loader, in evaluation mode."""
    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()


def rounded(model: nn.Module) -> None:
    """Give the model the precision that it will be stored with, so that what is measured is what is shipped."""
    model.load_state_dict(
        {k: v.to(torch.float32) if v.is_floating_point() else v for k, v in halved(model.state_dict()).items()}
    )


def speed(model: nn.Module, size: int, batch: int = 64) -> tuple[float, float]:
    """Images a second on one thread, forward only, in float32 and in bfloat16 (channels last)."""
    model = model.eval().to(memory_format=torch.channels_last)
    x = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
    found = []
    with torch.inference_mode():
        for bf16 in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                best = math.inf
                for _ in range(6):
                    began = time.perf_counter()
                    model(x)
                    best = min(best, time.perf_counter() - began)
            found.append(batch / best)
    return found[0], found[1]


def provenance(name: str, args: argparse.Namespace, steps: int, seconds: float) -> str:
    """The card's lines on how, when and with what the weights were made."""
    command = f"python scripts/sources/make_{name}.py --steps {steps} --seed {args.seed} --batch {args.batch}"
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return (
        f"Made by `{command}` on {day} in {seconds / 60:.0f} minutes on one CPU thread "
        f"(Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}, timm {timm.__version__}). "
        "The command also measures the figures below. Same command, same machine: the same weights; on another "
        "machine the last digits differ."
    )
