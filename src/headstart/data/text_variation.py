"""Texts varied by replacement, each by its own random numbers, and never into a text that judges the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from headstart.data.synonyms import read_synonyms
from headstart.data.text_augment import TextAugmentation, strong_text_view
from headstart.data.text_preprocessing import Text
from headstart.data.text_units import join_units, plain, split_units

Rewrite = Callable[[Sequence[str], Sequence[Sequence[int]], Sequence[np.random.Generator]], list[str]]
"""Texts, the places of the units to write anew in each, and random numbers for each -> texts (:mod:`headstart.sources.masked_words`)."""

TRANSLATED, MASKED, SYNONYMS, SWAPPED, DELETED = range(5)
"""What the random numbers of a text are for: each change has its own, so that one more does not shift the others."""


@dataclass
class TextVariation:
    """An augmentation with all that it needs.

    Attributes:
        spec: what is asked for.
        synonyms: word in small letters -> its synonyms.
        rewrite: writes masked words anew; where ``spec.mlm`` > 0.
        translate: texts -> texts translated there and back; where ``spec.back_translate``.
        barred: words in small letters that are never put into a text: those of the names of the labels. A copy that has one
            which its text has not is not used.
        held_out: what validation and test texts say (:func:`content`): nor is a copy that says the same.
        refused: copies that were not used for either reason, so far.
    """

    spec: TextAugmentation
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rewrite: Rewrite | None = None
    translate: Callable[[Sequence[str]], list[str]] | None = None
    barred: frozenset[str] = frozenset()
    held_out: frozenset[str] = frozenset()
    refused: int = 0

    @property
    def strong(self) -> TextVariation:
        """The strong view beside this weak one."""
        return replace(self, spec=strong_text_view(self.spec))

    def __call__(self, texts: Sequence[Text], draws: Sequence[tuple[int, ...]]) -> list[Text]:
        """One varied copy of each text, by random numbers that depend on its own ``draws`` alone (of a pair, on its place too)."""
        made: list[Text] = []
        sizes = [1 if isinstance(text, str) else len(text) for text in texts]
        parts = [part for text in texts for part in ([text] if isinstance(text, str) else text)]
        seeds = [(*draw, place) for draw, size in zip(draws, sizes, strict=True) for place in range(size)]
        varied = iter(self._vary(parts, seeds))
        for text in texts:
            copy: Text = next(varied) if isinstance(text, str) else (next(varied), next(varied))
            if copy != text and (content(copy) in self.held_out or inserted(copy, text, self.barred)):
                self.refused += 1
                copy = text
            made.append(copy)
        return made

    def _vary(self, texts: list[str], seeds: Sequence[tuple[int, ...]]) -> list[str]:
        spec = self.spec

        def drawn(what: int) -> list[np.random.Generator]:
            return [np.random.default_rng([*seed, what]) for seed in seeds]

        if self.translate is not None:
            chosen = [i for i, rng in enumerate(drawn(TRANSLATED)) if rng.random() < spec.translated]
            for i, text in zip(chosen, self.translate([texts[i] for i in chosen]), strict=True):
                texts[i] = text or texts[i]
        if spec.mlm and self.rewrite is not None:
            rngs = drawn(MASKED)
            places = [some(len(split_units(text)[0]), spec.mlm, rng) for text, rng in zip(texts, rngs, strict=True)]
            texts = self.rewrite(texts, places, rngs)
        if not (self.synonyms or spec.swap or spec.delete):
            return texts
        found = []
        for text, seed in zip(texts, seeds, strict=True):
            units, gaps = split_units(text)
            left: list[str | None] = list(units)
            if self.synonyms:
                left = list(self._replaced(units, spec.synonym_share, np.random.default_rng([*seed, SYNONYMS])))
            if spec.swap:
                left = swapped(left, spec.swap, np.random.default_rng([*seed, SWAPPED]))
            if spec.delete:
                left = deleted(left, spec.delete, np.random.default_rng([*seed, DELETED]))
            found.append(join_units(left, gaps))
        return found

    def _replaced(self, units: list[str], share: float, rng: np.random.Generator) -> list[str]:
        units = list(units)
        known = [i for i, unit in enumerate(units) if self._others(unit)]
        for k in some(len(known), share, rng):
            others = self._others(units[known[k]])
            units[known[k]] = cased(others[rng.integers(len(others))], units[known[k]])
        return units

    def _others(self, unit: str) -> list[str]:
        others = self.synonyms.get(unit.casefold(), ())
        return [other for other in others if not inserted(other, unit, self.barred)]


def some(n: int, share: float, rng: np.random.Generator) -> list[int]:
    """Places out of 0 to n - 1, without repetition, ``share * n`` of them on average: the whole part, and one more with the chance of the rest."""
    count = int(share * n + rng.random())
    return sorted(rng.choice(n, min(count, n), replace=False).tolist()) if count else []


def swapped(units: list[str | None], share: float, rng: np.random.Generator) -> list[str | None]:
    """Two units drawn at random change places, ``share * n`` times on average (EDA's random swap)."""
    units = list(units)
    n = len(units)
    for _ in range(int(share * n + rng.random()) if n > 1 else 0):
        i, j = rng.choice(n, 2, replace=False)
        units[i], units[j] = units[j], units[i]
    return units


def deleted(units: list[str | None], chance: float, rng: np.random.Generator) -> list[str | None]:
    """Each unit is left out by itself with this chance; one drawn at random stays where none would (EDA's random deletion)."""
    n = len(units)
    gone = rng.random(n) < chance
    if n and gone.all():
        gone[rng.integers(n)] = False
    return [None if out else unit for unit, out in zip(units, gone, strict=True)]


def cased(word: str, like: str) -> str:
    """A word with the capitals of another: all, the first, or its own."""
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def label_words(classes: Iterable[str]) -> frozenset[str]:
    """Words of the names of labels in small letters, ``card_arrival`` as two; a name without spaces is one word."""
    return frozenset(word for name in classes for word in re.split(r"[\s_|/.,;:-]+", name.casefold()) if word)


def inserted(copy: Text, text: Text, words: frozenset[str]) -> bool:
    """Whether a copy has one of these words and the text has not: as a unit, or anywhere where scripts have no spaces."""
    (new, there), (old, before) = _held(copy), _held(text)
    return any(
        word in new - old if len(split_units(word)[0]) == 1 else word in there and word not in before for word in words
    )


def _held(text: Text) -> tuple[set[str], str]:
    whole = (text if isinstance(text, str) else "\0".join(text)).casefold()
    return set(split_units(whole)[0]), whole


def content(text: Text) -> str:
    """What a text says, for the comparison of copies: its words in small letters."""
    return plain(text) if isinstance(text, str) else "\0".join(map(plain, text))


def variation(
    spec: TextAugmentation | None,
    *,
    classes: Iterable[str] = (),
    held_out: Iterable[Text] | frozenset[str] = frozenset(),
) -> TextVariation | None:
    """What needs no model: lists read, words of labels barred.

    Raises:
        DataError: a file of synonyms that cannot be read.
    """
    if spec is None:
        return None
    lists = read_synonyms(spec.synonyms) if spec.synonyms else {}
    kept = held_out if isinstance(held_out, frozenset) else frozenset(map(content, held_out))
    return TextVariation(spec, lists, barred=label_words(classes), held_out=kept)
