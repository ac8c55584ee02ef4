"""The terms of domain adaptation and generalisation that users can name after a ``+``."""

from __future__ import annotations

from headstart.strategies.part import Part
from headstart.strategies.terms.mean_teacher import MeanTeacher
from headstart.strategies.terms.self_training import SelfTraining
from headstart.strategies.terms.shot import SHOT
from headstart.strategies.terms.term import Term

DOMAIN_TERMS: dict[str, Part[Term]] = {
    "selftrain": Part(
        SelfTraining, {"weight": 1.0, "first": 0.2, "last": 0.8, "warmup": 0.2},
        "the most confident part of each class of the target taken for labels, anew before each epoch (Zou et al. 2018)",
    ),
    "meanteacher": Part(
        MeanTeacher, {"weight": 3.0, "threshold": 0.0, "ratio": 1.0, "decay": 0.99, "rampup": 0.3},
        "a moving average of the model teaches it on the target (Tarvainen & Valpola 2017, French et al. 2018)",
    ),
    "shot": Part(
        SHOT, {"weight": 0.3, "source": 0.5},
        "source training, then the target alone under a frozen head: sure, diverse, labelled by centroids (Liang et al. 2020)",
    ),
}  # fmt: skip
