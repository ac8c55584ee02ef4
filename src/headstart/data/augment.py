"""Augmentation as in common practice, through torchvision's transforms; mixup and CutMix on batches."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torchvision.transforms import InterpolationMode, v2

from headstart.data.preprocessing import Preprocessing
from headstart.data.text_augment import TextAugmentation, of_texts, text_augmentation
from headstart.errors import RecipeError, near, sentence


@dataclass(frozen=True)
class Augmentation:
    """How a training image is varied; 0 is off for each field.

    Attributes:
        flip, vflip: chance of mirroring left-right, top-bottom, in [0, 1].
        shift: largest shift as a share of the side, in [0, 1).
        rotate, shear: largest angle in degrees.
        zoom: scale between ``1 - zoom`` and ``1 + zoom``, in [0, 1).
        crop: a random part of the image with an area between ``1 - crop`` and 1, aspect 3/4 to 4/3 (Szegedy et al. 2015).
        color: strength of brightness, contrast and saturation jitter, in [0, 1].
        randaugment: magnitude of RandAugment (Cubuk et al. 2020) with two operations, a whole number from 1 to 30.
        erase: chance of erasing a rectangle (Zhong et al. 2020), in [0, 1].
    """

    flip: float = 0.0
    vflip: float = 0.0
    shift: float = 0.0
    rotate: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    crop: float = 0.0
    color: float = 0.0
    randaugment: float = 0.0
    erase: float = 0.0

    def image(self, image: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
        """uint8 (3, H, W) -> uint8 (3, size, size), drawn from torch's global random numbers."""
        size = preprocessing.size
        mode = InterpolationMode.BILINEAR
        if self.crop:
            image = v2.RandomResizedCrop(size, scale=(1 - self.crop, 1.0), interpolation=mode, antialias=True)(image)
        else:
            image = preprocessing.fit(image)
        if self.flip:
            image = v2.RandomHorizontalFlip(self.flip)(image)
        if self.vflip:
            image = v2.RandomVerticalFlip(self.vflip)(image)
        if self.rotate or self.shift or self.shear or self.zoom:
            image = v2.RandomAffine(
                self.rotate, (self.shift, self.shift), (1 - self.zoom, 1 + self.zoom), self.shear or None, mode,
                fill=image.float().mean((1, 2)).round().tolist(),
            )(image)  # fmt: skip
        if self.randaugment:
            image = v2.RandAugment(2, int(self.randaugment))(image)
        if self.color:
            image = v2.ColorJitter(self.color, self.color, self.color)(image)
        if self.erase:
            image = v2.RandomErasing(self.erase)(image)
        return image


PRESETS: dict[str, Augmentation | None] = {
    "auto": Augmentation(shift=0.06, rotate=6, zoom=0.08, color=0.1),
    "none": None,
    "light": Augmentation(shift=0.06, rotate=6, zoom=0.08, color=0.1),
    "standard": Augmentation(flip=0.5, crop=0.4, rotate=8, color=0.2),
    "strong": Augmentation(flip=0.5, crop=0.7, rotate=15, shear=8, color=0.4, erase=0.25),
    "randaugment": Augmentation(flip=0.5, crop=0.3, randaugment=9),
}
"""``auto``, the default, is ``light`` for images."""


def augmentation(spec: str | dict[str, Any] | Augmentation | None) -> Augmentation | None:
    """A name or a table -> an augmentation; ``None`` for ``"none"``.

    Raises:
        RecipeError: an unknown name or key, or a value out of range.
    """
    if spec is None or isinstance(spec, Augmentation):
        return spec
    if isinstance(spec, str):
        if spec not in PRESETS:
            close = near(spec, PRESETS, 1)
            raise RecipeError(
                sentence(
                    "unknown augmentation",
                    got=spec,
                    allowed=[*PRESETS, "{flip: 0.5, ...}"],
                    fix=close[0] if close else None,
                )
            )
        return PRESETS[spec]
    known = [f.name for f in fields(Augmentation)]
    for key, value in spec.items():
        if key not in known:
            if of_texts({key: value}):
                why = "and the data are images" if of_texts(spec) else "and other keys are of images"
                raise RecipeError(
                    sentence(f"this augmentation is of texts, {why}", got=key, allowed=known, fix=f"leave out {key}")
                )
            of_text = [f.name for f in fields(TextAugmentation)]
            close = near(key, [*known, *of_text], 1)
            raise RecipeError(
                sentence("unknown key of augment", got=key, allowed=f"of images {', '.join(known)}; of texts {', '.join(of_text)}", fix=close[0] if close else None)
            )  # fmt: skip
        top = {"rotate": 180, "shear": 60, "randaugment": 30, "shift": 0.99, "zoom": 0.99, "crop": 0.99}.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= top:
            raise RecipeError(sentence(f"bad value of augment.{key}", got=value, allowed=f"0 to {top}"))
        if key == "randaugment" and value != int(value):
            raise RecipeError(sentence("bad value of augment.randaugment", got=value, allowed="whole numbers 0 to 30"))
    made = Augmentation(**spec)
    return None if made == Augmentation() else made


def flips(spec: str | dict[str, Any] | Augmentation | None) -> bool:
    """Whether this augmentation mirrors images left-right: then a mirrored one may stand for the image in a test too."""
    found = None if of_texts(spec) else augmentation(spec)
    return found is not None and found.flip > 0


def varies(spec: Any) -> bool:
    """Whether an augmentation of images, or a table of one of texts, changes anything.

    Raises:
        RecipeError: as for :func:`augmentation` and :func:`headstart.data.text_augment.text_augmentation`.
    """
    return (text_augmentation(spec) if of_texts(spec) else augmentation(spec)) is not None


def strong_view(weak: Augmentation | None) -> Augmentation:
    """The strong view beside a weak one, as in FixMatch: the same, then RandAugment of magnitude 10 or more and an erased
    rectangle at even odds or more often."""
    weak = weak or Augmentation()
    return replace(weak, randaugment=max(10, weak.randaugment), erase=max(0.5, weak.erase))


def mixing_share(alpha: float, generator: torch.Generator) -> float:
    """``lam ~ Beta(alpha, alpha)``, in [0, 1]."""
    gammas = torch._standard_gamma(torch.tensor([alpha, alpha], dtype=torch.float64), generator=generator)
    return float(gammas[0] / gammas.sum())


def mix_batch(
    images: torch.Tensor, onehot: torch.Tensor, *, mixup: float = 0.0, cutmix: float = 0.0, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each image of a batch with another one, and the labels by the same share.

    mixup (Zhang et al. 2018): ``lam x_i + (1 - lam) x_j``; CutMix (Yun et al. 2019): a box of area ``1 - lam`` of x_j is
    pasted into x_i; ``lam ~ Beta(a, a)``. Where both are on, each batch takes one of them at even odds.

    Args:
        images: float (B, C, H, W).
        onehot: float (B, K).
        mixup, cutmix: a > 0, 0 is off.
        generator: where the draws come from.

    Returns:
        Mixed images (B, C, H, W) and labels (B, K), rows summing to 1.
    """
    if not (mixup or cutmix):
        return images, onehot
    cut = bool(cutmix) and (not mixup or bool(torch.rand((), generator=generator) < 0.5))
    alpha = cutmix if cut else mixup
    lam = mixing_share(alpha, generator)
    other = torch.randperm(len(images), generator=generator)
    if cut:
        height, width = images.shape[-2:]
        side = (1 - lam) ** 0.5
        cy, cx = (int(torch.randint(0, n, (), generator=generator)) for n in (height, width))
        top, bottom = max(0, round(cy - height * side / 2)), min(height, round(cy + height * side / 2))
        left, right = max(0, round(cx - width * side / 2)), min(width, round(cx + width * side / 2))
        images = images.clone()
        images[..., top:bottom, left:right] = images[other][..., top:bottom, left:right]
        lam = 1 - (bottom - top) * (right - left) / (height * width)
    else:
        images = lam * images + (1 - lam) * images[other]
    return images, lam * onehot + (1 - lam) * onehot[other]
