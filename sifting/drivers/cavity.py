"""Experimental: prune the weights whose removal most raises non-Gaussianity (Redman et al. 2024, section 4)."""

from sifting.drivers.imp import further
from sifting.drivers.start import begin
from sifting.methods import Cavity, of_kind
from sifting.pruning.scopes import layerwise
from sifting.pruning.scores import cavity
from sifting.rounds import connected_fraction
from sifting.session import Session


def run(session: Session) -> None:
    """Score the first layer at the rewind point under its current mask, prune the highest cavity scores, train.

    Redman et al. find that IMP prunes weights in the order of their cavity scores; here the scores are the order.
    Unlike for IMP, training does not enter the masks: the rounds are trained to see how good they are.
    """
    method, start = of_kind(session.experiment.method, Cavity), begin(session)
    x, _ = session.sample(method.images)
    masks, ratios = start.dense.masks, start.dense.ratios
    for number in range(start.number, method.max_iterations):
        if session.finished(number):
            result = session.stored(number)
            masks, ratios = result.masks, result.ratios
            continue
        network = session.network(start.rewind_point.parameters, masks)
        ratios = further(ratios, method.prune_ratio)
        masks = layerwise(cavity(network, x, start.rewind_point.moments.get(0)), masks, ratios)
        if connected_fraction(masks, session.specs) <= method.stop_ratio:
            break
        session.train(number, masks, ratios, start.rewind_point.parameters)
