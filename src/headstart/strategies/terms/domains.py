"""The terms of domain adaptation and generalisation that users can name after a ``+``."""

from __future__ import annotations

from headstart.strategies.part import Part
from headstart.strategies.terms.adda import ADDA
from headstart.strategies.terms.alignment import Alignment
from headstart.strategies.terms.bsp import BSP
from headstart.strategies.terms.cdan import CDAN
from headstart.strategies.terms.cmd import CMD
from headstart.strategies.terms.dan import DAN
from headstart.strategies.terms.dann import DANN
from headstart.strategies.terms.deep_coral import DeepCORAL
from headstart.strategies.terms.dsbn import DSBN
from headstart.strategies.terms.feature_norm import AFN
from headstart.strategies.terms.groupdro import GroupDRO
from headstart.strategies.terms.irm import IRM
from headstart.strategies.terms.iwan import IWAN
from headstart.strategies.terms.jan import JAN
from headstart.strategies.terms.m3sda import M3SDA
from headstart.strategies.terms.mcd import MCD
from headstart.strategies.terms.mdan import MDAN
from headstart.strategies.terms.mdd import MDD
from headstart.strategies.terms.mean_teacher import MeanTeacher
from headstart.strategies.terms.mixstyle import MixStyle
from headstart.strategies.terms.mme import MME
from headstart.strategies.terms.osbp import OSBP
from headstart.strategies.terms.pada import PADA
from headstart.strategies.terms.self_training import SelfTraining
from headstart.strategies.terms.shot import SHOT
from headstart.strategies.terms.sliced_wasserstein import SlicedWasserstein
from headstart.strategies.terms.target_outputs import MCC, Entropy, InfoMax
from headstart.strategies.terms.term import Term
from headstart.strategies.terms.vrex import VREx
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
    # discrepancies
    "dan": Part(
        DAN, {"weight": 5.0, "ramp": 10.0, "widths": 5, "unbiased": True},
        "features of two domains brought together by multi-kernel MMD (Long et al. 2015)",
    ),
    "jan": Part(
        JAN, {"weight": 5.0, "ramp": 10.0, "widths": 5, "unbiased": True},
        "the same of features and class probabilities together (Long et al. 2017)",
    ),
    "deepcoral": Part(
        DeepCORAL, {"weight": 30.0, "ramp": 10.0}, "covariances of two domains brought together (Sun & Saenko 2016)"
    ),
    "cmd": Part(
        CMD, {"weight": 0.3, "ramp": 10.0, "moments": 5}, "central moments of two domains brought together (Zellinger et al. 2017)"
    ),
    "swd": Part(
        SlicedWasserstein, {"weight": 3.0, "ramp": 10.0, "directions": 128},
        "quantiles along random directions brought together (sliced Wasserstein; Lee et al. 2019)",
    ),
    "afn": Part(
        AFN, {"weight": 0.05, "ramp": 0.0, "step": 1.0, "radius": 0.0}, "features of both domains made longer (Xu et al. 2019)"
    ),
    "bsp": Part(
        BSP, {"weight": 0.0001, "ramp": 0.0, "k": 1},
        "beside dann or cdan: the largest singular values of each domain's features kept small (Chen et al. 2019)",
    ),
    "alignment": Part(
        Alignment, {"weight": 1.0, "ramp": 10.0, "threshold": 0.5, "apart": 1.0, "widths": 5},
        "equal classes of two domains together, others apart, on confident predictions (Kang et al. 2019)",
    ),
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
