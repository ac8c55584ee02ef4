"""Test-time views: what each is, on pictures where it can be seen."""

import pytest
import torch

from headstart.data.views import view, view_names


def test_the_order_of_the_views():
    assert view_names(3, flip=True) == ["whole", "whole, mirrored", "top left"]
    assert view_names(3, flip=False) == ["whole", "top left", "bottom right"]
    assert len(set(view_names(10, flip=True))) == 10
    with pytest.raises(ValueError, match="there are 5 views, not 6"):
        view_names(6, flip=False)


def test_the_first_is_the_image_and_the_mirror_mirrors():
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(view(images, "whole"), images)
    assert torch.equal(view(images, "whole, mirrored"), images.flip(-1))


def test_a_corner_is_the_part_there_enlarged():
    ramp = torch.arange(16.0).expand(1, 3, 16, 16)  # value = column
    left, right = view(ramp, "top left"), view(ramp, "top right")
    assert left.shape == ramp.shape
    assert left.max() == 13 and left.min() == 0  # columns 0..13 of a crop of 14
    assert right.max() == 15 and right.min() == 2
    assert torch.equal(view(ramp, "bottom left"), left)  # nothing differs from row to row
    assert torch.equal(view(ramp, "top left, mirrored"), left.flip(-1))
