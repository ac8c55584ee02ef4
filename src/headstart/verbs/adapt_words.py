"""Sentences of strategies in the words of `adapt`. Light: imported with the verb."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from headstart.errors import QuestionError

NOTHING_ADAPTED = re.compile(r"--strategy (probe or finetune|finetune|'finetune\+l2sp')$")
"""Ways out that leave no term of adaptation, and that ``--method`` would refuse in turn."""


@contextmanager
def in_its_words() -> Iterator[None]:
    """Errors of strategies name the option of this verb, ``--method``, and a way out that it takes; errors of tables name ``--label``."""
    try:
        yield
    except QuestionError as error:
        text = (
            NOTHING_ADAPTED.sub("--method dann, or source_only", str(error))
            .replace("--strategy", "--method")
            .replace("--label-col", "--label")
        )
        if text == str(error):
            raise
        raise type(error)(text) from error
