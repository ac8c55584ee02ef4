"""Augmentation of texts by replacement: what is asked for, and its names."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from headstart.errors import RecipeError, near, sentence

OF_WHOLE_TEXTS = ("classification", "multilabel", "regression", "ordinal", "hierarchical", "embedding")
"""Tasks whose label is of the whole text and stays when words are moved, dropped or replaced. Spans and answers would move, a
translation would be of another text."""


@dataclass(frozen=True)
class TextAugmentation:
    """How a training text is varied, in this order: translated, words replaced by the model, by synonyms, swapped, deleted.

    A word is a character in scripts without spaces. Of n words, a share s means s n of them, rounded at random so that the mean is
    exact; ``delete`` is drawn for each word.

    Attributes:
        swap: pairs of words that change places, as a share of the words, in [0, 1) (J. Wei and K. Zou, *EDA*, EMNLP 2019).
        delete: chance of each word to be left out, in [0, 1); one word always stays (ibid.).
        mlm: share of words that the source model, asked for what is hidden, writes anew, in [0, 1).
        synonyms: file of synonyms (:func:`headstart.data.synonyms.read_synonyms`); ``""`` is off.
        synonym_share: share of words that give way to a synonym, of those that have one, in (0, 1].
        back_translate: two folders of translation models with a comma between: there and back; ``""`` is off.
        translated: chance that the text translated there and back stands for it, in (0, 1].
    """

    swap: float = 0.0
    delete: float = 0.0
    mlm: float = 0.0
    synonyms: str = ""
    synonym_share: float = 0.1
    back_translate: str = ""
    translated: float = 0.5

    @property
    def acts(self) -> bool:
        """Whether anything is on."""
        return bool(self.swap or self.delete or self.mlm or self.synonyms or self.back_translate)


TEXT_PRESETS: dict[str, TextAugmentation | None] = {
    "auto": None,
    "none": None,
    "light": TextAugmentation(swap=0.05, delete=0.05),
    "standard": TextAugmentation(swap=0.1, delete=0.1),
    "strong": TextAugmentation(swap=0.2, delete=0.2),
}
"""``auto``, the default, is ``none``: a pretrained encoder gains little from moved and dropped words, and a dropped "not" changes the label
(S. Longpre et al., *How effective is task-agnostic data augmentation for pretrained transformers?*, Findings of EMNLP 2020)."""

NUMBERS = ("swap", "delete", "mlm")
SHARES = {"synonym_share": "synonyms", "translated": "back_translate"}
FILES = ("synonyms", "back_translate")


def text_augmentation(spec: str | dict[str, Any] | TextAugmentation | None) -> TextAugmentation | None:
    """A name or a table -> an augmentation of texts; ``None`` where nothing is varied.

    Raises:
        RecipeError: an unknown name or key, a value out of range, a share of what is off, or two folders that are not two.
    """
    if spec is None or isinstance(spec, TextAugmentation):
        return spec
    if isinstance(spec, str):
        if spec not in TEXT_PRESETS:
            close = near(spec, TEXT_PRESETS, 1)
            raise RecipeError(
                sentence("unknown augmentation of texts", got=spec, allowed=[*TEXT_PRESETS, "{swap: 0.1, delete: 0.1, synonyms: FILE, mlm: 0.15}"],
                         fix=f"--augment {close[0]}" if close else "--augment light")
            )  # fmt: skip
        return TEXT_PRESETS[spec]
    known = [f.name for f in fields(TextAugmentation)]
    for key, value in spec.items():
        if key not in known:
            close = near(key, known, 1)
            raise RecipeError(
                sentence("unknown key of augment for texts", got=key, allowed=known, fix=close[0] if close else None)
            )
        if key in FILES:
            _check_file(key, value)
            continue
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not (0 <= value < 1 if key in NUMBERS else 0 < value <= 1):
            allowed = "0 to less than 1" if key in NUMBERS else "above 0, at most 1"
            raise RecipeError(sentence(f"bad value of augment.{key}", got=value, allowed=allowed))
        if key in SHARES and not spec.get(SHARES[key]):
            raise RecipeError(
                sentence(f"augment.{key} is a share of nothing without {SHARES[key]}", got=value, fix=f"--{SHARES[key].replace('_', '-')}")
            )  # fmt: skip
    made = TextAugmentation(**spec)
    return made if made.acts else None


def _check_file(key: str, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise RecipeError(sentence(f"augment.{key} is no path", got=value, fix=f"{key}: PATH"))
    if key == "back_translate" and len([part for part in value.split(",") if part.strip()]) != 2:
        raise RecipeError(
            sentence("back-translation takes two folders, there and back", got=value, fix="--back-translate EN-DE_FOLDER,DE-EN_FOLDER")
        )  # fmt: skip


def with_files(augment: Any, synonyms: str | None, back_translate: str | None) -> Any:
    """An augmentation as it was asked for, and the files that options of their own name.

    Raises:
        RecipeError: an augmentation of no text with them, or a file that the table names too.
    """
    if synonyms is None and back_translate is None:
        return augment
    given = {"synonyms": synonyms, "back_translate": back_translate}
    files = {key: value for key, value in given.items() if value is not None}
    if isinstance(augment, dict):
        for key in files:
            if augment.get(key):
                raise RecipeError(
                    sentence(f"{key} is named twice", got=f"{augment[key]} and {files[key]}", fix=f"leave out --{key.replace('_', '-')}")
                )  # fmt: skip
        return {**augment, **files}
    made = text_augmentation(augment) or TextAugmentation()
    return {**{key: getattr(made, key) for key in NUMBERS if getattr(made, key)}, **files}


def of_texts(spec: Any) -> bool:
    """Whether a table has keys of texts only, so that it cannot be of images."""
    return isinstance(spec, TextAugmentation) or (
        isinstance(spec, dict) and bool(spec) and set(spec) <= {f.name for f in fields(TextAugmentation)}
    )


def strong_text_view(weak: TextAugmentation | None) -> TextAugmentation:
    """The strong view beside a weak one, as in FixMatch: the same, with a fifth of the words swapped and a fifth deleted at least."""
    weak = weak or TextAugmentation()
    return replace(weak, swap=max(0.2, weak.swap), delete=max(0.2, weak.delete))
