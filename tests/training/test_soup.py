"""Soups: the greedy rule worked by hand, never worse than the best; the words of the option."""

import pytest
import torch

from headstart.errors import RecipeError
from headstart.training.soup import Soup, cook, parse_soup, recipe_of


def judge_near(goal, seen=None):
    """The nearer the weight to ``goal``, the better."""

    def judge(state, mean):
        if seen is not None:
            seen.append((round(state["w"].item(), 3), mean))
        return [-abs(state["w"].item() - goal)], dict(state)

    return judge


def states(*values):
    return [{"w": torch.tensor(v)} for v in values]


def test_the_greedy_rule_by_hand():
    # alone, 1 (1.1 away) is before 3 (0.9)? goal 2.1: 3 is 0.9 away, 1 is 1.1, 7 is 4.9
    seen = []
    found = cook(states(1.0, 7.0, 3.0), judge_near(2.1, seen), greedy=True)
    # 3 first; (3 + 1) / 2 = 2 is 0.1 away: in; (3 + 1 + 7) / 3 = 3.67 is 1.57 away: out
    assert found.chosen == (2, 0)
    assert found.weights["w"].item() == 2.0
    assert found.rank == pytest.approx((-0.1,), abs=1e-6)
    assert seen == [(1.0, False), (7.0, False), (3.0, False), (2.0, True), (3.667, True)]


def test_a_mean_that_is_no_worse_goes_in_and_one_that_is_worse_stays_out():
    assert cook(states(2.0, 2.0), judge_near(2.0), greedy=True).chosen == (0, 1)
    assert cook(states(2.0, 2.5), judge_near(2.0), greedy=True).chosen == (0,)


def test_the_greedy_soup_is_never_worse_than_the_best_training():
    torch.manual_seed(0)
    for _ in range(50):
        values = torch.randn(5).tolist()
        found = cook(states(*values), judge_near(0.2), greedy=True)
        assert found.rank >= max(found.ranks)


def test_the_uniform_soup_is_the_mean():
    found = cook(states(1.0, 2.0, 6.0), None, greedy=False)
    assert found.weights["w"].item() == 3.0 and found.chosen == (0, 1, 2) and found.rank is None
    assert cook(states(1.0, 2.0, 6.0), judge_near(0.0), greedy=False).rank == (-3.0,)
    with pytest.raises(ValueError, match="held-out"):
        cook(states(1.0), None, greedy=True)


def test_the_first_training_is_the_recipe_itself_and_the_others_differ():
    assert recipe_of(0, 5) == (5, 1.0)
    drawn = [recipe_of(i, 5) for i in range(1, 20)]
    assert len({seed for seed, _ in drawn}) == 19
    assert all(0.5 <= factor <= 2 for _, factor in drawn)
    assert drawn[3] == recipe_of(4, 5)


@pytest.mark.parametrize(
    ("text", "found"),
    [("none", None), (1, None), (4, Soup("greedy", 4)), ("3", Soup("greedy", 3)), ("uniform(2)", Soup("uniform", 2))],
)
def test_words(text, found):
    assert parse_soup(text) == found
    assert found is None or parse_soup(str(found)) == found


@pytest.mark.parametrize("text", ["0", "-2", "many", "greedy", "uniform(1)", "101"])
def test_other_words_are_refused(text):
    with pytest.raises(RecipeError, match="bad value of soup"):
        parse_soup(text)
