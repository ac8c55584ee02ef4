"""The terms of domain adaptation and generalisation that users can name after a ``+``."""

from __future__ import annotations

from headstart.strategies.part import Part
from headstart.strategies.terms.adda import ADDA
from headstart.strategies.terms.cdan import CDAN
from headstart.strategies.terms.dann import DANN
from headstart.strategies.terms.iwan import IWAN
from headstart.strategies.terms.mcd import MCD
from headstart.strategies.terms.mdd import MDD
from headstart.strategies.terms.mme import MME
from headstart.strategies.terms.osbp import OSBP
from headstart.strategies.terms.pada import PADA
from headstart.strategies.terms.target_outputs import MCC, Entropy, InfoMax
from headstart.strategies.terms.term import Term
from headstart.strategies.terms.weights import Weights

DOMAIN_TERMS: dict[str, Part[Term]] = {
    # B: adversaries and what the model says of the target
    "dann": Part(
        DANN, {"weight": 1.0, "gamma": 10.0, "hidden": 256},
        "features that a classifier of domains cannot tell apart (Ganin et al. 2016)",
    ),
    "cdan": Part(
        CDAN, {"weight": 1.0, "entropy": False, "gamma": 10.0, "hidden": 256},
        "the same, class by class: it sees the predictions too; entropy=true: certain ones count more (Long et al. 2018)",
    ),
    "mdd": Part(
        MDD, {"weight": 1.0, "margin": 4.0, "eta": 0.1, "hidden": 256},
        "a second classifier that disagrees on the target as much as it can, with a margin (Zhang et al. 2019)",
    ),
    "mcc": Part(
        MCC, {"weight": 1.0, "temperature": 2.5}, "predictions on the target that confuse no two classes (Jin et al. 2020)"
    ),
    "entropy": Part(Entropy, {"weight": 0.1}, "certain predictions on the target (Grandvalet and Bengio 2004)"),
    "infomax": Part(InfoMax, {"weight": 0.1}, "certain predictions on the target, and all classes used (Shi and Sha 2012)"),
    "mcd": Part(
        MCD, {"weight": 1.0, "steps": 4},
        "two classifiers seek where they disagree on the target, the backbone takes it away, in turn (Saito et al. 2018)",
    ),
    "adda": Part(
        ADDA, {"weight": 1.0, "share": 0.5, "hidden": 256},
        "the source first, then an encoder of the target that an adversary takes for the source's (Tzeng et al. 2017)",
    ),
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
