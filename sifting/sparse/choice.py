"""Which layers train by their kept weights alone."""

import importlib.util
from collections.abc import Mapping, Sequence

import numpy as np

from sifting.architecture import LayerSpec
from sifting.network.rounds import Mask

# Below this density the kernels were faster than the dense loop in every network of benchmarks/README.md. It is a fixed
# number and not measured on the spot, so that a run that continues, perhaps elsewhere, chooses the same.
LARGEST_DENSITY = 0.4
NO_NUMBA = "the package numba is not installed"
LEAST_WORK = 2**22  # multiplications of a dense layer in a step; below, both take less time than a call


def obstacle(specs: Sequence[LayerSpec]) -> str:
    """Why no layer of this architecture can train so here; empty if it can."""
    if not all(spec.is_dense for spec in specs):
        return "convolutions are always dense"
    if importlib.util.find_spec("numba") is None:
        return NO_NUMBA
    return ""


def sparse_layers(
    choice: str, masks: Mapping[int, Mask], specs: Sequence[LayerSpec], batch_size: int
) -> tuple[int, ...]:
    """The layers that train by their kept weights alone in a round: a function of its masks, so that a run that
    continues chooses the same.

    Args:
        choice: "auto": the prunable layers that keep at most LARGEST_DENSITY of their weights and are worth the call;
            "always": all prunable layers; "never": none.
        masks: by layer, 0, 1, ...
    """
    if choice == "never":
        return ()
    prunable = [layer for layer, spec in enumerate(specs) if spec.prunable]
    if choice == "always":
        return tuple(prunable)
    sizes = {layer: masks[layer].W.size for layer in prunable}
    return tuple(
        layer
        for layer, size in sizes.items()
        if np.count_nonzero(masks[layer].W) <= LARGEST_DENSITY * size and size * batch_size >= LEAST_WORK
    )
