"""The tunings that users can name: how a strategy begins."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from headstart.errors import RecipeError
from headstart.strategies.part import Part
from headstart.strategies.procedures.head2toe import Head2Toe
from headstart.strategies.procedures.solve import Solve
from headstart.strategies.strategy import Strategy
from headstart.strategies.tuning.adapters import RATE
from headstart.strategies.tuning.biases import Biases
from headstart.strategies.tuning.frozen import Frozen
from headstart.strategies.tuning.full import Full
from headstart.strategies.tuning.gradual import Gradual
from headstart.strategies.tuning.ia3 import IA3
from headstart.strategies.tuning.last_n import LastN
from headstart.strategies.tuning.lora import LoRA
from headstart.strategies.tuning.norms import Norms
from headstart.strategies.tuning.tuning import Tuning
from headstart.tables import Table


def _by_steps(tuning: Callable[..., Tuning]) -> Callable[..., Strategy]:
    """A tuning under the usual update."""

    def make(**values: Any) -> Strategy:
        return Strategy("", tuning(**values))

    return make


DEPTH: dict[str, float | str | bool] = {"layer_decay": 1.0, "bn": "auto"}

TUNINGS: Table[Part[Strategy]] = Table(
    "strategy",
    {
        "probe": Part(
            lambda: Strategy("", Frozen(), (), Solve()), {},
            "features of the frozen source, head solved by cross-validated logistic regression; seconds, few labels",
        ),
        "head2toe": Part(
            lambda fraction, grid: Strategy("", Frozen(), (), Head2Toe(fraction, grid)), {"fraction": 0, "grid": 1},
            "features of every layer of the frozen source, the relevant share of them selected, head solved on those "
            "(Evci et al. 2022)",
        ),
        "head": Part(_by_steps(Frozen), {}, "frozen source, head trained by gradient steps with augmentation"),
        "last": Part(
            _by_steps(LastN), {"n": 1, **DEPTH},
            "the last n layers of the source and the head are trained; the rest stays frozen",
        ),
        "finetune": Part(_by_steps(Full), DEPTH, "every parameter is trained, starting from the source"),
        "gradual": Part(
            _by_steps(Gradual), {"until": 0.5, **DEPTH},
            "the head first, then one layer after the other from the output to the input (ULMFiT, Howard and Ruder 2018)",
        ),
        "lora": Part(
            _by_steps(LoRA), {"rank": 8, "alpha": 0, "lr_scale": RATE, "bn": "frozen"},
            "low-rank products beside every linear and convolution layer, merged at the end (Hu et al. 2022)",
        ),
        "dora": Part(
            _by_steps(partial(LoRA, dora=True)), {"rank": 8, "alpha": 0, "lr_scale": RATE, "bn": "frozen"},
            "LoRA on the direction of each weight, with its magnitude beside it (Liu et al. 2024)",
        ),
        "ia3": Part(
            _by_steps(IA3), {"lr_scale": RATE, "bn": "frozen"},
            "learned vectors rescale activations, merged at the end (Liu et al. 2022)",
        ),
        "bitfit": Part(_by_steps(Biases), {"lr_scale": RATE, "bn": "frozen"}, "only the biases are trained (Ben Zaken et al. 2022)"),
        "norms": Part(_by_steps(Norms), {"lr_scale": RATE, "bn": "frozen"}, "only the norm layers are trained (Frankle et al. 2021)"),
    },
    RecipeError,
)  # fmt: skip
