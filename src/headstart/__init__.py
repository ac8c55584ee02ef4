"""Headstart: transfer learning that chooses its source, explains its strategy and proves that it helped.

import headstart as hs

run = hs.fit("flowers/")              # a folder of class folders; ranks sources, transfers, compares, reports
print(run.verdict)
print(run.predict("photo.jpg"))
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PLACES = {
    "list_sources": "headstart.sources",  # the name `sources` is the room's
    "fit": "headstart.verbs.fit",
    "tune": "headstart.verbs.tune",
    "adapt": "headstart.verbs.adapt",
    "multitask": "headstart.verbs.multitask",
    "pretrain": "headstart.verbs.pretrain",
    "rank": "headstart.verbs.rank",
    "plan": "headstart.verbs.plan",
    "inspect": "headstart.verbs.inspect",
    "predict": "headstart.verbs.predict",
    "evaluate": "headstart.verbs.evaluate",
    "compare": "headstart.verbs.compare",
    "report": "headstart.verbs.report",
    "demo": "headstart.verbs.demo",
    "doctor": "headstart.verbs.doctor",
    "Run": "headstart.run",
    "load": "headstart.run",
    "Recipe": "headstart.recipe",
    "Strategy": "headstart.strategies.strategy",
    "TransferClassifier": "headstart.estimator",
    "HeadstartError": "headstart.errors",
    "QuestionError": "headstart.errors",
    "WorkError": "headstart.errors",
}
__all__ = [*_PLACES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        value = getattr(import_module(_PLACES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'headstart' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
