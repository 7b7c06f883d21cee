"""Experimental: prune the weights whose removal most raises non-Gaussianity (Redman et al. 2024, section 4)."""

from dataclasses import dataclass

from sifting.architecture import CONVOLUTION
from sifting.experiment.experiment import Experiment, Session
from sifting.experiment.keys import integer, key
from sifting.methods.base import Iterative, begin, further
from sifting.pruning.scopes import layerwise
from sifting.pruning.scores import cavity


@dataclass(frozen=True)
class Cavity(Iterative):
    """Experimental: prune first-layer weights by their cavity score at the rewind point, iteratively."""

    images: int = key(
        10000, integer(2), "number of training images that the scores are computed on", scaled="images", least=2
    )

    def run(self, session: Session) -> None:
        """Score the first layer at the rewind point under its current mask, prune the highest cavity scores, train.

        Redman et al. find that IMP prunes weights in the order of their cavity scores; here the scores are the order.
        Unlike for IMP, training does not enter the masks: the rounds are trained to see how good they are.
        """
        start = begin(session)
        x, _ = session.sample(self.images)
        masks, nominal = start.dense.masks, start.dense.sparsities
        for number in range(start.number, self.max_iterations):
            if session.finished(number):
                result = session.stored(number)
                masks, nominal = result.masks, result.sparsities
                continue
            network = session.network(start.rewind_point.parameters, masks)
            nominal = further(nominal, self.prune_ratio)
            pruned = layerwise(cavity(network, x, start.rewind_point.moments.get(0)), masks, nominal)
            if self.ends(masks, pruned, session.specs):
                break
            masks = pruned
            session.train(number, masks, nominal, start.rewind_point.parameters)

    def default_prune(self, layers: int) -> tuple[bool, ...]:
        return (True,) + (False,) * (layers - 1)

    def check(self, experiment: Experiment) -> None:
        super().check(experiment)
        if experiment.prunable != [0] or experiment.network.arch[0].kind == CONVOLUTION:
            raise experiment.error(self.name, "prune", "T at the first layer alone, which must be a dense one")
