"""Make ``bundled/objects``: a small RegNet for photographs, taught by an ImageNet MobileNet on Caltech-101 pictures.

``python scripts/sources/make_objects.py [--out DIR] [--steps N] [--seed S] [--data DIR]``; it needs ``--data`` with
``vision/caltech101-70`` (photographs) and ``weights/mobilenetv1-imagenet`` (the teacher).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from common import arguments, provenance, read_source, rounded, speed, start, train, write_source
from licences import OBJECTS
from measure import compare, read_zip, target
from pictures import draw_pool, kinds
from torch import Tensor, nn
from torch.nn import functional as F

ARCHITECTURE, SIZE, SIGHT = "regnetx_002", 80, 128
"""``SIGHT``: pixels at which the teacher sees what the student sees at ``SIZE``."""
DESCRIPTION = "photographs of 70 kinds of things (Caltech-101), taught by an ImageNet MobileNet, 80 px"


class Lesson(NamedTuple):
    """What is taught: pictures uint8 (n, 3, SIZE, SIZE), the teacher's features and logits, labels (-1: none)."""

    pictures: Tensor
    features: Tensor
    logits: Tensor
    labels: Tensor


class Pupil(nn.Module):
    """The student with two linear heads (not kept) that give the teacher's features and logits."""

    def __init__(self, net: nn.Module, features: int, logits: int) -> None:
        super().__init__()
        self.net = net
        self.to_features = nn.Linear(net.num_features, features)
        self.to_logits = nn.Linear(net.num_features, logits)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pooled = self.net.forward_head(self.net.forward_features(x), pre_logits=True)
        return self.net.get_classifier()(pooled), self.to_features(pooled), self.to_logits(pooled)


def views(photographs: Tensor, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Crops uint8 (n, 3, SIGHT, SIGHT) of uint8 photographs and the index of each one's photograph, -1 for a mixture.

    Crop of 25 to 100 % of the area, some stretch, mirrored by halves; colours and contrast changed for 60 %; a part of another
    crop pasted in for 30 %.
    """
    side = photographs.shape[-1]
    index = torch.randint(len(photographs), (n,), generator=generator)
    numbers = torch.rand(n, 12, generator=generator)
    out = torch.empty((n, 3, SIGHT, SIGHT), dtype=torch.uint8)
    for i in range(n):
        u = numbers[i].tolist()
        area, stretch = 0.25 + 0.75 * u[0], 2 ** (u[1] - 0.5)
        h = min(side, max(24, int(side * (area * stretch) ** 0.5)))
        w = min(side, max(24, int(side * (area / stretch) ** 0.5)))
        top, left = int(u[2] * (side - h + 1)), int(u[3] * (side - w + 1))
        part = photographs[index[i], :, top : top + h, left : left + w]
        part = part.flip(2) if u[4] < 0.5 else part
        part = F.interpolate(part[None].float(), (SIGHT, SIGHT), mode="bilinear", antialias=True, align_corners=False)[
            0
        ]
        if u[5] < 0.6:
            grey = part.mean(0, keepdim=True)
            part = grey + (part - grey) * (2 * u[6])  # saturation
            part = (part - 128) * (0.6 + 0.8 * u[7]) + 128 + 60 * (u[8] - 0.5)
            part = part * (torch.tensor(u[9:12]) * 0.3 + 0.85).view(3, 1, 1)
        out[i] = part.clamp(0, 255).byte()
    mixed = torch.flatten((torch.rand(n, generator=generator) < 0.3).nonzero()).tolist()
    for i in mixed:
        j, top, left, h, w = torch.randint(0, 1 << 30, (5,), generator=generator).tolist()
        h, w = SIGHT // 4 + h % (SIGHT // 2), SIGHT // 4 + w % (SIGHT // 2)
        top, left = top % (SIGHT - h), left % (SIGHT - w)
        out[i, :, top : top + h, left : left + w] = out[j % n, :, top : top + h, left : left + w]
        index[i] = -1
    return out, index


def taught(teacher: nn.Module, pictures: Tensor, labels: Tensor) -> Lesson:
    """The teacher's features and logits, float16, of uint8 pictures (n, 3, SIGHT, SIGHT); the pictures at SIZE."""
    small, features, logits = [], [], []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for part in pictures.split(100):
            x = part.float()
            small.append(F.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False).byte())
            x = (x / 127.5 - 1).contiguous(memory_format=torch.channels_last)
            pooled = teacher.forward_head(teacher.forward_features(x), pre_logits=True)
            features.append(pooled.half())
            logits.append(teacher.get_classifier()(pooled).half())
    return Lesson(torch.cat(small), torch.cat(features), torch.cat(logits), labels)


def lessons(
    photographs: Tensor, labels: Tensor, teacher: nn.Module, n: int, generator: torch.Generator, seed: int
) -> Lesson:
    """``n`` pictures with the teacher's answers: four fifths crops of photographs, the rest made by formulas."""
    began, parts = time.monotonic(), []
    formulas = kinds()
    each = max(1, n // 5 // len(formulas))
    made, _ = draw_pool(formulas, each, SIGHT, seed + 100, progress=False)
    parts.append(taught(teacher, torch.from_numpy(made), torch.full((len(made),), -1)))
    while (have := sum(len(p.labels) for p in parts)) < n:
        pictures, index = views(photographs, min(2000, n - have), generator)
        parts.append(taught(teacher, pictures, torch.where(index < 0, -1, labels[index])))
        if len(parts) % 5 == 0:
            print(f"{have} of {n} pictures taught, {time.monotonic() - began:.0f} s", flush=True)
    return Lesson(*(torch.cat(column) for column in zip(*parts, strict=True)))


def loss(model: nn.Module, batch: Lesson) -> Tensor:
    """Standardised features by mean squares, the teacher's soft labels (temperature 2) by cross-entropy, the labels."""
    logits, features, soft = model(batch.pictures.contiguous(memory_format=torch.channels_last))
    features, soft, logits = features.float(), soft.float(), logits.float()
    wanted = (batch.logits / 2).softmax(1)
    value = F.mse_loss(features, batch.features) * 2 - (wanted * (soft / 2).log_softmax(1)).sum(1).mean()
    known = batch.labels >= 0
    if bool(known.any()):
        value = value + 0.5 * F.cross_entropy(logits[known], batch.labels[known], label_smoothing=0.1)
    return value


def need(path: Path) -> Path:
    if not path.exists():
        raise SystemExit(f"{path} is not there, and bundled/objects is made from it. Try: --data FOLDER")
    return path


def main() -> None:
    args = arguments("objects", steps=1800, description=__doc__ or "", data=True)
    generator = start(args.seed)
    began = time.monotonic()
    photographs, truth, classes = read_zip(
        need(args.data / "vision" / "caltech101-70" / "caltech101-70.zip"), 112, args.limit
    )
    labels = torch.from_numpy(truth)
    teacher = read_source(need(args.data / "weights" / "mobilenetv1-imagenet")).to(memory_format=torch.channels_last)
    n = min(36_000, max(300, args.steps * args.batch // 8))
    lesson = lessons(photographs, labels, teacher, n, generator, args.seed)
    mean, deviation = lesson.features.float().mean(0), lesson.features.float().std(0).clamp(min=1e-2)
    print(f"{len(lesson.labels)} pictures with the teacher's answers in {time.monotonic() - began:.0f} s", flush=True)

    def fresh() -> nn.Module:
        return timm.create_model(ARCHITECTURE, num_classes=len(classes))

    order = torch.empty(0, dtype=torch.int64)

    def next_batch() -> Lesson:
        nonlocal order
        if len(order) < args.batch:
            order = torch.randperm(len(lesson.labels), generator=generator)
        index, order = order[: args.batch], order[args.batch :]
        x = lesson.pictures[index].float() / 127.5 - 1
        if bool(torch.rand(1, generator=generator) < 0.5):
            x = x.flip(3)
        features = (lesson.features[index].float() - mean) / deviation
        return Lesson(x, features, lesson.logits[index].float(), lesson.labels[index])

    model = Pupil(fresh(), lesson.features.shape[1], lesson.logits.shape[1]).to(memory_format=torch.channels_last)
    steps = train(model, next_batch, loss, steps=args.steps, minutes=args.minutes, lr=3e-3, every=200)
    seconds = time.monotonic() - began
    net = model.net
    rounded(net)
    vision = args.data / "vision"
    targets = [
        *target("PACS photographs", vision / "pacs" / "photo.zip", 10, 128, args.limit),
        *target("RSSCN7 satellite scenes", vision / "rsscn7-satellite" / "rsscn7-satellite.zip", 10, 128, args.limit),
        *target("apple leaf diseases", vision / "apple-leaf-disease" / "apple-leaf-disease.zip", 10, 128, args.limit),
        *target("chest X-rays", vision / "chest-xray-3" / "chest-xray-3.zip", 10, 128, args.limit),
    ]
    torch.manual_seed(args.seed)
    table, _ = compare(net, fresh, targets, SIZE, args.draws)
    fp32, bf16 = speed(net, SIZE)
    parameters = sum(p.numel() for p in net.parameters())
    card = f"""# objects

A small RegNet (timm `{ARCHITECTURE}`, {parameters / 1e6:.2f} M parameters, {net.num_features} features, {SIZE} px, RGB) for photographs.
Its head tells {len(classes)} classes of Caltech-101 apart. A source for small sets of colour photographs where nothing may be
downloaded; where a network is at hand, an ImageNet model of a hub is better.

## How it was made
{provenance("objects", args, steps, seconds)}

Data: {len(photographs)} photographs, {len(classes)} classes of Caltech-101 (Li, Andreetto, Ranzato, Perona; CC BY 4.0), at most 112 px. From these
and from formulas (`scripts/sources/pictures.py`) {len(lesson.labels)} pictures were made: crops, changed colours, pasted parts.
Distilled: on each picture the student learned the pooled features (standardised) and the soft labels of an ImageNet
MobileNet v1 (TensorFlow authors, Apache-2.0) that saw it at {SIGHT} px, and the Caltech label where there is one. The
teacher's weights are not contained.

All {len(photographs)} photographs were trained on: a figure on Caltech-101 is no measure of transfer from this source.

## What it is worth
Speed on one thread: {fp32:.0f} images/s in float32, {bf16:.0f} in bfloat16.

{table}

## Limits
Few photographs, of objects in the middle, from the web of 2003; it knows little of scenes, people, medicine or text.
What biases ImageNet and Caltech-101 have, it may have.

## Licence
Apache-2.0 (the weights); attribution for the data and the teacher in LICENSE.
"""
    write_source(
        args.out,
        net,
        architecture=ARCHITECTURE,
        model_args={},
        size=SIZE,
        classes=classes,
        description=DESCRIPTION,
        trained_on=["caltech101-70"],
        licence="apache-2.0",
        licence_text=OBJECTS,
        card=card,
    )


if __name__ == "__main__":
    main()
