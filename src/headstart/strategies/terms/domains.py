"""The terms of domain adaptation and generalisation that users can name after a ``+``."""

from __future__ import annotations

from headstart.strategies.part import Part
from headstart.strategies.terms.adda import ADDA
from headstart.strategies.terms.cdan import CDAN
from headstart.strategies.terms.dann import DANN
from headstart.strategies.terms.dsbn import DSBN
from headstart.strategies.terms.groupdro import GroupDRO
from headstart.strategies.terms.irm import IRM
from headstart.strategies.terms.m3sda import M3SDA
from headstart.strategies.terms.mcd import MCD
from headstart.strategies.terms.mdan import MDAN
from headstart.strategies.terms.mdd import MDD
from headstart.strategies.terms.mixstyle import MixStyle
from headstart.strategies.terms.target_outputs import MCC, Entropy, InfoMax
from headstart.strategies.terms.term import Term
from headstart.strategies.terms.vrex import VREx

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
    # several sources
    "dsbn": Part(DSBN, {"affine": False}, "batch norms of its own for every domain (Chang et al. 2019)"),
    "mdan": Part(
        MDAN, {"weight": 1.0, "sources": "soft", "gamma": 10.0, "tau": 0.5, "hidden": 256, "ramp": 10.0},
        "a discriminator for each source, the worst source first (Zhao et al. 2018)",
    ),
    "m3sda": Part(
        M3SDA, {"weight": 0.1, "moments": 2, "sources": "even", "ramp": 10.0},
        "moments of all sources and the target brought together (Peng et al. 2019)",
    ),
    # no target at all
    "groupdro": Part(GroupDRO, {"eta": 0.01}, "the source with the largest loss counts most (Sagawa et al. 2020)"),
    "irm": Part(IRM, {"weight": 10.0, "anneal": 0.1}, "one head that is best in every source at once (Arjovsky et al. 2019)"),
    "vrex": Part(VREx, {"weight": 10.0, "anneal": 0.1}, "equal losses in every source (Krueger et al. 2021)"),
    "mixstyle": Part(
        MixStyle, {"p": 0.5, "alpha": 0.1, "stages": 2}, "styles of early feature maps mixed between inputs (Zhou et al. 2021)"
    ),
}  # fmt: skip
