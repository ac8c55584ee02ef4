"""Ask 10: tell me what I forgot: source and target before and after, how much is retained, and what would keep more of it."""

import numpy as np
import pytest

import headstart as hs


def stripes(root, classes, across, rng, n):
    """Pictures with stripes (the old task) and a tint (the new one); ``across`` says which of the two names the class."""
    from PIL import Image

    y, x = np.mgrid[:32, :32]
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(n):
            turn = label if across else rng.integers(2)
            tint = rng.integers(2) if across else label
            picture = np.repeat((np.sin((x if turn else y) * 0.9 + rng.uniform(0, 6)) * 45 + 118)[..., None], 3, 2)
            picture[..., tint] += 25
            picture += rng.normal(0, 30, picture.shape)
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(root / name / f"{i}.png")
    return root


COMMON = {"image_size": 32, "verify": False}


@pytest.fixture(scope="module")
def forgot(tmp_path_factory):
    """A source that tells stripes, tuned hard on tints."""
    root = tmp_path_factory.mktemp("forgot")
    rng = np.random.default_rng(0)
    old = stripes(root / "old", ["level", "upright"], True, rng, 30)
    new = stripes(root / "new", ["red", "green"], False, rng, 45)
    source = hs.fit(old, source="bundled/glyphs", strategy="probe", out=root / "source", baselines="none", **COMMON)
    steps = {"epochs": 5, "lr": 0.01, "augment": "none"}
    values = {
        "source": str(source.path),
        "strategy": "finetune",
        "source_data": str(old),
        "baselines": "probe",
        **steps,
    }
    return root, new, values | COMMON, hs.fit(new, out=root / "tuned", **values | COMMON)


def test_source_and_target_before_and_after_and_what_is_retained(forgot):
    run = forgot[3]
    m = run.metrics["source"]
    before, after = (m[key]["accuracy"]["value"] for key in ("before", "after"))
    assert m["read_by"] == "the source's own head"
    assert before > 0.9
    assert after < before - 0.2
    assert m["change"]["value"] == pytest.approx(after - before)
    assert m["retention"]["value"] == pytest.approx(after / before)
    assert m["retention"]["ci95"][0] < after / before < m["retention"]["ci95"][1] < 1
    assert m["target"]["before"] == run.metrics["baselines"]["probe"]["accuracy"]
    assert m["target"]["after"] == run.metrics["target"]["accuracy"]


def test_the_line_begins_and_ends_at_the_models_that_it_joins(forgot):
    m = forgot[3].metrics["source"]
    first, last = m["curve"][0], m["curve"][-1]
    assert [row["alpha"] for row in m["curve"]] == [i / 10 for i in range(11)]
    assert first["source"] == m["before"]["accuracy"]["value"]
    assert last["source"] == m["after"]["accuracy"]["value"]
    assert last["target"] == m["target"]["after"]["value"]


def test_the_offers_are_in_the_report_and_what_wise_promises_comes_true(forgot, tmp_path):
    _, new, values, run = forgot
    m = run.metrics["source"]
    typed = {offer["type"].split()[0]: offer["type"].split()[1] for offer in m["offers"]}
    assert set(typed) == {"--wise", "--strategy"}
    page = (run.path / "report.html").read_text()
    assert all(f"<code>{offer['type']}</code>" in page for offer in m["offers"])
    alpha = float(typed["--wise"])
    promised = next(row for row in m["curve"] if row["alpha"] == alpha)
    kept = hs.fit(new, out=tmp_path / "kept", **values | {"wise": alpha, "baselines": "none"}).metrics
    assert kept["strategy"]["wise"]["alpha"] == kept["source"]["alpha"] == alpha
    after = kept["source"]["after"]["accuracy"]["value"]
    assert after == pytest.approx(promised["source"])
    assert after > m["after"]["accuracy"]["value"]
    assert kept["target"]["accuracy"]["value"] == pytest.approx(promised["target"])


def test_nothing_is_offered_where_nothing_was_forgotten(forgot, tmp_path):
    _, new, values, _ = forgot
    m = hs.fit(
        new,
        out=tmp_path / "probe",
        **{k: v for k, v in values.items() if k not in ("epochs", "lr", "augment")} | {"strategy": "probe"},
    )
    found = m.metrics["source"]
    assert found["retention"]["value"] == 1 and found["offers"] == [] and found["curve"] == []
    assert found["retention"]["ci95"][0] < 1 < found["retention"]["ci95"][1]
