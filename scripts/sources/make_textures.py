"""Make ``bundled/textures``: a small MobileNetV3 that tells 150 formula-driven textures, shapes and fractals apart.

``python scripts/sources/make_textures.py [--out DIR] [--steps N] [--seed S]``
"""

from __future__ import annotations

import time

import timm
import torch
from common import Batch, arguments, provenance, rounded, speed, start, train, write_source
from licences import APACHE
from measure import compare, target
from pictures import draw_pool, kinds
from torch import Tensor, nn
from torch.nn import functional as F

ARCHITECTURE, SIZE, POOL_SIDE = "mobilenetv3_small_075", 64, 76
DESCRIPTION = "textures, shapes and fractals made by formulas (no photographs), 64 px"


class WithLook(nn.Module):
    """The network and a linear head that tells a picture's look (mean and deviation per channel) from its features.

    Class labels alone would teach the network to forget colour and contrast, which targets may need.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.look = nn.Linear(net.head_hidden_size, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.net.forward_head(self.net.forward_features(x), pre_logits=True)
        return self.net.get_classifier()(pooled), self.look(pooled)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    images, labels = batch
    logits, look = model(images.contiguous(memory_format=torch.channels_last))
    seen = torch.cat([images.mean((2, 3)), images.std((2, 3))], dim=1)
    return F.cross_entropy(logits, labels, label_smoothing=0.1) + F.mse_loss(look, seen)


def cropped(images: Tensor, labels: Tensor, n: int, generator: torch.Generator) -> Batch:
    """A batch float32 (n, 3, SIZE, SIZE) in -1..1 from the pool: one crop, flips and quarter turns per eight pictures."""
    index = torch.randint(len(images), (n,), generator=generator)
    parts = []
    for part in images[index].split(8):
        side = int(torch.randint(44, POOL_SIDE + 1, (1,), generator=generator))
        top, left, turn, flip = torch.randint(0, 1 << 20, (4,), generator=generator).tolist()
        top, left = top % (POOL_SIDE - side + 1), left % (POOL_SIDE - side + 1)
        part = torch.rot90(part[:, :, top : top + side, left : left + side], turn % 4, (2, 3))
        part = part.flip(3) if flip % 2 else part
        parts.append(F.interpolate(part.float(), (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False))
    x = torch.cat(parts) / 127.5 - 1
    gain = 1 + 0.25 * torch.randn(n, 1, 1, 1, generator=generator)
    shift = 0.15 * torch.randn(n, 1, 1, 1, generator=generator)
    return (x * gain + shift).clamp(-1, 1), labels[index]


def main() -> None:
    args = arguments("textures", steps=2200, description=__doc__ or "")
    generator = start(args.seed)
    began = time.monotonic()
    classes = kinds()
    each = max(2, min(200, args.steps // 10))
    pictures, truth = (torch.from_numpy(a) for a in draw_pool(classes, each, POOL_SIDE, args.seed))
    print(f"{len(pictures)} pictures of {len(classes)} classes in {time.monotonic() - began:.0f} s", flush=True)

    def fresh() -> nn.Module:
        return timm.create_model(ARCHITECTURE, num_classes=len(classes))

    model = WithLook(fresh()).to(memory_format=torch.channels_last)
    steps = train(
        model,
        lambda: cropped(pictures, truth, args.batch, generator),
        loss,
        steps=args.steps,
        minutes=args.minutes,
        lr=3e-3,
        bf16=False,
    )
    seconds = time.monotonic() - began
    net = model.net
    rounded(net)
    net.eval()
    new, new_truth = draw_pool(classes, 10 if each > 10 else 1, POOL_SIDE, args.seed + 1, progress=False)
    with torch.inference_mode():
        x = F.interpolate(
            torch.from_numpy(new).float(), (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False
        )
        own = float((net(x / 127.5 - 1).argmax(1) == torch.from_numpy(new_truth)).float().mean())
    vision = args.data / "vision"
    targets = [
        *target("RSSCN7 satellite scenes", vision / "rsscn7-satellite" / "rsscn7-satellite.zip", 10, 128, args.limit),
        *target("magnetic tiles", vision / "magnetic-tiles" / "classification.zip", 10, 128, args.limit),
        *target("chest X-rays", vision / "chest-xray-3" / "chest-xray-3.zip", 10, 128, args.limit),
        *target("apple leaf diseases", vision / "apple-leaf-disease" / "apple-leaf-disease.zip", 10, 128, args.limit),
    ]
    torch.manual_seed(args.seed)
    table, _ = compare(net, fresh, targets, SIZE, args.draws)
    fp32, bf16 = speed(net, SIZE)
    parameters = sum(p.numel() for p in net.parameters())
    card = f"""# textures

A small MobileNetV3 (timm `{ARCHITECTURE}`, {parameters / 1e6:.2f} M parameters, {net.head_hidden_size} features, {SIZE} px, RGB) that
tells {len(classes)} kinds of pictures made by formulas apart. A small source with no photograph in its source data, for scenes from above and
other pictures where texture counts; photographs are better served by `objects`.

## How it was made
{provenance("textures", args, steps, seconds)}

Data: {len(pictures)} pictures of {len(classes)} classes, drawn by `scripts/sources/pictures.py`: noise of several spectra, stripes, checks, cells
(Voronoi), spots and simple shapes, lattices, cracks, slopes, and 40 fractals (iterated function systems, after Kataoka
et al., *Pre-training without natural images*, ACCV 2020); random colours, shade and grain; random crops, turns and flips.
Beside the class, a linear head (not kept) had to tell each picture's mean and deviation per channel.
No photograph was used.

## What it is worth
Accuracy on fresh pictures of its own task: {own:.3f}. Speed on one thread: {fp32:.0f} images/s in float32, {bf16:.0f} in bfloat16.

{table}

## Limits
It has never seen an object or a photograph. Its training is short (about a quarter of fresh pictures are named
rightly among 150 kinds). On the satellite scenes it beats raw pixels; on the magnetic tiles, the chest X-rays and the
leaves raw pixels are better than its features: rank it against others before it is used.

## Licence
Apache-2.0.
"""
    write_source(
        args.out,
        net,
        architecture=ARCHITECTURE,
        model_args={},
        size=SIZE,
        classes=[k.name for k in classes],
        description=DESCRIPTION,
        trained_on=["pictures made by formulas"],
        licence="apache-2.0",
        licence_text=APACHE,
        card=card,
    )


if __name__ == "__main__":
    main()
