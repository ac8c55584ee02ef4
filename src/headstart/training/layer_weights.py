"""The weights of the layers of a source of texts, where its head is solved and no step would learn them."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from headstart.data.dataset import Dataset
from headstart.features.extract import extract
from headstart.functional.layer_weights import fit_layer_weights
from headstart.progress import SILENT, Progress
from headstart.sources.fingerprint import source_digest, weights_digest
from headstart.sources.source import Source
from headstart.sources.text_backbone import LayerMeans, TextBackbone

MOST = 2000
"""Texts on which the weights are found."""


def with_layer_weights(
    source: Source,
    train_set: Dataset,
    *,
    cache_dir: Path | None,
    device: str = "cpu",
    seed: int = 0,
    progress: Progress = SILENT,
) -> Source:
    """The source with the weights of its layers found on ``train_set``; the source itself where it does not pool by them.

    The means over the tokens of every layer are features like others (cached), and
    :func:`headstart.functional.layer_weights.fit_layer_weights` finds the mix, on at most :data:`MOST` texts.
    """
    backbone = source.backbone
    if not isinstance(backbone, TextBackbone) or backbone.pool != "weighted":
        return source
    n = len(backbone.mix)
    rows = np.arange(len(train_set))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST, replace=False))
    part = train_set.subset(rows)
    assert part.labels is not None
    each = replace(
        source, name=f"{source.name} at every layer", backbone=LayerMeans(backbone).eval(), width=n * source.width,
        digest=source_digest(source.digest, "layer means", "", {}), head=None, classes=(),
    )  # fmt: skip
    X = extract(each, part, cache_dir=cache_dir, device=device, progress=progress).X
    layers = torch.from_numpy(X).reshape(len(part), n, source.width).transpose(0, 1)
    Y = part.labels[:, None] if part.task == "regression" else part.members
    found = copy.deepcopy(backbone)
    found.mix.data = fit_layer_weights(layers, torch.as_tensor(np.asarray(Y, dtype=np.float64)), scaled=backbone.scaled)
    shares = ", ".join(f"{share:.2f}" for share in found.mix.softmax(0).tolist())
    progress.say(f"shares of the layers, from the embeddings on: {shares}")
    digest = source_digest(weights_digest(found), source.library, source.architecture, source.model_args)
    return replace(source, backbone=found, digest=digest)
