"""What is counted of a round's masks, by hand."""

import numpy as np
import pytest

from sifting.architecture import LayerSpec
from sifting.network.rounds import LayerCount, Mask, connected_fraction, counted_sparsities, density, layer_counts

SPECS = (
    LayerSpec("c", (2, 2, 1, 3, 1), True),
    LayerSpec("p", (2, 2), False),
    LayerSpec("f", (3, 2), True),
    LayerSpec("x", (2, 2), False),
)


def masks(convolution=(), dense=(), output=()):
    """All ones, but for the flat positions given. Biases of the dense layer are masked; they do not count."""
    values = []
    for shape, zeros in (((2, 2, 1, 3), convolution), ((3, 2), dense), ((2, 2), output)):
        W = np.ones(shape, np.float32)
        W.flat[list(zeros)] = 0
        values.append(W)
    return {
        0: Mask(values[0]),
        2: Mask(values[1], np.zeros(2, np.float32)),
        3: Mask(values[2], np.ones(2, np.float32)),
    }


def test_layer_counts_by_hand():
    """Position [y, x, c, k] of the kernels is 3 * (2 * y + x) + k, so 1, 4, 7, 10 cut off kernel 1; of the dense layer
    [i, j] is 2 * i + j. A max-pool has no entry."""
    counts = layer_counts(masks((0, 1, 4, 7, 10), (0, 2, 4), (3,)), SPECS)
    assert counts == (
        LayerCount(layer=0, kept=7, total=12, connected=2, nodes=3, prunable=True),
        LayerCount(layer=2, kept=3, total=6, connected=1, nodes=2, prunable=True),
        LayerCount(layer=3, kept=3, total=4, connected=2, nodes=2, prunable=False),
    )
    assert counts[0].density == 7 / 12
    assert all(type(value) is int for value in counts[0][:5])  # run.json holds them


def test_what_follows_from_them_is_about_prunable_layers():
    found = masks((0, 1, 4, 7, 10), (0, 2, 4), (0, 1, 2, 3))
    assert density(found, SPECS) == 10 / 18
    np.testing.assert_array_equal(counted_sparsities(found, SPECS), [1 - 7 / 12, 0.5])
    assert connected_fraction(found, SPECS) == 0.5


@pytest.mark.parametrize(("cut", "fraction"), [((), 1.0), (range(12), 0.0)])
def test_connected_fraction_is_that_of_the_worst_layer(cut, fraction):
    assert connected_fraction(masks(cut), SPECS) == fraction
    assert layer_counts(masks(cut), SPECS)[0].kept == 12 - len(cut)
