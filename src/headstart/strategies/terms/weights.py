"""Importance weights of the labelled rows, by any reweighter of ``adapters/``, for the loss and for every other term."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.errors import HandshakeError, sentence
from headstart.strategies.terms.adversary import linear_head
from headstart.strategies.terms.asking import answers
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.tasks.task import Model

LEAST_ROWS = 10
"""Fewer rows of the target than this estimate no density ratio."""
MOST_ROWS = 5000
"""Rows of a domain that a density ratio is fitted on, drawn at random beyond; the other rows get its value at their place."""


def reweighters() -> dict[str, str]:
    """name -> what it corrects: ``"rows"`` (covariate shift) or ``"labels"`` (label shift, which reads source labels)."""
    from headstart.adapters.catalogue import METHODS

    found = {m.name: "labels" if m.kind == "labels" else "rows" for m in METHODS.values()
             if m.kind in ("weights", "labels")}  # fmt: skip
    return found | {"conditional_weights": "labels"}


@dataclass(frozen=True)
class Weights(Term):
    """``w(x, y) = p_t / p_s`` on the loss of each source row and on the other terms, mean 1 over the source (Shimodaira 2000).

    Columns are standardised with the source's mean and deviation first. Labelled rows of the target count 1. Adds nothing to
    the loss by itself. What it tells at the end: the effective sample size ``(sum w)^2 / sum w^2`` (Kish 1965), the largest
    weight, and for label shift the weight of each class.

    Args:
        by: ``kmm`` (default), ``kliep``, ``ulsif``, ``rulsif``, ``logistic_ratio``, ``nn_weights`` (covariate shift: p(y | x) stays);
            ``bbse``, ``rlls``, ``em`` (label shift: p(x | y) stays); ``conditional_weights`` (both).
        on: ``inputs`` (default): once, on the rows as they come in, of images on what the starting backbone makes of them;
            ``features``: on the deep features as they stand, before the first epoch and every ``every`` epochs after.
        every: a whole number; default 0: 1 for ``on=features``. Refused with ``on=inputs``.
        clip: weights above it are cut before they are scaled to mean 1; 0 (default) cuts none.

    Raises:
        RecipeError: a name or an argument that does not exist or cannot act.
        HandshakeError: in :meth:`bind`: too few rows of the target, or weights that are all zero.
    """

    weight: float = 1.0
    by: str = "kmm"
    on: str = "inputs"
    every: float = 0
    clip: float = 0.0

    name = "weights"
    needs = frozenset({"target_stream", "class_labels", "loss_per_image", "hard_labels"})

    def __post_init__(self) -> None:
        names = reweighters()
        check_argument(self.name, "by", self.by, self.by in names, ", ".join(names))
        check_argument(self.name, "on", self.on, self.on in ("inputs", "features"), "inputs, features")
        good = self.every == int(self.every) and not (self.every and self.on == "inputs")
        check_argument(self.name, "every", self.every, good, "a whole number of epochs, with on=features")
        check_argument(self.name, "clip", self.clip, self.clip == 0 or self.clip > 1, "above 1, or 0 for none")

    def bind(self, start: Start) -> Penalty:
        return _Weights(self, start)

    def describe(self) -> str:
        when = "" if self.on == "inputs" else f" of deep features, every {self.every or 1:g} epochs"
        return f"weights by {self.by}{when}"


class _Weights(Penalty):
    factors: torch.Tensor
    begun: torch.Tensor

    def __init__(self, term: Weights, start: Start) -> None:
        super().__init__()
        assert start.target_batches is not None
        kind = reweighters()[term.by]
        least = max(LEAST_ROWS, linear_head(start).out_features if kind == "labels" else 0)
        if start.target_total < least:
            raise HandshakeError(
                sentence(
                    f"weights by {term.by} compare two distributions, and so few rows show none", where="the target",
                    got=f"{start.target_total} rows", allowed=f"{least} or more", fix="leave out weights, or more target data",
                )
            )  # fmt: skip
        self.term, self.seed, self.device = term, start.seed, start.device
        self.batches, self.target_batches, self.sources = start.batches, start.target_batches, start.sources
        self.told: dict[str, Any] = {}
        self.classes = start.task.classes
        self.register_buffer("factors", torch.ones(start.total))
        self.register_buffer("begun", torch.zeros((), dtype=torch.int64))
        if term.on == "inputs":
            images = next(iter(start.batches())).inputs.ndim > 2
            self._weigh_anew(start.frozen if images else nn.Flatten())

    def begin(self, model: Model, progress: float) -> None:
        if self.term.on == "features":
            if int(self.begun) % int(self.term.every or 1) == 0:
                self._weigh_anew(model.backbone)
            self.begun += 1

    def _weigh_anew(self, network: nn.Module) -> None:
        rows, target = (
            answers(network, passing(), self.device).flatten(1).cpu().numpy().astype(np.float64)
            for passing in (self.batches, self.target_batches)
        )
        labels, source = self._labels()
        weights, facts = estimated(self.term.by, rows[source], labels[source], target, self.seed)
        cut = int((weights > self.term.clip).sum()) if self.term.clip else 0
        if self.term.clip:
            weights = np.minimum(weights, self.term.clip)
        if not weights.sum() > 0:
            raise HandshakeError(
                sentence("all weights are zero: no source row lies where the target does", where=f"weights(by={self.term.by})",
                         fix="weights(by=rulsif), or another method")
            )  # fmt: skip
        weights = weights / weights.mean()
        factors = np.ones(len(rows))
        factors[source] = weights
        self.factors.copy_(torch.as_tensor(factors, dtype=torch.float32))
        self.told = {
            "by": self.term.by,
            "on": self.term.on,
            "rows": int(source.sum()),
            "effective_sample_size": float(weights.sum() ** 2 / np.square(weights).sum()),
            "largest": float(weights.max()),
            "clipped": cut,
        }
        if "class_weight" in facts:
            names = [str(self.classes[int(c)]) for c in facts["classes"]]
            self.told["classes"] = dict(zip(names, map(float, facts["class_weight"]), strict=True))

    def _labels(self) -> tuple[np.ndarray, np.ndarray]:
        """int (n,) labels, and bool (n,) which rows are of a source."""
        labels, source = [], []
        for batch in self.batches():
            assert batch.targets is not None
            labels.append(batch.targets.cpu())
            source.append(torch.ones(len(batch)) if batch.domain is None else (batch.domain < self.sources).float())
        return torch.cat(labels).numpy(), torch.cat(source).bool().cpu().numpy()

    def weigh(self, seen: Seen) -> torch.Tensor:
        index = seen.batch.index
        assert index is not None
        return self.factors[index]

    def said(self) -> dict[str, Any]:
        return self.told

    def forward(self, seen: Seen) -> torch.Tensor:
        return seen.outputs.new_zeros(())


def estimated(
    by: str, source: np.ndarray, labels: np.ndarray, target: np.ndarray, seed: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """float64 (n_s,) weights by a reweighter of ``adapters/``, and for label shift ``classes`` and their ``class_weight``.

    Args:
        by: a name of :func:`reweighters`.
        source: float (n_s, d) with ``labels`` int (n_s,). target: float (n_t, d).
        seed: of the rows drawn where there are more than :data:`MOST_ROWS`.
    """
    from headstart.adapters.catalogue import make_method

    center, spread = source.mean(0), source.std(0)
    spread = np.where(spread > 1e-9 * np.maximum(1, np.abs(center)), spread, 1.0)
    source, target = (source - center) / spread, (target - center) / spread
    kind = reweighters()[by]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        if kind == "rows":
            rng = np.random.default_rng(seed)
            few, other = (X[np.sort(rng.permutation(len(X))[:MOST_ROWS])] for X in (source, target))
            model = make_method(by).reweighter.fit(few, X_target=other)
            whole = len(few) == len(source)
            return np.asarray(model.weights_ if whole else model.predict_weights(source), dtype=np.float64), {}
        more: dict[str, Any] = {} if by == "conditional_weights" else {"n_boot": 0}
        model = make_method(by, **more).fit(source, labels, X_target=target)
    if by == "conditional_weights":
        return np.asarray(model.sample_weight_, dtype=np.float64), {}
    place = np.searchsorted(model.classes_, labels)
    return model.class_weight_[place], {"classes": model.classes_, "class_weight": model.class_weight_}
