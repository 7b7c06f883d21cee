"""S_sc, S_dc and L3: by hand on three pixels, by brute force on small masks; test_crosscheck has the notebook's."""

import numpy as np
import pytest
from scipy.ndimage import rotate

from postprocess.locality import (
    anisotropy,
    displacement_maps,
    full_map,
    local_nodes,
    locality_index,
    near_share,
    node_maps,
    radial_profile,
)
from sifting.errors import DataError


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


def bars(turn: float = 0, vertical: float = 0.5, width: float = 1.0, nodes: int = 400) -> np.ndarray:
    """Masks [3072, nodes], each a horizontal or vertical bar somewhere, all turned counter-clockwise as one sees it."""
    rng = np.random.default_rng(6)
    y, x = np.mgrid[:48, :48] - 23.5
    masks = np.zeros((nodes, 3, 32, 32))
    for mask, stands, (centre_x, centre_y) in zip(
        masks, rng.random(nodes) < vertical, rng.uniform(-8, 8, (nodes, 2)), strict=True
    ):
        along, across = (y - centre_y, x - centre_x) if stands else (x - centre_x, y - centre_y)
        probability = 0.6 * np.exp(-(along**2) / (2 * 4**2) - across**2 / (2 * width**2))
        turned = rotate(probability, turn, reshape=False, order=1)[8:-8, 8:-8]
        mask[:] = rng.random((3, 32, 32)) < turned
    return masks.reshape(nodes, 3072).T


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
    """And n connections of one node make n (n - 1) ordered pairs, in the two maps of the layer together."""
    mask = np.random.default_rng(1).random((192, 150)) < 0.2
    maps = node_maps(mask)
    assert maps.shape == (150, 17, 17)
    np.testing.assert_array_equal(maps.sum(axis=0), displacement_maps(mask).same)
    np.testing.assert_array_equal(maps[7], displacement_maps(mask[:, [7]]).same)
    connections = mask.sum(axis=0)
    assert sum(map(np.sum, displacement_maps(mask))) == np.sum(connections * (connections - 1))


def test_dense_nodes():
    np.testing.assert_array_equal(displacement_maps(np.ones((3 * 36, 1))).same, full_map((3, 6, 6)))
    maps = displacement_maps(np.ones((16, 2)))
    np.testing.assert_array_equal(maps.same, 2 * full_map((1, 4, 4)))
    assert not maps.different.any()


def test_images_that_are_not_square():
    """Of two channels: the counts of a loop, in a map as wide as the longer side; a dense layer has no preferences."""
    shape, mask = (2, 4, 9), np.random.default_rng(0).random((72, 5)) < 0.3
    maps, size = displacement_maps(mask, shape), 9
    expected = np.zeros((2, 19, 19), int)
    places = np.stack(np.unravel_index(range(72), shape), axis=1)
    for node in mask.T:
        for c, y, x in places[node]:
            for other, below, right in places[node]:
                expected[int(other != c), below - y + size, right - x + size] += (other, below, right) != (c, y, x)
    np.testing.assert_array_equal(maps, expected)
    np.testing.assert_array_equal(node_maps(mask, shape).sum(axis=0), maps.same)
    dense = np.ones((2 * 8 * 20, 3))
    np.testing.assert_array_equal(displacement_maps(dense, (2, 8, 20)).same, 3 * full_map((2, 8, 20)))
    assert locality_index(dense, shape=(2, 8, 20)) == pytest.approx(1)
    found = anisotropy(displacement_maps(dense, (2, 8, 20)).same, shape=(2, 8, 20))
    np.testing.assert_allclose(found.profile, 1, atol=0.02)
    with pytest.raises(DataError, match="72 inputs are not those of such images; accepted: 2 x 4 x 8"):
        displacement_maps(mask, (2, 4, 8))


def test_locality_index_by_hand():
    """S = 8, pixels 0, 2 and 7 of one row: 2 of the 6 ordered pairs lie within 3 pixels.

    Dense: sum over d != 0 of (8 - |dx|)(8 - |dy|) = 64^2 - 64 = 4032; within 3 pixels (8 + 14 + 12 + 10)^2 - 64 = 1872.
    """
    mask = pixels(8, (1, 3, 0), (1, 3, 2), (1, 3, 7))
    assert near_share(displacement_maps(mask).same) == 2 / 6
    assert locality_index(mask) == pytest.approx((2 / 6) / (1872 / 4032), rel=1e-12)


def test_locality_index_of_dense_random_and_local_masks():
    rng = np.random.default_rng(3)
    assert np.isnan(locality_index(pixels(8, (0, 1, 1), (1, 1, 1))))  # one connection a channel makes no pair
    assert locality_index(np.ones((3072, 3))) == pytest.approx(1, rel=1e-12)
    assert locality_index(rng.random((3072, 128)) < 0.03) == pytest.approx(1, abs=0.05)
    patch = np.zeros((3, 32, 32, 1))
    patch[:, 10:14, 20:24] = 1  # all pairs within 3 pixels
    dense = full_map((3, 32, 32))
    assert locality_index(patch.reshape(3072, 1)) == pytest.approx(dense.sum() / dense[29:36, 29:36].sum())


def test_the_most_local_nodes_of_the_more_connected_half():
    """Of two random nodes, a patch of 16 pixels, and three nodes that keep fewer, though they are local."""
    rng, masks = np.random.default_rng(5), np.zeros((6, 3, 16, 16))
    masks[0, 0, 2:6, 2:6] = masks[3, 1, 8:11, 8:11] = masks[2, 0, 5, 5:7] = masks[5, 0, 0, 0] = 1
    masks[[1, 4]] = rng.random((2, 3, 16, 16)) < 0.1
    mask = masks.reshape(6, -1).T
    assert local_nodes(mask, 1).tolist() == [0]
    assert local_nodes(mask, 5).tolist() == np.argsort(-mask.sum(axis=0))[:3].tolist()


def test_radial_profile_by_hand():
    """S = 3: rings of 1, 8 and 12 displacements, (1, 1) at distance 1.41 belongs to r = 1, (2, 2) at 2.83 to none."""
    counts = np.zeros((7, 7), int)
    counts[3, 3], counts[3, 4], counts[4, 4], counts[1, 2], counts[5, 5] = 5, 6, 2, 24, 100
    np.testing.assert_array_equal(radial_profile(counts), [5, (6 + 2) / 8, 24 / 12])


def test_radial_profile_of_a_random_layer_is_that_of_a_full_one():
    same = displacement_maps(np.random.default_rng(7).random((3072, 256)) < 0.1).same
    relative = radial_profile(same)[1:] / radial_profile(full_map((3, 32, 32)))[1:]
    np.testing.assert_allclose(relative / relative.mean(), 1, atol=0.02)


def polar(size: int) -> tuple[np.ndarray, np.ndarray]:
    """|d| in pixels and the angle of d in radians as one sees it, [2S+1, 2S+1] each."""
    dy, dx = np.mgrid[-size : size + 1, -size : size + 1]
    return np.hypot(dx, dy), np.arctan2(-dy, dx)


@pytest.mark.parametrize("size", [8, 32])
def test_full_map_has_no_direction(size):
    result = anisotropy(full_map((3, size, size)))
    np.testing.assert_allclose(result.profile, 1, rtol=1e-12)
    assert result.axis_ratio == pytest.approx(1)
    assert np.isnan(result.preferred_angle) and np.isnan(result.orientation)


@pytest.mark.parametrize("width", [2.0, 4.0])
def test_isotropic_map_has_no_direction(width):
    """Though it falls off steeply on a square lattice: sums over sectors would say 0.9 to 1.9, by their angle."""
    distance, _ = polar(32)
    result = anisotropy(full_map((3, 32, 32)) * np.exp(-(distance**2) / (2 * width**2)))
    np.testing.assert_allclose(result.profile, 1, atol=0.002)
    assert result.axis_ratio == pytest.approx(1, abs=0.003)


@pytest.mark.parametrize("cross, line", [(0, 90), (20, -30), (-44, 10), (44, -89)])
def test_known_harmonics_are_recovered(cross, line):
    distance, angle = polar(32)
    profile = 1 + 0.4 * np.cos(4 * (angle - np.deg2rad(cross))) + 0.2 * np.cos(2 * (angle - np.deg2rad(line)))
    result = anisotropy(full_map((3, 32, 32)) * np.exp(-(distance**2) / 50) * profile)
    assert result.preferred_angle == pytest.approx(cross, abs=0.5)
    assert result.fourfold == pytest.approx(0.4, abs=0.02)
    assert (result.orientation - line + 90) % 180 - 90 == pytest.approx(0, abs=0.5)
    assert result.twofold == pytest.approx(0.2, abs=0.02)
    fourfold = 0.4 * np.cos(np.deg2rad(4 * cross))
    assert result.axis_ratio == pytest.approx((1 + fourfold) / (1 - fourfold), rel=0.05)


@pytest.mark.parametrize("turn", [0, 20, -20, 40])
def test_preferred_angle_follows_rotated_features(turn):
    """Counter-clockwise is positive; horizontal and vertical bars balance, so no single direction is preferred."""
    result = anisotropy(displacement_maps(bars(turn)).same)
    assert result.preferred_angle == pytest.approx(turn, abs=2)
    assert result.fourfold > 0.3
    assert result.twofold < 0.2
    assert (result.axis_ratio > 1.5) == (turn == 0)


@pytest.mark.parametrize("vertical, turn, orientation", [(0, 0, 0), (1, 0, -90), (0, 20, 20), (1, 20, -70)])
def test_orientation_of_parallel_bars(vertical, turn, orientation):
    result = anisotropy(displacement_maps(bars(turn, vertical)).same)
    assert (result.orientation - orientation + 90) % 180 - 90 == pytest.approx(0, abs=2)
    assert -90 <= result.orientation < 90
    assert result.twofold > 0.5


def test_anisotropy_of_one_line_and_of_no_pairs():
    """A horizontal line has nothing on the diagonals; two neighbours have no pair at 2 pixels or more."""
    line = anisotropy(displacement_maps(pixels(32, *((0, 16, x) for x in range(4, 28)))).same)
    assert line.axis_ratio > 100
    assert line.orientation == pytest.approx(0, abs=1e-9)
    neighbours = anisotropy(displacement_maps(pixels(32, (0, 5, 5), (0, 5, 6))).same)
    assert np.isnan([*neighbours.profile, neighbours.axis_ratio, neighbours.preferred_angle, neighbours.twofold]).all()


@pytest.mark.parametrize("inner, outer", [(0, 6), (6, 6), (2, 8)])
def test_distances_that_the_map_does_not_have(inner, outer):
    with pytest.raises(ValueError, match=f"inner = {inner}, outer = {outer}: accepted: 1 <= inner < outer <= 7"):
        anisotropy(full_map((3, 8, 8)), inner, outer)
