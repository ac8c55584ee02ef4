"""Which options mean something where a model writes texts."""

from __future__ import annotations

from headstart.errors import HandshakeError, RecipeError, sentence
from headstart.recipe import Recipe
from headstart.strategies.grammar import parse_strategy
from headstart.training.sequence_baselines import OF_TASK
from headstart.verbs.settings import settings_of

IDLE = (
    "sources", "arch", "budget", "layer", "source_data", "path_col", "order", "label_delimiter", "unlabelled", "image_size", "augment", "mixup",
    "cutmix", "dropout", "repeats", "imbalance", "loss", "soup", "wise", "calibrate", "embedding_loss", "embedding_size", "margin",
)  # fmt: skip
"""Options of other tasks: of heads, of images, of classes."""


def check_sequence_recipe(plan: Recipe) -> None:
    """Refuse, before any work, options that would do nothing.

    Raises:
        HandshakeError: the first of them.
        RecipeError: a strategy that cannot be read; a penalty on lengths without beams.
    """
    fields = Recipe.model_fields
    idle = [k for k in IDLE if getattr(plan, k) != fields[k].get_default(call_default_factory=True)]
    if idle:
        raise HandshakeError(
            sentence("this task has no use for these options, so they would do nothing", where=f"--task {plan.task}", got=", ".join(idle),
                     fix="leave them out")
        )  # fmt: skip
    if plan.length_penalty != 1.0 and plan.beams == 1:
        raise RecipeError(
            sentence("the length penalty chooses among beams, and greedy writing has one", got=f"--length-penalty {plan.length_penalty}", fix="--beams 4")
        )  # fmt: skip
    if plan.strategy != "auto":
        parse_strategy(plan.strategy)
    settings_of(plan)


def baselines_of(plan: Recipe, task: str, *, pretrained: bool) -> tuple[str, ...]:
    """The baselines of a run: by default those of the task, and the same architecture from random weights where a source is moved.

    Raises:
        RecipeError: one that this task has not.
    """
    own = OF_TASK[task]
    usual = Recipe.model_fields["baselines"].get_default(call_default_factory=True)
    if plan.baselines == usual:
        return ("scratch", *own) if pretrained else own
    odd = [name for name in plan.baselines if name not in ("scratch", *own)]
    if odd:
        raise RecipeError(
            sentence("this task has no such baseline", where=f"--task {task}", got=", ".join(odd), allowed=["scratch", *own, "none"])
        )  # fmt: skip
    if "scratch" in plan.baselines and not pretrained:
        raise RecipeError(
            sentence("the source has random weights, so training from scratch is this very run", where="baselines", got="scratch", fix=f"--baselines {','.join(own)}")
        )  # fmt: skip
    return tuple(plan.baselines)
