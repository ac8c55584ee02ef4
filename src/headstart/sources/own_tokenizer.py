"""A tokenizer trained on the user's own texts, for models that start from random weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

MERGES = 4000
PAD, EOS, UNK = "<pad>", "</s>", "<unk>"


def train_tokenizer(texts: Sequence[str], *, merges: int = MERGES, longest: int = 512) -> Any:
    """Byte-pair encoding (Sennrich, Haddow and Birch 2016) over the letters of ``texts``; any language, and several at once.

    Words are not cut at anything but spaces and marks, so that scripts without spaces are merged as they come. What it makes reads
    back to the same text where every letter is known.

    Args:
        merges: at most so many; fewer where nothing more comes twice. A letter that comes once is left unknown.
        longest: tokens of a text at most.

    Returns:
        A fast tokenizer of transformers with ``<pad>`` 0, ``</s>`` 1 (ends every text) and ``<unk>`` 2.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    letters = Counter(letter for text in texts for letter in text if not letter.isspace())
    often = sum(n > 1 for n in letters.values())
    made = Tokenizer(models.BPE(unk_token=UNK))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="first"), pre_tokenizers.Punctuation("isolated")]
    )
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(
        vocab_size=often + 4 + merges, limit_alphabet=often + 1, min_frequency=2, special_tokens=[PAD, EOS, UNK], show_progress=False
    )  # fmt: skip
    made.train_from_iterator(texts, trainer)
    made.post_processor = processors.TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=PAD, eos_token=EOS, unk_token=UNK, model_max_length=longest
    )
