"""How long texts are for a model: tokens, what is cut off, and what its tokenizer does not know."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.text_preprocessing import TextPreprocessing, counted_part

COUNTED = 20_000
"""Texts whose tokens are counted; of more, a random draw."""
AT_ONCE = 512
UNKNOWN = 0.05
"""Share of unknown tokens from which on there is a warning."""


def token_facts(
    dataset: Dataset, preprocessing: TextPreprocessing, *, most: int = COUNTED, seed: int = 0
) -> dict[str, Any]:
    """For ``data.json`` and the report: how long texts are in tokens, special ones included, and what the model does not see.

    Args:
        most: texts to count; of more, so many drawn at random (by ``seed``), and ``truncated`` is scaled up.

    Returns:
        ``n`` texts, of which ``counted``; ``size``, tokens that the model reads of a text; ``tokens`` {min, median, p95, max};
        ``truncated`` texts are longer than ``size``; of them, ``lost`` {median, max} tokens each, and ``lost_share`` of all tokens together;
        ``unknown``, the share of tokens that the tokenizer has no name for.
    """
    n = len(dataset)
    rows = np.arange(n) if n <= most else np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    lengths, unknown, total = [], 0, 0
    unk = getattr(preprocessing.tokenizer, "unk_token_id", None)
    for first in range(0, len(rows), AT_ONCE):
        texts = [dataset.inputs[int(i)] for i in rows[first : first + AT_ONCE]]
        given, whole = zip(*map(counted_part, texts), strict=True)
        for share, ids in zip(whole, preprocessing.token_ids(given), strict=True):
            lengths.append(round(len(ids) * share))
            unknown += sum(i == unk for i in ids)
            total += len(ids)
    size = np.array(lengths or [0])
    over = size[size > preprocessing.size] - preprocessing.size
    return {
        "n": n, "counted": len(rows), "size": preprocessing.size,
        "tokens": {"min": int(size.min()), "median": int(np.median(size)), "p95": int(np.quantile(size, 0.95)), "max": int(size.max())},
        "truncated": round(len(over) * n / max(1, len(rows))),
        "lost": {"median": int(np.median(over)), "max": int(over.max())} if len(over) else {"median": 0, "max": 0},
        "lost_share": round(float(over.sum() / max(1, size.sum())), 4), "unknown": round(unknown / max(1, total), 4),
    }  # fmt: skip


def token_sentences(facts: dict[str, Any], source: str) -> list[str]:
    """What to say of :func:`token_facts` to the user."""
    n, size = facts["n"], facts["size"]
    about = "" if facts["counted"] == n else f"about (by {facts['counted']} drawn at random) "
    if facts["truncated"]:
        found = [
            f"{about}{facts['truncated']} of {n} texts are longer than the {size} tokens that are read of each and lose their end: "
            f"{facts['lost']['median']} tokens at the median, {100 * facts['lost_share']:.1f} % of all tokens; --max-length reads more, as far as "
            "the model can."
        ]
    else:
        found = [
            f"{about}no text is longer than the {size} tokens that are read of each (the longest has {facts['tokens']['max']})."
        ]
    found = [line[0].upper() + line[1:] for line in found]
    if facts["unknown"] > UNKNOWN:
        found.append(
            f"{100 * facts['unknown']:.0f} % of the tokens are unknown to the tokenizer of {source}, which sees nothing in them: it was made for "
            "another language or script; take a source that was made for these texts."
        )
    return found
