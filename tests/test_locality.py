"""S_sc, S_dc and L3: by hand on three pixels, by brute force on small masks, and equal to the reference's notebook."""

from pathlib import Path

import numpy as np
import pytest

from postprocess.locality import displacement_maps, full_map, locality_index, near_share, node_maps
from postprocess.masks import effective_mask
from sifting.errors import DataError

DATA = Path(__file__).parent / "data"


def pixels(size: int, *positions: tuple[int, int, int]) -> np.ndarray:
    """The mask of one node, uint8 [3*S*S, 1], connected at these (c, y, x)."""
    mask = np.zeros((3, size, size), np.uint8)
    for position in positions:
        mask[position] = 1
    return mask.reshape(-1, 1)


def pairs_by_loop(mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The definition, one pair at a time."""
    same, different = np.zeros((2, 2 * size + 1, 2 * size + 1), int)
    for node in mask.T:
        connected = [np.unravel_index(i, (3, size, size)) for i in np.flatnonzero(node)]
        for a, (c, y, x) in enumerate(connected):
            for b, (c2, y2, x2) in enumerate(connected):
                if a != b:
                    (same if c == c2 else different)[y2 - y + size, x2 - x + size] += 1
    return same, different


def test_three_pixels_by_hand():
    """Red at (y, x) = (0, 0) and (1, 2), green at (1, 2): one pair of the same channel, two of different ones."""
    maps = displacement_maps(pixels(4, (0, 0, 0), (0, 1, 2), (1, 1, 2)))
    same, different = np.zeros((2, 9, 9), int)
    same[4 + 1, 4 + 2] = same[4 - 1, 4 - 2] = 1  # red, red
    different[4 + 1, 4 + 2] = different[4 - 1, 4 - 2] = 1  # red, green
    different[4, 4] = 2  # the two colours of (1, 2), once at d and once at -d
    np.testing.assert_array_equal(maps.same, same)
    np.testing.assert_array_equal(maps.different, different)
    assert maps.same.dtype == maps.different.dtype == np.int64


@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_equals_the_loop_over_pairs(density):
    """Exact at any density, for more nodes than one block holds, and also for weights as a mask."""
    rng = np.random.default_rng(0)
    mask = (rng.random((75, 140)) < density) * rng.normal(size=(75, 140))
    same, different = pairs_by_loop(mask, 5)
    maps = displacement_maps(mask)
    np.testing.assert_array_equal(maps.same, same)
    np.testing.assert_array_equal(maps.different, different)


def test_node_maps_add_up_to_the_layer():
    mask = np.random.default_rng(1).random((192, 150)) < 0.2
    maps = node_maps(mask)
    assert maps.shape == (150, 17, 17)
    np.testing.assert_array_equal(maps.sum(axis=0), displacement_maps(mask).same)
    np.testing.assert_array_equal(maps[7], displacement_maps(mask[:, [7]]).same)


def test_number_of_pairs():
    """n connections of one node make n (n - 1) ordered pairs, in the two maps together."""
    mask = np.random.default_rng(2).random((192, 20)) < 0.3
    connections = mask.sum(axis=0)
    assert sum(map(np.sum, displacement_maps(mask))) == np.sum(connections * (connections - 1))


def test_dense_node():
    np.testing.assert_array_equal(displacement_maps(np.ones((3 * 36, 1))).same, full_map(6))


def test_one_channel():
    maps = displacement_maps(np.ones((16, 2)), channels=1)
    np.testing.assert_array_equal(maps.same, 2 * full_map(4, channels=1))
    assert not maps.different.any()


def test_equals_the_notebook_on_32x32():
    recorded = np.load(DATA / "postprocess.npz")
    maps = displacement_maps(recorded["synthetic32_mask"])
    np.testing.assert_array_equal(maps.same, recorded["synthetic32_sc"])
    np.testing.assert_array_equal(maps.different, recorded["synthetic32_dc"])


@pytest.mark.parametrize("number", [3, 5])
@pytest.mark.parametrize("layer", [1, 2])
def test_equals_the_notebook_on_a_recorded_run(number, layer):
    """Layer 2 by its effective mask."""
    run, recorded = np.load(DATA / "imp_fc_sgd.npz"), np.load(DATA / "postprocess.npz")
    maps = displacement_maps(effective_mask([run[f"r{number}_mask_l{index}_W"] for index in range(layer)]))
    np.testing.assert_array_equal(maps.same, recorded[f"digits_r{number}_l{layer}_sc"])
    np.testing.assert_array_equal(maps.different, recorded[f"digits_r{number}_l{layer}_dc"])


def test_locality_index_by_hand():
    """S = 8, pixels 0, 2 and 7 of one row: 2 of the 6 ordered pairs lie within 3 pixels.

    Dense: sum over d != 0 of (8 - |dx|)(8 - |dy|) = 64^2 - 64 = 4032; within 3 pixels (8 + 14 + 12 + 10)^2 - 64 = 1872.
    """
    mask = pixels(8, (1, 3, 0), (1, 3, 2), (1, 3, 7))
    assert near_share(displacement_maps(mask).same) == 2 / 6
    assert locality_index(mask) == pytest.approx((2 / 6) / (1872 / 4032), rel=1e-12)


def test_locality_index_of_dense_random_and_local_masks():
    rng = np.random.default_rng(3)
    assert locality_index(np.ones((3072, 3))) == pytest.approx(1, rel=1e-12)
    assert locality_index(rng.random((3072, 128)) < 0.03) == pytest.approx(1, abs=0.05)
    patch = np.zeros((3, 32, 32, 1))
    patch[:, 10:14, 20:24] = 1  # all pairs within 3 pixels
    dense = full_map(32)
    assert locality_index(patch.reshape(3072, 1)) == pytest.approx(dense.sum() / dense[29:36, 29:36].sum())


def test_no_pairs():
    """One connection a channel makes no pair: L3 is not a number, and no warning."""
    assert np.isnan(locality_index(pixels(8, (0, 1, 1), (1, 1, 1))))


def test_inputs_that_are_no_square_image():
    with pytest.raises(DataError, match="100 inputs are not a square image of 3 channels"):
        displacement_maps(np.ones((100, 2)))
