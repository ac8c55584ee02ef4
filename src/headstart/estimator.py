"""A scikit-learn classifier over images or texts: arrays, paths, PIL pictures or sentences in, classes out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from headstart.errors import DataError, sentence


class TransferClassifier(ClassifierMixin, BaseEstimator):
    """Transfer a source to labelled images or texts, as a scikit-learn estimator.

    It learns from all that ``fit`` is given: hold out with ``cross_val_score`` or ``train_test_split``. For baselines,
    intervals and a report use :func:`headstart.fit`.

    Args:
        source: name of a source, or ``"auto"`` to rank the bundled ones on the training images.
        strategy: as for `headstart fit --strategy`.
        image_shape: (H, W) or (H, W, C) of images that come as flat rows (n, H * W [* C]); default ``None``.
        image_size: input side in pixels; default: the source's own.
        max_length: tokens of a text at most; default: the source's own limit.
        epochs, lr, batch_size, augment, optimizer, weight_decay, label_smoothing, dropout, mixup, cutmix: as for
            `headstart fit`; only strategies with gradient steps obey them, and they must keep their defaults otherwise.
        loss, repeats: as for `headstart fit`, like those above.
        imbalance: ``"auto"``, ``"none"``, ``"weights"``, ``"effective(beta=0.99)"``, ``"sampler"`` or ``{class: weight}``.
        random_state: int, default 0.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.

    Attributes:
        classes_: the K class labels, sorted.
        source_: name of the source that was used.
        value_range_: what float images are divided by (1, or the largest training value where it is above 1).
        modality_: ``"image"`` or ``"text"``.
        history_: one row an epoch; empty where the head was solved.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = TransferClassifier("bundled/glyphs", image_shape=(8, 8)).fit(X[:200], y[:200])  # doctest: +SKIP
    """

    def __init__(
        self,
        source: str = "auto",
        strategy: str = "probe",
        *,
        image_shape: tuple[int, ...] | None = None,
        image_size: int | None = None,
        max_length: int | None = None,
        epochs: int | None = None,
        lr: float | None = None,
        batch_size: int = 32,
        augment: Any = "auto",
        optimizer: str = "adamw",
        weight_decay: float = 0.01,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        loss: str = "cross_entropy",
        repeats: int = 1,
        imbalance: Any = "auto",
        random_state: int = 0,
        device: str = "auto",
    ) -> None:
        self.source = source
        self.strategy = strategy
        self.image_shape = image_shape
        self.image_size = image_size
        self.max_length = max_length
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.augment = augment
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.dropout = dropout
        self.mixup = mixup
        self.cutmix = cutmix
        self.loss = loss
        self.repeats = repeats
        self.imbalance = imbalance
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any) -> TransferClassifier:
        """Learn from images or texts and labels.

        Args:
            X: n images: array (n, H, W[, C]), paths, PIL pictures, or rows (n, H * W [* C]) with ``image_shape``. With a source of texts
                n strings or pairs of them; with ``source="auto"`` strings that are no paths of files.
            y: n labels of any type that sorts.

        Raises:
            DataError: X and y of unequal length, one class only, an image that cannot be decoded, an empty text.
            SourceError: the source reads images and X holds texts, or the other way round.
        """
        from headstart.data.kinds import kind_of_inputs
        from headstart.data.scan import scan
        from headstart.evaluation.metrics import point_metrics
        from headstart.folder import cache_root
        from headstart.progress import SILENT
        from headstart.recipe import make_recipe
        from headstart.sources import load_source
        from headstart.strategies.grammar import parse_strategy
        from headstart.strategies.handshake import handshake
        from headstart.tasks.classification import Classification
        from headstart.training.device import pick_device
        from headstart.training.finetune import facts
        from headstart.training.transfer import transfer
        from headstart.verbs.prepare import Prepared
        from headstart.verbs.rank import candidates, rank_prepared
        from headstart.verbs.settings import check_inputs, settings_of

        check_classification_targets(y)
        self.classes_, labels = np.unique(np.asarray(y), return_inverse=True)
        self.value_range_ = _largest(X)
        size = self.image_size if self.max_length is None else self.max_length
        source = None if self.source == "auto" else load_source(self.source, image_size=size)
        self.modality_ = (
            kind_of_inputs(X.tolist() if hasattr(X, "tolist") else X)
            if source is None
            else source.preprocessing.modality
        )
        dataset = self._dataset(X, labels.astype(np.int64))
        if len(self.classes_) < 2:
            raise DataError(sentence("only one class in y", got=self.classes_.tolist(), allowed="two classes or more"))
        values = {
            k: v for k, v in self.get_params().items() if v is not None and k not in ("image_shape", "random_state")
        }
        recipe = make_recipe({**values, "data": "arrays", "seed": int(self.random_state or 0)})
        strategy = parse_strategy(self.strategy)
        device = pick_device(self.device)
        dataset, _ = scan(dataset, cache_dir=cache_root(), on_bad="fail")
        check_inputs(recipe.model_copy(update={"path_col": None}), self.modality_)
        if source is None:
            ranked = rank_prepared(
                Prepared(dataset, {}), candidates(modality=self.modality_), device=str(device), seed=recipe.seed, reading={"image_size": size}
            )  # fmt: skip
            source = load_source(ranked.chosen, image_size=size)
        handshake(
            strategy,
            source.layers,
            Classification(dataset.classes),
            pretrained=True,
            has=facts(source, settings_of(recipe).feeding),
            stepwise_options=recipe.stepwise_set,
        )
        self.source_ = source.name
        self._origin = source
        self._moved = transfer(
            source, strategy, dataset.classes, dataset, None, settings_of(recipe), device=device, seed=recipe.seed,
            score=point_metrics, cache_dir=cache_root(), progress=SILENT,
        )  # fmt: skip
        self.history_ = self._moved.history
        self.n_features_in_ = int(np.prod(np.shape(X)[1:])) if isinstance(X, np.ndarray) and X.ndim > 1 else 1
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities float32 (n, K), columns in the order of ``classes_``."""
        from headstart.data.scan import scan
        from headstart.folder import cache_root
        from headstart.progress import SILENT
        from headstart.training.device import pick_device
        from headstart.training.transfer import probabilities

        check_is_fitted(self)
        dataset, _ = scan(self._dataset(X, None), cache_dir=cache_root(), on_bad="fail")
        return probabilities(
            self._moved,
            self._origin,
            dataset.classes,
            dataset,
            device=pick_device(self.device),
            cache_dir=cache_root(),
            progress=SILENT,
        )

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each image, (n,)."""
        found = self.predict_proba(X)
        return self.classes_[found.argmax(1)]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_origin" in state:
            # how to make the architecture anew is a function that need not pickle, and a fitted model does not need it
            state["_origin"] = replace(state["_origin"], build=None)
            state["_moved"] = replace(state["_moved"], reads=replace(state["_moved"].reads, build=None))
        return state

    def _dataset(self, X: Any, labels: np.ndarray | None) -> Any:
        from headstart.data.dataset import Dataset

        if hasattr(X, "to_numpy"):
            X = X.to_numpy()
        if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "uif":
            if self.image_shape is None:
                raise DataError(
                    sentence(
                        "flat rows need the shape of the image",
                        got=X.shape,
                        fix="TransferClassifier(image_shape=(height, width))",
                    )
                )
            if X.shape[1] != int(np.prod(self.image_shape)):
                raise DataError(
                    sentence(
                        "rows do not have the length of image_shape",
                        got=X.shape[1],
                        allowed=int(np.prod(self.image_shape)),
                    )
                )
            X = X.reshape(len(X), *self.image_shape)
        inputs = [_text(item) if self.modality_ == "text" else _picture(item, self.value_range_) for item in X]
        if labels is not None and len(labels) != len(inputs):
            raise DataError(
                sentence("X and y have unequal lengths", got=f"{len(inputs)} {self.modality_}s, {len(labels)} labels")
            )
        return Dataset(
            inputs=inputs,
            labels=labels,
            classes=tuple(map(str, self.classes_)),
            splits=np.full(len(inputs), "train"),
            layout="arrays",
            modality=self.modality_,
        )


def _largest(X: Any) -> float:
    """What float images are divided by: 1 where they lie in 0..1, else their largest value (16 for scikit-learn's digits)."""
    if isinstance(X, np.ndarray) and X.dtype.kind == "f" and X.size:
        return max(1.0, float(X.max()))
    return 1.0


def _text(item: Any) -> Any:
    """One text, or a pair of them.

    Raises:
        DataError: it is neither.
    """
    if isinstance(item, str):
        return str(item)
    from headstart.data.kinds import pair

    if pair(item):
        return str(item[0]), str(item[1])
    raise DataError(
        sentence("the source reads texts", got=f"{type(item).__name__}", allowed="strings, or pairs of them")
    )


def _picture(item: Any, largest: float) -> Any:
    """One reference to an image; float arrays are brought to 0..1."""
    if isinstance(item, np.ndarray) and item.dtype.kind == "f":
        return np.clip(item / largest, 0, 1).astype(np.float32)
    return str(item) if hasattr(item, "__fspath__") else item
