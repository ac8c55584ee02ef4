"""Before the first step: can these parts act together? Refused in words where they cannot."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headstart.errors import HandshakeError, sentence
from headstart.sources.source import Layer
from headstart.strategies.strategy import Strategy
from headstart.strategies.terms.unlabelled import unlabelled_stream
from headstart.strategies.tuning.tuning import Stage
from headstart.tasks.task import Task

WORDS = {
    "trainable_backbone": ("moves parameters of the backbone", "but the tuning freezes all of it"),
    "frozen_backbone": ("solves the head on features that stay the same", "but the tuning trains the backbone"),
    "pretrained_backbone": ("holds the model near a pretrained start", "but the backbone starts from random weights"),
    "class_probabilities": ("needs class probabilities", "but the task gives none"),
    "class_labels": ("reads one class an image", "but the task has none"),
    "shared_labels": ("draws inputs of one label together", "but the task has no labels that two inputs can share"),
    "source_head": ("reads the head of the source task", "but this source comes without one"),
    "hard_labels": ("needs one label an image", "but mixup or CutMix mix them"),
    "plain_weights": ("compares weights with those of the source", "but the tuning moves adapters beside them"),
    "batch_norms": ("says what batch norms do", "but this backbone has none"),
    "norms": ("moves norm layers", "but this backbone has none"),
    "biases": ("moves biases", "but this backbone has none"),
    "unlabelled_target": ("learns from unlabelled target images", "but there are none"),
    "target_stream": ("compares the source with a second domain", "but there is none"),
    "several_sources": ("compares several labelled domains", "but there is one"),
    "loss_on_target": ("learns from a loss on the target's inputs", "but no other term has one"),
    "labelled_target": ("learns from a few labelled inputs of the target", "but there are none"),
    "unknown_output": ("needs an output for unknown classes", "but the task has none"),
    "feature_maps": ("changes feature maps inside the network", "but texts and rows of features have none"),
    "mask_token": ("hides tokens behind the tokenizer's mask", "but this source has none"),
    "left_to_right": (
        "guesses each token from those before it",
        "but this source reads no texts, or sees what stands behind a token",
    ),
    "loss_per_image": ("compares the losses of single images", "but the task has none"),
}
FIXES = {
    "batch_norms": "leave out bn=",
    "class_labels": "--strategy probe or finetune",
    "shared_labels": "--strategy probe or finetune",
    "plain_weights": "--strategy finetune, or a term on features or outputs instead: distill, delta, lwf",
    "mask_token": "clm for a model of texts that reads from left to right; on images there is no language model",
    "left_to_right": "mlm for a model of texts with a mask",
    "hard_labels": "leave out --mixup and --cutmix",
    "unlabelled_target": "--unlabelled FOLDER",
    "target_stream": "headstart adapt SOURCE TARGET",
    "several_sources": "headstart adapt SOURCE SOURCE TARGET",
    "feature_maps": "a strategy on whole images: finetune+mixstyle",
    "loss_on_target": "finetune+dsbn(affine=true)+mdan, or dsbn, which needs none",
    "labelled_target": "--target-labels 5",
    "unknown_output": "--method osbp of headstart adapt, or DeepAdapter, on classes",
    "source_head": "--strategy finetune, or a source with a head: headstart pretrain",
}


def handshake(
    strategy: Strategy,
    layers: Sequence[Layer],
    task: Task,
    *,
    pretrained: bool,
    has: Collection[str] = (),
    stepwise_options: Sequence[str] = (),
    layer: str = "last",
) -> list[Stage]:
    """Check every need of every part; return the stages of the tuning.

    Args:
        strategy: the bundle to check.
        layers: the backbone's layers, from the input to the output.
        task: what is predicted.
        pretrained: whether the backbone starts from a source.
        has: what else is there: ``"source_head"``, ``"hard_labels"``, ``"unlabelled_target"``.
        stepwise_options: options that the user set and that only gradient steps obey (``epochs``, ``augment``, ...).
        layer: the layer that the head shall read: a name, ``"auto"`` or ``"last"``.

    Raises:
        HandshakeError: a part that would do nothing, or cannot work, in one sentence.
    """
    stages = strategy.stages(layers)
    if task.by_token:
        _tokens(strategy, task)
    has = {*task.gives, *has}
    has.add("trainable_backbone" if any(stage.trainable for stage in stages) else "frozen_backbone")
    if not any(stage.trainable and stage.only == "adapter" for stage in stages):
        has.add("plain_weights")
    if pretrained:
        has.add("pretrained_backbone")
    if any({"target_stream", "unlabelled_target"} & term.needs for term in strategy.terms if term.name != "dsbn"):
        has.add("loss_on_target")
    unlabelled_stream(strategy.terms)
    parts = [(f"term {term.name!r}", term.needs) for term in strategy.terms]
    parts += [(f"phase {phase.name!r}", phase.needs) for phase in strategy.before]
    parts.append((f"tuning {strategy.name.split('+')[0]!r}", strategy.tuning.needs))
    parts.append((f"procedure {strategy.procedure.name!r}", strategy.procedure.needs))
    for name, needs in parts:
        for need in sorted(needs - has):
            does, missing = WORDS[need]
            raise HandshakeError(
                sentence(
                    f"{name} {does}, {missing}, so it cannot act",
                    where=f"strategy {strategy.name!r}",
                    fix=FIXES.get(need, "--strategy finetune"),
                )
            )
    if strategy.solved_head and not pretrained:
        raise HandshakeError(
            sentence(
                "a head that is solved first reads a pretrained source, but the backbone starts from random weights",
                where=f"strategy {strategy.name!r}",
                fix="--strategy finetune",
            )
        )
    for term in strategy.terms:
        if term.weight == 0:
            raise HandshakeError(
                sentence(
                    f"term {term.name!r} has weight 0 and would do nothing",
                    where=f"strategy {strategy.name!r}",
                    allowed="> 0",
                    fix="--strategy finetune",
                )
            )
        if not strategy.procedure.by_steps:
            raise HandshakeError(
                sentence(
                    f"term {term.name!r} is added to a loss that gradient steps descend, but the head is solved at once",
                    where=f"strategy {strategy.name!r}",
                    fix="--strategy finetune",
                )
            )
    if stepwise_options and not strategy.procedure.by_steps:
        raise HandshakeError(
            sentence(
                "the head of this strategy is solved on cached features, without gradient steps, so these options would do nothing",
                where=f"strategy {strategy.name!r}",
                got=", ".join(stepwise_options),
                fix=f"say it in the phase, as in {strategy.before[-1].name}(epochs=3, lr=1e-4)"
                if strategy.before
                else "leave them out, or --strategy head (the frozen source with gradient steps)",
            )
        )
    if layer != "last" and strategy.procedure.reads != "one":
        why = (
            "this strategy reads every layer and selects among their features itself"
            if strategy.procedure.reads == "all"
            else "the head of this strategy is trained by gradient steps on the last layer"
        )
        raise HandshakeError(
            sentence(
                f"{why}, so the option layer would do nothing",
                where=f"strategy {strategy.name!r}",
                got=layer,
                fix="leave it out, or --strategy probe",
            )
        )
    return stages


def _tokens(strategy: Strategy, task: Task) -> None:
    """Refuse what reads one vector an input where the head reads each token.

    Raises:
        HandshakeError: a head that is solved, or a term on features.
    """
    if not strategy.procedure.by_steps or strategy.solved_head:
        raise HandshakeError(
            sentence(
                "a head that is solved reads one vector a text, but this task reads each token", where=f"strategy {strategy.name!r}, --task {task.name}",
                fix="--strategy finetune, or --strategy head (the frozen source with gradient steps)",
            )
        )  # fmt: skip
    for term in strategy.terms:
        if "plain_weights" not in term.needs:
            raise HandshakeError(
                sentence(
                    f"term {term.name!r} reads one vector or one class a text, but this task reads each token", where=f"strategy {strategy.name!r}, --task {task.name}",
                    allowed="terms on weights, such as l2sp", fix="--strategy finetune+l2sp",
                )
            )  # fmt: skip


def reads_unlabelled(strategy: Strategy) -> bool:
    """Whether a term or a phase before it learns from unlabelled inputs."""
    return unlabelled_stream(strategy.terms) is not None or any(phase.reads_unlabelled for phase in strategy.before)


def unlabelled_used(strategy: Strategy | None) -> None:
    """Refuse unlabelled images that no term would learn from.

    Args:
        strategy: ``None`` for one that is still to be chosen among probe and fine-tuning.

    Raises:
        HandshakeError: none of its terms does.
    """
    if strategy is None or not reads_unlabelled(strategy):
        raise HandshakeError(
            sentence(
                "no term of the strategy learns from unlabelled images, so they would do nothing",
                where=f"strategy {(strategy.name if strategy else 'auto')!r}",
                fix="--strategy 'finetune+fixmatch', 'finetune+pseudo' or (on texts) 'mlm>finetune', or leave out --unlabelled",
            )
        )
