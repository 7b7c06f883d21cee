"""Oneshot magnitude pruning (Frankle & Carbin 2019; P&B 5.1; Redman 3.2): one dense training, one cut a level."""

from sifting.drivers.start import begin, levels_to_train, train_level
from sifting.methods import OneShot, of_kind
from sifting.pruning.scopes import globally, layerwise, reference_threshold
from sifting.pruning.scores import magnitude
from sifting.session import Session


def run(session: Session) -> None:
    """Every level is pruned from the same trained weights, rewound to weights_step of round 0 and trained again.

    Pools and ties as for IMP, so that the first level of both methods has the same masks.
    """
    method, start = of_kind(session.experiment.method, OneShot), begin(session)
    network = session.network(start.trained.parameters, start.dense.masks)
    for number, sparsity in levels_to_train(session, start):
        if method.scope == "global":
            masks = globally(magnitude(network, biases=False), network.masks, sparsity)
        else:
            masks = layerwise(magnitude(network), network.masks, sparsity, reference_threshold)
        train_level(session, number, masks, start.rewind_point.parameters)
