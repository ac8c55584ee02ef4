"""Continued pretraining on the target's own texts, without labels (Howard and Ruder 2018; Gururangan et al., *Don't Stop Pretraining*, ACL 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headstart.errors import RecipeError, sentence
from headstart.strategies.preparation.preparation import Preparation


@dataclass(frozen=True)
class LanguageModel(Preparation):
    """What both kinds have in common: the training texts and those of ``--unlabelled``, and a head tied to the input embeddings.

    Args:
        epochs: passes over the texts, default 1.
        lr: default 5e-5; the head, where it is new, learns ten times faster.
        batch_size: texts a step, default 32.
    """

    epochs: float = 1
    lr: float = 5e-5
    batch_size: float = 32

    reads_unlabelled = True
    words: ClassVar[str] = ""

    def describe(self) -> str:
        return (
            f"pretraining continued first on the target's texts ({self.words}, {self.epochs:g} epochs at {self.lr:g})"
        )


@dataclass(frozen=True)
class MaskedLM(LanguageModel):
    """Tokens hidden and guessed (Devlin et al., *BERT*, 2019, section 3.1): of the ``share`` that is asked for 80 % become the mask, 10 %
    another token at random, 10 % stay.

    Args:
        share: of the tokens, in (0, 1), default 0.15.
    """

    share: float = 0.15

    name = "mlm"
    needs = frozenset({"mask_token"})
    words = "masked language model"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share < 1:
            raise RecipeError(
                sentence("argument 'share' of phase 'mlm' is out of range", got=self.share, allowed="above 0, below 1")
            )


@dataclass(frozen=True)
class CausalLM(LanguageModel):
    """Each token guessed from those before it, for models that read from left to right."""

    name = "clm"
    needs = frozenset({"left_to_right"})
    words = "causal language model"
