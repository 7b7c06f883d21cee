"""Masks as images, plain and weighted, effective masks, plates, hierarchies."""

import numpy as np
import pytest

from postprocess.masks import (
    effective_mask,
    effective_weights,
    hierarchy,
    image_plate,
    input_images,
    layer_masks,
    mask_planes,
    mask_plate,
    pixel_map,
    weighted_images,
)
from sifting.errors import DataError
from sifting.network.plates import image_shape


def test_flat_index_is_channel_major():
    mask = np.zeros((3 * 16, 1))
    mask[2 * 16 + 1 * 4 + 3] = -0.1
    assert np.argwhere(mask_planes(mask)).tolist() == [[0, 2, 1, 3]]
    assert np.argwhere(input_images(mask)).tolist() == [[0, 1, 3, 2]]
    assert input_images(mask)[0, 1, 3, 2] == -0.1


def test_plates_of_other_images():
    """Not square; of two channels, which are shown in grey, by their mean."""
    images = np.zeros((2, 2, 4, 2))
    images[1, 0, 3] = 1, 0.5
    plate = image_plate(images, columns=1)[::8, ::8]
    assert plate.shape == (5, 4, 3)
    assert np.all(plate[plate != 1] <= 0.75) and (plate == 0.75).sum() == 3


def test_the_number_of_inputs_tells_colour_from_grey():
    """If images are square; else their shape must be given, and fit."""
    assert [image_shape(inputs) for inputs in (192, 3072, 784)] == [(3, 8, 8), (3, 32, 32), (1, 28, 28)]
    assert image_shape(1024) == (1, 32, 32) and image_shape(1024, (4, 16, 16)) == (4, 16, 16)
    for inputs in (0, 2, 1023, 3073):
        with pytest.raises(DataError, match=f"^{inputs} inputs are not those of square images; accepted: "):
            image_shape(inputs)
    with pytest.raises(DataError, match="^3072 inputs are not those of such images; accepted: 3 x 30 x 32$"):
        image_shape(3072, (3, 30, 32))


def test_effective_mask_by_hand():
    """Input 0 reaches node 0 by two paths, input 1 reaches none: its hidden node is cut off; weights of opposite sign
    do not cancel."""
    first = np.array([[1.0, -2.0, 0], [0, 0, 3.0]])
    second = np.array([[1.0, 0], [1.0, 1.0], [0, 0]])
    np.testing.assert_array_equal(effective_mask([first, second]), [[1, 1], [0, 0]])
    np.testing.assert_array_equal(effective_mask([first]), [[1, 1, 0], [0, 0, 1]])


def random_masks(*widths: int, density: float = 0.1) -> list[np.ndarray]:
    rng = np.random.default_rng(9)
    return [(rng.random(shape) < density).astype(np.float32) for shape in zip(widths, widths[1:], strict=False)]


def test_layer_masks_of_both_kinds():
    """Effective: a path exists where the product of the masks counts one."""
    masks = random_masks(48, 20, 15, 10)
    own, effective = layer_masks(masks, "own"), layer_masks(masks, "effective")
    for layer in range(3):
        np.testing.assert_array_equal(own[layer], masks[layer])
        np.testing.assert_array_equal(effective[layer], np.linalg.multi_dot([np.eye(48), *masks[: layer + 1]]) > 0)
        np.testing.assert_array_equal(effective[layer], effective_mask(masks[: layer + 1]))
    with pytest.raises(ValueError, match="'all': accepted: own, effective"):
        layer_masks(masks, "all")


def test_effective_weights_by_hand():
    """Pruned weights do not count, whatever the weights and the mask hold there; paths of opposite sign cancel."""
    weights = [np.array([[1, -2], [3, 100]]), np.array([[4.0], [2.0]])]
    masks = [np.array([[1, 1], [5, 0]]), np.array([[1], [1]])]
    np.testing.assert_array_equal(effective_weights(weights, masks), [[1 * 4 - 2 * 2], [3 * 4]])
    np.testing.assert_array_equal(effective_weights(weights[:1], masks[:1]), [[1, -2], [3, 0]])


def test_weighted_images_by_hand():
    """Each node by its largest weight of either sign; pruned weights, and an empty node, are grey."""
    weights = np.zeros((12, 3))
    weights[[0, 5], 0] = -1, 4  # red at (0, 0); green at (0, 1)
    weights[11, 1] = -2  # blue at (1, 1)
    first, second, empty = weighted_images(weights)
    assert (first[0, 0, 0], first[0, 1, 1], first[1, 1, 2]) == (0.375, 1, 0.5)
    assert second[1, 1, 2] == 0 and np.count_nonzero(second != 0.5) == 1
    assert np.all(empty == 0.5)


def test_pixel_map_of_an_empty_mask():
    assert not pixel_map(np.zeros((12, 5))).any()


def test_hierarchy_by_hand():
    """Pixels 0, 1 -> a, b, c -> d, e, f -> g. c has no input; f is fed by c alone, e by a and c; g drops d."""
    masks = [
        np.array([[1, 0, 0], [0, 1, 0]]),
        np.array([[0, 1, 0], [1, 0, 0], [0, 1, 1]]),
        np.array([[0], [-2], [1]]),
    ]
    assert [level.tolist() for level in hierarchy(masks, 0)] == [[0], [1], [0]]
    assert [level.tolist() for level in hierarchy(masks[:2], 0)] == [[1], [0]]
    assert [level.tolist() for level in hierarchy(masks[:2], 2)] == [[], [2]]
    assert [level.tolist() for level in hierarchy(masks[:1], 1)] == [[1]]


def test_hierarchy_covers_the_effective_mask():
    """The layer-1 masks that feed a layer-3 node add up to its effective mask, and none of them is empty."""
    masks = random_masks(48, 20, 15, 10)
    effective = layer_masks(masks, "effective")
    for node in range(10):
        levels = hierarchy(masks, node)
        for layer, nodes in enumerate(levels[:-1]):
            np.testing.assert_array_equal(effective[layer][:, nodes].any(axis=1), effective[2][:, node])
            assert effective[layer][:, nodes].any(axis=0).all()


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
    """About square by default, with gaps that look equally thin at every S; nothing of masks without nodes."""
    plate = mask_plate(np.ones((3 * size**2, 9)), count=7)
    assert plate.shape == (3 * (tile + gap) - gap, 3 * (tile + gap) - gap, 3)
    assert mask_plate(np.eye(12)).shape == (0, 0, 3)
    grey = mask_plate(np.eye(16)[:, :1] + np.eye(16)[:, 1:2])
    assert grey.shape == (32, 32, 3) and grey.sum() == 2 * 64 * 3


def test_plate_of_images():
    """As they are, side by side: of masks it is what mask_plate shows."""
    images = np.random.default_rng(11).random((2, 32, 32, 3)).astype(np.float32)
    plate = image_plate(images, columns=2)
    np.testing.assert_array_equal(plate[:, :32], images[0])
    np.testing.assert_array_equal(plate[:, 33:], images[1])
