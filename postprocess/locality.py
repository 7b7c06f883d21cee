"""Local distances: how often two inputs at a given displacement are connected to the same node.

S(d) = sum_j sum_{i, i' at displacement d} m_ij m_i'j (P&B section 3), over pairs of inputs i != i' of the same colour
channel (S_sc) or of different ones (S_dc). It is the sum of the masks' autocorrelations, computed exactly by FFT: every
pair of every node is counted, once at d and once at -d.

`shape` is that of the images, (channels, height, width); None: see plates.image_shape. S is the longer side.

Maps are int64 [2S+1, 2S+1], indexed [dy + S, dx + S], in the layout of the reference's notebook (the outermost rows and
columns, |dx| = S or |dy| = S, are always 0). Rows grow downwards, but angles are those that one sees in the image:
degrees counter-clockwise from the x axis with y pointing up, so d = (dx, dy) = (1, -1) stands at 45.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from postprocess.connectivity import input_connections, most_connected
from postprocess.masks import mask_planes
from sifting.network.plates import Shape, image_shape

_NODES_PER_BLOCK = 128  # bounds the memory: 26 MB for 32x32 RGB images
_ANGLES = 36  # of the angular profile: every 5 degrees from 0 to 175, as S(-d) = S(d)
_RADII_PER_PIXEL = 4
_SMALLEST_AMPLITUDE = 1e-9  # of a harmonic with an angle: rounding has none


class DisplacementMaps(NamedTuple):
    """S of a layer, int64 [2S+1, 2S+1] each, indexed [dy + S, dx + S].

    Attributes:
        same: S_sc, pairs in the same channel. 0 at d = 0, where there are no pairs.
        different: S_dc, pairs in different channels. d = 0 counts: two colours of one pixel.
    """

    same: np.ndarray
    different: np.ndarray


@dataclass(frozen=True, eq=False)
class Anisotropy:
    """Which directions a map S(d) prefers, once distance and the finite image are taken out.

    Everything is nan for a map without pairs at the distances looked at.

    Attributes:
        angles: float64 [36], degrees: 0, 5, ..., 175.
        profile: float64 [36], S over the fully connected map along each direction, its mean over all directions 1.
        axis_ratio: the profile along the axes (mean of 0 and 90) over that along the diagonals (mean of 45 and 135).
            1: isotropic; above 1 horizontal and vertical displacements are preferred (P&B section 4). About 0.95 for
            isotropic features that all lie away from the border, which the fully connected map does not know.
        preferred_angle: of a pair of perpendicular directions, degrees in [-45, 45): 0 for the axes, 20 for images that
            were turned by 20 degrees counter-clockwise (P&B C.4). Phase of the profile's fourfold harmonic; nan
            without one.
        fourfold: a in 1 + a cos 4 (angle - preferred_angle).
        orientation: of a single direction, degrees in [-90, 90), 0 horizontal, -90 vertical: phase of the twofold
            harmonic; nan without one.
        twofold: a in 1 + a cos 2 (angle - orientation); small where lines of perpendicular directions balance.
    """

    angles: np.ndarray
    profile: np.ndarray
    axis_ratio: float
    preferred_angle: float
    fourfold: float
    orientation: float
    twofold: float


def displacement_maps(mask: np.ndarray, shape: Shape | None = None) -> DisplacementMaps:
    """S_sc and S_dc, summed over the nodes of `mask`.

    Args:
        mask: [inputs, nodes], any dtype; non-zero means connected. The mask of layer 1, or the effective mask of
            a deeper layer; some of its columns give S of some nodes.

    Raises:
        DataError: the inputs are not those of such images.
    """
    size = max(image_shape(len(mask), shape)[1:])
    same = np.zeros((2 * size, size + 1))
    total = np.zeros_like(same)
    for spectrum in _spectra(mask, shape):
        # Power spectra add up, so that one inverse transform serves all nodes.
        same += np.sum(_power(spectrum), axis=(0, 1))
        total += np.sum(_power(spectrum.sum(axis=1)), axis=0)
    same_counts = _counts(same)
    different_counts = _counts(total) - same_counts
    same_counts[size, size] = 0
    return DisplacementMaps(same_counts, different_counts)


def node_maps(mask: np.ndarray, shape: Shape | None = None) -> np.ndarray:
    """S_i(d) of every node, its channels summed as in S_sc: Eq. 1 of Redman et al. 2024, without d = 0.

    Args:
        mask: [inputs, nodes]; non-zero means connected.

    Returns:
        int64 [nodes, 2S+1, 2S+1], indexed [node, dy + S, dx + S]; 0 at d = 0, where Redman's Eq. 1 has C_in.

    Raises:
        DataError: the inputs are not those of such images.
    """
    size = max(image_shape(len(mask), shape)[1:])
    blocks = [_counts(np.sum(_power(spectrum), axis=1)) for spectrum in _spectra(mask, shape)]
    maps = np.concatenate(blocks)
    maps[:, size, size] = 0
    return maps


def full_map(shape: Shape) -> np.ndarray:
    """S_sc of one node that is connected to every input: channels * (width - |dx|) * (height - |dy|), as far as these
    are positive, and 0 at d = 0."""
    channels, height, width = shape
    size = max(height, width)
    pairs = [np.maximum(side - np.abs(np.arange(-size, size + 1)), 0) for side in (height, width)]
    full: NDArray[np.int64] = channels * np.outer(*pairs)
    full[size, size] = 0
    return full


def near_share(same: np.ndarray, radius: int = 3) -> float:
    """The share of the pairs of a map S_sc within |dx|, |dy| <= radius, d = 0 left out; nan if there are none."""
    size = len(same) // 2
    near = slice(max(size - radius, 0), size + radius + 1)
    pairs = same.sum() - same[size, size]
    return float((same[near, near].sum() - same[size, size]) / pairs) if pairs else float("nan")


def locality_index(mask: np.ndarray, radius: int = 3, shape: Shape | None = None) -> float:
    """L3 (for radius 3): near_share of the layer's S_sc over that of a fully connected node.

    1 for a dense or randomly pruned layer, larger where connected inputs lie close together; nan if no two inputs of
    one channel are connected to the same node.

    Args:
        mask: [inputs, nodes]; non-zero means connected.
        radius: in pixels.

    Raises:
        DataError: the inputs are not those of such images.
    """
    return relative_near_share(displacement_maps(mask, shape).same, radius, shape)


def relative_near_share(same: np.ndarray, radius: int = 3, shape: Shape | None = None) -> float:
    """near_share of a map S_sc over that of a fully connected node: L3 of the nodes whose map it is.

    Args:
        shape: of the images; None: they are square.
    """
    return near_share(same, radius) / near_share(full_map(shape or _square(same)), radius)


def local_nodes(mask: np.ndarray, count: int, shape: Shape | None = None) -> np.ndarray:
    """The nodes whose own S_sc has the largest share within 3 pixels, of the more connected half of the nodes, int64.

    Nodes without a pair of inputs in one channel are left out; the most connected stand first.

    Args:
        mask: [inputs, nodes]; non-zero means connected.
        count: at most so many.
    """
    half = most_connected(input_connections(mask))[: -(-mask.shape[1] // 2)]
    share = np.array([near_share(one) for one in node_maps(mask[:, half], shape)])
    places = np.argsort(-np.nan_to_num(share, nan=-1), kind="stable")[: min(count, np.isfinite(share).sum())]
    return half[np.sort(places)]


def radial_profile(counts: np.ndarray) -> np.ndarray:
    """S by distance: its mean over the displacements with r - 1/2 <= |d| < r + 1/2.

    That of S_sc over that of full_map(S) takes out the finite image.

    Args:
        counts: a map S(d), [2S+1, 2S+1].

    Returns:
        float64 [S], entry r for r = 0, 1, ..., S - 1 pixels, rings that lie within the map.
    """
    size = len(counts) // 2
    ring = np.rint(_distances(size)).astype(int).ravel()
    return (np.bincount(ring, np.ravel(counts)) / np.bincount(ring))[:size]


def anisotropy(counts: np.ndarray, inner: float = 2, outer: float = 6, shape: Shape | None = None) -> Anisotropy:
    """How S depends on the direction of d at inner <= |d| <= outer.

    S(d) over the fully connected map is interpolated by cubic splines on circles; the profile is its integral over the
    ring, for each angle. Sums over the displacements in sectors would depend on how S falls off, too: those of length 2
    lie on the axes only.

    Args:
        counts: a map S_sc or S_dc, [2S+1, 2S+1].
        inner, outer: pixels, 1 <= inner < outer < the shorter side.
        shape: of the images; None: they are square.

    Raises:
        ValueError: other distances.
    """
    size, shape = len(counts) // 2, shape or _square(counts)
    if not 1 <= inner < outer <= min(shape[1:]) - 1:
        raise ValueError(f"inner = {inner}, outer = {outer}: accepted: 1 <= inner < outer <= {min(shape[1:]) - 1}")
    angles = 180 / _ANGLES * np.arange(_ANGLES)
    radii = np.linspace(inner, outer, round(_RADII_PER_PIXEL * (outer - inner)) + 1)
    points = radii[:, None] * np.exp(1j * np.deg2rad(angles))
    coordinates = np.array([size - 1 - points.imag, size - 1 + points.real])
    profile = radii @ map_coordinates(_relative_to_full(counts, shape), coordinates)
    distances = _distances(size)
    pairs = counts[(inner <= distances) & (distances <= outer)].any()
    profile = profile / profile.mean() if pairs else np.full(_ANGLES, np.nan)
    # The splines may undershoot where there are no pairs at all.
    axis, diagonal = (np.maximum(profile[start :: _ANGLES // 2].mean(), 0) for start in (0, _ANGLES // 4))
    with np.errstate(divide="ignore", invalid="ignore"):
        axis_ratio = float(axis / diagonal)
    return Anisotropy(angles, profile, axis_ratio, *_harmonic(profile, angles, 4), *_harmonic(profile, angles, 2))


def _distances(size: int) -> np.ndarray:
    """|d| in pixels, float64 [2S+1, 2S+1]."""
    d = np.arange(-size, size + 1)
    return np.hypot(d, d[:, None])


def _square(counts: np.ndarray) -> Shape:
    """The images of a map, if they are square and of one channel."""
    return 1, len(counts) // 2, len(counts) // 2


def _relative_to_full(counts: np.ndarray, shape: Shape) -> NDArray[np.float64]:
    """S(d) over the fully connected map, per channel, float64 [2S-1, 2S-1]; at d = 0 the mean of the neighbours."""
    centre = len(counts) // 2 - 1
    full = np.maximum(full_map((1, *shape[1:]))[1:-1, 1:-1], 1)  # no pairs where no displacement is possible
    relative: NDArray[np.float64] = counts[1:-1, 1:-1] / full
    relative[centre, centre] = (relative[centre, centre + 1] + relative[centre + 1, centre]) / 2
    return relative


def _harmonic(profile: np.ndarray, angles: np.ndarray, fold: int) -> tuple[float, float]:
    """Angle in degrees, and amplitude, of the harmonic 1 + a cos(fold (angle - preferred)) of a profile of mean 1."""
    moment = 2 * np.mean(profile * np.exp(1j * fold * np.deg2rad(angles)))
    if not abs(moment) > _SMALLEST_AMPLITUDE:
        return float("nan"), float(abs(moment))
    half = 180 / fold
    return float((np.rad2deg(np.angle(moment)) / fold + half) % (2 * half) - half), float(abs(moment))


def _spectra(mask: np.ndarray, shape: Shape | None) -> Iterator[np.ndarray]:
    """Fourier transforms of the masks, complex128 [nodes, channels, 2S, S+1], a block of nodes at a time.

    Padding to 2S keeps the displacements +d and -d of the periodic transform apart.
    """
    for start in range(0, mask.shape[1], _NODES_PER_BLOCK):
        planes = mask_planes(mask[:, start : start + _NODES_PER_BLOCK], shape)
        period = 2 * max(planes.shape[2:])
        yield np.fft.rfft2(planes.astype(np.float64), s=(period, period), axes=(-2, -1))


def _power(spectrum: np.ndarray) -> np.ndarray:
    power: NDArray[np.float64] = spectrum.real**2 + spectrum.imag**2
    return power


def _counts(power: np.ndarray) -> np.ndarray:
    """Autocorrelations, int64 [..., 2S+1, 2S+1], from power spectra [..., 2S, S+1]."""
    period = power.shape[-2]
    correlation = np.fft.irfft2(power, s=(period, period), axes=(-2, -1))
    # Displacement d stands at index d modulo 2S: negative ones where negative indices point.
    displacements = np.arange(-(period // 2), period // 2 + 1)
    return np.rint(correlation[..., displacements[:, None], displacements]).astype(np.int64)
