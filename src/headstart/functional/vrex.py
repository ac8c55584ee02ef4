"""Risk extrapolation: the variance of the risks of several domains (Krueger et al., ICML 2021)."""

from __future__ import annotations

import torch


def risk_variance(risks: torch.Tensor) -> torch.Tensor:
    """``1/E sum_e (R_e - mean R)^2``, a scalar.

    Krueger, Caballero, Jacobsen, Zhang, Binas, Zhang, Le Priol, Courville, *Out-of-Distribution Generalization via Risk
    Extrapolation*, ICML 2021, equation 8 (V-REx).

    Args:
        risks: (E,), with gradient.
    """
    return (risks - risks.mean()).square().mean()
