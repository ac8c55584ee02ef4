"""The terms of domain adaptation and generalisation that users can name after a ``+``."""

from __future__ import annotations

from headstart.strategies.part import Part
from headstart.strategies.terms.alignment import Alignment
from headstart.strategies.terms.bsp import BSP
from headstart.strategies.terms.cmd import CMD
from headstart.strategies.terms.dan import DAN
from headstart.strategies.terms.deep_coral import DeepCORAL
from headstart.strategies.terms.feature_norm import AFN
from headstart.strategies.terms.jan import JAN
from headstart.strategies.terms.sliced_wasserstein import SlicedWasserstein
from headstart.strategies.terms.term import Term

DOMAIN_TERMS: dict[str, Part[Term]] = {
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
}  # fmt: skip
