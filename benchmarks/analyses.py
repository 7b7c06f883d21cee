"""Seconds of the analyses that cost most, each against the obvious loop.

    python benchmarks/analyses.py [--images N]

The loop runs on a case small enough for it; its time is extrapolated in proportion to nodes, images or weights, and
marked with ~. Both give the same numbers: that is checked on the small case.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.remove(str(Path(__file__).parent))  # where this file would stand for the package of its name

import numpy as np
from scipy.optimize import curve_fit

from postprocess.locality import displacement_maps, node_maps
from postprocess.receptive_field import receptive_fields
from sifting.network.rounds import Moments, Parameters
from sifting.network.statistics import ImageBlocks, LayerInputs, cavity_scores, kurtosis, preactivation_moments

SIZE, NODES = 32, 1024
INPUTS = 3 * SIZE * SIZE


def seconds(function: Callable, *arguments) -> tuple[float, object]:
    began = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - began, result


def report(name: str, ours: float, loop: float, small: str) -> None:
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:44} {ours:8.2f} s {loop:12,.0f} s ~ {loop / ours:10,.0f}x   {gigabytes:4.1f} GB   loop: {small}")


def random_mask(density: float, nodes: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((INPUTS, nodes)) < density).astype(np.uint8)


# --- the obvious loops


def loop_displacement_map(mask: np.ndarray) -> np.ndarray:
    """S_sc, pair by pair (the second input of a pair at once)."""
    same = np.zeros((2 * SIZE + 1, 2 * SIZE + 1), np.int64)
    for node in range(mask.shape[1]):
        connected = np.flatnonzero(mask[:, node])
        channel, y, x = np.unravel_index(connected, (3, SIZE, SIZE))
        for i in range(len(connected)):
            others = (channel == channel[i]) & (np.arange(len(connected)) != i)
            np.add.at(same, (y[others] - y[i] + SIZE, x[others] - x[i] + SIZE), 1)
    return same


def loop_widths(mask: np.ndarray) -> np.ndarray:
    """sigma_x by scipy's curve_fit, node by node."""
    d = np.arange(1 - SIZE, SIZE)
    dy, dx = (grid.ravel() for grid in np.meshgrid(d, d, indexing="ij"))
    away = (dx != 0) | (dy != 0)
    grid = np.stack([dx[away], dy[away]]).astype(float)

    def gaussian(grid, amplitude, sigma_x, sigma_y):
        return amplitude * np.exp(-(grid[0] ** 2) / (2 * sigma_x**2) - grid[1] ** 2 / (2 * sigma_y**2))

    widths = []
    for values in node_maps(mask)[:, 1:-1, 1:-1]:
        counts = values.ravel()[away].astype(float)
        found, _ = curve_fit(gaussian, grid, counts, (counts.max(), 5.0, 5.0))
        widths.append(abs(found[1]))
    return np.array(widths)


def loop_kurtosis(x: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Eq. 4 of Redman et al., node by node."""
    result = []
    for node in range(W.shape[1]):
        centred = x @ W[:, node]
        centred = centred - centred.mean()
        result.append(np.mean(centred**4) / np.mean(centred**2) ** 2)
    return np.array(result)


def loop_cavity(x: np.ndarray, W: np.ndarray, weights: int) -> np.ndarray:
    """Eq. 5 and 6, weight by weight, of the first `weights` inputs of the first node."""
    whole = x @ W[:, 0]
    reference = loop_kurtosis(whole[:, None], np.ones((1, 1)))[0]
    scores = []
    for i in range(weights):
        without = whole - W[i, 0] * x[:, i]
        value = loop_kurtosis(without[:, None], np.ones((1, 1)))[0]
        scores.append((value - reference if reference >= 3 else reference - value) / reference)
    return np.array(scores)


# --- comparisons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    images = parser.parse_args().images
    rng = np.random.default_rng(1)
    print(f"layer of {INPUTS} x {NODES}, {images} images")
    print(f"{'':44} {'ours':>10} {'loop':>14} {'ratio':>11}   {'peak':>7}")

    for density in (1.0, 0.1, 0.01):
        ours, _ = seconds(displacement_maps, random_mask(density, NODES))
        nodes = 1 if density > 0.1 else 8
        small = random_mask(density, nodes, seed=2)
        loop, same = seconds(loop_displacement_map, small)
        assert np.array_equal(displacement_maps(small).same, same)
        report(f"S_sc and S_dc at u = {100 * density:g} %", ours, loop * NODES / nodes, f"S_sc alone, {nodes} nodes")

    mask = random_mask(0.02, NODES)
    ours, fits = seconds(receptive_fields, mask)
    loop, widths = seconds(loop_widths, mask[:, :8])
    np.testing.assert_allclose(fits.sigma_x[:8], widths, rtol=1e-4)
    report("RF widths of all nodes", ours, loop * NODES / 8, "8 nodes")

    pixels = rng.integers(0, 256, (images, INPUTS), dtype=np.uint8)
    W = rng.standard_normal((INPUTS, NODES)) * random_mask(0.5, NODES)
    parameters = Parameters(W, np.zeros(NODES), np.ones(INPUTS), np.zeros(INPUTS))
    moments = Moments(np.zeros(INPUTS), np.ones(INPUTS))
    inputs = LayerInputs(ImageBlocks(pixels, np.full(INPUTS, 127.5, np.float32)), parameters, moments)
    ours, moments_of_nodes = seconds(preactivation_moments, inputs, W)
    x = np.concatenate([block for block, _ in zip(inputs, range(2), strict=False)])
    loop, expected = seconds(loop_kurtosis, x, W[:, :16])
    few = LayerInputs([x], Parameters(W, None, np.ones(INPUTS), np.zeros(INPUTS)), None)
    np.testing.assert_allclose(kurtosis(preactivation_moments(few, W))[:16], expected, rtol=1e-9)
    report("kurtosis of all nodes", ours, loop * NODES / 16 * images / len(x), f"16 nodes, {len(x)} images")

    loop, expected = seconds(loop_cavity, x, W, 64)
    np.testing.assert_allclose(
        cavity_scores(few, W[:, :1], np.ones((INPUTS, 1)))[:64, 0], expected, rtol=1e-6, atol=1e-12
    )
    for density in (1.0, 0.1, 0.01):
        ours, _ = seconds(cavity_scores, inputs, W, random_mask(density, NODES))
        scale = density * INPUTS * NODES / 64 * images / len(x)
        report(f"cavity scores at u = {100 * density:g} %", ours, loop * scale, f"64 weights, {len(x)} images")


if __name__ == "__main__":
    main()
