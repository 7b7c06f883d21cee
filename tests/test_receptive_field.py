"""RF width: equal to scipy's curve_fit node by node, and to what is known of Gaussian and dense masks."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import curve_fit

from postprocess.connectivity import input_connections
from postprocess.locality import node_maps
from postprocess.receptive_field import fit_gaussians, layer_width, receptive_fields, rf_width

DATA = Path(__file__).parent / "data"


def gaussian_masks(sd: float, nodes: int, peak: float = 0.7, wander: float = 0.0, size: int = 32) -> np.ndarray:
    """Masks [3*S*S, nodes] that keep a pixel with probability peak * exp(-r^2 / 2 sd^2), each around its own centre."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    centre_x, centre_y = rng.uniform(-wander, wander, (2, nodes, 1, 1))
    probability = peak * np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * sd**2))
    return (rng.random((3, nodes, size, size)) < probability).transpose(0, 2, 3, 1).reshape(-1, nodes)


def curve_fit_node(counts: np.ndarray, zero: str, guess: float) -> np.ndarray:
    """amplitude, sigma_x, sigma_y of one map [2S+1, 2S+1] by scipy."""
    size = len(counts) // 2
    dy, dx = np.mgrid[1 - size : size, 1 - size : size]
    used = (dx != 0) | (dy != 0) | (zero == "keep")

    def model(d, amplitude, sigma_x, sigma_y):
        return amplitude * np.exp(-(d[0] ** 2) / (2 * sigma_x**2) - d[1] ** 2 / (2 * sigma_y**2))

    values = counts[1:-1, 1:-1][used].astype(float)
    start = (np.median(values[values > 0]), guess, guess)
    tight = {"xtol": 1e-12, "ftol": 1e-12, "gtol": 1e-12}
    return np.abs(curve_fit(model, (dx[used], dy[used]), values, start, maxfev=5000, **tight)[0])


@pytest.mark.parametrize("zero", ["drop", "keep"])
@pytest.mark.parametrize("masks", ["recorded", "gaussian", "elongated", "random"])
def test_equals_curve_fit_node_by_node(zero, masks):
    """To 1e-5, in amplitude and both widths, from scipy's own start."""
    if masks == "recorded":
        mask, guess = np.load(DATA / "imp_fc_sgd.npz")["r5_mask_l0_W"][:, :12], 4
    elif masks == "gaussian":
        mask, guess = gaussian_masks(3, 12, wander=10), 5
    elif masks == "elongated":
        squares = gaussian_masks(3, 12, wander=4).reshape(3, 32, 32, 12)
        mask, guess = squares[:, ::2].repeat(2, axis=1).reshape(3072, 12), 5
    else:
        mask, guess = np.random.default_rng(5).random((3072, 12)) < 0.05, 10
    fit = receptive_fields(mask, zero)
    maps = node_maps(mask)
    if zero == "keep":
        maps[:, len(maps[0]) // 2, len(maps[0]) // 2] = input_connections(mask)
    assert fit.converged.all()
    for node, counts in enumerate(maps):
        expected = curve_fit_node(counts, zero, guess)
        actual = [fit.amplitude[node], fit.sigma_x[node], fit.sigma_y[node]]
        np.testing.assert_allclose(actual, expected, rtol=1e-5, err_msg=f"node {node}")


def test_x_is_across_and_y_is_down():
    """A horizontal stripe is wide in x."""
    mask = np.zeros((3, 32, 32, 1))
    mask[0, 15:17, 4:28] = 1
    fit = receptive_fields(mask.reshape(3072, 1))
    assert fit.sigma_x[0] > 5 * fit.sigma_y[0]


def test_fully_connected_node():
    """The number that a layer without locality has; a fully connected 32x32 node."""
    assert rf_width(np.ones((3072, 2))) == pytest.approx(14.43, abs=0.005)


@pytest.mark.parametrize("sd", [1.5, 2.0, 3.0])
def test_gaussian_mask_gives_sqrt_2(sd):
    """The autocorrelation of a Gaussian is a Gaussian, sqrt(2) wider."""
    assert rf_width(gaussian_masks(sd, 400), nodes=400) == pytest.approx(np.sqrt(2) * sd, rel=0.015)


def test_exact_gaussian_map_is_recovered():
    """No noise: widths and amplitude to 1e-9, R^2 = 1; with d = 0 dropped its value does not matter."""
    d = np.arange(-16, 17)
    counts = 7 * np.exp(-(d**2) / (2 * 2.5**2))[None, :] * np.exp(-(d**2) / (2 * 1.2**2))[:, None]
    spoilt = counts.copy()
    spoilt[16, 16] = 1000
    for maps, zero in ((counts, "keep"), (counts, "drop"), (spoilt, "drop")):
        fit = fit_gaussians(maps[None], zero)
        np.testing.assert_allclose([fit.sigma_x[0], fit.sigma_y[0], fit.amplitude[0]], [2.5, 1.2, 7], rtol=1e-9)
        assert fit.converged[0]
        assert fit.r_squared[0] == pytest.approx(1, abs=1e-9)


def test_too_few_connections_are_missing_and_never_zero():
    """Four connections and none at all: nan in every field and not converged; nine are enough."""
    mask = np.zeros((3, 8, 8, 3))
    mask[0, 2:4, 2:4, 0] = 1
    mask[0, 2:5, 2:5, 2] = 1
    fit = receptive_fields(mask.reshape(192, 3))
    for values in (fit.sigma_x, fit.sigma_y, fit.amplitude, fit.r_squared):
        np.testing.assert_array_equal(np.isnan(values), [True, True, False])
    np.testing.assert_array_equal(fit.converged, [False, False, True])
    assert np.isnan(rf_width(mask[..., :2].reshape(192, 2)))


@pytest.mark.parametrize("zero", ["drop", "keep"])
def test_degenerate_maps_stay_within_bounds(zero):
    """Neighbours in one row, two far corners, all corners: finite widths within [0.25, 4 S], whatever the map."""
    mask = np.zeros((3, 16, 16, 3))
    mask[0, 5, 3:5, 0] = mask[1, 5, 3:5, 0] = mask[2, 5, 3:5, 0] = 1
    mask[:, 0, 0, 1] = mask[:, 15, 15, 1] = 1
    mask[:, ::15, ::15, 2] = 1
    fit = receptive_fields(mask.reshape(768, 3), zero)
    for sigma in (fit.sigma_x, fit.sigma_y):
        assert np.all((sigma >= 0.25 - 1e-9) & (sigma <= 64 + 1e-9))
    assert np.all(np.isfinite(fit.amplitude))
    assert not fit.converged[0]


def test_layer_width_is_the_median_of_the_most_connected():
    """40 wide, well connected nodes hide 100 narrow ones; asked for all, the narrow ones win."""
    mask = np.concatenate([gaussian_masks(1.5, 100), gaussian_masks(4, 40)], axis=1)
    assert rf_width(mask, nodes=40) == np.median(receptive_fields(mask[:, 100:]).sigma_x)
    assert rf_width(mask, nodes=140) < 3


def test_median_and_mean_of_a_layer_count_what_is_missing():
    """Four fitted nodes, one of them flat (it counts, with its bound), and two without enough connections."""
    mask = np.concatenate([gaussian_masks(2, 3), np.zeros((3072, 3))], axis=1)
    images = mask.reshape(3, 32, 32, 6)
    images[:, ::31, ::31, 3] = 1  # the four corners, three times
    images[0, 0, :4, 4] = 1
    fit = receptive_fields(mask)
    result = layer_width(mask)
    assert fit.sigma_x[3] > 50
    assert result.mean == pytest.approx(np.sum(fit.sigma_x[:4]) / 4)
    assert result.median == pytest.approx(np.sum(np.sort(fit.sigma_x[:4])[1:3]) / 2)
    assert result.mean_converged == pytest.approx(np.sum(fit.sigma_x[:3]) / 3)
    assert (result.fitted, result.unconverged, result.missing) == (4, 1, 2)
    assert layer_width(mask, least_connections=4).missing == 1
    assert layer_width(mask, nodes=3) == layer_width(mask[:, :3])


def test_blocks_do_not_matter():
    mask = gaussian_masks(2, 300, wander=8)
    fit, alone = receptive_fields(mask), receptive_fields(mask[:, 290:])
    np.testing.assert_allclose(fit.sigma_x[290:], alone.sigma_x, rtol=1e-9)
    with pytest.raises(ValueError, match="'maybe': accepted: 'drop' or 'keep'"):
        receptive_fields(np.ones((192, 1)), "maybe")
