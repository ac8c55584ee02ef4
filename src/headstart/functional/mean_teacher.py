"""The mean teacher: how its weights follow the student's, and what asks the student to agree with it."""

from __future__ import annotations

import math

import torch


def teacher_decay(step: int, decay: float) -> float:
    """``min(1 - 1 / (t + 1), decay)`` at step t from 0: the plain mean of all weights so far, until it is as long as the EMA.

    Args:
        step: updates before this one, >= 0.
        decay: in [0, 1).
    """
    return min(1 - 1 / (step + 1), decay)


def sigmoid_ramp(progress: float, length: float) -> float:
    """``exp(-5 (1 - x)^2)``, x = progress / length up to 1 (Laine and Aila 2017): from 0.0067 to 1.

    Args:
        progress: share of the training that has passed, in [0, 1).
        length: of the ramp, a share of the training; 0 is none.
    """
    return 1.0 if progress >= length else math.exp(-5 * (1 - progress / length) ** 2)


def consistency(student: torch.Tensor, teacher: torch.Tensor, threshold: float = 0.0) -> torch.Tensor:
    """``1/U sum_u 1[max_k q_uk >= threshold] sum_k (p_uk - q_uk)^2``, p of the student, q of the teacher; a scalar.

    The consistency cost of Tarvainen and Valpola (NeurIPS 2017) with the confidence threshold of French et al. (ICLR 2018).
    No gradient goes to the teacher.

    Args:
        student, teacher: logits (U, K).
        threshold: in [0, 1).
    """
    q = torch.softmax(teacher.detach().float(), dim=1)
    p = torch.softmax(student.float(), dim=1)
    return ((p - q).square().sum(dim=1) * (q.max(dim=1).values >= threshold)).mean()
