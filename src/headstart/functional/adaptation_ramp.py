"""How the weight of an adaptation term grows through the training (Ganin et al. 2016)."""

from __future__ import annotations

from headstart.functional.gradient_reversal import adversarial_schedule


def adaptation_ramp(progress: float, rate: float = 10.0) -> float:
    """``2 / (1 + exp(-rate p)) - 1``: 0 at the beginning, when features say little, 0.99 halfway with the papers' rate of 10.

    Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 17, 2016; Long et al. 2017 (JAN).

    Args:
        progress: p, the share of the training that has passed, in [0, 1).
        rate: >= 0; 0 for no ramp, 1 throughout.
    """
    return adversarial_schedule(progress, rate) if rate else 1.0
