"""Shallow domain adaptation on arrays: scikit-learn estimators with an explicit source and target. Names load when used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    "BalancedDistributionAdaptation": "balanced_distribution",
    "AdaptationWarning": "base",
    "SourceOnly": "baselines",
    "BBSE": "bbse",
    "METHODS": "catalogue",
    "list_methods": "catalogue",
    "make_method": "catalogue",
    "CoOptimalTransport": "co_transport",
    "ConditionalWeights": "conditional_shift",
    "LocationScaleShift": "conditional_shift",
    "CORAL": "coral",
    "CoupledCCA": "coupled_cca",
    "KernelCCA": "coupled_cca",
    "Distance": "distances",
    "coral_distance": "distances",
    "domain_distances": "distances",
    "energy": "distances",
    "mmd": "distances",
    "proxy_a": "distances",
    "sliced_wasserstein": "distances",
    "DomainScaler": "domain_scaler",
    "FeatureAugmentation": "feature_augmentation",
    "FeatureAugmentationRegressor": "feature_augmentation",
    "TransferFeatureSelector": "feature_selection",
    "GeodesicFlowKernel": "geodesic_flow",
    "JointDistributionAdaptation": "joint_distribution",
    "JDOTClassifier": "joint_transport",
    "JDOTRegressor": "joint_transport",
    "KMM": "kernel_mean_matching",
    "KLIEP": "kliep",
    "RULSIF": "least_squares_ratio",
    "ULSIF": "least_squares_ratio",
    "LogisticDensityRatio": "logistic_ratio",
    "KernelManifoldAlignment": "manifold_alignment",
    "MEDA": "manifold_embedded",
    "MarginalizedDenoising": "marginalized_denoising",
    "LinearMongeMap": "monge",
    "NearestNeighborWeights": "nearest_neighbor_weights",
    "OptimalTransport": "optimal_transport",
    "AdaptationPipeline": "pipeline",
    "make_adaptation_pipeline": "pipeline",
    "ReweightedClassifier": "reweighted",
    "ReweightedRegressor": "reweighted",
    "RLLS": "rlls",
    "SaerensEM": "saerens_em",
    "DeepEmbeddedValidation": "scorers",
    "EntropyScorer": "scorers",
    "HeldOutSource": "scorers",
    "ImportanceWeightedScorer": "scorers",
    "InfoMaxScorer": "scorers",
    "ReverseValidation": "scorers",
    "SCORERS": "scorers",
    "SoftNeighborhoodDensity": "scorers",
    "AdaptationSearchCV": "search",
    "MultiSourceTransport": "several_sources",
    "SourceEnsemble": "several_sources",
    "WeightedSources": "several_sources",
    "SourceRegularizedLogistic": "source_regularized",
    "SourceRegularizedRidge": "source_regularized",
    "SourceRegularizedSVM": "source_regularized",
    "SourceStacking": "source_stacking",
    "SourceStackingRegressor": "source_stacking",
    "SubspaceAlignment": "subspace_alignment",
    "TrAdaBoost": "tradaboost",
    "TrAdaBoostR2": "tradaboost_r2",
    "TransferComponentAnalysis": "transfer_components",
    "effective_sample_size": "weights",
}
__all__ = [*_PLACES]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        value = getattr(import_module(f"headstart.adapters.{_PLACES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'headstart.adapters' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
