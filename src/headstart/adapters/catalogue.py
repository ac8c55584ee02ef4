"""Names of methods for the command line, the search and the benchmarks: each makes one estimator, pipelines included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headstart.errors import RecipeError, near, sentence


@dataclass(frozen=True)
class Method:
    """What ``--method NAME`` stands for.

    Attributes:
        name: as typed.
        says: what it does, one line.
        paper: authors and year.
        tasks: of "classification", "regression".
        needs: "target" (its rows), or "target_labels" (a few labelled rows, ``y_target``).
        kind: "baseline", "features", "weights", "labels", "joint", "model".
        make: (estimator, task, params) -> the estimator.
    """

    name: str
    says: str
    paper: str
    tasks: tuple[str, ...]
    needs: str
    kind: str
    make: Callable[[Any, str, dict[str, Any]], Any]


BOTH = ("classification", "regression")


def head(estimator: Any, task: str) -> Any:
    """``estimator``, or logistic regression / ridge regression."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if estimator is not None:
        return estimator
    return LogisticRegression(max_iter=1000) if task == "classification" else Ridge()


def load(path: str) -> Any:
    """``module:Class`` of this room."""
    from importlib import import_module

    module, name = path.split(":")
    return getattr(import_module(f"headstart.adapters.{module}"), name)


def features(path: str, **defaults: Any) -> Callable[[Any, str, dict[str, Any]], Any]:
    """A transformer before the estimator."""

    def make(estimator: Any, task: str, params: dict[str, Any]) -> Any:
        from headstart.adapters.pipeline import make_adaptation_pipeline

        return make_adaptation_pipeline(load(path)(**{**defaults, **params}), head(estimator, task))

    return make


def weights(path: str) -> Callable[[Any, str, dict[str, Any]], Any]:
    """A reweighter around the estimator."""

    def make(estimator: Any, task: str, params: dict[str, Any]) -> Any:
        outer = load(
            "reweighted:ReweightedClassifier" if task == "classification" else "reweighted:ReweightedRegressor"
        )
        return outer(head(estimator, task), load(path)(**params))

    return make


def around(
    classifier: str | None, regressor: str | None = None, passes: bool = True
) -> Callable[[Any, str, dict[str, Any]], Any]:
    """An estimator of its own, around the given one where it takes one."""

    def make(estimator: Any, task: str, params: dict[str, Any]) -> Any:
        path = classifier if task == "classification" else regressor
        assert path is not None
        return load(path)(**({"estimator": estimator} if passes and estimator is not None else {}), **params)

    return make


def plain(estimator: Any, task: str, params: dict[str, Any]) -> Any:
    """The source's model as it is."""
    from headstart.adapters.baselines import SourceOnly

    return SourceOnly(head(estimator, task), **params)


C, R = ("classification",), ("regression",)
METHODS: dict[str, Method] = {
    m.name: m
    for m in (
        Method("source_only", "the source's model as it is", "baseline", BOTH, "target", "baseline", plain),
        Method("scaler", "z-scores by domain", "folklore", BOTH, "target", "features", features("domain_scaler:DomainScaler")),
        Method("coral", "match covariances", "Sun et al. 2016", BOTH, "target", "features", features("coral:CORAL")),
        Method("sa", "align principal subspaces", "Fernando et al. 2013", BOTH, "target", "features", features("subspace_alignment:SubspaceAlignment")),
        Method("gfk", "kernel over the geodesic between subspaces", "Gong et al. 2012", BOTH, "target", "features", features("geodesic_flow:GeodesicFlowKernel")),
        Method("tca", "components with little mean discrepancy", "Pan et al. 2011", BOTH, "target", "features", features("transfer_components:TransferComponentAnalysis")),
        Method("monge", "linear Monge map between Gaussians", "Flamary et al. 2019", BOTH, "target", "features", features("monge:LinearMongeMap")),
        Method("emd", "exact optimal transport of source rows", "Courty et al. 2017", BOTH, "target", "features", features("optimal_transport:OptimalTransport")),
        Method("sinkhorn", "entropic optimal transport", "Cuturi 2013", BOTH, "target", "features", features("optimal_transport:OptimalTransport", method="sinkhorn")),
        Method("class_ot", "class-regularised optimal transport", "Courty et al. 2017", C, "target", "features", features("optimal_transport:OptimalTransport", method="class_lp")),
        Method("msda", "marginalised denoising autoencoders", "Chen et al. 2012", BOTH, "target", "features", features("marginalized_denoising:MarginalizedDenoising")),
        Method("select", "columns that tell the label, not the domain", "Uguroglu and Carbonell 2011", BOTH, "target", "features", features("feature_selection:TransferFeatureSelector")),
        Method("location_scale", "class-wise location and scale", "Zhang et al. 2013", C, "target", "features", features("conditional_shift:LocationScaleShift")),
        Method("jda", "marginal and class-wise discrepancy", "Long et al. 2013", C, "target", "joint", features("joint_distribution:JointDistributionAdaptation")),
        Method("bda", "the same, balanced", "Wang et al. 2017", C, "target", "joint", features("balanced_distribution:BalancedDistributionAdaptation")),
        Method("wbda", "the same, with class priors", "Wang et al. 2017", C, "target", "joint", features("balanced_distribution:BalancedDistributionAdaptation", weighted=True)),
        Method("jdot", "joint optimal transport of rows and labels", "Courty et al. 2017", BOTH, "target", "joint", around("joint_transport:JDOTClassifier", "joint_transport:JDOTRegressor")),
        Method("meda", "manifold embedded distribution alignment", "Wang et al. 2018", C, "target", "joint", around("manifold_embedded:MEDA", passes=False)),
        Method("kmm", "weights by kernel mean matching", "Huang et al. 2006", BOTH, "target", "weights", weights("kernel_mean_matching:KMM")),
        Method("kliep", "weights of least KL divergence", "Sugiyama et al. 2007", BOTH, "target", "weights", weights("kliep:KLIEP")),
        Method("ulsif", "weights by least squares", "Kanamori et al. 2009", BOTH, "target", "weights", weights("least_squares_ratio:ULSIF")),
        Method("rulsif", "relative weights by least squares", "Yamada et al. 2011", BOTH, "target", "weights", weights("least_squares_ratio:RULSIF")),
        Method("logistic_ratio", "weights from a domain classifier", "Bickel et al. 2009", BOTH, "target", "weights", weights("logistic_ratio:LogisticDensityRatio")),
        Method("nn_weights", "weights from nearest neighbours", "Loog 2012", BOTH, "target", "weights", weights("nearest_neighbor_weights:NearestNeighborWeights")),
        Method("conditional_weights", "weights class by class", "after Gong et al. 2016", C, "target", "weights", around("conditional_shift:ConditionalWeights")),
        Method("bbse", "label shift from the confusion matrix", "Lipton et al. 2018", C, "target", "labels", around("bbse:BBSE")),
        Method("rlls", "label shift, regularised", "Azizzadenesheli et al. 2019", C, "target", "labels", around("rlls:RLLS")),
        Method("em", "label shift by maximum likelihood", "Saerens et al. 2002", C, "target", "labels", around("saerens_em:SaerensEM")),
        Method("tradaboost", "boosting over both domains", "Dai et al. 2007; Pardoe and Stone 2010", BOTH, "target_labels", "model", around("tradaboost:TrAdaBoost", "tradaboost_r2:TrAdaBoostR2", passes=False)),
        Method("easyadapt", "shared and own copies of the columns", "Daumé 2007", BOTH, "target_labels", "model", around("feature_augmentation:FeatureAugmentation", "feature_augmentation:FeatureAugmentationRegressor")),
        Method("source_regularized", "a linear model held to the source's", "Chelba and Acero 2004", BOTH, "target_labels", "model", around("source_regularized:SourceRegularizedLogistic", "source_regularized:SourceRegularizedRidge", passes=False)),
        Method("adaptive_svm", "an SVM held to the source's", "Yang et al. 2007", C, "target_labels", "model", around("source_regularized:SourceRegularizedSVM", passes=False)),
        Method("stacking", "source predictions as features", "Daumé and Marcu 2006", BOTH, "target_labels", "model", around("source_stacking:SourceStacking", "source_stacking:SourceStackingRegressor")),
    )
}  # fmt: skip
DEFAULT_SEARCH = {
    "classification": ("source_only", "scaler", "coral", "sa", "tca", "jda", "emd", "kmm", "bbse"),
    "regression": ("source_only", "scaler", "coral", "sa", "tca", "emd", "kmm", "rulsif"),
}


def list_methods(task: str | None = None, needs: str | None = None) -> tuple[str, ...]:
    """Names of methods, of one task and one need where asked."""
    return tuple(m.name for m in METHODS.values() if task in (None, *m.tasks) and needs in (None, m.needs))


def make_method(name: str, estimator: Any = None, task: str = "classification", **params: Any) -> Any:
    """One estimator for a name: ``fit(X, y, X_target=..., [y_target=...])``, ``predict(X)`` of target rows.

    Args:
        estimator: the classifier or regressor inside, where the method takes one. Default logistic or ridge regression.
        params: of the method's own class, for example ``n_components=20`` for ``"tca"``.

    Raises:
        RecipeError: an unknown name (the nearest ones are given), a task it is not for, or a parameter it has not.
    """
    if name not in METHODS:
        guess = near(name, METHODS)
        raise RecipeError(
            sentence("unknown method", got=name, allowed=list(METHODS), fix=f"--method {guess[0]}" if guess else None)
        )
    method = METHODS[name]
    if task not in method.tasks:
        raise RecipeError(sentence(f"{name} is not for {task}", allowed=list_methods(task)))
    try:
        return method.make(estimator, task, params)
    except TypeError as problem:
        raise RecipeError(
            sentence(f"{name} has no such parameter", got=", ".join(params), where=str(problem))
        ) from None
