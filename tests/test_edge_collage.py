"""EdgeCollage32: its layout, its cells, and that the class is in the higher-order statistics alone."""

import numpy as np
import pytest

from sifting.datasets import edge_collage
from sifting.datasets.edge_collage import TRAINING, VALIDATION


def draw(collage_class, count, seed=0, stream=TRAINING):
    images, labels = zip(*edge_collage.blocks(collage_class, count, seed, stream), strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.fixture(scope="module")
def sharpness():
    return draw("sharpness", 8000)


def cells_of(images):
    """float64 [n, 3, 16, 64]: grey levels around zero, cells numbered row by row."""
    grid = images.reshape(-1, 3, 4, 8, 4, 8).transpose(0, 1, 2, 4, 3, 5)
    return grid.reshape(len(images), 3, 16, 64) - edge_collage.GREY


def kurtosis(values):
    return np.mean(values**4) / np.mean(values**2) ** 2


# --- layout --------------------------------------------------------------------------------------------------------


def test_sharpness_layout_has_the_published_numbers():
    layout = edge_collage.sharpness_layout()
    assert layout.sharp[0].astype(int).tolist() == [1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 0]
    assert layout.sharp[9].astype(int).tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 0]
    degrees = edge_collage.ORIENTATIONS[layout.orientations]
    assert degrees.tolist() == [90, 45, 135, 0, 135, 0, 45, 135, 0, 90, 90, 45, 0, 90, 45, 135]
    np.testing.assert_allclose(layout.gains[0], [-0.672105, -0.795145, -0.841842], atol=1e-6)
    np.testing.assert_allclose(layout.gains[15], [-0.6255, -0.90302, -0.838236], atol=1e-6)


def test_every_class_has_eight_sharp_cells_and_no_two_classes_the_same():
    sharp = edge_collage.sharpness_layout().sharp
    assert sharp.shape == (10, 16) and (sharp.sum(axis=1) == 8).all()
    assert len({row.tobytes() for row in sharp}) == 10


def test_orientation_layout_is_its_own_draw_from_the_same_seed():
    layout = edge_collage.orientation_layout()
    assert layout.shape == (10, 16) and set(layout.ravel()) == {0, 1, 2, 3}
    assert layout[0, :4].tolist() == np.random.default_rng(7).integers(0, 4, (10, 16))[0, :4].tolist()


# --- cells ---------------------------------------------------------------------------------------------------------


def test_vertical_edge_by_hand():
    """phi = 0, delta = 0.5: u = -4 ... 3, so that only u = 0 is not saturated."""
    cell = edge_collage.edge(edge_collage.PROJECTIONS[0], np.array(0.5)).reshape(8, 8)
    np.testing.assert_allclose(cell, np.tile([-1, -1, -1, -1, 0, 1, 1, 1], (8, 1)), atol=1e-12)


def test_second_moment_by_hand():
    """phi = 0: the outer columns saturate at +-1 for every delta; a pixel at x = 0.5 has, with v = 0.5 - delta in
    (-0.5, 1.5), (1/2) * (integral of (1.5 v)^2 from -0.5 to 2/3, plus 1.5 - 2/3)."""
    moment = edge_collage.second_moment(edge_collage.PROJECTIONS[0])
    assert moment[0, 0] == pytest.approx(1) and moment[0, 7] == pytest.approx(-1)
    assert moment[4, 4] == pytest.approx(0.5 * (0.75 * ((2 / 3) ** 3 + 0.5**3) + 1.5 - 2 / 3))


@pytest.mark.parametrize("orientation", range(4))
def test_second_moment_is_that_of_many_edges(orientation):
    projection = edge_collage.PROJECTIONS[orientation]
    deltas = (np.arange(20000) + 0.5) / 10000 - 1
    edges = edge_collage.edge(projection, deltas)
    np.testing.assert_allclose(edge_collage.second_moment(projection), edges.T @ edges / len(edges), atol=1e-7)


def test_symmetric_root_also_of_a_singular_matrix():
    moment = edge_collage.second_moment(edge_collage.PROJECTIONS[0])  # equal rows: rank 8 at most
    root = edge_collage.symmetric_root(moment)
    np.testing.assert_allclose(root @ root, moment, atol=1e-12)
    np.testing.assert_allclose(root, root.T, atol=1e-12)


def test_cells_are_placed_row_by_row_and_grey_levels_rounded_and_clipped():
    grey = np.zeros((1, 3, 16, 64))
    grey[0, 1, 5, 10] = 300.0  # cell 5: second row, second column; pixel 10 of it: y = 1, x = 2
    grey[0, 2, 0, 0] = 99.6
    grey[0, 0, 15, 63] = -7.0
    image = edge_collage.assemble(grey)[0].reshape(3, 32, 32)
    assert image[1, 9, 10] == 255 and image[2, 0, 0] == 100 and image[0, 31, 31] == 0
    assert np.count_nonzero(image) == 2


# --- images --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("collage_class", edge_collage.SAMPLERS)
def test_first_images_do_not_depend_on_how_many_are_made(collage_class):
    few, few_labels = draw(collage_class, 20)
    many, many_labels = draw(collage_class, edge_collage.BLOCK + 20)
    np.testing.assert_array_equal(few, many[:20])
    np.testing.assert_array_equal(few_labels, many_labels[:20])
    assert many.shape == (edge_collage.BLOCK + 20, 3072) and many.dtype == np.uint8 and many_labels.dtype == np.int32
    assert not np.array_equal(many[:20], many[edge_collage.BLOCK :])


def test_seeds_and_streams_give_other_images():
    first = draw("sharpness", 5)[0]
    np.testing.assert_array_equal(first, draw("sharpness", 5)[0])
    assert not np.array_equal(first, draw("sharpness", 5, seed=1)[0])
    assert not np.array_equal(first, draw("sharpness", 5, stream=VALIDATION)[0])


def test_labels_are_uniform(sharpness):
    counts = np.bincount(sharpness[1], minlength=10)
    assert len(counts) == 10 and abs(counts - 800).max() < 5 * np.sqrt(800 * 0.9)


def test_all_classes_have_the_same_mean_and_covariance(sharpness):
    """Differences between the classes' second moments in a cell are no larger than sampling makes them, and those
    of the cell itself are 40^2 g^2 E[p p'] + 8^2."""
    images, labels = sharpness
    layout = edge_collage.sharpness_layout()
    cells = cells_of(images)
    for cell in (0, 6, 11):
        gain = 40 * layout.gains[cell, 0]
        expected = gain**2 * edge_collage.second_moment(edge_collage.PROJECTIONS[layout.orientations[cell]])
        expected += 64 * np.eye(64)
        for label in range(10):
            pixels = cells[labels == label, 0, cell]
            assert abs(pixels.mean(axis=0)).max() < 5 * np.sqrt(expected.max() / len(pixels))
            assert abs(pixels.T @ pixels / len(pixels) - expected).max() < 6 * expected.max() * np.sqrt(2 / len(pixels))


def test_cells_are_uncorrelated_with_each_other(sharpness):
    cells = cells_of(sharpness[0])[:, 0, :, 0]
    correlations = np.corrcoef(cells.T) - np.eye(16)
    assert abs(correlations).max() < 5 / np.sqrt(len(cells))


def test_sharp_and_soft_cells_differ_in_their_fourth_moment(sharpness):
    """The kurtosis of the pixel furthest from the edge: 3 in soft cells, near 1 (two values, noise) in sharp ones."""
    images, labels = sharpness
    layout = edge_collage.sharpness_layout()
    cells = cells_of(images)[:, 1]
    for cell, orientation in enumerate(layout.orientations):
        pixel = cells[:, cell, edge_collage.PROJECTIONS[orientation].argmax()]
        sharp = layout.sharp[labels, cell]
        assert kurtosis(pixel[sharp]) < 2
        assert kurtosis(pixel[~sharp]) == pytest.approx(3, abs=5 * np.sqrt(24 / 4000))


def test_channels_share_a_cell_up_to_gain_and_noise(sharpness):
    images, labels = sharpness
    layout = edge_collage.sharpness_layout()
    cells = cells_of(images)[:, :, 3]
    products = np.mean(cells[:, 0] * cells[:, 1], axis=0)
    moment = np.diag(edge_collage.second_moment(edge_collage.PROJECTIONS[layout.orientations[3]]))
    np.testing.assert_allclose(products, 1600 * layout.gains[3, 0] * layout.gains[3, 1] * moment, atol=40)


def test_orientation_variant_has_the_class_in_its_orientations():
    """In a cell the orientation of the class has probability 0.5 + 0.5/4, each other one 0.5/4. It is read off as the
    projection that a noiseless edge fits best."""
    images, labels = draw("orientation", 2000)
    layout = edge_collage.orientation_layout()
    cells = cells_of(images)[:, 0, 7]
    deltas = np.linspace(-1, 1, 41)
    templates = np.stack([edge_collage.edge(projection, deltas) for projection in edge_collage.PROJECTIONS])
    fits = abs(np.einsum("np,odp->nod", cells, templates) / np.linalg.norm(templates, axis=2)).max(axis=2)
    found = fits.argmax(axis=1)
    assert np.mean(found == layout[labels, 7]) == pytest.approx(0.625, abs=5 * np.sqrt(0.25 / 2000))


def test_orientation_variant_has_unit_gains_no_noise_and_flips_a_tenth_of_the_signs():
    images, _ = draw("orientation", 1000)
    assert images.min() == 88 and images.max() == 168  # 127.5 -+ 40, rounded to even
    corner = cells_of(images)[:, :, :, 0] > 0
    assert np.mean(corner[:, 0] != corner[:, 1]) == pytest.approx(2 * 0.1 * 0.9, abs=5 * np.sqrt(0.18 / 16000))
