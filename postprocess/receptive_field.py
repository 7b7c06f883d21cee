"""RF width: the s.d. of a two-dimensional Gaussian fitted to each node's S_i(d) (Redman et al. 2024, section 2.2).

For every node, the model A exp(-dx^2 / (2 sigma_x^2) - dy^2 / (2 sigma_y^2)), with its centre at 0 and no offset, is
fitted by unweighted least squares on the full grid of (2S-1)^2 displacements. For given widths the best amplitude is
known, A = <S, g> / <g, g>, and leaves the residual |S|^2 - <S, g>^2 / <g, g>. So only

    h(log sigma_x, log sigma_y) = 2 log <S, g> - log <g, g>

has to be maximised, from the best point of a coarse grid; if d = 0 is kept, from the maximum without it, because
S_i(0) = C_in is a spike whose own width, a fraction of a pixel, is often the highest maximum. g is a product of a
profile in x and one in y: every sum over the grid is a contraction of S with one-dimensional profiles.

A fully connected node of S = 32 has sigma_x = 14.43 pixels; a mask that keeps pixels with a Gaussian probability of
s.d. s has sqrt(2) s, before the edges of the image are felt.
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from postprocess.connectivity import input_connections, most_connected
from postprocess.locality import node_maps
from sifting.network.plates import Shape

_NODES_PER_BLOCK = 256  # bounds the memory: 10 MB of float64 for S = 32
_SMALLEST_WIDTH = 0.25  # pixels; e^-8 at the nearest neighbour
_LARGEST_WIDTH = 4.0  # image sizes; flat to 3 % over the map
_START_WIDTHS = 24  # of the coarse grid, for each axis
_SMALLEST_RISE = 1e-16  # of h, on which the search ends
_TOLERANCE = 1e-6  # of log sigma, and of the slope of h


@dataclass(frozen=True)
class GaussianFit:
    """Gaussians fitted to the maps S_i(d), one a node. nan where the node is missing, for want of connections.

    Attributes:
        sigma_x, sigma_y: float64 [nodes], in pixels.
        amplitude: float64 [nodes], in connections.
        converged: bool [nodes]; False for a missing node, and where the best width lies at a bound (0.25 pixels or 4 S,
            where it then stands): the map has no scale in that direction.
        r_squared: float64 [nodes], 1 - residual / variance of S_i over the grid; nan for a constant map.
    """

    sigma_x: np.ndarray
    sigma_y: np.ndarray
    amplitude: np.ndarray
    converged: np.ndarray
    r_squared: np.ndarray


class LayerWidth(NamedTuple):
    """RF widths over the nodes of a layer.

    A node whose map is flat counts with the bound of its width: leaving it out would make the layer look narrower. The
    mean feels such nodes: in very sparse layers they move it by several pixels.

    Attributes:
        median, mean: sigma_x in pixels over the fitted nodes; nan if there are none.
        mean_converged: the mean without the unconverged ones; nan if nothing is left.
        fitted: nodes with a width.
        unconverged: those of them with sigma_x or sigma_y at a bound, see GaussianFit.converged.
        missing: nodes without a width, for want of connections.
    """

    median: float
    mean: float
    mean_converged: float
    fitted: int
    unconverged: int
    missing: int


def receptive_fields(
    mask: np.ndarray, zero: str = "drop", least_connections: int = 5, shape: Shape | None = None
) -> GaussianFit:
    """Fit every node of a layer.

    Args:
        mask: [inputs, nodes]; non-zero means connected.
        zero: "drop" leaves d = 0 out of the fit; "keep" has S_i(0) = C_in there, as in Eq. 1 of Redman et al.
        shape: of the images, see plates.image_shape.
        least_connections: nodes with fewer are missing, as are those without two connections in one channel.

    Raises:
        DataError: the inputs are not those of such images.
        ValueError: zero is neither of the two.
    """
    connections = input_connections(mask)
    blocks = []
    for start in range(0, mask.shape[1], _NODES_PER_BLOCK):
        block = slice(start, start + _NODES_PER_BLOCK)
        maps = node_maps(mask[:, block], shape)
        if zero == "keep":
            maps[:, maps.shape[1] // 2, maps.shape[2] // 2] = connections[block]
        maps[connections[block] < least_connections] = 0
        blocks.append(fit_gaussians(maps, zero))
    return GaussianFit(*(np.concatenate([getattr(b, field.name) for b in blocks]) for field in fields(GaussianFit)))


def layer_width(
    mask: np.ndarray,
    nodes: int | None = None,
    zero: str = "drop",
    least_connections: int = 5,
    shape: Shape | None = None,
) -> LayerWidth:
    """RF widths of a layer: median and mean over its nodes, and how many have none.

    Args:
        mask: [inputs, nodes]; non-zero means connected.
        nodes: how many of the most connected ones are fitted; None, or more than there are: all.
        zero, least_connections, shape: see receptive_fields.

    Raises:
        DataError, ValueError: as receptive_fields does.
    """
    selected = most_connected(input_connections(mask))[:nodes]
    fit = receptive_fields(mask[:, selected], zero, least_connections, shape)
    return width_of_layer(fit.sigma_x, fit.converged)


def width_of_layer(sigma_x: np.ndarray, converged: np.ndarray) -> LayerWidth:
    """RF widths of a layer from those of its nodes, see GaussianFit."""
    widths, inner = sigma_x[np.isfinite(sigma_x)], sigma_x[converged != 0]
    median, mean, mean_converged = (
        float(average(values)) if values.size else float("nan")
        for average, values in ((np.median, widths), (np.mean, widths), (np.mean, inner))
    )
    return LayerWidth(median, mean, mean_converged, widths.size, widths.size - inner.size, sigma_x.size - widths.size)


def rf_width(mask: np.ndarray, nodes: int = 40, zero: str = "drop", shape: Shape | None = None) -> float:
    """RF width of a layer in pixels: the median of layer_width over its most connected nodes."""
    return layer_width(mask, nodes, zero, shape=shape).median


def unlocalised_width(shape: Shape | None) -> float:
    """RF width of a fully connected node, in pixels: 14.43 for images of 32x32; nan without images."""
    return rf_width(np.ones((math.prod(shape), 1)), shape=shape) if shape else float("nan")


def fit_gaussians(maps: np.ndarray, zero: str = "drop") -> GaussianFit:
    """Fit every map; one without a positive value off d = 0 is missing.

    Args:
        maps: [nodes, 2S+1, 2S+1], indexed [node, dy + S, dx + S], not negative; the outermost rows and columns, which
            no displacement reaches, are not used.
        zero: "drop" leaves d = 0 out of the fit; "keep" takes it as it is in the maps.

    Raises:
        ValueError: zero is neither of the two.
    """
    if zero not in ("drop", "keep"):
        raise ValueError(f"zero = {zero!r}: accepted: 'drop' or 'keep'")
    size = maps.shape[1] // 2
    found = np.full((5, len(maps)), np.nan)
    found[3] = False
    maps = maps[:, 1:-1, 1:-1].astype(np.float64)
    at_zero = maps[:, size - 1, size - 1].copy()
    maps[:, size - 1, size - 1] = 0
    present = np.flatnonzero(maps.any(axis=(1, 2)))
    for node, start in zip(present, _best_start(maps[present]), strict=True):
        counts = maps[node]
        log_sigma, converged = _maximise(counts, start, 0)
        if zero == "keep":
            counts[size - 1, size - 1] = at_zero[node]
            log_sigma, converged = _maximise(counts, log_sigma, 1)
        overlap, norm = (term[0] for term in _overlaps(log_sigma, counts, zero == "keep"))
        squares, points = np.sum(counts**2), counts.size - (zero == "drop")
        variance = squares - np.sum(counts) ** 2 / points
        r_squared = 1 - (squares - overlap**2 / norm) / variance if variance > 1e-12 * squares else np.nan
        found[:, node] = *np.exp(log_sigma), overlap / norm, converged, r_squared
    sigma_x, sigma_y, amplitude, flags, r_squareds = found
    return GaussianFit(sigma_x, sigma_y, amplitude, flags.astype(bool), r_squareds)


def _log_bounds(width: int) -> tuple[float, float]:
    """Of log sigma, for maps of 2S-1 displacements along an axis."""
    return np.log(_SMALLEST_WIDTH), np.log(_LARGEST_WIDTH * (width + 1) / 2)


def _maximise(counts: np.ndarray, start: np.ndarray, keep: int) -> tuple[np.ndarray, bool]:
    """log sigma, x then y, of a maximum of h for one map [2S-1, 2S-1]; and whether it lies between the bounds."""
    lower, upper = bounds = _log_bounds(len(counts))
    found = minimize(
        _minus_h, start, (counts, keep), "SLSQP", jac=True, bounds=[bounds] * 2, options={"ftol": _SMALLEST_RISE}
    )
    inside = np.all((found.x > lower + _TOLERANCE) & (found.x < upper - _TOLERANCE))
    return found.x, bool(inside and np.abs(found.jac).max() < _TOLERANCE)


def _best_start(maps: np.ndarray) -> np.ndarray:
    """log sigma of the smallest residual on a coarse grid, float64 [nodes, 2], x then y; maps without d = 0."""
    log_widths = np.linspace(*_log_bounds(maps.shape[1]), _START_WIDTHS)
    profiles = np.exp(-0.5 * _squared_displacements(maps.shape[1]) / np.exp(2 * log_widths)[:, None])  # [widths, 2S-1]
    overlap = profiles @ maps @ profiles.T  # [nodes, widths of y, widths of x]
    tails = np.sum(profiles**2, axis=1) - 1
    norm = tails + tails[:, None] + tails * tails[:, None]
    best = np.argmax((overlap**2 / norm).reshape(len(maps), _START_WIDTHS**2), axis=1)
    y, x = np.divmod(best, _START_WIDTHS)
    return np.stack([log_widths[x], log_widths[y]], axis=1)


def _minus_h(log_sigma: np.ndarray, counts: np.ndarray, keep: int) -> tuple[float, np.ndarray]:
    """-h and its gradient."""
    overlap, norm = _overlaps(log_sigma, counts, keep)
    # A trial far too narrow may miss the map altogether: then h is as low as can be.
    overlap[0] = max(overlap[0], np.finfo(float).tiny)
    return np.log(norm[0]) - 2 * np.log(overlap[0]), norm[1:] / norm[0] - 2 * overlap[1:] / overlap[0]


def _overlaps(log_sigma: np.ndarray, counts: np.ndarray, keep: int) -> tuple[np.ndarray, np.ndarray]:
    """<S, g> and <g, g>, each with its derivatives by log sigma_x and log sigma_y, float64 [3].

    With q = d^2 / sigma^2 a profile exp(-q/2) has the derivative q e^(-q/2), its square 2q e^-q.
    """
    q = _squared_displacements(len(counts)) * np.exp(-2 * log_sigma)[:, None]
    profile = np.exp(-q / 2)
    (x, y), (slope_x, slope_y) = profile, q * profile
    rows = counts @ x
    overlap = np.array([y @ rows, y @ (counts @ slope_x), slope_y @ rows])
    square = profile**2
    square[:, len(counts) // 2] = 0  # without d = 0, so that nothing cancels where the widths are small
    (tail_x, tail_y), (rise_x, rise_y) = square.sum(axis=1), 2 * (q * square).sum(axis=1)
    norm = np.array([tail_x + tail_y + tail_x * tail_y + keep, rise_x * (1 + tail_y), rise_y * (1 + tail_x)])
    return overlap, norm


def _squared_displacements(width: int) -> np.ndarray:
    """d^2 along one axis, float64 [2S-1]."""
    return np.square(np.arange(width) - width // 2, dtype=np.float64)
