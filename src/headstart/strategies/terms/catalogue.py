"""The terms that users can name after a ``+``."""

from __future__ import annotations

from headstart.errors import RecipeError
from headstart.strategies.part import Part
from headstart.strategies.terms.bituning import BiTuning
from headstart.strategies.terms.bss import BSS
from headstart.strategies.terms.contrastive import Contrastive
from headstart.strategies.terms.cotuning import CoTuning
from headstart.strategies.terms.delta import DELTA
from headstart.strategies.terms.distill import Distill
from headstart.strategies.terms.domains import DOMAIN_TERMS
from headstart.strategies.terms.early_learning import EarlyLearning
from headstart.strategies.terms.ewc import EWC
from headstart.strategies.terms.l2sp import L2SP
from headstart.strategies.terms.lwf import LwF
from headstart.strategies.terms.mixout import Mixout
from headstart.strategies.terms.small_loss import SmallLoss
from headstart.strategies.terms.stochnorm import StochNorm
from headstart.strategies.terms.term import Term
from headstart.strategies.terms.unlabelled import FixMatch, PseudoLabel
from headstart.tables import Table

TERMS: Table[Part[Term]] = Table(
    "term of a strategy",
    {
        "l2sp": Part(
            L2SP, {"weight": 0.05, "head_weight": 0.005}, "held near the source by the squared distance to it (Li et al. 2018)"
        ),
        "ewc": Part(
            EWC, {"weight": 0.05, "head_weight": 0.005, "images": 128, "normalize": True},
            "the same, each parameter as firmly as the source's answers depend on it (Kirkpatrick et al. 2017)",
        ),
        "delta": Part(
            DELTA, {"weight": 1.0, "head_weight": 0.005, "stages": 1, "attention": "rise", "images": 128},
            "the last feature maps held near the source's, the channels that matter most of all (Li et al. 2019)",
        ),
        "bss": Part(
            BSS, {"weight": 0.001, "k": 1}, "the smallest singular values of a batch's features shrunk (Chen et al. 2019)"
        ),
        "cotuning": Part(
            CoTuning, {"weight": 2.3, "temperature": 0.0},
            "the source's head goes on learning, on what the labels are in its classes (You et al. 2020)",
        ),
        "bituning": Part(
            BiTuning, {"weight": 1.0, "temperature": 0.07, "dim": 128, "queue": 256},
            "contrastive losses on the classifier and on a projection (Zhong et al. 2020)",
        ),
        "stochnorm": Part(
            StochNorm, {"p": 0.5}, "batch norms that draw between the batch's statistics and the moving ones (Kou et al. 2020)"
        ),
        "mixout": Part(
            Mixout, {"p": 0.7}, "weights that fall back to the source's at random in each step (Lee et al. 2020)"
        ),
        "lwf": Part(
            LwF, {"weight": 1.0, "temperature": 2.0}, "the source's outputs on the same images kept (Li & Hoiem 2016)"
        ),
        "distill": Part(
            Distill, {"weight": 1.0, "distance": "cosine"}, "the source's features on the same images kept (Romero et al. 2015)"
        ),
        "contrastive": Part(
            Contrastive, {"weight": 0.1, "temperature": 0.1},
            "features of one class together, of others apart (Khosla et al. 2020)",
        ),
        "elr": Part(
            EarlyLearning, {"weight": 3.0, "beta": 0.7},
            "against wrong labels: held to what the model said of each image before it learned the labels by heart (Liu et al. 2020)",
        ),
        "smallloss": Part(
            SmallLoss, {"rate": 0.2, "warmup": 0.3},
            "against wrong labels: the rate of images with the largest losses is left out of each batch (Han et al. 2018)",
        ),
        "fixmatch": Part(
            FixMatch, {"weight": 1.0, "threshold": 0.95, "ratio": 1.0},
            "unlabelled images: a confident label from a weak view is asked of a strong one (Sohn et al. 2020)",
        ),
        "pseudo": Part(
            PseudoLabel, {"weight": 1.0, "threshold": 0.95, "ratio": 1.0, "warmup": 0.5},
            "unlabelled images: a confident prediction is taken for the label (Lee 2013)",
        ),
        **DOMAIN_TERMS,
    },
    RecipeError,
)  # fmt: skip
