"""DAN: multi-kernel maximum mean discrepancy of the features (Long, Cao, Wang, Jordan, ICML 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.gaussian_mixture_kernel import gaussian_kernels, pair_distances
from headstart.functional.mmd import kernel_discrepancy
from headstart.strategies.terms.two_domains import OnTwoDomains, Sides, whole


@dataclass(frozen=True)
class DAN(OnTwoDomains):
    """``weight * ramp(p) * MMD^2(source features, target features)`` with the mean of ``widths`` Gaussian kernels.

    Long, Cao, Wang, Jordan, *Learning Transferable Features with Deep Adaptation Networks*, ICML 2015. See
    :func:`headstart.functional.mmd.kernel_discrepancy` and :func:`headstart.functional.gaussian_mixture_kernel.gaussian_kernels`:
    the widths follow the median distance of each batch. Here it is the last features alone (the paper: the last three
    layers), all pairs of a batch (the paper: a linear-time estimate), and kernels that count alike.

    Args:
        weight: > 0, default 5. Kernels are averaged here, and added up in the authors' code: five of them.
        ramp: >= 0, default 10.
        widths: kernels, a whole number >= 1, default 5.
        unbiased: the U-statistic (default), or the V-statistic.
    """

    weight: float = 5.0
    widths: float = 5
    unbiased: bool = True

    name = "dan"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "widths")

    def between(self, sides: Sides) -> torch.Tensor:
        rows = torch.cat([sides.source_features, sides.target_features])
        K = gaussian_kernels(pair_distances(rows), int(self.widths))
        return kernel_discrepancy(K, sides.source, sides.target, self.unbiased)

    def describe(self) -> str:
        return f"DAN (MMD of {self.widths:g} kernels, {self.words()})"
