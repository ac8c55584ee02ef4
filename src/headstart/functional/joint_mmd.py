"""The kernel of joint MMD: of features and class probabilities together (Long et al. 2017)."""

from __future__ import annotations

import torch

from headstart.functional.gaussian_mixture_kernel import gaussian_kernels, pair_distances

PROBABILITY_WIDTH = 1.68
"""Of the Gaussian kernel on class probabilities, as in the authors' code; their squared distances are 0 to 2."""


def joint_kernel(
    features: torch.Tensor, probabilities: torch.Tensor, widths: int = 5, width: float | None = None
) -> torch.Tensor:
    """``k(f_i, f_j) exp(-||p_i - p_j||^2 / 1.68)`` (n, n), in (0, 1].

    Long, Zhu, Wang, Jordan, *Deep Transfer Learning with Joint Adaptation Networks*, ICML 2017: the tensor
    product of the embeddings of several layers, here the features and the softmax, is the product of their kernels. k is that
    of :func:`headstart.functional.gaussian_mixture_kernel.gaussian_kernels`.

    Args:
        features: (n, d), of both domains.
        probabilities: (n, C), rows sum to 1.
        widths, width: of k.
    """
    on_classes = torch.exp(pair_distances(probabilities) / -PROBABILITY_WIDTH)
    return gaussian_kernels(pair_distances(features), widths, width) * on_classes
