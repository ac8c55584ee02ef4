"""The methods of `headstart adapt` by the kind of shift that they are for; names alone, so that help answers at once."""

from __future__ import annotations

GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Baselines": ("nothing adapted", ("source_only",)),
    "Move features": (
        "the same classes look different (covariate or subspace shift), few rows",
        ("scaler", "coral", "sa", "gfk", "tca", "monge", "emd", "sinkhorn", "class_ot", "msda", "select"),
    ),
    "Move features class by class": (
        "the shift differs from class to class", ("location_scale", "jda", "bda", "wbda", "jdot", "meda"),
    ),
    "Weigh source rows": (
        "the target is a part of what the source covers (sample selection)",
        ("kmm", "kliep", "ulsif", "rulsif", "logistic_ratio", "nn_weights", "conditional_weights"),
    ),
    "Correct class shares": ("label shift: classes look alike, their shares differ", ("bbse", "rlls", "em")),
    "Learn from a few target labels (--target-labels)": (
        "also where labels mean something else (concept shift)",
        ("tradaboost", "easyadapt", "source_regularized", "adaptive_svm", "stacking"),
    ),
    "Deep, discrepancy": (
        "the same classes look different, many rows; shares of classes alike",
        ("dan", "jan", "deepcoral", "cmd", "swd", "afn", "bsp", "alignment"),
    ),
    "Deep, adversarial": (
        "the same, larger shifts; less steady: look at the curves",
        ("dann", "cdan", "mdd", "mcd", "adda"),
    ),
    "Deep, confident on the target": (
        "the source's model is right more often than not; also beside others: dann+mcc", ("mcc", "entropy", "infomax"),
    ),
    "Deep, self-training": (
        "the same; source-free: shot", ("selftrain", "meanteacher", "shot"),
    ),
    "Deep, other classes or shares": (
        "the target has fewer classes (pada, iwan), unknown ones (osbp), other shares (weights), a few labels (mme)",
        ("pada", "iwan", "osbp", "weights", "mme"),
    ),
    "Deep, several sources": ("each source has a domain of its own", ("dsbn", "mdan", "m3sda")),
    "Deep, no target at all": ("several sources, a target nobody has seen", ("groupdro", "irm", "vrex", "mixstyle")),
}  # fmt: skip
"""Title -> what kind of shift, names."""


def groups() -> str:
    """For the help of the verb: a paragraph a group."""
    return "\n\n".join(f"{title} ({shift}): {', '.join(names)}." for title, (shift, names) in GROUPS.items())
