"""Problems whose shift has a name, over 5 seeds: each method where its theory says that it wins, and where it must not be used."""

import functools

import numpy as np
import pytest
from scipy.stats import t as student

from headstart.training.deep_adapter import DeepAdapter

pytestmark = pytest.mark.slow
SEEDS = range(5)


def blobs(seed, scale=1.0, shift=0.0, turn=0):
    """Three classes in six columns; ``turn`` gives each the name of the next."""
    rng = np.random.default_rng(seed)
    y = np.arange(150) % 3
    X = (2 * np.eye(3, 6)[y] + rng.normal(0, 0.8, (150, 6))) * scale + shift
    return X.astype(np.float32), (y + turn) % 3


def joined(parts, target):
    X, y = (np.concatenate(side) for side in zip(*parts, strict=True))
    return X, y, np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts]), *target


def each_its_own_way(seed):
    """Every domain, the target too, has scales and places of its own in every column."""
    rng = np.random.default_rng(100 + seed)
    parts = [blobs(seed * 10 + i, np.exp(rng.normal(0, 0.5, 6)), rng.normal(0, 2, 6)) for i in (0, 1, 2, 9)]
    return joined(parts[:3], parts[3])


def misleading(seed):
    """Two sources a little off the target, a third far from it, whose classes have other names."""
    rng = np.random.default_rng(200 + seed)
    aside = np.array([0, 0, 0, 1, 1, 1.0])
    near = [blobs(seed * 10 + i, shift=rng.normal(0, 0.4, 6)) for i in range(2)]
    return joined(
        [*near, blobs(seed * 10 + 2, shift=5 * aside, turn=1)],
        blobs(seed * 10 + 9, shift=1.5 * aside + rng.normal(0, 0.4, 6)),
    )


def coloured(seed, n, colour):
    """A shape that tells the class three times in four, and a colour that disagrees with it as often as the domain has it."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    shape, hue = (np.where(rng.random(n) < share, 1 - y, y) for share in (0.25, colour))
    columns = [2 * shape - 1 + rng.normal(0, 0.3, n), 2 * hue - 1 + rng.normal(0, 0.3, n), *rng.normal(0, 1, (2, n))]
    return np.stack(columns, 1).astype(np.float32), y


def spurious(seed):
    """Colour tells more than shape in the one source, less in the other, and the contrary in the target (after Arjovsky et al.)."""
    return joined(
        [coloured(seed * 10 + i, 600, share) for i, share in enumerate((0.1, 0.4))], coloured(seed * 10 + 5, 600, 0.9)
    )


@functools.cache
def told(problem, method):
    """Accuracy on the target of each seed, and what the term says; ``pooled`` before a method hides which source a row is of."""
    scores, said = [], []
    settings = {"epochs": 30, "hidden": (16,), "batch_size": 60}
    if problem is spurious:
        settings |= {"epochs": 100, "batch_size": 240}
    for seed in SEEDS:
        X, y, domain, Xt, yt = problem(seed)
        model = DeepAdapter(method.removeprefix("pooled "), random_state=seed, **settings)
        given = {} if method.startswith("pooled ") else {"domain": domain}
        model.fit(X, y, X_target=None if problem is spurious else Xt, **given)
        scores.append(float((model.predict(Xt) == yt).mean()))
        said.append(model.said_)
    print(f"{problem.__name__} {method}: {np.mean(scores):.3f} {np.round(scores, 3)}")
    return np.array(scores), said


def beats(problem, method, other, margin):
    """Whether the lower end of the 95 % interval of the mean difference over the seeds is above the margin."""
    difference = told(problem, method)[0] - told(problem, other)[0]
    half = student.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
    print(f"{problem.__name__} {method} - {other}: {difference.mean():+.3f} +- {half:.3f}")
    return difference.mean() - half > margin


def test_own_batch_norms_take_out_what_moves_a_whole_domain():
    assert beats(each_its_own_way, "dsbn", "finetune", 0)
    assert beats(each_its_own_way, "dsbn", "pooled dann(hidden=32)", 0)


def test_a_misleading_source_counts_nothing_by_near_and_most_by_the_worst_case():
    assert beats(misleading, "mdan(sources=near, hidden=32)", "mdan(hidden=32)", 0.05)
    near, soft = (told(misleading, name)[1] for name in ("mdan(sources=near, hidden=32)", "mdan(hidden=32)"))
    assert all(said["mdan"]["sources"][2] < 0.05 for said in near)
    assert np.mean([said["mdan"]["sources"][2] for said in soft]) > 0.4


@pytest.mark.parametrize("method", ["irm", "vrex(100)", "groupdro(0.1)"])
def test_what_differs_between_sources_is_not_relied_on(method):
    assert beats(spurious, method, "finetune", 0.1)
