"""JAN: joint maximum mean discrepancy of features and class probabilities (Long, Zhu, Wang, Jordan, ICML 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.joint_mmd import joint_kernel
from headstart.functional.mmd import kernel_discrepancy
from headstart.strategies.terms.two_domains import OnTwoDomains, Sides, whole


@dataclass(frozen=True)
class JAN(OnTwoDomains):
    """``weight * ramp(p) * MMD^2`` with the kernel on features times a kernel on the softmax of the outputs.

    Long, Zhu, Wang, Jordan, *Deep Transfer Learning with Joint Adaptation Networks*, ICML 2017, without its adversarial
    variant. See :func:`headstart.functional.joint_mmd.joint_kernel`. The classes of the target are the model's own
    answers, which follow their alignment: where these are wrong from the start, a joint distance holds them there.

    Args:
        weight: > 0, default 5. Kernels are averaged here, and added up in the authors' code: five of them.
        ramp: >= 0, default 10 (the paper's).
        widths: kernels on the features, a whole number >= 1, default 5.
        unbiased: the U-statistic (default), or the V-statistic.
    """

    weight: float = 5.0
    widths: float = 5
    unbiased: bool = True

    name = "jan"
    needs = OnTwoDomains.needs | {"class_probabilities"}

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "widths")

    def between(self, sides: Sides) -> torch.Tensor:
        rows = torch.cat([sides.source_features, sides.target_features])
        chances = torch.softmax(torch.cat([sides.source_outputs, sides.target_outputs]), 1)
        K = joint_kernel(rows, chances, int(self.widths))
        return kernel_discrepancy(K, sides.source, sides.target, self.unbiased)

    def describe(self) -> str:
        return f"JAN (joint MMD of {self.widths:g} kernels, {self.words()})"
