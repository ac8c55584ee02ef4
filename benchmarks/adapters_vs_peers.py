"""Shallow adapters beside skada, POT and ADAPT: seconds, peak memory, and how far the results differ.

    python benchmarks/adapters_vs_peers.py --skada-python PEERS/skada/bin/python --adapt-python PEERS/adapt/bin/python

The peers live in environments of their own (skada 0.6 and POT 0.9.7 in one, adapt 0.4.5 in the other). Each measurement is a fresh
process with the same number of threads; imports and the drawing of the data are not timed; memory is the peak of the whole process.
Data: two Gaussian domains of d = 800 columns whose deviations fall as 1 / sqrt(j), the target turned a little, stretched and moved.
A peer that needs more than --limit seconds is stopped and reported so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

DATA = """
import json, resource, sys, time, warnings
import numpy as np
warnings.filterwarnings("ignore")
def data(n, d=800):
    rng = np.random.default_rng(0)
    deviation = 1 / np.sqrt(np.arange(1, d + 1))
    ys, yt = rng.integers(0, 10, n), rng.integers(0, 10, n)
    centres = 0.5 * rng.standard_normal((10, d)) * deviation
    turn = np.linalg.qr(np.eye(d) + 0.02 * rng.standard_normal((d, d)))[0]
    Xs = rng.standard_normal((n, d)) * deviation + centres[ys]
    Xt = (rng.standard_normal((n, d)) * deviation * 1.2 + centres[yt]) @ turn + 0.1 * deviation
    return Xs, ys, Xt, yt
n, keep = int(sys.argv[1]), sys.argv[2]
Xs, ys, Xt, yt = data(n)
both, domain = np.r_[Xs, Xt], np.r_[np.ones(n), -2 * np.ones(n)]
"""
END = """
print("RESULT" + json.dumps({"seconds": seconds, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "note": note}))
if keep != "-" and result is not None: np.save(keep, np.asarray(result, dtype=np.float64))
"""


def timed(before: str, work: str, after: str = "result, note = out, ''") -> str:
    return (
        DATA
        + before
        + "\nbegan = time.perf_counter()\n"
        + work
        + "\nseconds = time.perf_counter() - began\n"
        + after
        + "\n"
        + END
    )


OURS = {
    "TCA rbf": ("from headstart.adapters import TransferComponentAnalysis as T", "m = T(100, kernel='rbf', mu=1.0); out = m.fit_transform(Xs, X_target=Xt)"),
    "TCA linear": ("from headstart.adapters import TransferComponentAnalysis as T", "m = T(100, kernel='linear', mu=1.0); out = m.fit_transform(Xs, X_target=Xt)"),
    "JDA primal": ("from headstart.adapters import JointDistributionAdaptation as J", "m = J(100, lam=1.0, n_iter=10); out = m.fit_transform(Xs, ys, X_target=Xt)"),
    "JDA rbf": ("from headstart.adapters import JointDistributionAdaptation as J", "m = J(100, kernel='rbf', lam=1.0, n_iter=10); out = m.fit_transform(Xs, ys, X_target=Xt)"),
    "KMM": ("from headstart.adapters import KMM", "m = KMM().fit(Xs, X_target=Xt); out = m.weights_"),
    "KLIEP": ("from headstart.adapters import KLIEP", "m = KLIEP(gamma=0.05).fit(Xs, X_target=Xt); out = m.weights_"),
    "Sinkhorn": ("from headstart.adapters import OptimalTransport as O", "m = O('sinkhorn', reg=0.05, max_iter=1000); out = m.fit_transform(Xs, X_target=Xt)"),
    "EMD": ("import ot\nfrom headstart.adapters import OptimalTransport as O", "m = O('emd'); out = m.fit_transform(Xs, X_target=Xt)"),
    "CORAL": ("from headstart.adapters import CORAL", "m = CORAL(reg=1e-3); out = m.fit_transform(Xs, X_target=Xt)"),
    "SA": ("from headstart.adapters import SubspaceAlignment as S", "m = S(100); out = m.fit_transform(Xs, X_target=Xt); m.transform(Xt)"),
    "GFK": ("from headstart.adapters import GeodesicFlowKernel as G", "m = G(100); out = m.fit_transform(Xs, X_target=Xt); m.transform(Xt)"),
    "linear Monge": ("from headstart.adapters import LinearMongeMap as L", "m = L(); out = m.fit_transform(Xs, X_target=Xt)"),
}  # fmt: skip
OBJECTIVE = """
from sklearn.metrics.pairwise import rbf_kernel
"""
SKADA = {
    "TCA rbf": ("from skada._subspace import TransferComponentAnalysisAdapter as T", "m = T(kernel='rbf', n_components=100, mu=1.0); out = m.fit_transform(both, sample_domain=domain)[:n]"),
    "TCA linear": ("from skada._subspace import TransferComponentAnalysisAdapter as T", "m = T(kernel='linear', n_components=100, mu=1.0); out = m.fit_transform(both, sample_domain=domain)[:n]"),
    "KMM": ("from skada._reweight import KMMReweightAdapter as K", "m = K(kernel='rbf').fit(both, sample_domain=domain); out = m.source_weights_"),
    "KLIEP": ("from skada._reweight import KLIEPReweightAdapter as K", "m = K(gamma=0.05, n_centers=100).fit(both, sample_domain=domain); out = None"),
    "Sinkhorn": ("import ot", "m = ot.da.SinkhornTransport(reg_e=0.05, norm='max', max_iter=1000, tol=1e-9); out = m.fit_transform(Xs=Xs, Xt=Xt)"),
    "EMD": ("import ot", "m = ot.da.EMDTransport(norm='max'); out = m.fit_transform(Xs=Xs, Xt=Xt)"),
    "CORAL": ("from skada._mapping import CORALAdapter as C", "m = C(reg=1e-3); out = m.fit_transform(both, sample_domain=domain)[:n]"),
    "SA": ("from skada._subspace import SubspaceAlignmentAdapter as S", "m = S(n_components=100); out = m.fit_transform(both, sample_domain=domain)[:n]"),
    "linear Monge": ("import ot", "m = ot.da.LinearTransport(reg=1e-8); out = m.fit(Xs=Xs, Xt=Xt).transform(Xs=Xs)"),
}  # fmt: skip
ADAPT = {
    "KMM": ("from adapt.instance_based import KMM", "m = KMM(kernel='rbf', gamma=1 / 800, verbose=0, max_size=n, random_state=0); out = m.fit_weights(Xs, Xt)"),
    "KLIEP": ("from adapt.instance_based import KLIEP", "m = KLIEP(kernel='rbf', gamma=0.05, verbose=0, max_centers=100, random_state=0); out = m.fit_weights(Xs, Xt)"),
    "CORAL": ("from adapt.feature_based import CORAL", "m = CORAL(lambda_=1e-3, verbose=0); out = m.fit_transform(Xs, Xt)"),
    "SA": ("from adapt.feature_based import SA", "m = SA(n_components=100, verbose=0); out = m.fit_transform(Xs, Xt); m.transform(Xt)"),
}  # fmt: skip
# no library has JDA or GFK: the plain reference with every matrix written out
PLAIN = {
    "TCA rbf": ("from scipy.linalg import eigh\nfrom sklearn.metrics.pairwise import rbf_kernel", "K = rbf_kernel(both); e = np.r_[np.full(n, 1 / n), np.full(n, -1 / n)]; KH = K - K.mean(1, keepdims=True); u = K @ e\nw, W = eigh(KH @ K, np.outer(u, u) + np.eye(2 * n), subset_by_index=[2 * n - 100, 2 * n - 1]); out = (K @ W[:, ::-1])[:n]"),
    "JDA primal": ("from scipy.linalg import eigh\nfrom sklearn.neighbors import KNeighborsClassifier", """
X = both / np.linalg.norm(both, axis=1, keepdims=True)
H = np.eye(2 * n) - 1 / (2 * n)
said = None
for _ in range(10):
    e = np.r_[np.full(n, 1 / n), np.full(n, -1 / n)]
    M = np.outer(e, e) * 10
    if said is not None:
        for c in range(10):
            e = np.r_[(ys == c) / (ys == c).sum(), (said == c) / -max(1, (said == c).sum())]
            M += np.outer(e, e)
    M /= np.linalg.norm(M)
    w, V = eigh(X.T @ H @ X, X.T @ M @ X + np.eye(800))
    A = V[:, ::-1][:, :100]
    Z = X @ (A / np.linalg.norm(A, axis=0))
    Z /= np.linalg.norm(Z, axis=1, keepdims=True)
    said = KNeighborsClassifier(1, algorithm="brute").fit(Z[:n], ys).predict(Z[n:])
out = Z[:n]
"""),
    "GFK": ("from scipy.linalg import null_space, fractional_matrix_power", """
P = [np.linalg.svd(X - X.mean(0), full_matrices=False)[2][:100].T for X in (Xs, Xt)]
R = null_space(P[0].T)
U, c, Vt = np.linalg.svd(P[0].T @ P[1])
theta = np.arccos(np.clip(c, -1, 1))
Q = (P[1] @ Vt.T - P[0] @ U * c) / np.maximum(np.sin(theta), 1e-12)
B = np.hstack([P[0] @ U, Q])
cc, ss, cs = 0.5 + np.sin(2 * theta) / (4 * theta), 0.5 - np.sin(2 * theta) / (4 * theta), np.sin(theta) ** 2 / (2 * theta)
G = B @ np.block([[np.diag(cc), np.diag(cs)], [np.diag(cs), np.diag(ss)]]) @ B.T
w, V = np.linalg.eigh(G)
out = (Xs - Xs.mean(0)) @ (V * np.sqrt(np.maximum(w, 0))) @ V.T
"""),
}  # fmt: skip


def measure(python: str, code: str, n: int, keep: str, limit: int, threads: int) -> dict[str, object]:
    """One fresh process."""
    env = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    try:
        done = subprocess.run(
            [python, "-c", code, str(n), keep], capture_output=True, text=True, timeout=limit, env=env
        )
    except subprocess.TimeoutExpired:
        return {"note": f"stopped after {limit} s"}
    line = next((text for text in done.stdout.splitlines() if text.startswith("RESULT")), None)
    if line is None:
        last = (done.stderr.strip().splitlines() or ["killed"])[-1]
        return {"note": f"failed: {last[:80]}"}
    return json.loads(line[len("RESULT") :])


def difference(name: str, ours: Path, other: Path) -> str:
    """Largest difference of the results, relative to the largest value; embeddings up to sign."""
    if not (ours.exists() and other.exists()):
        return ""
    a, b = np.load(ours), np.load(other)
    if name == "KMM":
        return ""
    if a.shape != b.shape:
        return f"shapes {a.shape} {b.shape}"
    if name == "GFK":
        return f"{np.abs(a @ a[:200].T - b @ b[:200].T).max() / np.abs(b @ b[:200].T).max():.1e}"
    if a.ndim == 2 and name.startswith(("TCA", "JDA", "SA")):
        a = a * np.sign((a * b).sum(0))
    return f"{np.abs(a - b).max() / np.abs(b).max():.1e}"


def kmm_objective(n: int, weights: Path) -> str:
    """1/2 b^T K b - kappa^T b of saved weights, written out in double precision."""
    if not weights.exists():
        return ""
    code = (
        timed("", "", "result, note = None, ''").replace("print(", "pass #print(")
        + """
from sklearn.metrics.pairwise import rbf_kernel
b = np.load(sys.argv[3]).ravel()
value = 0.0
for i in range(0, n, 1000):
    value += b[i:i + 1000] @ (rbf_kernel(Xs[i:i + 1000], Xs) @ b) / 2 - n * rbf_kernel(Xs[i:i + 1000], Xt).mean(1) @ b[i:i + 1000]
print(f"{value:.6g}")
"""
    )
    done = subprocess.run([sys.executable, "-c", code, str(n), "-", str(weights)], capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skada-python", help="python with skada 0.6 and POT 0.9.7")
    parser.add_argument("--adapt-python", help="python with adapt 0.4.5")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 10000])
    parser.add_argument("--methods", nargs="+", default=list(OURS))
    parser.add_argument(
        "--repeats", type=int, default=3, help="of ours and of peers that take less than 10 s; the median counts"
    )
    parser.add_argument("--limit", type=int, default=180, help="seconds after which a process is stopped")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    others = {
        "skada/POT": (options.skada_python, SKADA),
        "ADAPT": (options.adapt_python, ADAPT),
        "plain": (sys.executable, PLAIN),
    }
    print("| n | method | ours s | ours MB | peer | peer s | peer MB | peer s / ours s | largest difference |")
    print("|---:|---|---:|---:|---|---:|---:|---:|---|")
    for n in options.sizes:
        for name in options.methods:
            with tempfile.TemporaryDirectory() as folder:
                kept = Path(folder) / "ours.npy"
                ours = repeated(sys.executable, timed(*OURS[name]), n, str(kept), options)
                mine = f"{ours['seconds']:.2f} | {ours['mb']:.0f}" if "seconds" in ours else f"{ours['note']} | "
                rows = 0
                for peer, (python, table) in others.items():
                    if name not in table or not python:
                        continue
                    if peer == "plain" and n > 4000:
                        continue
                    theirs = Path(folder) / "theirs.npy"
                    theirs.unlink(missing_ok=True)
                    found = repeated(python, timed(*table[name]), n, str(theirs), options)
                    cells = (
                        f"{found['seconds']:.2f} | {found['mb']:.0f}" if "seconds" in found else f"{found['note']} | "
                    )
                    ratio = (
                        f"{found['seconds'] / ours['seconds']:.1f}" if "seconds" in found and "seconds" in ours else ""
                    )
                    apart = difference(name, kept, theirs)
                    if name == "KMM":
                        apart = f"objective {kmm_objective(n, kept)} against {kmm_objective(n, theirs)}"
                    print(f"| {n} | {name} | {mine} | {peer} | {cells} | {ratio} | {apart} |", flush=True)
                    rows += 1
                if not rows:
                    print(f"| {n} | {name} | {mine} |  |  |  |  |  |", flush=True)


def repeated(python: str, code: str, n: int, keep: str, options: argparse.Namespace) -> dict:
    """The median of some runs, or one run where it is long."""
    runs = [measure(python, code, n, keep, options.limit, options.threads)]
    while "seconds" in runs[0] and float(runs[0]["seconds"]) < 10 and len(runs) < options.repeats:  # type: ignore[arg-type]
        runs.append(measure(python, code, n, keep, options.limit, options.threads))
    good = sorted((r for r in runs if "seconds" in r), key=lambda r: float(r["seconds"]))  # type: ignore[arg-type]
    return good[len(good) // 2] if good else runs[0]


if __name__ == "__main__":
    main()
