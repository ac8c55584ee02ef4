"""What benchmarks/results_deep_adaptation.py compares on which kind of pair, and how each is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
from deep_adaptation_data import Domains
from sklearn.linear_model import LogisticRegression

from headstart.strategies.terms.domains import DOMAIN_TERMS
from headstart.training.deep_adapter import DeepAdapter

LIMIT = 240
"""Seconds of CPU of one cell; what takes longer is written down as such."""
LATE = ("auto",)
"""What takes a minute or more is done when all else is."""
FEW = 3
"""Labels a class of the target where a few are given."""
REFERENCES = {
    "source_only": "the source alone",
    "target_only": "all labels of the target's training half, without the source",
    "joint_norms": "the source alone, but batch norms see both domains",
    "logistic": "logistic regression on the source's features: what auto falls back on",
    "few_only": f"{FEW} target labels a class beside the source",
}
SPECIAL = {
    "cdan_e": "finetune+cdan(entropy=true)", "bsp": "finetune+dann+bsp", "dann_mcc": "finetune+dann+mcc",
    "weights": "finetune+weights", "weights_bbse": "finetune+weights(bbse)", "fixmatch": "finetune+fixmatch(threshold=0.9)",
}  # fmt: skip
"""Methods that are not ``finetune+NAME``."""
AFTER = {"cdan": "cdan_e", "bsp": "dann_mcc", "weights": "weights_bbse"}
"""What stands behind a term in the tables."""
PARTIAL, SEVERAL_TOO = {"pada", "iwan"}, ("dann", "dan", "mcc")
WHOLE = ("dann", "dan")


def of_kind(kind: str) -> list[str]:
    """Terms by what they need."""
    found = []
    for name, part in DOMAIN_TERMS.items():
        needs = part().needs
        mine = (
            "few" if "labelled_target" in needs
            else "open" if "unknown_output" in needs
            else "whole" if "feature_maps" in needs
            else "several" if "several_sources" in needs
            else "partial" if name in PARTIAL
            else "closed"
        )  # fmt: skip
        if mine == kind:
            found += [method for method in dict.fromkeys((name, AFTER.get(name, name))) if usable(method)]
    return found


def usable(method: str) -> bool:
    """Whether the terms that a special method is made of are all there."""
    parts = SPECIAL.get(method, "").split("+")[1:]
    return all(part.partition("(")[0] in DOMAIN_TERMS for part in parts)


METHODS = [
    *REFERENCES, "auto", *of_kind("closed"), "fixmatch", *of_kind("several"), *of_kind("whole"), *of_kind("partial"), *of_kind("open"), *of_kind("few"),
    "threshold", "threshold_dann",
]  # fmt: skip


def methods(pair: Domains) -> list[str]:
    """The methods for one pair, references first."""
    basic = ["source_only", "target_only", "joint_norms"]
    have = [name for name in SEVERAL_TOO if name in DOMAIN_TERMS]
    if pair.kind == "whole":
        return ["source_only", "target_only", *(name for name in WHOLE if name in DOMAIN_TERMS), *of_kind("whole")]
    if pair.kind == "several":
        return [*basic, *have, *of_kind("several")]
    if pair.kind == "partial":
        return [*basic, *have, *of_kind("partial")]
    if pair.kind == "open":
        return ["source_only", "target_only", "threshold", "threshold_dann", *of_kind("open")]
    few = ["few_only", *of_kind("few")] if pair.few else []
    return [*basic, "logistic", "auto", *of_kind("closed"), "fixmatch", *few]


def strategy(method: str) -> str:
    return "finetune" if method in REFERENCES else SPECIAL.get(method, f"finetune+{method}")


def fit(method: str, pair: Domains, train: np.ndarray, seed: int) -> tuple[Any, dict[str, Any]]:
    """One method on a pair and the target's training rows: the model, and what its terms tell."""
    source: dict[str, Any] = {"X": pair.Xs, "y": pair.ys}
    target = pair.Xt[train]
    options: dict[str, Any] = {"random_state": seed, **pair.options}
    if method == "target_only":
        return DeepAdapter("finetune", **options).fit(target, pair.yt[train]), {}
    if method == "source_only":
        return DeepAdapter("finetune", **options).fit(**source), {}
    if method == "logistic":
        return LogisticRegression(max_iter=2000).fit(pair.Xs, pair.ys), {}
    if method == "auto":
        return auto(pair, target, seed)
    if method.startswith("threshold"):
        from headstart.adapters import OpenSetClassifier

        inside = DeepAdapter("finetune+dann" if method.endswith("dann") else "finetune", **options)
        model = OpenSetClassifier(inside, random_state=seed)
        return model.fit(**source, X_target=target), {}
    if pair.domain is not None:
        source["domain"] = pair.domain
    if method in ("few_only", *of_kind("few")):
        given = np.full(len(train), None, dtype=object)
        order = np.random.default_rng(2000 + seed).permutation(len(train))
        for c in np.unique(pair.yt[train]):
            some = order[pair.yt[train][order] == c][:FEW]
            given[some] = pair.yt[train][some]
        source["y_target"] = given
    needs = frozenset().union(*(DOMAIN_TERMS[name]().needs for name in [method] if name in DOMAIN_TERMS))
    alone = method in DOMAIN_TERMS and not needs & {"target_stream", "unlabelled_target"}
    model = DeepAdapter(strategy(method), **options)
    model.fit(**source, X_target=None if alone else target)
    told = json_size(model.said_)
    return model, told


def json_size(told: dict[str, Any]) -> dict[str, Any]:
    """What terms tell, where it is short."""
    return told if len(str(told)) < 1000 else {}


def auto(pair: Domains, target: np.ndarray, seed: int) -> tuple[Any, dict[str, Any]]:
    """The choice of ``headstart adapt --method auto``: its candidates, its criterion, its caution."""
    from headstart.adapters import AdaptationSearchCV
    from headstart.adapters.catalogue import DEFAULT_SEARCH
    from headstart.verbs.adapt_choice import OF_EPOCHS
    from headstart.verbs.adapt_methods import DEEP_SEARCH

    options = {"select": OF_EPOCHS["classification"], "random_state": seed}
    deep = [(name, DeepAdapter(name, **options)) for name in DEEP_SEARCH["classification"]]
    search = AdaptationSearchCV([*DEFAULT_SEARCH["classification"], *deep], random_state=seed)
    search.fit(pair.Xs, pair.ys, X_target=target)
    return search.best_estimator_, {"chosen": search.best_method_}
