"""Scopes say which weights compete, rules how a pool of competitors is cut: pure functions from scores to masks.

Scores and masks have one entry a layer. A layer without scores (None) keeps its mask, and so do biases without scores.
No mask ever grows.
"""

from collections.abc import Callable, Sequence

import numpy as np

from sifting.errors import ScoresNotFinite
from sifting.rounds import Mask

# (scores, kept, sparsity) of one pool -> what stays; arrays [n] of float, bool and bool.
Rule = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def exact_count(scores: np.ndarray, kept: np.ndarray, sparsity: float) -> np.ndarray:
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


def reference_threshold(scores: np.ndarray, kept: np.ndarray, sparsity: float) -> np.ndarray:
    """The reference's rule for magnitudes: what is >= the value at index int(sparsity * n) of the sorted scores stays.

    Masked weights count with their scores, which are zero. Ties at the threshold all stay, and a threshold of zero
    revives nothing. Arguments and result as exact_count.
    """
    threshold = np.sort(scores)[min(int(sparsity * scores.size), scores.size - 1)]
    return (scores >= threshold) & kept


def layerwise(
    scores: Sequence[Mask | None],
    masks: Sequence[Mask | None],
    sparsity: float | Sequence[float],
    rule: Rule = exact_count,
) -> tuple[Mask | None, ...]:
    """Each layer with scores is a pool of its own.

    Args:
        scores: per layer; the lowest are pruned.
        masks: per layer, the old ones.
        sparsity: to reach, in [0, 1): one for all layers, or one for each layer with scores.
        rule: exact_count or reference_threshold.

    Returns:
        The new masks, float32.

    Raises:
        ScoresNotFinite: a score of a weight that was not masked is NaN or infinite.
    """
    layers = [layer for layer, values in enumerate(scores) if values is not None]
    targets = [sparsity] * len(layers) if np.isscalar(sparsity) else sparsity
    new = list(masks)
    for layer, target in zip(layers, targets, strict=True):
        new = _cut_pool(scores, new, [layer], target, rule)
    return tuple(new)


def globally(
    scores: Sequence[Mask | None], masks: Sequence[Mask | None], sparsity: float, rule: Rule = exact_count
) -> tuple[Mask | None, ...]:
    """All layers with scores make one pool. Arguments, result and errors as layerwise, `sparsity` that of the pool."""
    layers = [layer for layer, values in enumerate(scores) if values is not None]
    return tuple(_cut_pool(scores, masks, layers, sparsity, rule))


SCOPES = {"layerwise": layerwise, "global": globally}


def _cut_pool(scores, masks, layers: Sequence[int], sparsity: float, rule: Rule) -> list[Mask | None]:
    """New masks, after the pool of the weights and biases with scores in `layers` was cut."""
    pool = [(layer, name) for layer in layers for name in Mask._fields if getattr(scores[layer], name) is not None]
    values = np.concatenate([getattr(scores[layer], name).ravel() for layer, name in pool])
    kept = np.concatenate([getattr(masks[layer], name).ravel() != 0 for layer, name in pool])
    if not np.all(np.isfinite(values[kept])):
        raise ScoresNotFinite(
            f"scores of layers {', '.join(str(layer + 1) for layer in layers)} are not finite: "
            f"{np.sum(~np.isfinite(values[kept]))} of {np.sum(kept)}"
        )
    keep = rule(values, kept, sparsity)
    new, start = list(masks), 0
    for layer, name in pool:
        old = getattr(masks[layer], name)
        part = keep[start : start + old.size].reshape(old.shape).astype(np.float32)
        new[layer] = new[layer]._replace(**{name: part})
        start += old.size
    return new
