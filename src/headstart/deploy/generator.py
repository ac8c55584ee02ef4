"""Write texts: an encoder-decoder with greedy or beam search, and a saved one ready to write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import SEQUENCES
from headstart.data.sequence_preprocessing import IDS, MASK, SequencePreprocessing
from headstart.errors import RunError, sentence
from headstart.progress import SILENT, Progress
from headstart.sources.sequences import load_sequences
from headstart.tasks.catalogue import TASKS
from headstart.tasks.generation import Decoding, Generation
from headstart.training.device import pick_device
from headstart.training.update import Pieces

KEPT = (
    "decoder_start_token_id", "pad_token_id", "eos_token_id", "bos_token_id", "forced_bos_token_id", "forced_eos_token_id",
    "bad_words_ids", "suppress_tokens", "begin_suppress_tokens",
)  # fmt: skip
"""Settings of a source's own generation that go with its tokens; rules about lengths and repeats were for its own task and are left out."""


def generation_config(model: Any, decoding: Decoding) -> Any:
    """For transformers' ``generate``: the source's special tokens, and ``decoding``."""
    from transformers import GenerationConfig

    own = {name: getattr(model.generation_config, name, None) for name in KEPT}
    for name in KEPT[:4]:
        if own[name] is None:
            own[name] = getattr(model.config, name, None)
    beams = {"num_beams": decoding.beams, "length_penalty": decoding.length_penalty} if decoding.beams > 1 else {}
    told = {name: value for name, value in own.items() if value is not None}
    return GenerationConfig(**told, **beams, max_new_tokens=decoding.max_new_tokens, do_sample=False)


@torch.inference_mode()
def write_texts(
    model: nn.Module,
    preprocessing: SequencePreprocessing,
    texts: Sequence[str],
    decoding: Decoding,
    device: torch.device,
    *,
    batch_size: int = 32,
    progress: Progress = SILENT,
    name: str = "writing",
) -> np.ndarray:
    """Object (n,) of str: what the model makes of each text, in their order; those of like length are written together.

    Args:
        model: of transformers, an encoder-decoder.
        decoding: ``max_new_tokens`` must be set.
    """
    if decoding.max_new_tokens is None:
        raise ValueError("max_new_tokens must be set")
    model.to(device).eval()
    how = generation_config(model, decoding)
    found = np.empty(len(texts), dtype=object)
    order = np.argsort([-len(t) for t in texts], kind="stable")
    pieces = Pieces(None, progress.say, name)
    progress.start(name, total=len(texts), unit="text")
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        inputs = preprocessing([texts[i] for i in rows]).to(device)

        def work(inputs: torch.Tensor = inputs) -> list[str]:
            said: list[str] = []
            for part in inputs.tensor_split(pieces.count(len(inputs))):
                ids = model.generate(input_ids=part[:, IDS], attention_mask=part[:, MASK], generation_config=how)  # type: ignore[operator]
                said += [preprocessing.text(row) for row in ids.tolist()]
            return said

        for i, said in zip(rows, pieces.run(len(rows), work), strict=True):
            found[i] = said
        progress.advance(len(rows))
    progress.done()
    return found


def own_task(folder: str | Path) -> str:
    """The task that a run folder (or its ``model/``) says of its model; ``""`` where it says none."""
    folder = Path(folder)
    path = next((p for p in (folder / "model" / "config.json", folder / "config.json") if p.is_file()), None)
    if path is None:
        return ""
    config = json.loads(path.read_text(encoding="utf-8"))
    own = config.get("headstart", {}) if isinstance(config, dict) else {}
    return str(own.get("task", {}).get("name", "")) if isinstance(own, dict) else ""


def writes(folder: str | Path) -> bool:
    """Whether a run's model writes texts."""
    return own_task(folder) in SEQUENCES


class Generator:
    """The model of a run of translation or summarization.

    Args:
        folder: a run folder, or its ``model/``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` ...
        beams: texts that are kept while writing; default: those of the run.

    Raises:
        RunError: the run's model does not write texts.
    """

    def __init__(self, folder: str | Path, device: str = "auto", beams: int | None = None) -> None:
        folder = Path(folder)
        self.folder = folder / "model" if (folder / "model").is_dir() else folder
        if not writes(self.folder):
            raise RunError(sentence("the run's model writes no texts", got=str(folder), allowed=f"a run of {' or '.join(SEQUENCES)}"))  # fmt: skip
        self.source = load_sequences(str(self.folder))
        saved = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))["headstart"]["task"]
        self.classes = tuple((self.folder / "labels.txt").read_text(encoding="utf-8").splitlines())
        task = TASKS[saved["name"]].restore(self.classes, saved)
        assert isinstance(task, Generation)
        if beams is not None:
            if beams < 1:
                raise RunError(sentence("beams is a number of texts kept while writing", got=beams, allowed=">= 1"))
            task.decoding = replace(task.decoding, beams=beams)
        self.task = task
        self.device = pick_device(device)

    def write(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = SILENT) -> np.ndarray:
        """Object (n,) of str: what the model makes of each text."""
        preprocessing: Any = self.source.preprocessing
        return write_texts(
            self.source.backbone.model, preprocessing, texts, self.task.decoding, self.device,  # type: ignore[arg-type]
            batch_size=batch_size, progress=progress,
        )  # fmt: skip
