"""Local distances: how often two inputs at a given displacement are connected to the same node.

S(d) = sum_j sum_{i, i' at displacement d} m_ij m_i'j (P&B section 3), over pairs of inputs i != i' of the same colour
channel (S_sc) or of different ones (S_dc). It is the sum of the masks' autocorrelations, computed exactly by FFT: every
pair of every node is counted, once at d and once at -d.

Maps are int64 [2S+1, 2S+1], indexed [dy + S, dx + S], in the layout of the reference's notebook (the outermost rows and
columns, |dx| = S or |dy| = S, are always 0).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from postprocess.masks import image_size, mask_planes

_NODES_PER_BLOCK = 128  # bounds the memory: 26 MB for 32x32 RGB images


class DisplacementMaps(NamedTuple):
    """S of a layer, int64 [2S+1, 2S+1] each, indexed [dy + S, dx + S].

    Attributes:
        same: S_sc, pairs in the same channel. 0 at d = 0, where there are no pairs.
        different: S_dc, pairs in different channels. d = 0 counts: two colours of one pixel.
    """

    same: np.ndarray
    different: np.ndarray


def displacement_maps(mask: np.ndarray, channels: int = 3) -> DisplacementMaps:
    """S_sc and S_dc, summed over the nodes of `mask`.

    Args:
        mask: [channels*S*S, nodes], any dtype; non-zero means connected. The mask of layer 1, or the effective mask of
            a deeper layer; some of its columns give S of some nodes.

    Raises:
        DataError: the inputs are not a square image of so many channels.
    """
    size = image_size(len(mask), channels)
    same = np.zeros((2 * size, size + 1))
    total = np.zeros_like(same)
    for spectrum in _spectra(mask, channels):
        # Power spectra add up, so that one inverse transform serves all nodes.
        same += np.sum(_power(spectrum), axis=(0, 1))
        total += np.sum(_power(spectrum.sum(axis=1)), axis=0)
    same_counts = _counts(same)
    different_counts = _counts(total) - same_counts
    same_counts[size, size] = 0
    return DisplacementMaps(same_counts, different_counts)


def node_maps(mask: np.ndarray, channels: int = 3) -> np.ndarray:
    """S_i(d) of every node, its channels summed as in S_sc: Eq. 1 of Redman et al. 2024, without d = 0.

    Args:
        mask: [channels*S*S, nodes]; non-zero means connected.

    Returns:
        int64 [nodes, 2S+1, 2S+1], indexed [node, dy + S, dx + S]; 0 at d = 0, where Redman's Eq. 1 has C_in.

    Raises:
        DataError: the inputs are not a square image of so many channels.
    """
    size = image_size(len(mask), channels)
    blocks = [_counts(np.sum(_power(spectrum), axis=1)) for spectrum in _spectra(mask, channels)]
    maps = np.concatenate(blocks)
    maps[:, size, size] = 0
    return maps


def full_map(size: int, channels: int = 3) -> np.ndarray:
    """S_sc of one node that is connected to every input: channels * (S - |dx|) * (S - |dy|), and 0 at d = 0."""
    pairs = size - np.abs(np.arange(-size, size + 1))
    full = channels * np.outer(pairs, pairs)
    full[size, size] = 0
    return full


def near_share(same: np.ndarray, radius: int = 3) -> float:
    """The share of the pairs of a map S_sc within |dx|, |dy| <= radius, d = 0 left out; nan if there are none."""
    size = len(same) // 2
    near = slice(max(size - radius, 0), size + radius + 1)
    pairs = same.sum() - same[size, size]
    return float((same[near, near].sum() - same[size, size]) / pairs) if pairs else float("nan")


def locality_index(mask: np.ndarray, radius: int = 3, channels: int = 3) -> float:
    """L3 (for radius 3): near_share of the layer's S_sc over that of a fully connected node.

    1 for a dense or randomly pruned layer, larger where connected inputs lie close together; nan if no two inputs of
    one channel are connected to the same node.

    Args:
        mask: [channels*S*S, nodes]; non-zero means connected.
        radius: in pixels.

    Raises:
        DataError: the inputs are not a square image of so many channels.
    """
    same = displacement_maps(mask, channels).same
    return near_share(same, radius) / near_share(full_map(image_size(len(mask), channels), channels), radius)


def _spectra(mask: np.ndarray, channels: int) -> Iterator[np.ndarray]:
    """Fourier transforms of the masks, complex128 [nodes, channels, 2S, S+1], a block of nodes at a time.

    Padding to 2S keeps the displacements +d and -d of the periodic transform apart.
    """
    for start in range(0, mask.shape[1], _NODES_PER_BLOCK):
        planes = mask_planes(mask[:, start : start + _NODES_PER_BLOCK], channels)
        period = 2 * planes.shape[-1]
        yield np.fft.rfft2(planes.astype(np.float64), s=(period, period), axes=(-2, -1))


def _power(spectrum: np.ndarray) -> np.ndarray:
    return spectrum.real**2 + spectrum.imag**2


def _counts(power: np.ndarray) -> np.ndarray:
    """Autocorrelations, int64 [..., 2S+1, 2S+1], from power spectra [..., 2S, S+1]."""
    period = power.shape[-2]
    correlation = np.fft.irfft2(power, s=(period, period), axes=(-2, -1))
    # Displacement d stands at index d modulo 2S: negative ones where negative indices point.
    displacements = np.arange(-(period // 2), period // 2 + 1)
    return np.rint(correlation[..., displacements[:, None], displacements]).astype(np.int64)
