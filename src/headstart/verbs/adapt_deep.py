"""A deep method and its baselines, fitted: new layers on features, or the whole network of images or texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.progress import Progress
from headstart.verbs.adapt_baselines import LABELLED, network_with_labels
from headstart.verbs.adapt_choice import OF_EPOCHS, of_epochs
from headstart.verbs.adapt_methods import Adapted, with_threshold
from headstart.verbs.adapt_names import without_target
from headstart.verbs.adapt_question import Question
from headstart.verbs.domains import Domains

FOLDS_ON_ROWS, FOLDS_ON_IMAGES = 3, 2
"""Of the network that learns on the target's own labels."""


def network(question: Question, strategy: str, source: Any = None, **more: Any) -> Any:
    """An unfitted :class:`headstart.training.deep_adapter.DeepAdapter`; ``source`` where the whole network of images or texts is trained."""
    from headstart.training.deep_adapter import DeepAdapter

    options = {
        "source": source, "task": question.task, "epochs": question.epochs, "lr": question.lr,
        "batch_size": question.batch_size or 32, "select": question.select or OF_EPOCHS[question.task], "device": question.device,
        "random_state": question.seed,
    }  # fmt: skip
    return DeepAdapter(strategy, **{**options, **more})


def deep(
    question: Question,
    domains: Domains,
    inputs: tuple[Any, Any],
    few: np.ndarray,
    progress: Progress,
) -> Adapted:
    """The method and the same network trained without the target, both without the held-out rows of the source.

    Args:
        inputs: scaled features, or rows of images or texts, of source and target.
    """
    source = domains.reader if domains.images is not None and not isinstance(inputs[0], np.ndarray) else None
    Xs, Xt = inputs
    ys, yt = domains.source.y, domains.target.y
    assert ys is not None
    if question.task == "classification":
        ys = ys.astype(object)  # names of any length
    given: dict[str, Any] = {"X_target": Xt, "domain": domains.domain}
    if len(few):
        assert yt is not None
        known = np.full(len(yt), None, dtype=object)
        known[few] = yt[few]
        given["y_target"] = known
    model = network(question, question.method, source)
    plain = without_target(question.method)
    baseline = network(question, plain, source, select="source")
    if question.open_set is not None:
        model, baseline = (with_threshold(each, question) for each in (model, baseline))
    model.fit(Xs, ys, **given, progress=progress)
    baseline.fit(Xs, ys, domain=domains.domain, progress=progress)
    beside: dict[str, Any] = {}
    if len(few) and source is None:  # a whole network once more would take as long as the method
        beside[LABELLED] = network_with_labels(question, plain, inputs, ys, given["y_target"], domains.domain)
    return Adapted(
        question.method, model, baseline, inputs, lambda: network(question, plain, source, select=None),
        FOLDS_ON_IMAGES if source is not None else FOLDS_ON_ROWS, model.held_out_, model, baseline,
        choices=of_epochs(getattr(model, "estimator_", model)), baseline_is="the same network without the target", beside=beside,
    )  # fmt: skip


def whole_rows(domains: Domains, question: Question, workers: int | None = None) -> tuple[Any, Any]:
    """Images or texts of both domains as the reader sees them, varied in training as :func:`varied` says (decoded images are kept between
    epochs). No copy of a text of the source says what a text of the target says."""
    from headstart.data.loader import DecodedCache
    from headstart.data.rows import rows_of
    from headstart.data.text_variation import content
    from headstart.training.finetune import DECODED_BYTES

    assert domains.images is not None and domains.source.y is not None
    judging = frozenset(map(content, domains.images[1].inputs)) if domains.kind == "texts" else frozenset()
    cache, classes = DecodedCache(DECODED_BYTES), sorted(set(map(str, domains.source.y)))
    source, target = (
        rows_of(
            inputs, domains.reader.preprocessing, varied(question, domains.reader, inputs, classes, held_out), workers=workers, cache=cache
        )
        for inputs, held_out in zip(domains.images, (judging, frozenset()), strict=True)
    )  # fmt: skip
    return source, target


def varied(
    question: Question, reader: Any, inputs: Dataset, classes: Sequence[str], held_out: frozenset[str] = frozenset()
) -> Any:
    """How inputs of a whole network are varied in training: as ``question.augment`` says; by default images a little, texts not at all.

    Args:
        classes, held_out: as for :func:`headstart.training.text_variation.prepared`.
    """
    import torch

    from headstart.data.augment import augmentation
    from headstart.training.text_variation import prepared

    if inputs.modality == "image":
        return augmentation("light" if question.augment is None else question.augment)
    return prepared(
        question.augment, reader, inputs.inputs, task=question.task, classes=classes, held_out=held_out, pretrained=reader.pretrained,
        device=torch.device(question.device), seed=question.seed,
    )  # fmt: skip
