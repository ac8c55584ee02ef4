"""`tune`: trials never see a test image, the figure that is reported chose nothing, and what is shared is made once."""

import numpy as np
import pandas as pd
import pytest
import yaml

pytest.importorskip("optuna")

import headstart as hs
from headstart.errors import HandshakeError, QuestionError, RecipeError, RunError, WorkError
from headstart.folder import partial_of

QUICK = {"baselines": "none", "verify": False, "workers": 0}


@pytest.fixture
def noisy_folder(tmp_path):
    """Three classes x 20 pictures that are hard enough for trials to differ."""
    from PIL import Image

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    for label, name in enumerate(["across", "diagonal", "down"]):
        (tmp_path / "noisy" / name).mkdir(parents=True)
        for i in range(20):
            wave = np.sin((x * np.cos(label * np.pi / 4) + y * np.sin(label * np.pi / 4)) * 0.9 + rng.uniform(0, 6.28))
            picture = np.repeat((wave * 40 + 128)[..., None], 3, axis=2) + rng.normal(0, 60, (32, 32, 3))
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(tmp_path / "noisy" / name / f"{i:02d}.png")
    return tmp_path / "noisy"


@pytest.fixture
def watched(monkeypatch):
    """Everything that trials train on, and what the final training does, in order: (in a search?, digests, epochs)."""
    import headstart.training.search.judge as judging
    import headstart.verbs.experiment as fitting

    seen = []

    def watch(module, searching):
        whole = module.transfer

        def transfer(source, strategy, classes, train_set, valid_set, *args, **kwargs):
            digests = set(map(str, train_set.digests)) | (
                set(map(str, valid_set.digests)) if valid_set is not None and len(valid_set) else set()
            )
            rows = []
            hook = kwargs.pop("on_epoch", None)

            def on_epoch(row):
                rows.append(row)
                if hook:
                    hook(row)

            seen.append((searching, digests, rows))
            return whole(source, strategy, classes, train_set, valid_set, *args, on_epoch=on_epoch, **kwargs)

        monkeypatch.setattr(module, "transfer", transfer)

    watch(judging, True)
    watch(fitting, False)
    return seen


def test_no_trial_sees_a_test_image_and_the_reported_figure_is_theirs_alone(
    noisy_folder, tiny_source, tmp_path, watched
):
    run = hs.tune(
        noisy_folder, source=str(tiny_source), strategy="finetune", space="lr=1e-4..1e-2:log,augment=none|light", trials=3,
        epochs=2, out=tmp_path / "r", **QUICK,
    )  # fmt: skip
    from headstart.progress import SILENT
    from headstart.verbs.prepare import prepare

    target = prepare(str(noisy_folder), progress=SILENT)
    test = set(map(str, target.split("test").digests))
    trials = [digests for searching, digests, _ in watched if searching]
    assert len(trials) == 3 and len(test) == 12
    assert all(not digests & test for digests in trials)
    assert set().union(*trials) == set(map(str, target.learning.digests))
    (final,) = [digests for searching, digests, _ in watched if not searching]
    assert not final & test
    t = run.metrics["tuning"]
    predictions = pd.read_csv(run.path / "predictions.csv")
    assert len(predictions) == 12
    assert t["reported"]["value"] == pytest.approx((predictions.label == predictions.predicted).mean())
    rows = pd.read_csv(run.path / "trials.csv")
    assert t["optimised"]["value"] == pytest.approx(rows[rows.state == "judged"].score.max(), abs=1e-5)
    assert t["optimised"]["on"] == "10 validation images" and t["reported"] == run.metrics["target"]["accuracy"]
    report = (run.path / "report.html").read_text()
    for words in ("The search", "what chose it", "test images that no trial saw", "score during training", "augment"):
        assert words in report
    assert "搜索" in run.report("zh").read_text()


@pytest.mark.slow
def test_a_grid_is_the_product_and_the_best_recipe_does_it_again(noisy_folder, tiny_source, tmp_path):
    run = hs.tune(
        noisy_folder, source=str(tiny_source), strategy="l2sp", space={"l2sp.weight": [0.01, 1.0], "lr": [1e-3, 1e-2]},
        sampler="grid", pruner="none", epochs=2, out=tmp_path / "r", **QUICK,
    )  # fmt: skip
    rows = pd.read_csv(run.path / "trials.csv")
    points = sorted(zip(rows["l2sp.weight"], rows.lr, strict=True))
    assert points == [(0.01, 1e-3), (0.01, 1e-2), (1.0, 1e-3), (1.0, 1e-2)] and set(rows.state) == {"judged"}
    best = run.metrics["tuning"]["params"]
    recipe = yaml.safe_load((run.path / "recipe.yaml").read_text())
    assert recipe["lr"] == best["lr"] and f"l2sp(weight={best['l2sp.weight']})" in recipe["strategy"]
    again = hs.fit(recipe=run.path / "recipe.yaml", out=tmp_path / "again")
    assert (again.path / "predictions.csv").read_text() == (run.path / "predictions.csv").read_text()


def test_probe_trials_share_one_pass_and_a_small_space_is_visited_whole(
    noisy_folder, tiny_source, tmp_path, monkeypatch
):
    import headstart.features.extract as extraction

    passes = []
    whole = extraction._compute

    def count(runner, source, dataset, *args):
        passes.append(len(dataset))
        return whole(runner, source, dataset, *args)

    monkeypatch.setattr(extraction, "_compute", count)
    run = hs.tune(noisy_folder, source=str(tiny_source), strategy="probe", out=tmp_path / "r", **QUICK)
    rows = pd.read_csv(run.path / "trials.csv")
    assert len(rows) == len(set(rows.layer)) > 3 and run.metrics["tuning"]["sampler"] == "grid"
    assert passes == [48, 12]  # 48 training images once for all layers and trials, 12 test images at the end
    assert run.metrics["tuning"]["optimised"]["on"] == "48 training images, cross-validated"
    best = rows.loc[rows.score == rows.score.max()].iloc[0]
    assert run.recipe["layer"] == best.layer and run.metrics["strategy"]["reads"][0]["layer"] == best.layer


def test_trials_share_decoded_images_and_the_solved_head(noisy_folder, tiny_source, tmp_path, monkeypatch):
    import headstart.data.loader as loader
    from headstart.training.heads import classes

    decoded, solved = [], []
    read, fit = loader.read_image, classes.fit_probe
    monkeypatch.setattr(loader, "read_image", lambda reference: decoded.append(reference) or read(reference))
    monkeypatch.setattr(classes, "fit_probe", lambda *a, **k: solved.append(1) or fit(*a, **k))
    from headstart.verbs import tune_trials

    counts = []
    judge = tune_trials.Bench.judge

    def counting(self, *args):
        found = judge(self, *args)
        counts.append((len(decoded), len(solved)))
        return found

    monkeypatch.setattr(tune_trials.Bench, "judge", counting)
    hs.tune(
        noisy_folder, source=str(tiny_source), strategy="lpft", space="weight_decay=0.0..0.5", trials=3, pruner="none",
        epochs=1, augment="none", out=tmp_path / "r", **QUICK,
    )  # fmt: skip
    assert counts[0][1] == 1 and counts[0][0] > 0
    assert counts[1:] == [counts[0]] * 2  # the later trials decode no image and solve no head


def test_pruning_ends_hopeless_trials_and_what_is_left_is_counted(noisy_folder, tiny_source, tmp_path, monkeypatch):
    """Trainings are played here: the first lr has the score 0.9 throughout, the others 0.1."""
    from types import SimpleNamespace

    import headstart.training.search.judge as judging

    epochs = []

    def transfer(source, strategy, classes, train_set, valid_set, settings, *, on_epoch, **more):
        value, history = (0.9 if settings.optimisation["lr"] == 1e-3 else 0.1), []
        epochs.append(0)
        for epoch in range(1, settings.optimisation["epochs"] + 1):
            epochs[-1] = epoch
            history.append({"epoch": epoch, "valid_accuracy": value, "valid_loss": 1.0})
            on_epoch(history[-1])
        return SimpleNamespace(history=history)

    monkeypatch.setattr(judging, "transfer", transfer)
    run = hs.tune(
        noisy_folder, source=str(tiny_source), strategy="finetune", space="lr=1e-3|2e-3|3e-3|4e-3|5e-3", sampler="grid", epochs=9,
        valid_fraction=0, out=tmp_path / "r", **QUICK,
    )  # fmt: skip
    rows = pd.read_csv(run.path / "trials.csv")
    assert rows.state.tolist() == ["judged"] + ["pruned"] * 4
    assert epochs == [9, 1, 1, 1, 1]  # and 13 epochs in all are not more than 2 whole trainings
    assert rows.share.tolist() == pytest.approx([1, *[1 / 9] * 4], abs=1e-5)
    assert run.metrics["tuning"]["params"] == {"lr": 1e-3}


@pytest.fixture
def played(monkeypatch):
    """Trials are played: the score is nearer to 1 the nearer the rate is to 1e-3; what was judged, in order."""
    from headstart.training.search.judge import Judged
    from headstart.verbs import tune_trials

    judged = []

    def judge(self, params, on_share=None):
        judged.append(params["lr"])
        what = played_at.get(len(judged))
        if what:
            raise what
        return Judged(1 - abs(np.log10(params["lr"] / 1e-3)) / 10, 0.5)

    played_at = {}
    monkeypatch.setattr(tune_trials.Bench, "judge", judge)
    return judged, played_at


def test_a_stopped_search_goes_on_with_what_it_had(noisy_folder, tiny_source, tmp_path, played):
    judged, at = played
    options = {"source": str(tiny_source), "strategy": "finetune", "space": "lr=1e-4..1e-2:log", "epochs": 1} | QUICK
    whole = hs.tune(noisy_folder, trials=5, out=tmp_path / "whole", **options)
    judged.clear()
    at[4] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        hs.tune(noisy_folder, trials=5, out=tmp_path / "r", **options)
    assert partial_of(tmp_path / "r").is_dir()
    with pytest.raises(RecipeError, match="this is a search.*headstart tune --resume"):
        hs.fit(out=tmp_path / "r", resume=True)
    with pytest.raises(RecipeError, match="these options differ from it: got 'epochs, space'"):
        hs.tune(noisy_folder, out=tmp_path / "r", resume=True, space="lr=1|2", epochs=3, workers=0)
    at.clear()
    run = hs.tune(noisy_folder, trials=5, out=tmp_path / "r", resume=True, **options)
    assert (
        len(judged) == 6 and judged[3] == judged[4]
    )  # three before, the one that was stopped, and two after: five trials in all
    columns = ["score", "lr"]
    a, b = (pd.read_csv(r.path / "trials.csv")[columns] for r in (run, whole))
    assert a.equals(b)  # as if it had never stopped
    assert run.metrics["target"] == whole.metrics["target"]
    assert (run.path / "study.journal").stat().st_size > 0
    with pytest.raises(RunError, match="finished, there is nothing to resume"):
        hs.tune(out=tmp_path / "r", resume=True)


def test_a_trial_that_fails_is_said_and_the_rest_goes_on(noisy_folder, tiny_source, tmp_path, played):
    judged, at = played
    options = {"source": str(tiny_source), "strategy": "finetune", "sampler": "grid", "epochs": 1} | QUICK
    at[2] = ValueError("a library fell over")
    run = hs.tune(noisy_folder, space="lr=1e-3|1.0|1e-2", out=tmp_path / "r", **options)
    rows = pd.read_csv(run.path / "trials.csv")
    assert rows.state.tolist() == ["judged", "failed", "judged"]
    assert rows.why[1] == "ValueError: a library fell over"
    at |= {k: ValueError("a library fell over") for k in (4, 5, 6)}
    with pytest.raises(WorkError, match="no trial could be judged.*a library fell over"):
        hs.tune(noisy_folder, space="lr=1.0|2.0|3.0|4.0", out=tmp_path / "all", **options)
    assert len(judged) == 6


@pytest.mark.slow
def test_the_strategy_itself_is_searched_where_none_is_named(noisy_folder, tiny_source, tmp_path):
    run = hs.tune(noisy_folder, source=str(tiny_source), trials=4, pruner="none", space="lr=1e-4..1e-2:log,strategy=probe|finetune", epochs=1, out=tmp_path / "r", **QUICK)  # fmt: skip
    rows = pd.read_csv(run.path / "trials.csv")
    assert set(rows.strategy) == {"probe", "finetune"}  # the default of each begins
    assert rows[rows.strategy == "probe"].lr.isna().all() and rows[rows.strategy == "finetune"].lr.notna().all()
    assert run.recipe["strategy"] in ("probe", "finetune")


def test_a_recipe_holds_the_space_and_arrays_need_no_file(tmp_path, tiny_source):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 12)
    images = [(rng.normal(0, 20, (32, 32, 3)) + 100 + 50 * y).clip(0, 255).astype(np.uint8) for y in labels]
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"source: {tiny_source}\nstrategy: finetune\nepochs: 1\nbaselines: none\nverify: false\ntrials: 2\nsampler: random\n"
        "space:\n  lr: 1e-4..1e-2:log\n  augment: [none, light]\n"
    )
    run = hs.tune((images, labels), recipe=path, out=tmp_path / "r")
    rows = pd.read_csv(run.path / "trials.csv")
    assert len(rows) == 2 and {"lr", "augment"} <= set(rows)
    with pytest.raises(RecipeError, match="arrays in memory cannot be read by another process"):
        hs.tune((images, labels), recipe=path, out=tmp_path / "s", workers=2)
    with pytest.raises(RecipeError, match="unknown key in the recipe: got 'trials'.*headstart tune"):
        hs.fit((images, labels), recipe=path, out=tmp_path / "t")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"space": "weight_dekay=0|0.1"}, RecipeError, "unknown parameter of the space: got 'weight_dekay'.*weight_decay="),
        ({"space": "l2sp.weight=0.1|1"}, RecipeError, "no strategy of the space has the part 'l2sp'"),
        ({"space": "seed=0|1"}, RecipeError, "not how the model is made, so it is not searched: got 'seed'"),
        ({"space": "dropout=0..2"}, RecipeError, "bad value of dropout"),
        ({"space": "augment=none|wild"}, RecipeError, "unknown augmentation: got 'wild'"),
        ({"space": "lr=1e-3..1e-2", "sampler": "grid"}, RecipeError, "a grid needs points"),
        ({"space": "lr=1|2|3", "sampler": "grid", "trials": 2}, RecipeError, "a grid visits every point"),
        ({"space": "lr=0.1|1", "strategy": "probe"}, HandshakeError, "without gradient steps"),
        ({"space": "layer=stem|layer9", "strategy": "probe"}, QuestionError, "no such layer"),
        ({"space": "strategy=probe|finetune"}, RecipeError, "both given and searched"),
        ({"space": "layer=a|b", "strategy": None, "epochs": 2}, HandshakeError, "no strategy of the space reads"),
        ({"sampler": "tpx"}, RecipeError, "unknown sampler: got 'tpx'.*--sampler tpe"),
        ({"pruner": "halve"}, RecipeError, "unknown pruner: got 'halve'.*--pruner halving"),
        ({"pruner": "hyperband", "strategy": None}, RecipeError, "hyperband would compare"),
        ({"trials": 0}, RecipeError, "bad value of trials: got 0; allowed: a whole number from 1 on"),
        ({"folds": 6}, RecipeError, "bad value of folds: got 6; allowed: a whole number from 1 to 5"),
        ({"join": True}, RecipeError, "--join needs the storage"),
        ({"budget": "soon"}, RecipeError, "cannot read the budget"),
    ],
)  # fmt: skip
def test_a_wrong_question_is_one_sentence_and_leaves_nothing(
    image_folder, tiny_source, tmp_path, options, error, words
):
    values = {"source": str(tiny_source), "strategy": "finetune", "workers": 0} | options
    out = {} if options.get("join") else {"out": tmp_path / "r"}
    with pytest.raises(error, match=words):
        hs.tune(image_folder, **values, **out)
    assert not (tmp_path / "r").exists() and not partial_of(tmp_path / "r").exists()


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch, image_folder):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(RecipeError, match=r"not installed: got 'optuna'. Try: pip install 'headstart\[tune\]'"):
        hs.tune(image_folder)


@pytest.mark.slow
def test_few_labels_are_judged_at_the_last_epoch_as_fit_takes_it(image_folder, tiny_source, tmp_path, watched):
    """Where fit holds out no validation images it takes the last epoch; so does the judging, whatever was best on the way."""
    run = hs.tune(
        image_folder, source=str(tiny_source), strategy="finetune", space="lr=1e-3|3e-2", epochs=4, pruner="none",
        out=tmp_path / "r", **QUICK,
    )  # fmt: skip
    rows = pd.read_csv(run.path / "trials.csv")
    last = [rows_[-1]["valid_accuracy"] for searching, _, rows_ in watched if searching]
    assert rows.score.tolist() == pytest.approx(last, abs=1e-5)


def test_another_machine_adds_trials_to_the_same_study(noisy_folder, tiny_source, tmp_path, played):
    judged, _ = played
    options = {
        "source": str(tiny_source),
        "strategy": "finetune",
        "space": "lr=1e-4..1e-2:log",
        "epochs": 1,
        "workers": 0,
    }
    there = {"storage": str(tmp_path / "shared.log"), **options}
    with pytest.raises(RunError, match="no search of these data with these options was begun there"):
        hs.tune(noisy_folder, join=True, **there)
    run = hs.tune(noisy_folder, trials=2, baselines="none", verify=False, out=tmp_path / "r", **there)
    assert hs.tune(noisy_folder, join=True, **there) == 2 == len(judged)  # as many as were asked for: none is left
    assert hs.tune(noisy_folder, join=True, trials=4, **there) == 4 == len(judged)
    assert len(set(judged)) == 4  # it draws what a longer search would have drawn
    with pytest.raises(RunError, match="no search of these data"):
        hs.tune(noisy_folder, join=True, **there | {"epochs": 2})
    assert (
        sorted(p.name for p in tmp_path.glob("*r*") if p.is_dir()) == ["r"]
        and len(pd.read_csv(run.path / "trials.csv")) == 2
    )


def test_a_budget_keeps_back_what_the_final_training_takes(monkeypatch):
    from types import SimpleNamespace

    from headstart.verbs import tune_trials
    from headstart.verbs.decide import CLOSING

    now = [1000.0]
    monkeypatch.setattr(tune_trials.time, "time", lambda: now[0])
    done = []
    book = SimpleNamespace(finished=lambda: done, states=SimpleNamespace(COMPLETE="whole"))
    question = SimpleNamespace(until=1000.0 + CLOSING + 100, values={"baselines": ["scratch"], "seeds": 2})
    clock = tune_trials.Deadline(question, book)
    assert clock.left() == 100 and not clock.cuts(0.5, 60)  # the first trial may finish while there is time at all
    done.append(SimpleNamespace(state="whole", user_attrs={"seconds": 10.0}))
    assert clock.left() == 100 - 1.25 * 4 * 10  # two seeds, each with its scratch
    assert not clock.over() and clock.cuts(0.5, 10) and not clock.cuts(0.5, 9)
    now[0] += 51
    assert clock.over()


@pytest.mark.slow
def test_another_task_is_searched_by_its_own_score_and_less_may_be_better(tmp_path, tiny_source):
    from PIL import Image

    rng = np.random.default_rng(0)
    lines = ["path,label"]
    for i in range(40):
        value = rng.uniform(0, 200)
        Image.fromarray((rng.normal(0, 8, (32, 32, 3)) + value).clip(0, 255).astype(np.uint8)).save(
            tmp_path / f"{i}.png"
        )
        lines.append(f"{i}.png,{value:.4f}")
    (tmp_path / "values.csv").write_text("\n".join(lines) + "\n")
    run = hs.tune(
        tmp_path / "values.csv", task="regression", metric="rmse", source=str(tiny_source), strategy="finetune",
        space="lr=1e-6|3e-3", epochs=3, pruner="none", out=tmp_path / "r", **QUICK,
    )  # fmt: skip
    rows = pd.read_csv(run.path / "trials.csv")
    t = run.metrics["tuning"]
    assert t["metric"] == "rmse" and t["params"]["lr"] == 3e-3
    assert t["optimised"]["value"] == pytest.approx(rows.score.min(), rel=1e-4) and (rows.score > 0).all()
    assert t["reported"] == run.metrics["target"]["rmse"]
    hs.tune(
        tmp_path / "values.csv",
        task="regression",
        source=str(tiny_source),
        strategy="probe",
        out=tmp_path / "p",
        **QUICK,
    )
