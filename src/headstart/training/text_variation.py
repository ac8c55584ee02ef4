"""The augmentation of training texts, made ready: lists read, models opened, labels and held-out texts barred."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from headstart.data.text_augment import OF_WHOLE_TEXTS, TextAugmentation, text_augmentation
from headstart.data.text_preprocessing import Text
from headstart.data.text_variation import TextVariation, variation
from headstart.errors import HandshakeError, sentence
from headstart.folder import cache_root
from headstart.sources.source import Source


def prepared(
    spec: Any,
    source: Source,
    texts: Sequence[Text],
    *,
    task: str,
    classes: Sequence[str],
    held_out: frozenset[str] = frozenset(),
    pretrained: bool = True,
    device: torch.device,
    seed: int,
    cache_dir: Path | None = None,
) -> TextVariation | None:
    """What :func:`headstart.data.text_augment.text_augmentation` says, ready to vary ``texts``; ``None`` where nothing is varied.

    Args:
        texts: those of the training, from which a head for hidden words is fitted where the source's checkpoint has none.
        task: name of the task.
        classes: names of the labels, whose words are never put into a text.
        held_out: what validation and test texts say (:func:`headstart.data.text_variation.content`).
        pretrained: whether the network that is trained carries the source's weights: one that does not is not taught by the source's
            words either, and goes without ``mlm``.
        cache_dir: of translations; default: the cache's folder.

    Raises:
        RecipeError: an augmentation that cannot be read. HandshakeError: a task whose labels would move, or a source that cannot tell
            hidden words. DataError: a file of synonyms that cannot be read. SourceError: no translation model.
    """
    asked = text_augmentation(spec)
    if asked is None:
        return None
    check_task(asked, task)
    found = variation(asked, classes=classes if task != "regression" else (), held_out=held_out)
    assert found is not None
    if asked.mlm and pretrained:
        from headstart.sources.masked_head import masked_head
        from headstart.sources.masked_words import MaskedWords

        parts = tuple(part for text in texts for part in ([text] if isinstance(text, str) else text))
        kept, key = source.extra.setdefault("masked_heads", {}), (source.digest, hash(parts), seed)
        if key not in kept:  # several trainings of a run ask for it
            kept[key] = masked_head(source, parts, device=device, seed=seed)
        told = kept[key]
        found.rewrite = MaskedWords(told, source.preprocessing, barred=found.barred, device=device)
    if asked.back_translate:
        from headstart.sources.back_translation import BackTranslation

        there, back = (part.strip() for part in asked.back_translate.split(",") if part.strip())
        found.translate = BackTranslation(there, back, cache_dir=cache_dir or cache_root(), device=device)
    return found


def check_task(asked: TextAugmentation | None, task: str) -> None:
    """Refuse to move words whose labels would not move along.

    Raises:
        HandshakeError: a task of spans, answers or other texts.
    """
    if asked is not None and task not in OF_WHOLE_TEXTS:
        raise HandshakeError(
            sentence("words that are moved or replaced would no longer fit what was marked in the text", where=f"--task {task}", got="--augment",
                     allowed=OF_WHOLE_TEXTS, fix="--augment none")
        )  # fmt: skip
