"""The terms of domain adaptation and generalisation that users can name after a ``+``."""

from __future__ import annotations

from headstart.strategies.part import Part
from headstart.strategies.terms.iwan import IWAN
from headstart.strategies.terms.mme import MME
from headstart.strategies.terms.osbp import OSBP
from headstart.strategies.terms.pada import PADA
from headstart.strategies.terms.term import Term
from headstart.strategies.terms.weights import Weights

DOMAIN_TERMS: dict[str, Part[Term]] = {
    # D: scenarios
    "iwan": Part(
        IWAN, {"weight": 1.0, "hidden": 256},
        "partial: a domain adversary on the source rows that a first one cannot tell from the target (Zhang et al. 2018)",
    ),
    "mme": Part(
        MME, {"weight": 0.1},
        "a few target labels: the head raises the entropy of target predictions, the backbone lowers it (Saito et al. 2019)",
    ),
    "osbp": Part(
        OSBP, {"weight": 1.0, "t": 0.5},
        "open set: target rows are sent to a known class or to an output for the unknown (Saito et al. 2018)",
    ),
    "pada": Part(
        PADA, {"weight": 1.0, "hidden": 256},
        "partial: a domain adversary, and classes that the target seems to lack count little (Cao et al. 2018)",
    ),
    "weights": Part(
        Weights, {"by": "kmm", "on": "inputs", "every": 0, "clip": 0.0},
        "source rows counted by p_target / p_source, in the loss and in every other term (Shimodaira 2000)",
    ),
}  # fmt: skip
