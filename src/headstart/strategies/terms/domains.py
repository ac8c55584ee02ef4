"""The terms of domain adaptation and generalisation that users can name after a ``+``."""

from __future__ import annotations

from headstart.strategies.part import Part
from headstart.strategies.terms.dsbn import DSBN
from headstart.strategies.terms.groupdro import GroupDRO
from headstart.strategies.terms.irm import IRM
from headstart.strategies.terms.m3sda import M3SDA
from headstart.strategies.terms.mdan import MDAN
from headstart.strategies.terms.mixstyle import MixStyle
from headstart.strategies.terms.term import Term
from headstart.strategies.terms.vrex import VREx

DOMAIN_TERMS: dict[str, Part[Term]] = {
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
