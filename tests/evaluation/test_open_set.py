"""OS*, UNK and HOS by hand."""

import numpy as np
import pytest

from headstart.evaluation.open_set import open_codes, open_set_metrics


def test_labels_that_the_source_has_not_are_unknown():
    assert open_codes(["b", "z", "a", "q"], ("a", "b")).tolist() == [1, 2, 0, 2]
    assert open_codes(np.array([3, 1, 9]), ("1", "3")).tolist() == [1, 0, 2]


def test_scores_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    predicted = np.array([0, 0, 0, 2, 1, 0, 2, 2, 2, 2, 1])
    found = open_set_metrics(predicted, labels, 2)
    star, unk = (3 / 4 + 1 / 2) / 2, 4 / 5
    assert found["os_star"]["value"] == pytest.approx(star)
    assert found["unk"]["value"] == pytest.approx(unk)
    assert found["os"]["value"] == pytest.approx((3 / 4 + 1 / 2 + 4 / 5) / 3)
    assert found["hos"]["value"] == pytest.approx(2 * star * unk / (star + unk))
    for score in found.values():
        assert score["ci95"][0] < score["value"] < score["ci95"][1]


def test_a_closed_set_answer_has_no_hos_to_speak_of():
    labels = np.array([0] * 20 + [1] * 20 + [2] * 10)
    found = open_set_metrics(np.where(labels == 2, 0, labels), labels, 2)
    assert found["os_star"]["value"] == 1 and found["unk"]["value"] == found["hos"]["value"] == 0
    assert found["os"]["value"] == pytest.approx(2 / 3)
    assert found["unk"]["ci95"][1] > 0.1, "ten rows prove no certainty"


def test_a_class_that_the_target_lacks_does_not_count():
    labels, predicted = np.array([0, 0, 3, 3]), np.array([0, 1, 3, 3])
    assert open_set_metrics(predicted, labels, 3)["os_star"]["value"] == 0.5


@pytest.mark.parametrize(("labels", "there"), [([0, 1, 1], {"os_star"}), ([2, 2, 2], {"unk"})])
def test_what_is_not_defined_is_left_out(labels, there):
    assert set(open_set_metrics(np.array([0, 1, 2]), np.array(labels), 2)) == there
