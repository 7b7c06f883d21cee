"""RF width: the s.d. of a two-dimensional Gaussian fitted to each node's S_i(d) (Redman et al. 2024, section 2.2).

For every node, the model A exp(-dx^2 / (2 sigma_x^2) - dy^2 / (2 sigma_y^2)), with its centre at 0 and no offset, is
fitted by unweighted least squares on the full grid of (2S-1)^2 displacements. All nodes are fitted together. For given
widths the best amplitude is known, A = <S, g> / <g, g>, and leaves the residual |S|^2 - <S, g>^2 / <g, g>. So only

    h(log sigma_x, log sigma_y) = 2 log <S, g> - log <g, g>

has to be maximised, by Newton's method from the best point of a coarse grid; if d = 0 is kept, from the maximum
without it, because S_i(0) = C_in is a spike whose own width, a fraction of a pixel, is often the highest maximum. g is
a product of a profile in x and one in y, and so are its derivatives: every sum over the grid is a contraction of S with
a few one-dimensional profiles.

A fully connected node of S = 32 has sigma_x = 14.43 pixels; a mask that keeps pixels with a Gaussian probability of
s.d. s has sqrt(2) s, before the edges of the image are felt.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from postprocess.connectivity import input_connections, most_connected
from postprocess.locality import node_maps

_NODES_PER_BLOCK = 256  # bounds the memory: 10 MB of float64 for S = 32
_SMALLEST_WIDTH = 0.25  # pixels; e^-8 at the nearest neighbour
_LARGEST_WIDTH = 4.0  # image sizes; flat to 3 % over the map
_START_WIDTHS = 24  # of the coarse grid, for each axis
_LARGEST_STEP = 0.7  # in log sigma
_TOLERANCE = 1e-6  # of the last Newton step in log sigma; what remains is of the order of its square
_ITERATIONS = 100


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
    mask: np.ndarray, zero: str = "drop", least_connections: int = 5, channels: int = 3
) -> GaussianFit:
    """Fit every node of a layer.

    Args:
        mask: [channels*S*S, nodes]; non-zero means connected.
        zero: "drop" leaves d = 0 out of the fit; "keep" has S_i(0) = C_in there, as in Eq. 1 of Redman et al.
        least_connections: nodes with fewer are missing, as are those without two connections in one channel.

    Raises:
        DataError: the inputs are not a square image of so many channels.
        ValueError: zero is neither of the two.
    """
    connections = input_connections(mask)
    blocks = []
    for start in range(0, mask.shape[1], _NODES_PER_BLOCK):
        block = slice(start, start + _NODES_PER_BLOCK)
        maps = node_maps(mask[:, block], channels)
        if zero == "keep":
            maps[:, maps.shape[1] // 2, maps.shape[2] // 2] = connections[block]
        maps[connections[block] < least_connections] = 0
        blocks.append(fit_gaussians(maps, zero))
    return GaussianFit(*(np.concatenate([getattr(b, field.name) for b in blocks]) for field in fields(GaussianFit)))


def layer_width(
    mask: np.ndarray, nodes: int | None = None, zero: str = "drop", least_connections: int = 5, channels: int = 3
) -> LayerWidth:
    """RF widths of a layer: median and mean over its nodes, and how many have none.

    Args:
        mask: [channels*S*S, nodes]; non-zero means connected.
        nodes: how many of the most connected ones are fitted; None, or more than there are: all.
        zero, least_connections: see receptive_fields.

    Raises:
        DataError, ValueError: as receptive_fields does.
    """
    selected = most_connected(input_connections(mask))[:nodes]
    fit = receptive_fields(mask[:, selected], zero, least_connections, channels)
    return width_of_layer(fit.sigma_x, fit.converged)


def width_of_layer(sigma_x: np.ndarray, converged: np.ndarray) -> LayerWidth:
    """RF widths of a layer from those of its nodes, see GaussianFit."""
    widths, inner = sigma_x[np.isfinite(sigma_x)], sigma_x[converged != 0]
    median, mean, mean_converged = (
        float(average(values)) if values.size else float("nan")
        for average, values in ((np.median, widths), (np.mean, widths), (np.mean, inner))
    )
    return LayerWidth(median, mean, mean_converged, widths.size, widths.size - inner.size, sigma_x.size - widths.size)


def rf_width(mask: np.ndarray, nodes: int = 40, zero: str = "drop", channels: int = 3) -> float:
    """RF width of a layer in pixels: the median of layer_width over its most connected nodes."""
    return layer_width(mask, nodes, zero, channels=channels).median


def unlocalised_width(size: int) -> float:
    """RF width of a fully connected node, in pixels: 14.43 for images of 32x32."""
    return rf_width(np.ones((3 * size * size, 1)))


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
    keep = float(zero == "keep")
    size = maps.shape[1] // 2
    maps = maps[:, 1:-1, 1:-1].astype(np.float64)
    at_zero = maps[:, size - 1, size - 1].copy()
    maps[:, size - 1, size - 1] = 0
    present = np.flatnonzero(maps.any(axis=(1, 2)))
    maps = maps[present]

    log_sigma, converged = _maximise(maps, _best_start(maps), 0.0)
    if zero == "keep":
        maps[:, size - 1, size - 1] = at_zero[present]
        log_sigma, converged = _maximise(maps, log_sigma, 1.0)
    overlap, norm = (_value(term) for term in _overlaps(maps, log_sigma, keep))
    points = (2 * size - 1) ** 2 - 1 + keep
    squares = np.sum(maps**2, axis=(1, 2))
    variance = squares - np.sum(maps, axis=(1, 2)) ** 2 / points
    residual = squares - overlap**2 / norm
    with np.errstate(invalid="ignore", divide="ignore"):
        r_squared = np.where(variance > 1e-12 * squares, 1 - residual / variance, np.nan)

    def at_nodes(values: np.ndarray) -> np.ndarray:
        result = np.full(len(at_zero), np.nan)
        result[present] = values
        return result

    sigma = np.exp(log_sigma)
    flags = np.zeros(len(at_zero), bool)
    flags[present] = converged
    return GaussianFit(
        at_nodes(sigma[:, 0]), at_nodes(sigma[:, 1]), at_nodes(overlap / norm), flags, at_nodes(r_squared)
    )


def _log_bounds(width: int) -> tuple[float, float]:
    """Of log sigma, for maps of 2S-1 displacements along an axis."""
    return np.log(_SMALLEST_WIDTH), np.log(_LARGEST_WIDTH * (width + 1) / 2)


def _maximise(maps: np.ndarray, start: np.ndarray, keep: float) -> tuple[np.ndarray, np.ndarray]:
    """Climb to a maximum of h for every map [nodes, 2S-1, 2S-1], from log sigma = start, float64 [nodes, 2].

    Returns:
        log sigma, float64 [nodes, 2], x then y; and whether the maximum is an inner one, bool [nodes].
    """
    lower, upper = _log_bounds(maps.shape[1])
    log_sigma = start.copy()
    converged = np.zeros(len(maps), bool)
    damping = np.ones(len(maps))
    active = np.arange(len(maps))
    value, gradient, hessian = _objective(maps, log_sigma, keep)
    for _ in range(_ITERATIONS):
        if not active.size:
            break
        here = log_sigma[active]
        step = _ascent_step(gradient, hessian, (here <= lower, here >= upper)) * damping[active, None]
        trial = np.clip(here + step, lower, upper)
        done = np.all(np.abs(step) < _TOLERANCE * damping[active, None], axis=1)
        trial_value, trial_gradient, trial_hessian = _objective(maps[active], trial, keep)
        better = done | (trial_value > value)
        log_sigma[active[better]] = trial[better]
        damping[active] = np.where(better, 1.0, damping[active] / 4)
        value = np.where(better, trial_value, value)
        gradient = np.where(better[:, None], trial_gradient, gradient)
        hessian = np.where(better[:, None, None], trial_hessian, hessian)
        converged[active[done]] = True
        active, value, gradient, hessian = (array[~done] for array in (active, value, gradient, hessian))
    inside = np.all((log_sigma > lower) & (log_sigma < upper), axis=1)
    return log_sigma, converged & inside


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


def _objective(maps: np.ndarray, log_sigma: np.ndarray, keep: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """h [nodes], its gradient [nodes, 2] and Hessian [nodes, 2, 2] with respect to log sigma_x, log sigma_y."""
    value, gradient, hessian = (np.zeros(1) for _ in range(3))
    for factor, term in zip((2, -1), _overlaps(maps, log_sigma, keep), strict=True):
        # A trial far too narrow may miss the map altogether: then h is as low as can be, and the trial is refused.
        size = np.maximum(_value(term), np.finfo(float).tiny)
        slope = np.stack([term[:, 0, 1], term[:, 1, 0]], axis=1) / size[:, None]
        curvature = np.stack([term[:, 0, 2], term[:, 1, 1], term[:, 1, 1], term[:, 2, 0]], axis=1) / size[:, None]
        value = value + factor * np.log(size)
        gradient = gradient + factor * slope
        hessian = hessian + factor * (curvature.reshape(-1, 2, 2) - slope[:, :, None] * slope[:, None, :])
    return value, gradient, hessian


def _overlaps(maps: np.ndarray, log_sigma: np.ndarray, keep: float) -> tuple[np.ndarray, np.ndarray]:
    """<S, g> and <g, g>, each [nodes, 3, 3]: entry [k, l] is derived k times by log sigma_y, l times by log sigma_x.

    With q = d^2 / sigma^2 a profile exp(-q/2) has the derivatives q e^(-q/2) and (q^2 - 2q) e^(-q/2), its square
    the derivatives 2q e^-q and (4q^2 - 4q) e^-q.
    """
    q = _squared_displacements(maps.shape[1]) * np.exp(-2 * log_sigma.T)[:, :, None]  # [axis, nodes, 2S-1]
    profile = np.exp(-q / 2)
    x, y = np.stack([profile, q * profile, (q - 2) * q * profile], axis=-1)
    overlap = np.swapaxes(y, 1, 2) @ maps @ x
    square = profile**2
    square[..., square.shape[-1] // 2] = 0  # without d = 0, so that nothing cancels where the widths are small
    tail_x, tail_y = np.stack([square, 2 * q * square, 4 * (q - 1) * q * square], axis=-1).sum(axis=2)
    norm = tail_y[:, :, None] * tail_x[:, None, :]
    norm[:, 0, :] += tail_x
    norm[:, :, 0] += tail_y
    norm[:, 0, 0] += keep
    return overlap, norm


def _ascent_step(gradient: np.ndarray, hessian: np.ndarray, bounds: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Newton's step [nodes, 2], turned uphill where h is not concave, bounded, and 0 across a bound already reached."""
    blocked = (bounds[0] & (gradient < 0)) | (bounds[1] & (gradient > 0))
    gradient = np.where(blocked, 0.0, gradient)
    hessian = np.where(blocked[:, :, None] | blocked[:, None, :], -np.eye(2), hessian)
    curvature, axes = np.linalg.eigh(-hessian)
    along = np.einsum("nij,ni->nj", axes, gradient) / np.maximum(np.abs(curvature), 1e-9)
    step: NDArray[np.float64] = np.einsum("nij,nj->ni", axes, along)
    length = np.linalg.norm(step, axis=1, keepdims=True)
    step *= np.minimum(1.0, _LARGEST_STEP / np.maximum(length, np.finfo(float).tiny))
    return step


def _squared_displacements(width: int) -> np.ndarray:
    """d^2 along one axis, float64 [2S-1]."""
    return np.square(np.arange(width) - width // 2, dtype=np.float64)


def _value(term: np.ndarray) -> np.ndarray:
    """The underived entry of _overlaps, [nodes]."""
    return term[:, 0, 0]
