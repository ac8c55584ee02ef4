"""The probe against scikit-learn's LogisticRegressionCV: same features, same strengths, same number of folds, one run.

    python benchmarks/probe_vs_sklearn.py                       20,000 x 1,280, 100 classes, 10 strengths, 5 folds
    python benchmarks/probe_vs_sklearn.py --n 2000 --d 256 --classes 10

Features are made like a network's: a few hundred latent directions with a falling spectrum, mixed, through a ReLU,
classes that overlap heavily. Prints both times, their ratio, and the accuracy of both on rows that neither saw.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings

import numpy as np


def make(n: int, d: int, classes: int, seed: int = 0, spread: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, d) features and int64 (n,) labels."""
    rng = np.random.default_rng(seed)
    latent = min(d, 300)
    spectrum = (np.arange(latent) + 1.0) ** -0.5
    centres = rng.normal(size=(classes, latent)) * spectrum
    mix = rng.normal(size=(latent, d)).astype(np.float32) / np.sqrt((spectrum**2).sum())
    y = rng.integers(0, classes, n)
    z = (spread * centres[y] + 1.6 * rng.normal(size=(n, latent)) * spectrum).astype(np.float32)
    X = z @ mix
    X += 0.3 * rng.normal(size=X.shape).astype(np.float32)
    return np.maximum(X + 0.2, 0).astype(np.float32), y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--d", type=int, default=1_280)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--strengths", type=int, default=10)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--max-iter", type=int, default=100, help="of scikit-learn's solver (its default)")
    parser.add_argument("--ours-only", action="store_true")
    args = parser.parse_args()

    from headstart.training.probe import default_strengths, fit_probe

    X, y = make(args.n + args.test, args.d, args.classes)
    X, X_test, y, y_test = X[: args.n], X[args.n :], y[: args.n], y[args.n :]
    Cs = default_strengths(args.n, args.d, args.classes, args.strengths)
    out: dict[str, object] = {"n": args.n, "d": args.d, "classes": args.classes, "folds": args.folds, "strengths": Cs}

    fit_probe(X[:500, :64], y[:500] % 5, 5)  # the first call of a process loads libraries
    cpu = time.process_time()
    probe = fit_probe(X, y, args.classes, strengths=Cs, folds=args.folds)
    cpu_ours = time.process_time() - cpu
    ours = float((probe.logits(X_test).argmax(1) == y_test).mean())
    out["headstart"] = {
        "seconds": round(probe.seconds, 2),
        "processor seconds": round(cpu_ours, 2),
        "accuracy": ours,
        "C": probe.strength,
        "tried": len(probe.strengths),
        "cv_accuracy": [round(float(a), 4) for a in probe.cv_accuracy],
        "cv_log_loss": [round(float(a), 4) for a in probe.cv_log_loss],
    }
    print(json.dumps(out), flush=True)
    if args.ours_only:
        return

    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    began, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=Cs, cv=args.folds, max_iter=args.max_iter))
        theirs.fit(X, y)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    accuracy = float(theirs.score(X_test, y_test))
    C = float(np.ravel(theirs[-1].C_)[0])
    out["scikit-learn"] = {
        "seconds": round(seconds, 2),
        "processor seconds": round(cpu, 2),
        "accuracy": accuracy,
        "C": C,
    }
    out["time ratio"] = round(seconds / probe.seconds, 1)
    out["processor time ratio"] = round(cpu / cpu_ours, 1)
    out["accuracy difference in points"] = round(100 * (ours - accuracy), 2)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
