"""Characters drawn from fonts as distance fields, so that a batch can redraw them with any pen, slant and wobble.

For each pair of font and character two fields are kept at 64 px: the signed distance to the outline (offsets of it
make the print bolder or lighter) and the distance to the skeleton (offsets of it redraw the character with a round
pen, as a hand would).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

SIDE, BOX = 64, 42
"""Pixels of a field, and of the longer side of a character inside it."""

FONTS = [
    *(f"DejaVuSans{s}" for s in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{s}" for s in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{s}" for s in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{s}" for s in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"),
]
COMPUTER_MODERN = {"cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"}

# Characters that are the same shape once size and place are free share a class.
CLASSES = [
    *("0oO", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
    *(
        "A",
        "B",
        "cC",
        "D",
        "E",
        "F",
        "G",
        "H",
        "I",
        "J",
        "kK",
        "L",
        "M",
        "N",
        "pP",
        "Q",
        "R",
        "sS",
        "T",
        "uU",
        "vV",
        "wW",
        "xX",
        "Y",
        "zZ",
    ),
    *("a", "b", "d", "e", "f", "g", "h", "i", "j", "l|", "m", "n", "q", "r", "t", "y"),
    *("?", "!", "&", "#", "$", "%", "+", "=", "*", "@", "(", ")", "[", "]", "{", "}", "<", ">", "/\\"),
    *(
        "α",
        "β",
        "γ",
        "δ",
        "ε",
        "ζ",
        "η",
        "θ",
        "λ",
        "μ",
        "ξ",
        "π",
        "σ",
        "τ",
        "φ",
        "ψ",
        "ω",
        "Γ",
        "Δ",
        "Θ",
        "Λ",
        "Ξ",
        "Π",
        "Σ",
        "Φ",
        "Ψ",
        "Ω",
    ),
]


def font_folder() -> Path:
    """Where matplotlib keeps the fonts that it ships."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def drawn(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray | None:
    """bool (SIDE, SIDE): the character, fitted into the middle box; ``None`` where the font has no ink for it."""
    canvas = Image.new("L", (400, 400))
    ImageDraw.Draw(canvas).text((120, 100), character, fill=255, font=font)
    box = canvas.getbbox()
    if box is None:
        return None
    cut = canvas.crop(box)
    scale = BOX / max(cut.size)
    to = (max(3, round(cut.width * scale)), max(3, round(cut.height * scale)))
    field = Image.new("L", (SIDE, SIDE))
    field.paste(cut.resize(to, Image.Resampling.LANCZOS), ((SIDE - to[0]) // 2, (SIDE - to[1]) // 2))
    return np.asarray(field) > 127


def skeletons(ink: np.ndarray) -> np.ndarray:
    """Zhang and Suen's thinning (1984) of a stack, bool (n, h, w) -> bool (n, h, w)."""
    ink = np.pad(ink, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    while True:
        removed = 0
        for half in (0, 1):
            shifts = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
            p = [np.roll(ink, (-dy, -dx), axis=(1, 2)) for dy, dx in shifts]
            neighbours = sum(q.astype(np.int8) for q in p)
            turns = sum(((p[i] == 0) & (p[(i + 1) % 8] == 1)).astype(np.int8) for i in range(8))
            if half == 0:
                open_side = (p[0] * p[2] * p[4] == 0) & (p[2] * p[4] * p[6] == 0)
            else:
                open_side = (p[0] * p[2] * p[6] == 0) & (p[0] * p[4] * p[6] == 0)
            gone = (ink == 1) & (neighbours >= 2) & (neighbours <= 6) & (turns == 1) & open_side
            ink[gone] = 0
            removed += int(gone.sum())
        if not removed:
            return ink[:, 1:-1, 1:-1].astype(bool)


def atlas(fonts: list[str] | None = None) -> tuple[Tensor, Tensor]:
    """Fields float16 (n, 2, SIDE, SIDE) in pixels and classes int64 (n,): signed outline distance (negative inside), skeleton distance."""
    ink, labels = [], []
    for name in fonts or FONTS:
        font = ImageFont.truetype(str(font_folder() / f"{name}.ttf"), 160)
        missing = font.getmask("\uffff").getbbox()
        for label, characters in enumerate(CLASSES):
            for character in characters:
                if name in COMPUTER_MODERN and not character.isalnum():
                    continue
                if name in COMPUTER_MODERN and not character.isascii():
                    continue
                if missing is not None and font.getmask(character).getbbox() == missing:
                    continue
                picture = drawn(font, character)
                if picture is not None:
                    ink.append(picture)
                    labels.append(label)
    stack = np.stack(ink)
    thin = skeletons(stack)
    fields = np.empty((len(stack), 2, SIDE, SIDE), dtype=np.float16)
    for i in range(len(stack)):
        fields[i, 0] = distance_transform_edt(~stack[i]) - distance_transform_edt(stack[i])
        fields[i, 1] = distance_transform_edt(~thin[i])
    return torch.from_numpy(fields), torch.tensor(labels)


class Pen:
    """Draws batches of characters: affine map, elastic wobble, pen, resolution, contrast, polarity, noise.

    ``sample(n)`` gives float32 (n, 3, size, size) in -1..1 and int64 (n,). All randomness comes from ``generator``.
    """

    def __init__(self, fields: Tensor, labels: Tensor, generator: torch.Generator, size: int = 32) -> None:
        self.fields, self.labels, self.generator, self.size = fields, labels, generator, size
        self.by_class = [(labels == c).nonzero().flatten() for c in range(int(labels.max()) + 1)]
        self.weights = torch.ones(len(self.by_class))
        self.weights[:10] = 3.0  # digits are what most small sets of characters hold

    def uniform(self, n: int, low: float, high: float) -> Tensor:
        return torch.rand(n, generator=self.generator) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def chance(self, n: int, p: float) -> Tensor:
        return torch.rand(n, generator=self.generator) < p

    def sample(self, n: int) -> tuple[Tensor, Tensor]:
        labels = torch.multinomial(self.weights, n, replacement=True, generator=self.generator)
        pick = torch.rand(n, generator=self.generator)
        index = torch.stack(
            [self.by_class[c][int(u * len(self.by_class[c]))] for c, u in zip(labels.tolist(), pick, strict=True)]
        )
        ink = self.ink(index)
        return self.seen(ink).clamp(0, 1).mul(2).sub(1)[:, None].expand(-1, 3, -1, -1).contiguous(), labels

    def ink(self, index: Tensor) -> Tensor:
        """float32 (n, size, size) in 0..1: how much ink each pixel has."""
        n = len(index)
        by_hand = self.chance(n, 0.7)
        fields = self.fields[index, by_hand.long()].float()[:, None]
        # Where each pixel of the picture looks in the field: picture -> character, so large values shrink the character.
        angle = self.normal(n) * 0.17
        shear = self.normal(n) * 0.25
        across = torch.exp(self.uniform(n, math.log(0.72), math.log(1.5)))
        down = torch.exp(self.uniform(n, math.log(0.68), math.log(1.1)))
        cos, sin = angle.cos(), angle.sin()
        matrix = torch.stack(
            [
                torch.stack([cos * across, (sin + shear) * across, self.normal(n) * 0.08], 1),
                torch.stack([-sin * down, cos * down, self.normal(n) * 0.08], 1),
            ],
            1,
        )
        grid = F.affine_grid(matrix, [n, 1, self.size, self.size], align_corners=False)
        for cells, strength in ((3, 0.10), (5, 0.06)):
            amount = self.uniform(n, 0, strength).view(n, 1, 1, 1)
            coarse = self.normal(n, 2, cells, cells) * amount
            wobble = F.interpolate(coarse, (self.size, self.size), mode="bicubic", align_corners=True)
            grid = grid + wobble.permute(0, 2, 3, 1)
        distance = F.grid_sample(fields, grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]
        # A pen's radius in field pixels; along the stroke it varies a little. Print is offset in or out instead.
        radius = torch.where(by_hand, self.uniform(n, 1.2, 5.5), self.uniform(n, -1.5, 2.5)).view(n, 1, 1)
        pressure = F.interpolate(
            self.normal(n, 1, 3, 3) * 0.5, (self.size, self.size), mode="bicubic", align_corners=True
        )
        return torch.sigmoid((radius + pressure[:, 0] - distance) / 0.7)

    def seen(self, ink: Tensor) -> Tensor:
        """float32 (n, size, size), about 0..1: the ink as a camera or a scanner of some resolution gives it."""
        n, size = len(ink), self.size
        parts = []
        for part in ink[:, None].split(max(1, math.ceil(n / 8))):
            if bool(self.chance(1, 0.7)):
                side = int(torch.randint(7, 21, (1,), generator=self.generator))
                small = F.interpolate(part, (side, side), mode="bilinear", antialias=True, align_corners=False)
                if bool(self.chance(1, 0.5)):
                    small = (small + self.normal(*small.shape) * 0.08).clamp(0, 1)
                mode = "nearest" if bool(self.chance(1, 0.1)) else "bilinear"
                part = F.interpolate(small, (size, size), mode=mode, align_corners=None if mode == "nearest" else False)
            elif bool(self.chance(1, 0.4)):
                part = F.avg_pool2d(F.pad(part, (1, 1, 1, 1)), 3, stride=1)
            parts.append(part)
        ink = torch.cat(parts)[:, 0]
        gamma = torch.exp(self.normal(n) * 0.35).view(n, 1, 1)
        ink = ink.clamp(1e-4, 1) ** gamma
        paper = self.uniform(n, 0.0, 0.35) * self.chance(n, 0.5)
        top = self.uniform(n, 0.6, 1.0)
        picture = paper.view(n, 1, 1) + (top - paper).view(n, 1, 1) * ink
        slope = F.interpolate(self.normal(n, 1, 2, 2) * 0.12, (size, size), mode="bilinear", align_corners=True)[:, 0]
        picture = picture + slope * self.chance(n, 0.25).view(n, 1, 1)
        noise = (self.uniform(n, 0, 0.12) * self.chance(n, 0.5)).view(n, 1, 1)
        picture = picture + self.normal(n, size, size) * noise
        return torch.where(self.chance(n, 0.3).view(n, 1, 1), 1 - picture, picture)
