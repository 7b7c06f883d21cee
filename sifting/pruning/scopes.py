"""Scopes say which weights compete, rules how a pool of competitors is cut: pure functions from scores to masks.

Scores and masks are by layer. A layer without scores keeps its mask, and so do biases without scores (an empty b). No
mask ever grows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifting.errors import ScoresNotFinite
from sifting.network.rounds import Mask, MaskedNetwork
from sifting.pruning.scores import magnitude

Sparsity = float | Fraction  # fractions say exactly how many weights of a layer go

# (scores, kept, sparsity) of one pool -> what stays; arrays [n] of float, bool and bool.
Rule = Callable[[NDArray[np.floating], NDArray[np.bool_], Sparsity], NDArray[np.bool_]]


def exact_count(scores: NDArray[np.floating], kept: NDArray[np.bool_], sparsity: Sparsity) -> NDArray[np.bool_]:
    """Remove the int(sparsity * n) lowest scores of all n, ties by index; what is masked already counts as lowest.

    Args:
        scores: [n] float; kept: [n] bool, the old mask; sparsity: in [0, 1).

    Returns:
        [n] bool; exactly int(sparsity * n) are False, or more where more were masked already.
    """
    remaining = np.flatnonzero(kept)
    excess = int(sparsity * kept.size) - (kept.size - remaining.size)
    keep = kept.copy()
    if excess > 0:
        values = scores[remaining]
        threshold = np.partition(values, excess - 1)[excess - 1]
        below, ties = np.flatnonzero(values < threshold), np.flatnonzero(values == threshold)
        keep[remaining[below]] = False
        keep[remaining[ties[: excess - below.size]]] = False
    return keep


def reference_threshold(scores: NDArray[np.floating], kept: NDArray[np.bool_], sparsity: Sparsity) -> NDArray[np.bool_]:
    """The reference's rule for magnitudes: what is >= the value at index int(sparsity * n) of the sorted scores stays.

    Masked weights count with their scores, which are zero. Ties at the threshold all stay, and a threshold of zero
    revives nothing. Arguments and result as exact_count.
    """
    threshold = np.sort(scores)[min(int(sparsity * scores.size), scores.size - 1)]
    keep: NDArray[np.bool_] = (scores >= threshold) & kept
    return keep


def layerwise(
    scores: Mapping[int, Mask],
    masks: Mapping[int, Mask],
    sparsity: Sparsity | Sequence[Sparsity] | NDArray[np.float64],
    rule: Rule = exact_count,
) -> dict[int, Mask]:
    """Each layer with scores is a pool of its own.

    Args:
        scores: by layer; the lowest are pruned.
        masks: by layer, the old ones.
        sparsity: to reach, in [0, 1): one for all layers, or one for each layer with scores, from the input on.
        rule: exact_count or reference_threshold.

    Returns:
        The new masks, float32.

    Raises:
        ScoresNotFinite: a score of a weight that was not masked is NaN or infinite.
    """
    targets: Iterable[Sparsity]
    targets = [sparsity] * len(scores) if isinstance(sparsity, float | int | Fraction) else sparsity
    new = dict(masks)
    for layer, target in zip(sorted(scores), targets, strict=True):
        new = _cut_pool(scores, new, [layer], target, rule)
    return new


def globally(scores: Mapping[int, Mask], masks: Mapping[int, Mask], sparsity: Sparsity) -> dict[int, Mask]:
    """All layers with scores make one pool, cut by exact_count. Else as layerwise, `sparsity` that of the pool."""
    return _cut_pool(scores, masks, sorted(scores), sparsity, exact_count)


def by_magnitude(network: MaskedNetwork, sparsity: Any, scope: str) -> dict[int, Mask]:
    """The masks after the smallest magnitudes went. layerwise: of weights and biases, by the reference's rule; global:
    of weights alone. Arguments as of layerwise and globally."""
    if scope == "global":
        return globally(magnitude(network, biases=False), network.masks, sparsity)
    return layerwise(magnitude(network), network.masks, sparsity, reference_threshold)


SCOPES: dict[str, Callable[..., dict[int, Mask]]] = {"layerwise": layerwise, "global": globally}


def _cut_pool(
    scores: Mapping[int, Mask], masks: Mapping[int, Mask], layers: Sequence[int], sparsity: Sparsity, rule: Rule
) -> dict[int, Mask]:
    """New masks, after the pool of the weights and biases with scores in `layers` was cut."""
    pool = [(layer, name) for layer in layers for name in Mask._fields if getattr(scores[layer], name).size]
    values = np.concatenate([getattr(scores[layer], name).ravel() for layer, name in pool])
    kept = np.concatenate([getattr(masks[layer], name).ravel() != 0 for layer, name in pool])
    if not np.all(np.isfinite(values[kept])):
        named = f"layer{'s' if len(layers) > 1 else ''} {', '.join(str(layer + 1) for layer in layers)}"
        raise ScoresNotFinite(
            f"scores of {named} are not finite: {np.sum(~np.isfinite(values[kept]))} of {np.sum(kept)}"
        )
    keep = rule(values, kept, sparsity)
    new, start = dict(masks), 0
    for layer, name in pool:
        old = getattr(masks[layer], name)
        part = keep[start : start + old.size].reshape(old.shape).astype(np.float32)
        new[layer] = new[layer]._replace(**{name: part})
        start += old.size
    return new
