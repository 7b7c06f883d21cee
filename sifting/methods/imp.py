"""Iterative magnitude pruning (Frankle & Carbin 2019; P&B section 3, A.3), with rewinding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sifting.experiment.experiment import Session
from sifting.experiment.keys import choice, key
from sifting.methods.base import IterativeMagnitude, Start, begin, further
from sifting.network.rounds import Checkpoint, Mask, Round, connected_fraction, counted_sparsities, density
from sifting.pruning.scopes import by_magnitude


@dataclass(frozen=True)
class IMP(IterativeMagnitude):
    """Iterative magnitude pruning."""

    scope: str = key(
        "layerwise",
        choice("layerwise", "global"),
        "layerwise: weights and biases of each layer in a pool of their own; global: the weights of all prunable "
        "layers in one pool, biases are kept",
    )

    def run(self, session: Session) -> None:
        """Train, prune the smallest weights, rewind; until max_iterations, stop_density or stop_ratio.

        Every round trains all steps, from the values that round 0 had at weights_step. Its masks come from the
        magnitudes at prune_step of the round before.
        """
        restart = session.experiment.network.restart
        if not restart and connected_fraction(session.initial_masks(), session.specs) <= self.stop_ratio:
            return
        start = begin(session)
        result, trained = start.dense, start.trained
        for number in range(start.number, self.max_iterations):
            masks, sparsities = self.pruned(session, start, result, trained)
            if self.ends(result.masks, masks, session.specs):
                break
            result = session.train(number, masks, sparsities, start.rewind_point.parameters)
            trained = result.checkpoint_at(self.prune_step)

    def pruned(
        self, session: Session, start: Start, result: Round, trained: Checkpoint
    ) -> tuple[dict[int, Mask], NDArray[np.float64]]:
        """Masks and sparsities of the next round: prune_ratio of what is left goes, by the magnitudes of `trained`."""
        network = session.network(trained.parameters, result.masks)
        if self.scope == "global":
            sparsity = further(1 - density(result.masks, session.specs), self.prune_ratio)
            masks = by_magnitude(network, sparsity, self.scope)
            return masks, counted_sparsities(masks, session.specs)
        nominal = further(result.sparsities, self.prune_ratio)
        return by_magnitude(network, nominal, self.scope), nominal
