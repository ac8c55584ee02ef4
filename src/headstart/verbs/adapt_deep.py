"""A deep method and its baselines, fitted: new layers on features, or the whole network of images."""

from __future__ import annotations

from typing import Any

import numpy as np

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
    """An unfitted :class:`headstart.training.deep_adapter.DeepAdapter`; ``source`` where the whole network of images is trained."""
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
        inputs: scaled features, or rows of images, of source and target.
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


def image_rows(domains: Domains, workers: int | None = None) -> tuple[Any, Any]:
    """Images of both domains as the reader sees them, varied a little in training; decoded images are kept between epochs."""
    from headstart.data.augment import augmentation
    from headstart.data.loader import DecodedCache
    from headstart.data.rows import ImageRows
    from headstart.training.finetune import DECODED_BYTES

    assert domains.images is not None
    how = domains.reader.preprocessing, augmentation("light")
    cache = DecodedCache(DECODED_BYTES)
    source, target = (ImageRows(images, *how, workers=workers, cache=cache) for images in domains.images)
    return source, target
