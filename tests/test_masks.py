"""Masks as images, effective masks, plates."""

import numpy as np
import pytest

from postprocess.masks import effective_mask, image_size, mask_planes, mask_plate
from sifting.errors import DataError


def test_flat_index_is_channel_major():
    mask = np.zeros((3 * 16, 1))
    mask[2 * 16 + 1 * 4 + 3] = -0.1
    assert np.argwhere(mask_planes(mask)).tolist() == [[0, 2, 1, 3]]


@pytest.mark.parametrize("inputs, size", [(192, 8), (3072, 32), (12288, 64)])
def test_image_size(inputs, size):
    assert image_size(inputs) == size


@pytest.mark.parametrize("inputs", [0, 2, 100, 1024, 3073])
def test_inputs_that_are_no_image(inputs):
    with pytest.raises(DataError, match=f"^{inputs} inputs are not a square image of 3 channels; accepted:"):
        image_size(inputs)


def test_effective_mask_by_hand():
    """Input 0 reaches node 0 by two paths, input 1 reaches none: its hidden node is cut off; weights of opposite sign
    do not cancel."""
    first = np.array([[1.0, -2.0, 0], [0, 0, 3.0]])
    second = np.array([[1.0, 0], [1.0, 1.0], [0, 0]])
    np.testing.assert_array_equal(effective_mask([first, second]), [[1, 1], [0, 0]])
    np.testing.assert_array_equal(effective_mask([first]), [[1, 1, 0], [0, 0, 1]])


def test_plate_by_hand():
    """Three nodes of 2x2 pixels, at most two tiles a row, one with a single connection: it is left out."""
    mask = np.zeros((3, 2, 2, 4))
    mask[0, 0, 0, 1] = mask[0, 1, 1, 1] = mask[1, 1, 1, 1] = 1  # red; red + green
    mask[:, 0, 1, 3] = 1  # white, equally connected: after node 1
    mask[2, 0, :, 0] = 1  # blue
    mask[2, 0, 0, 2] = 1
    plate = mask_plate(mask.reshape(12, 4), columns=2)
    small = plate[::16, ::16]  # each pixel is enlarged 16 times, gaps are one pixel wide
    assert plate.shape == (65, 65, 3)
    assert plate.dtype == np.float32
    np.testing.assert_array_equal(small[0, 0], [1, 0, 0])
    np.testing.assert_array_equal(plate[20, 20], [1, 1, 0])
    np.testing.assert_array_equal(plate[5, 20], [0, 0, 0])
    np.testing.assert_array_equal(plate[5, 33 + 20], [1, 1, 1])
    np.testing.assert_array_equal(plate[5, 33 + 5], [0, 0, 0])
    np.testing.assert_array_equal(plate[33 + 5, 5], [0, 0, 1])
    assert np.all(plate[32] == 1)  # the gap
    assert np.all(plate[33:, 33:] == 1)  # no fourth tile


@pytest.mark.parametrize("size, tile, gap", [(8, 32, 1), (32, 32, 1), (64, 64, 2)])
def test_plate_sizes(size, tile, gap):
    """About square by default, with gaps that look equally thin at every S."""
    plate = mask_plate(np.ones((3 * size**2, 9)), count=7)
    assert plate.shape == (3 * (tile + gap) - gap, 3 * (tile + gap) - gap, 3)


def test_plate_of_grey_masks():
    plate = mask_plate(np.eye(16)[:, :1] + np.eye(16)[:, 1:2], channels=1)
    assert plate.shape == (32, 32, 3)
    assert plate.sum() == 2 * 64 * 3


def test_plate_without_nodes():
    assert mask_plate(np.eye(12)).shape == (0, 0, 3)
