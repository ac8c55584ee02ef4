"""Raw pixels as if they were a source: what a classifier reaches that transfers nothing at all."""

from __future__ import annotations

from torch import nn

from headstart.data.preprocessing import Preprocessing
from headstart.sources.source import LoadReport, Source

SIDE = 16


def raw_pixels() -> Source:
    """A backbone that only flattens the image, shrunk to 16 x 16 x 3 = 768 numbers between -1 and 1."""
    return Source(
        name="raw_pixels",
        library="none",
        architecture="flatten",
        model_args={},
        backbone=nn.Flatten(),
        preprocessing=Preprocessing(
            size=SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bilinear", crop_mode="squash"
        ),
        layers=[],
        width=3 * SIDE * SIDE,
        classifier="head",
        licence="none needed",
        digest="raw-pixels-16",
        report=LoadReport(0, (), (), 0),
        build=nn.Flatten,
        description="16 px raw pixels, no source",
    )
