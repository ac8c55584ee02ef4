"""Texts translated into another language and back by two models of transformers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from headstart.errors import SourceError, sentence
from headstart.sources.texts import quietly, required

AT_ONCE = 16
MOST_TOKENS = 256


class BackTranslation:
    """Texts -> what two translation models make of them, there and back, word by word the likeliest (R. Sennrich et al., *Improving
    neural machine translation models with monolingual data*, ACL 2016).

    What was translated once is read from ``cache_dir`` and never translated again.

    Args:
        there, back: folders of encoder-decoder models (Marian, T5, BART) with their tokenizers, or runs of translation.
        cache_dir: translations go to ``cache_dir/translations/...``; ``None`` keeps them in memory alone.
        device: where the models run.

    Raises:
        SourceError: a folder that is missing, or holds no model that translates.
    """

    def __init__(self, there: str, back: str, *, cache_dir: Path | None, device: torch.device) -> None:
        self.folders, self.device = (_model_of(Path(there)), _model_of(Path(back))), device
        for folder in self.folders:
            if not (folder / "config.json").is_file():
                raise SourceError(
                    sentence("there is no translation model in this folder", where=str(folder), fix="a folder with config.json, weights and tokenizer, or a run of --task translation")
                )  # fmt: skip
        self.models: list[tuple[Any, Any]] | None = None
        self.kept: dict[str, str] = {}
        self.file = None
        if cache_dir is not None:
            self.file = cache_dir / "translations" / f"{self._key()}.jsonl"
            if self.file.is_file():
                for line in self.file.read_text(encoding="utf-8").split("\n"):  # other ends of lines stand in texts
                    try:
                        text, found = json.loads(line)
                    except ValueError:  # the last line of a process that was killed
                        continue
                    self.kept[text] = found

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """One text each, in their order; empty where a model said nothing."""
        todo = sorted({text for text in texts if text not in self.kept}, key=lambda text: (len(text), text))
        for first in range(0, len(todo), AT_ONCE):
            some = todo[first : first + AT_ONCE]
            found = some
            for model, tokenizer in self._loaded():
                found = _translated(model, tokenizer, found, self.device)
            self.kept |= dict(zip(some, found, strict=True))
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                with self.file.open("a", encoding="utf-8") as file:
                    file.writelines(
                        json.dumps(pair, ensure_ascii=False) + "\n" for pair in zip(some, found, strict=True)
                    )
        return [self.kept[text] for text in texts]

    def _key(self) -> str:
        """Changes when either model may say something else: by the names, sizes and contents of its files."""
        h = hashlib.sha256()
        for folder in self.folders:
            for file in sorted(p for p in folder.iterdir() if p.is_file()):
                h.update(f"{file.name}\0{file.stat().st_size}\0".encode())
                with file.open("rb") as opened:
                    while block := opened.read(1 << 22):
                        h.update(block)
        return h.hexdigest()[:16]

    def _loaded(self) -> list[tuple[Any, Any]]:
        if self.models is None:
            self.models = [_load(folder, self.device) for folder in self.folders]
        return self.models


def _model_of(folder: Path) -> Path:
    """The model of a run, or the folder itself."""
    inner = folder / "model"
    return inner if not (folder / "config.json").is_file() and (inner / "config.json").is_file() else folder


def _load(folder: Path, device: torch.device) -> tuple[Any, Any]:
    transformers = required()
    try:
        with quietly():
            model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        why = (
            f"a model of the kind {kind}"
            if kind and "Unrecognized configuration" in str(error)
            else str(error).splitlines()[0][:160]
        )
        raise SourceError(
            sentence("this folder holds no model that translates", where=str(folder), got=why,
                     allowed="an encoder-decoder of transformers, such as Marian")
        ) from None  # fmt: skip
    return model.eval().to(device), tokenizer


@torch.inference_mode()
def _translated(model: Any, tokenizer: Any, texts: list[str], device: torch.device) -> list[str]:
    places = getattr(model.config, "max_position_embeddings", None) or MOST_TOKENS
    most = min(MOST_TOKENS, int(places), int(tokenizer.model_max_length))
    given = tokenizer(texts, padding=True, truncation=True, max_length=most, return_tensors="pt")
    given = {key: value.to(device) for key, value in given.items() if key in ("input_ids", "attention_mask")}
    # no limit that depends on the texts beside it: what a text becomes must not
    with quietly():
        said = model.generate(**given, num_beams=1, do_sample=False, max_new_tokens=most - 1)
    return [text.strip() for text in tokenizer.batch_decode(said, skip_special_tokens=True)]
