"""Feature extraction against plain eager fp32 with PIL loading: images a second and cosine, in one run.

    python benchmarks/feature_extraction.py                     400 JPEG images, ResNet-18 and ResNet-50 at 224 px
    python benchmarks/feature_extraction.py --images 100 --models resnet18

The plain way is what a tutorial does: PIL decodes, torchvision's transforms resize, crop and normalise, batches of 64 go
through the model in eval mode without gradients. No pretrained weights are needed: the weights are random, with
batch norms that have seen these images and, as in trained networks, small scales at the end of each residual branch. Each
way runs once to warm up on a few images, then once in full.
The ratio of processor seconds is the one to read where other work shares the machine (with OMP_NUM_THREADS=1, so that no
thread burns time waiting for another).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import nn


def make_images(folder: Path, n: int, seed: int = 0) -> list[str]:
    """JPEG files of 256 to 400 px a side, as smooth as photographs are."""
    rng = np.random.default_rng(seed)
    paths = []
    for i in range(n):
        height, width = rng.integers(256, 401, 2)
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize(
            (width, height), Image.BICUBIC
        )
        fine = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).filter(
            ImageFilter.GaussianBlur(1.5)
        )
        path = folder / f"{i:05d}.jpg"
        Image.blend(coarse, fine, 0.3).save(path, quality=90)
        paths.append(str(path))
    return paths


def build(name: str, sample: torch.Tensor) -> nn.Module:
    """A torchvision model without its head, random weights, batch norms calibrated on ``sample``."""
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.get_model(name)
    model.fc = nn.Identity()
    for name_of, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            last = name_of.endswith("bn3") or (name_of.endswith("bn2") and name == "resnet18")
            nn.init.uniform_(module.weight, *((0.1, 0.5) if last else (0.8, 1.2)))
            nn.init.normal_(module.bias, std=0.1)
            module.momentum = None
    model.train()
    with torch.no_grad():
        model(sample)
    return model.eval()


def plain(model: nn.Module, paths: list[str], batch_size: int = 64) -> np.ndarray:
    from torchvision import transforms as T

    transform = T.Compose(
        [T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )
    found = []
    with torch.no_grad():
        for start in range(0, len(paths), batch_size):
            images = [transform(Image.open(path).convert("RGB")) for path in paths[start : start + batch_size]]
            found.append(model(torch.stack(images)).numpy())
    return np.concatenate(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument(
        "--rounds", type=int, default=1, help="both ways in turn so many times; the best of each counts"
    )
    args = parser.parse_args()

    import headstart.features.extract as extraction
    from headstart.data.loader import batches
    from headstart.data.preprocessing import Preprocessing
    from headstart.data.readers import read_images
    from headstart.data.scan import scan
    from headstart.features.precision import plain as plain_forward
    from headstart.sources.source import LoadReport, Source

    preprocessing = Preprocessing(size=224, crop_pct=224 / 256)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "images"
        folder.mkdir()
        paths = make_images(folder, args.images)
        dataset, _ = scan(read_images(paths), cache_dir=Path(root) / "cache")
        order = [str(path) for path in dataset.inputs]
        few = dataset.subset(np.arange(min(32, len(dataset))))
        sample = next(iter(batches(few, preprocessing, batch_size=32))).inputs
        for name in args.models:
            model = build(name, sample)
            source = Source(
                name=f"torchvision/{name}", library="torchvision", architecture=name, model_args={}, backbone=model,
                preprocessing=preprocessing, layers=[], width=int(model(sample[:2]).shape[1]), classifier="fc",
                licence="not stated", digest=f"random-{name}", report=LoadReport(0, (), (), 0), build=nn.Identity,
            )  # fmt: skip
            plain(model, order[:16])
            extraction.extract(source, few, cache_dir=None)
            slow = fast = slow_cpu = fast_cpu = np.inf
            for turn in range(args.rounds):
                began, cpu = time.perf_counter(), time.process_time()
                reference = plain(model, order)
                slow, slow_cpu = min(slow, time.perf_counter() - began), min(slow_cpu, time.process_time() - cpu)
                cache, cpu = Path(root) / f"cache-{turn}", time.process_time()
                found = extraction.extract(source, dataset, cache_dir=cache)
                fast, fast_cpu = min(fast, found.seconds), min(fast_cpu, time.process_time() - cpu)
            again = extraction.extract(source, dataset, cache_dir=cache)
            # the same pixels in fp32: what the precision alone costs
            forward = plain_forward(model, "cpu")
            exact = np.concatenate(
                [forward(batch.inputs).numpy() for batch in batches(dataset, preprocessing, batch_size=64)]
            )

            def cosine(a: np.ndarray, b: np.ndarray) -> float:
                a, b = a.astype(np.float64), b.astype(np.float64)
                return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())

            print(
                json.dumps(
                    {
                        "model": name,
                        "images": len(dataset),
                        "threads": torch.get_num_threads(),
                        "precision": found.precision,
                        "plain images/s": round(len(dataset) / slow, 1),
                        "headstart images/s": round(len(dataset) / fast, 1),
                        "ratio": round(slow / fast, 2),
                        "ratio of processor seconds": round(slow_cpu / fast_cpu, 2),
                        "least cosine to fp32, same pixels": round(cosine(found.X, exact), 6),
                        "least cosine to the plain way": round(cosine(found.X, reference), 6),
                        "second run: images computed": again.computed,
                        "second run: seconds": round(again.seconds, 3),
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
