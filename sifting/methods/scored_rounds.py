"""Iterative pruning by a score of your own."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sifting.experiment.experiment import Session
from sifting.experiment.keys import choice, integer, key
from sifting.methods.base import Start, further
from sifting.methods.imp import IMP
from sifting.methods.initialisation import checked_scores
from sifting.network.rounds import Checkpoint, Mask, Round, counted_sparsities
from sifting.pruning.scopes import SCOPES
from sifting.pruning.scores import Scores

if TYPE_CHECKING:
    from sifting.network.forward import ScoredNetwork


@dataclass(frozen=True)
class ScoredRounds(IMP):
    """IMP by a score of your own: a section is a subclass with `score`, see docs/extending.md."""

    scope: str = key(
        "layerwise", choice("layerwise", "global"), "layerwise: each layer is a pool of its own; global: one pool"
    )
    images: int = key(10000, integer(2), "number of training images for the score", scaled="images", least=2)

    @abstractmethod
    def score(
        self, network: "ScoredNetwork", x: NDArray[np.float32], labels: NDArray[np.int32], trained: "ScoredNetwork"
    ) -> Scores:
        """One number for each weight, after a round; the lowest of those that are left are pruned.

        Args:
            network: as every round starts, at the rewind point; trained: at prune_step; both under the round's masks.
            x: [images, channels * height * width], (pixel - mean) / 255; labels: [images].
        """

    def pruned(
        self, session: Session, start: Start, result: Round, trained: Checkpoint
    ) -> tuple[dict[int, Mask], NDArray[np.float64]]:
        """Masks and counted sparsities of the next round: prune_ratio of what is left in each pool goes."""
        if session.finished(result.number + 1):  # scores can take long
            following = session.stored(result.number + 1)
            return following.masks, following.sparsities
        session.report(f"{self.name} scores")
        network, after = (session.network(point.parameters, result.masks) for point in (start.rewind_point, trained))
        found = self.score(network, *session.sample(self.images), after)
        scores = checked_scores(self.name, found, network)
        pools = [sorted(scores)] if self.scope == "global" else [[layer] for layer in sorted(scores)]
        targets = [further(1 - _kept(scores, result.masks, pool), self.prune_ratio) for pool in pools]
        masks = SCOPES[self.scope](scores, result.masks, targets[0] if self.scope == "global" else targets)
        return masks, counted_sparsities(masks, session.specs)


def _kept(scores: Scores, masks: dict[int, Mask], pool: list[int]) -> float:
    """The fraction that is left of what has scores in some layers."""
    parts = [masks[layer][place] != 0 for layer in pool for place, part in enumerate(scores[layer]) if part.size]
    return float(sum(map(np.count_nonzero, parts)) / sum(part.size for part in parts))
