"""EdgeCollage32: its layout, its cells, and that the class is in the higher-order statistics alone."""

import hashlib

import numpy as np
import pytest
from synthetic import write_input

from sifting import datasets, inputs
from sifting.base.random_streams import Split
from sifting.datasets import edge_collage

VARIANTS = [(16, 10), (16, 100), (64, 10), (64, 100)]  # cells, classes


def draw(collage_class, count, seed=0, split=Split.TRAINING, **kind):
    images, labels = zip(*edge_collage.blocks(collage_class, count, seed, split, **kind), strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.fixture(scope="module")
def sharpness():
    return draw("sharpness", 8000)


def cells_of(images):
    """float64 [n, 3, c, 64]: grey levels around zero, cells numbered row by row."""
    side = round(np.sqrt(images.shape[1] / 3)) // 8
    grid = images.reshape(-1, 3, side, 8, side, 8).transpose(0, 1, 2, 4, 3, 5)
    return grid.reshape(len(images), 3, side * side, 64) - edge_collage.GREY


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
    oriented = edge_collage.orientation_layout()  # its own draw from the same seed
    assert oriented.shape == (10, 16) and set(oriented.ravel()) == {0, 1, 2, 3}
    assert oriented.tolist() == np.random.default_rng(7).integers(0, 4, (10, 16)).tolist()


def digest(values):
    return hashlib.sha256(np.asarray(values, dtype="<i8").tobytes()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("cells", "classes", "sharp", "orientations", "gains", "oriented"),
    [
        (16, 10, "55ac02d9b974", "4f300ed20253", -2.751390, "d48ae4e8f4b4"),
        (16, 100, "4f7632681f35", "4f300ed20253", -2.751390, "9d0dd1bf922f"),
        (64, 10, "ef405b226915", "0d01012efafa", 8.324726, "b065a9955a66"),
        (64, 100, "fed82ab4afd3", "0d01012efafa", 8.324726, "f6123426f42c"),
    ],
)
def test_layouts_never_change(cells, classes, sharp, orientations, gains, oriented):
    layout = edge_collage.sharpness_layout(cells, classes)
    assert (digest(layout.sharp), digest(layout.orientations)) == (sharp, orientations)
    assert layout.gains.sum() == pytest.approx(gains, abs=1e-6) and layout.gains.shape == (cells, 3)
    assert digest(edge_collage.orientation_layout(cells, classes)) == oriented


@pytest.mark.parametrize("cells", [16, 64])
def test_members_of_a_sharpness_family_by_hand(cells):
    """Half the cells are sharp in every class. A member differs from its family in an eighth of them, two members in
    a quarter or, if they have a group in common, in less. No two of the 100 classes are the same."""
    families = edge_collage.sharpness_layout(cells).sharp
    members = edge_collage.sharpness_layout(cells, 100).sharp
    for layout, classes in ((families, 10), (members, 100)):
        assert layout.shape == (classes, cells) and (layout.sum(axis=1) == cells // 2).all()
        assert len({row.tobytes() for row in layout}) == classes
    distances = np.count_nonzero(members[:, None] != families[None], axis=2)
    assert (distances[np.arange(100), np.arange(100) // 10] == cells // 8).all()
    assert (distances.argmin(axis=1) == np.arange(100) // 10).all()
    siblings = np.count_nonzero(members[30:40, None] != members[None, 30:40], axis=2)
    assert set(siblings[np.triu_indices(10, 1)]) == {cells // 8, cells // 4}


@pytest.mark.parametrize("cells", [16, 64])
def test_members_of_an_orientation_family_by_hand(cells):
    """Members 0 ... 7 turn an eighth of the family's cells by 90 degrees, all of them different cells; members 8 and 9
    turn those of members 0 and 1 by 45 degrees."""
    families = edge_collage.orientation_layout(cells)
    turns = (edge_collage.orientation_layout(cells, 100).reshape(10, 10, cells) - families[:, None]) % 4
    assert (turns[:, :8].sum(axis=1) == 2).all()
    assert (np.count_nonzero(turns, axis=2) == cells // 8).all()
    np.testing.assert_array_equal(turns[:, 8:], turns[:, :2] // 2)
    assert not np.array_equal(turns[0], turns[1])


# --- cells ---------------------------------------------------------------------------------------------------------


def test_second_moment_by_hand():
    """phi = 0: the outer columns saturate at +-1 for every delta; a pixel at x = 0.5 has, with v = 0.5 - delta in
    (-0.5, 1.5), (1/2) * (integral of (1.5 v)^2 from -0.5 to 2/3, plus 1.5 - 2/3)."""
    moment = edge_collage.second_moment(edge_collage.PROJECTIONS[0])
    assert moment[0, 0] == pytest.approx(1) and moment[0, 7] == pytest.approx(-1)
    assert moment[4, 4] == pytest.approx(0.5 * (0.75 * ((2 / 3) ** 3 + 0.5**3) + 1.5 - 2 / 3))
    root = edge_collage.symmetric_root(moment)  # also of a singular matrix: equal rows, rank 8 at most
    np.testing.assert_allclose(root @ root, moment, atol=1e-12)
    np.testing.assert_allclose(root, root.T, atol=1e-12)


@pytest.mark.parametrize("orientation", range(4))
def test_second_moment_is_that_of_many_edges(orientation):
    projection = edge_collage.PROJECTIONS[orientation]
    deltas = (np.arange(20000) + 0.5) / 10000 - 1
    edges = edge_collage.edge(projection, deltas)
    np.testing.assert_allclose(edge_collage.second_moment(projection), edges.T @ edges / len(edges), atol=1e-7)


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


def test_seeds_and_splits_give_other_images():
    first = draw("sharpness", 5)[0]
    np.testing.assert_array_equal(first, draw("sharpness", 5)[0])
    assert not np.array_equal(first, draw("sharpness", 5, seed=1)[0])
    assert not np.array_equal(first, draw("sharpness", 5, split=Split.VALIDATION)[0])


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


def test_channels_share_a_cell_up_to_gain_and_noise(sharpness):
    images, labels = sharpness
    layout = edge_collage.sharpness_layout()
    cells = cells_of(images)[:, :, 3]
    products = np.mean(cells[:, 0] * cells[:, 1], axis=0)
    moment = np.diag(edge_collage.second_moment(edge_collage.PROJECTIONS[layout.orientations[3]]))
    np.testing.assert_allclose(products, 1600 * layout.gains[3, 0] * layout.gains[3, 1] * moment, atol=40)


def test_orientation_variant_has_unit_gains_no_noise_and_flips_a_tenth_of_the_signs():
    images, _ = draw("orientation", 1000)
    assert images.min() == 88 and images.max() == 168  # 127.5 -+ 40, rounded to even
    corner = cells_of(images)[:, :, :, 0] > 0
    assert np.mean(corner[:, 0] != corner[:, 1]) == pytest.approx(2 * 0.1 * 0.9, abs=5 * np.sqrt(0.18 / 16000))


# --- sizes and families --------------------------------------------------------------------------------------------


def test_first_image_never_changes():
    """Up to rounding, of which other versions of numpy may change a grey level or two."""
    for collage_class, total in (("sharpness", 393172), ("orientation", 396846), ("motif", 391697)):
        images, labels = draw(collage_class, 12)
        assert abs(int(images[0].sum(dtype=int)) - total) <= 2
        assert labels.tolist() == [6, 0, 4, 8, 3, 2, 7, 3, 3, 3, 1, 5]


@pytest.mark.parametrize(("cells", "classes"), VARIANTS)
def test_sharp_cells_are_those_of_the_class_at_their_places(cells, classes):
    """The kurtosis of the pixel furthest from the edge: 3 in soft cells, near 1 (two values, noise) in sharp ones."""
    size = 8 * round(np.sqrt(cells))
    images, labels = draw("sharpness", 500, size=size, classes=classes)
    assert images.shape == (500, 3 * size * size)
    layout = edge_collage.sharpness_layout(cells, classes)
    sharp = layout.sharp[labels]
    furthest = edge_collage.PROJECTIONS.argmax(axis=1)[layout.orientations]
    pixels = cells_of(images)[:, 2, np.arange(cells), furthest] / layout.gains[:, 2]
    for cell in range(cells):
        assert kurtosis(pixels[sharp[:, cell], cell]) < 2
    assert kurtosis(pixels[~sharp]) == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize(("cells", "classes"), VARIANTS)
def test_orientations_are_those_of_the_class_at_their_places(cells, classes):
    """In a cell the orientation of the class has probability 0.5 + 0.5/4, each other one 0.5/4. It is read off as the
    projection that a noiseless edge fits best. A cell of 500 images may deviate."""
    images, labels = draw("orientation", 500, size=8 * round(np.sqrt(cells)), classes=classes)
    templates = edge_collage.edge(edge_collage.PROJECTIONS, np.zeros(4))
    fits = abs(cells_of(images)[:, 0] @ (templates / np.linalg.norm(templates, axis=1, keepdims=True)).T)
    found = fits.argmax(axis=2) == edge_collage.orientation_layout(cells, classes)[labels]
    assert abs(found.mean(axis=0) - 0.625).max() < 5 * np.sqrt(0.25 / 500)
    assert found.mean() == pytest.approx(0.625, abs=5 * np.sqrt(0.25 / 500 / cells))


@pytest.mark.parametrize(("cells", "classes"), VARIANTS)
def test_motifs_are_those_of_the_class_in_all_places(cells, classes):
    """Half of the cells show the class's motif, or one of its two; the others any of twelve. It is read off as the
    orientation and colour that a noiseless edge fits best; noise hides one in a hundred."""
    images, labels = draw("motif", 500, size=8 * round(np.sqrt(cells)), classes=classes)
    edges = edge_collage.edge(edge_collage.PROJECTIONS, np.zeros(4))
    templates = (edge_collage.COLOURS[:, None, :, None] * edges[:, None]).reshape(12, -1)
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    found = abs(cells_of(images).transpose(0, 2, 1, 3).reshape(500, cells, -1) @ templates.T).argmax(axis=2)
    own = edge_collage.motif_layout(classes)[labels]
    family, member = (found == own[:, None, k] for k in (0, 1))
    expected = 0.5 + 0.5 / 12 if classes == 10 else 0.25 + 0.5 / 12 + 0.1 * 0.25  # of 100, ten have one motif twice
    for share in (family, member):
        assert share.mean() == pytest.approx(expected, abs=0.015 + 5 * np.sqrt(0.25 / 500 / cells))
        assert abs(share.mean(axis=0) - expected).max() < 0.015 + 5 * np.sqrt(0.25 / 500)


@pytest.fixture
def experiment(tmp_path):
    """experiment("key=value", ...): of [Data], on EdgeCollage32, with its cache in tmp_path."""

    def read(*changes):
        data = "collage_images=400", "collage_val_images=150", *changes
        path = write_input(tmp_path, "Network.val_size=150", *(f"Data.{change}" for change in data))
        return inputs.read_experiment([str(path)])

    return read


def load(experiment):
    return datasets.load(experiment, lambda line: None)


def test_load_gives_large_images_of_a_hundred_classes(experiment):
    large = experiment("collage_size=64", "collage_classes=100", "collage_class=orientation")
    images = load(large)
    facts = datasets.planned(large).facts
    assert (facts.shape, facts.classes) == (images.shape, images.classes) == ((3, 64, 64), 100)
    expected, labels = draw("orientation", 400, size=64, classes=100)
    np.testing.assert_array_equal(images.images, expected)
    np.testing.assert_array_equal(images.labels, labels)
    np.testing.assert_array_equal(
        images.val_images, draw("orientation", 150, split=Split.VALIDATION, size=64, classes=100)[0]
    )
    np.testing.assert_allclose(images.mean, expected.mean(axis=0), rtol=1e-6)
    assert images.class_names[37] == "family 3, member 7" and len(images.class_names) == 100
    assert "64 x 64 pixels, 100 classes" in images.source


def test_ten_classes_are_the_default_and_have_no_super_classes(experiment):
    assert experiment("reclass=m,5").data.collage_classes == 10
    images = load(experiment())
    assert (images.shape, images.classes, images.class_names) == ((3, 32, 32), 10, ())
    np.testing.assert_array_equal(images.images, draw("sharpness", 400)[0])


def test_super_classes_are_the_families(experiment):
    """A named reclass makes a hundred classes by itself: semantic is the family, random the member."""
    class_of = draw("sharpness", 400, classes=100)[1]
    semantic = load(experiment("reclass=semantic"))
    np.testing.assert_array_equal(semantic.labels, class_of // 10)
    assert semantic.classes == 10 and semantic.class_names == tuple(f"family {number}" for number in range(10))
    np.testing.assert_array_equal(load(experiment("reclass=random")).labels, class_of % 10)
