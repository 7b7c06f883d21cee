"""Random draws as pure functions of (seed, stream, counters), so that a run that was killed continues to the same bits.

Host draws use numpy's Philox, device draws TensorFlow's stateless Philox: both counter-based, and neither depends on
the device, on the order of the draws, or on how a run is cut into calls.

Everything that a seed of the input file decides is drawn here. What never changes has fixed numbers where it is made,
and other bit generators or keys: the layouts of EdgeCollage32 and the half-random class maps, so that they stay equal
whatever the seed, and choices of the analyses, which must not depend on the run.
"""

import enum

import numpy as np


class Stream(enum.IntEnum):
    """What is drawn; streams of one seed are independent, whichever key of the input file the seed is of."""

    WEIGHTS = 0
    MASKS = 1
    BATCHES = 2
    SCORING = 3  # the images that scores are computed on
    TRANSLATIONS = 4
    COLLAGE = 5  # the images of EdgeCollage32
    CLONE = 6  # the images of Gaussian clones
    MOMENTS = 7  # the images whose moments normalise validation


class Split(enum.IntEnum):
    """The first counter where images are drawn."""

    TRAINING = 0
    VALIDATION = 1


def generator(seed: int, stream: Stream, *counters: int) -> np.random.Generator:
    """A numpy generator for one draw, such as the weights of one layer."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(stream, *counters))))


def device_key(seed: int, stream: Stream, *counters: int) -> int:
    """A non-negative int64 that, beside a step number, seeds one stateless draw of TensorFlow."""
    state = np.random.SeedSequence(seed, spawn_key=(stream, *counters)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def draw_seed() -> int:
    """A fresh seed from the operating system, 0 <= seed < 2**31."""
    return int(np.random.SeedSequence().generate_state(1)[0] >> 1)
