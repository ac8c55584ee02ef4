"""`tune` refuses before the first trial what the last training would refuse; unlabelled images reach the trials."""

import json

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("optuna")

import headstart as hs
from headstart.errors import HandshakeError, RecipeError

QUICK = {"baselines": "none", "verify": False, "workers": 0, "trials": 2, "epochs": 1}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"calibrate": "temperature"}, "judges by held-out images"),
        ({"wise": "auto"}, "judges by held-out images"),
        ({"space": "wise=0.2|0.8"}, "done once, with the training that is kept"),
        ({"space": "soup=2|3"}, "done once, with the training that is kept"),
        ({"space": "l2sp.weight=0.1|1"}, r"no strategy of the space has the part 'l2sp'.*finetune\+l2sp"),
        ({"space": "embedding_loss=arcface|triplet"}, "this task has no use.*embedding_loss"),
        ({"average": "emma"}, "bad value of average"),
    ],
)
def test_refused_before_any_trial(more, said, image_folder, tiny_source, tmp_path):
    out = tmp_path / "r"
    with pytest.raises((HandshakeError, RecipeError), match=said):
        hs.tune(
            image_folder, source=str(tiny_source), strategy="finetune", labels_per_class=8, out=out, **{**QUICK, **more}
        )
    assert not list(tmp_path.glob(".r*")), "nothing was begun"


def test_trials_learn_from_unlabelled_images_and_from_none_that_is_held_out(
    image_folder, tiny_source, tmp_path, monkeypatch
):
    import headstart.training.search.judge as judging

    seen = []
    whole = judging.transfer

    def transfer(source, strategy, classes, train_set, valid_set, settings, **how):
        seen.append((strategy.name, set(map(str, valid_set.digests)), settings.feeding.unlabelled))
        return whole(source, strategy, classes, train_set, valid_set, settings, **how)

    monkeypatch.setattr(judging, "transfer", transfer)
    run = hs.tune(
        image_folder, source=str(tiny_source), space="strategy=finetune|fixmatch,lr=1e-3|1e-2", sampler="grid",
        labels_per_class=6, unlabelled=image_folder, out=tmp_path / "r", **{**QUICK, "trials": 4},
    )  # fmt: skip
    assert sorted(name for name, *_ in seen) == ["finetune", "finetune", "finetune+fixmatch", "finetune+fixmatch"]
    for name, held_out, unlabelled in seen:
        assert held_out and (unlabelled is not None)
        assert not held_out & set(map(str, unlabelled.digests)), name
    assert len(pd.read_csv(run.path / "trials.csv")) == 4
    used = "fixmatch" in run.recipe["strategy"]
    assert ("unlabelled" in json.loads((run.path / "data.json").read_text())) == used
    assert np.isfinite(run.metrics["tuning"]["optimised"]["value"])
