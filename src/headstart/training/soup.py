"""Model soups: the mean of the weights of several trainings from the same start (Wortsman et al., ICML 2022)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from headstart.errors import RecipeError, sentence
from headstart.functional.weights import State, mean_weights

Rank = Sequence[float]
"""What two models are compared by: the first number decides, the next breaks ties."""


@dataclass(frozen=True)
class Soup:
    """``greedy(n)`` or ``uniform(n)``: n >= 2 trainings."""

    kind: str
    n: int

    def __str__(self) -> str:
        return f"{self.kind}({self.n})"


def parse_soup(text: str | int) -> Soup | None:
    """``none`` (or 1), ``N`` for a greedy soup of N, ``greedy(N)``, ``uniform(N)``.

    Raises:
        RecipeError: anything else.
    """
    if str(text) in ("none", "1"):
        return None
    found = re.fullmatch(r"(?:(greedy|uniform)\(\s*(\d+)\s*\)|(\d+))", str(text).strip())
    n = int(found[2] or found[3]) if found else 0
    if not found or not 2 <= n <= 100:
        raise RecipeError(
            sentence(
                "bad value of soup",
                where="the recipe",
                got=text,
                allowed=["none", "N", "greedy(N)", "uniform(N)", "N from 2 to 100"],
                fix="--soup 4",
            )
        )
    return Soup(found[1] or "greedy", n)


def recipe_of(i: int, seed: int) -> tuple[int, float]:
    """Seed and factor on the learning rate of training ``i``.

    The first is the recipe itself. The others draw another seed and a factor from 1/2 to 2, even in its logarithm.
    """
    if i == 0:
        return seed, 1.0
    drawn = np.random.SeedSequence([seed, 7919, i])
    rng = np.random.default_rng(drawn)
    return int(drawn.generate_state(1)[0]), float(2.0 ** rng.uniform(-1, 1))


@dataclass(frozen=True)
class Cooked:
    """A soup.

    Attributes:
        weights: of the soup.
        chosen: which trainings are in it, in the order they went in.
        rank: of the soup; ``None`` where nothing was judged.
        ranks: of each training alone.
    """

    weights: dict[str, torch.Tensor]
    chosen: tuple[int, ...]
    rank: Rank | None
    ranks: tuple[Rank, ...]


def cook(
    states: Sequence[State],
    judge: Callable[[State, bool], tuple[Rank, dict[str, torch.Tensor]]] | None,
    *,
    greedy: bool,
) -> Cooked:
    """Average all of ``states``, or greedily those that help.

    Greedy (algorithm 1 of the paper): from the best on held-out images to the worst, each goes in if the mean with it is
    no worse than the one without it. So the soup is never worse than the best training on those images.

    Args:
        states: one for each training.
        judge: (weights, whether they are a mean) -> (how good they are on held-out images, the weights as judged: with
            batch-norm statistics of their own). Needed by the greedy soup.
    """
    if judge is None:
        if greedy:
            raise ValueError("a greedy soup needs held-out images")
        return Cooked(mean_weights(states), tuple(range(len(states))), None, ())
    ranks = tuple(tuple(judge(state, False)[0]) for state in states)
    if not greedy:
        rank, weights = judge(mean_weights(states), True)
        return Cooked(weights, tuple(range(len(states))), tuple(rank), ranks)
    order = sorted(range(len(states)), key=lambda i: ranks[i], reverse=True)
    chosen, best, soup = [order[0]], ranks[order[0]], dict(states[order[0]])
    for i in order[1:]:
        rank, weights = judge(mean_weights([states[j] for j in [*chosen, i]]), True)
        if tuple(rank) >= best:
            chosen, best, soup = [*chosen, i], tuple(rank), weights
    return Cooked(soup, tuple(chosen), best, ranks)
