"""The study: exact counts, reproducible draws, pruning, and that a death costs nothing but its trial."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from headstart.errors import RecipeError
from headstart.training.search import outcome
from headstart.training.search.book import Book, alive, me, open_storage
from headstart.training.search.space import Choice, Range, Space

SPACE = Space({"finetune": {"x": Range(0.0, 1.0), "y": Range(1e-3, 1.0, log=True), "z": Choice(("a", "b"))}})


def book(tmp_path, name="study", **options):
    values = {"total": 8, "sampler": "random", "pruner": "none", "rungs": 9, "seed": 0} | options
    return Book(open_storage(str(tmp_path / f"{name}.journal")), "s", values.pop("space", SPACE), **values)


def run(book, epochs=0, score=lambda p: p["x"], stop_after=None):
    """Work as the loop does: (parameters, epochs that each trial had)."""
    done = []
    while (trial := book.ask()) is not None:
        if stop_after is not None and len(done) == stop_after:
            return done  # killed: the trial stays as it is
        params, state = book.space.suggest(trial), book.states.COMPLETE
        epoch = 0
        for epoch in range(1, epochs + 1):
            trial.report(score(params) * epoch / epochs, step=epoch)
            if epoch < epochs and trial.should_prune():
                state = book.states.PRUNED
                break
        book.study.tell(trial, score(params) if state == book.states.COMPLETE else None, state=state)
        done.append((params, epoch))
    return done


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_same_seed_draws_the_same_and_another_seed_other_points(tmp_path, sampler):
    first = run(book(tmp_path, "a", sampler=sampler))
    assert run(book(tmp_path, "b", sampler=sampler)) == first
    assert run(book(tmp_path, "c", sampler=sampler, seed=1)) != first
    assert len({params["x"] for params, _ in first}) == 8


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_study_that_was_killed_draws_what_it_would_have_drawn(tmp_path, sampler):
    whole = [params for params, _ in run(book(tmp_path, "whole", sampler=sampler))]
    cut = book(tmp_path, "cut", sampler=sampler)
    first = [params for params, _ in run(cut, stop_after=5)]
    again = book(tmp_path, "cut", sampler=sampler)
    assert again.reclaim(private=True) == 1
    rest = [params for params, _ in run(again)]
    assert first + rest == whole
    assert len(again.finished()) == 8 and len(again.lost()) == 1


def test_tpe_searches_where_the_scores_are_high(tmp_path):
    found = run(book(tmp_path, sampler="tpe", total=30), score=lambda p: -abs(p["x"] - 0.8))
    late = [abs(params["x"] - 0.8) for params, _ in found[-10:]]
    early = [abs(params["x"] - 0.8) for params, _ in found[:10]]
    assert sum(late) < 0.5 * sum(early)


def test_a_grid_is_visited_once_point_by_point(tmp_path):
    space = Space(
        {"finetune": {"a": Choice((1, 2, 3)), "b": Choice(("u", "v"))}, "probe": {"c": Choice((True, False))}}
    )
    points = space.grid()
    b = book(tmp_path, space=space, total=len(points), sampler="grid")
    b.begin(points)
    b.begin(points)  # a second worker, or a resumed search, queues nothing again
    seen = [t for t, _ in run(b, score=lambda p: 0.5)]
    assert seen == points
    assert b.ask() is None


def test_halving_gives_up_a_hopeless_trial_after_one_ninth_of_its_epochs(tmp_path):
    b = book(tmp_path, total=6, pruner="halving", rungs=9)
    scores = iter([0.9, 0.8, 0.1, 0.1, 0.1, 0.1])
    values = [next(scores) for _ in range(6)]
    done = []
    while (trial := b.ask()) is not None:
        b.space.suggest(trial)
        value, state = values[trial.number], b.states.COMPLETE
        for epoch in range(1, 10):
            trial.report(value, step=epoch)
            if epoch < 9 and trial.should_prune():
                state = b.states.PRUNED
                break
        done.append(epoch)
        b.study.tell(trial, value if state == b.states.COMPLETE else None, state=state)
    assert done[0] == 9  # the first has nothing to be compared with
    assert done[2:] == [1, 1, 1, 1]
    rows = outcome.rows(b)
    assert [r["state"] for r in rows] == ["judged", "pruned", "pruned", "pruned", "pruned", "pruned"]
    assert rows[2]["share"] == pytest.approx(1 / 9) and rows[2]["score"] == 0.1
    assert b.best().number == 0


def test_all_trials_together_keep_to_their_ration(tmp_path):
    """Each better than all before: halving alone would let every one of them train to its end."""
    b = book(tmp_path, total=20, pruner="halving", rungs=9)
    spent = 0
    for k in range(20):
        trial = b.ask()
        for epoch in range(1, 10):
            trial.report(0.5 + k / 100, step=epoch)
            spent += 1
            if epoch < 9 and (trial.should_prune() or (epoch == 1 and not b.affords(trial.number))):
                b.study.tell(trial, state=b.states.PRUNED)
                break
        else:
            b.study.tell(trial, 0.5 + k / 100)
    assert 7 * 9 < spent <= 8 * 9


def test_trials_are_compared_within_their_strategy_alone(tmp_path):
    space = Space({"lpft": {"x": Range(0.0, 1.0)}, "finetune": {"x": Range(0.0, 1.0)}})
    for pruner in ("halving", "median"):
        b = book(tmp_path, pruner, space=space, total=8, pruner=pruner, rungs=9)
        b.begin([{"strategy": name, "x": x / 10} for x in range(4) for name in ("lpft", "finetune")])
        epochs: dict[str, list[int]] = {"lpft": [], "finetune": []}
        while (trial := b.ask()) is not None:
            params = space.suggest(trial)
            value = {"lpft": 0.9, "finetune": 0.5}[params["strategy"]] + params[
                "x"
            ] / 10  # better and better, one always ahead
            for epoch in range(1, 10):
                trial.report(value, step=epoch)
                if epoch < 9 and trial.should_prune():
                    break
            epochs[params["strategy"]].append(epoch)
            b.study.tell(trial, value)
        assert epochs == {"lpft": [9] * 4, "finetune": [9] * 4}
    with pytest.raises(RecipeError, match="hyperband would compare early scores of different strategies"):
        book(tmp_path, "h", space=space, pruner="hyperband")


def test_median_compares_with_three_whole_trials(tmp_path):
    b = book(tmp_path, total=5, pruner="median", rungs=10)
    epochs = []
    for value in (0.5, 0.6, 0.7, 0.1, 0.9):
        trial = b.ask()
        for epoch in range(1, 11):
            trial.report(value, step=epoch)
            if epoch < 10 and trial.should_prune():
                break
        epochs.append(epoch)
        b.study.tell(trial, value)
    assert epochs == [10, 10, 10, 2, 10]


def test_the_last_trial_is_taken_once_where_two_workers_see_it_open(tmp_path):
    b = book(tmp_path, total=1)
    run(b)
    now, stale = b.trials, [[]]
    b.trials = lambda: stale.pop() if stale else now()  # as it stood before the other worker took it
    assert b.ask() is None
    assert len(b.study.trials) == 2 and len(b.finished()) == len(outcome.rows(b)) == 1 and b.done


def test_a_trial_that_kills_its_worker_again_and_again_is_given_up(tmp_path):
    b = book(tmp_path, total=2)
    for _ in range(3):
        b.space.suggest(b.ask())
        assert b.reclaim(private=True) == 1
    (failed,) = b.finished()
    assert failed.user_attrs["why"] == "its worker died 3 times"
    x = {t.params["x"] for t in b.study.trials}
    assert len(x) == 1  # each time the same point
    assert len(run(b)) == 1 and b.done


def test_who_is_alive():
    assert alive(me())
    assert not alive({**me(), "began": "1"})  # the number of a process that is gone, used again
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert not alive({"host": me()["host"], "pid": gone.pid, "began": ""})


def test_a_line_that_was_not_written_to_its_end_costs_nothing_but_itself(tmp_path):
    b = book(tmp_path, total=3)
    run(b, stop_after=2)
    path = tmp_path / "study.journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 6, "worker_id": "x", "tri')
    again = book(tmp_path, total=3)
    assert path.read_bytes().startswith(whole)
    again.reclaim(private=True)
    run(again)
    assert len(book(tmp_path, total=3).finished()) == 3


def test_another_question_in_the_same_storage_is_refused(tmp_path):
    book(tmp_path, question="one")
    with pytest.raises(RecipeError, match="answers another question"):
        book(tmp_path, question="two")


@pytest.mark.parametrize(
    ("where", "words"),
    [("sqlite:////nowhere/at/all.db", "cannot open the storage"), ("oracle+none://x", "cannot open the storage")],
)
def test_a_storage_that_cannot_be_opened(where, words):
    with pytest.raises(RecipeError, match=words):
        open_storage(where)


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("milk\neggs\n")
    with pytest.raises(RecipeError, match="not a journal of Optuna's"):
        open_storage(str(tmp_path / "notes.txt"))


def test_a_database_serves_as_well(tmp_path):
    b = Book(
        open_storage(f"sqlite:///{tmp_path}/s.db"), "s", SPACE, total=4, sampler="tpe", pruner="none", rungs=1, seed=0
    )
    assert len(run(b)) == 4 and b.done


def test_the_importance_is_of_the_parameter_that_matters(tmp_path):
    b = book(tmp_path, total=25)
    run(b, score=lambda p: p["x"] + 0.01 * (p["z"] == "a"))
    found = outcome.importance(b, seed=0)
    assert found["evaluator"] == "fANOVA" and found["n"] == 25
    assert next(iter(found["values"])) == "x" and found["values"]["x"] > 0.8
    assert sum(found["values"].values()) == pytest.approx(1)
    assert outcome.importance(b, seed=0) == found
    flat = book(tmp_path, "flat", total=5)
    run(flat, score=lambda p: 1.0)
    assert outcome.importance(flat, seed=0)["values"] == {}


WORKER = """
import json, os, sys
from headstart.training.search.book import Book, open_storage
from headstart.training.search.space import Range, Space
space = Space({"finetune": {"x": Range(0.0, 1.0)}})
b = Book(open_storage(sys.argv[1]), "s", space, total=int(sys.argv[2]), sampler="random", pruner="none", rungs=1, seed=0)
while (trial := b.ask()) is not None:
    params = space.suggest(trial)
    b.study.tell(trial, params["x"])
"""


def test_two_processes_on_one_journal_finish_the_asked_number_in_all(tmp_path):
    where = str(tmp_path / "j.log")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    both = [subprocess.Popen([sys.executable, "-c", WORKER, where, "9"], env=env) for _ in range(2)]
    assert [p.wait(timeout=120) for p in both] == [0, 0]
    space = Space({"finetune": {"x": Range(0.0, 1.0)}})
    b = Book(open_storage(where), "s", space, total=9, sampler="random", pruner="none", rungs=1, seed=0)
    assert len(b.finished()) == 9 and all(t.state == b.states.COMPLETE for t in b.finished())
    assert len({t.params["x"] for t in b.finished()}) == 9  # no two draw the same
    assert json.dumps(outcome.rows(b))
