"""Pruning at initialisation, or at the rewind point of a restart: SNIP, SynFlow, GraSP, and random masks.

Every level is pruned from the same untrained network and trained from its values.
"""

from collections.abc import Callable

import numpy as np

from sifting.drivers.start import begin, levels_to_train, train_level
from sifting.errors import InputError
from sifting.extensions import described
from sifting.forward import MaskedNetwork
from sifting.methods import SNIP, GraSP, Random, Scored, SynFlow, of_kind
from sifting.pruning.scopes import SCOPES
from sifting.pruning.scores import grasp, iterated_synflow, snip, uniform
from sifting.rounds import NOTHING, Mask
from sifting.session import Session


def run_snip(session: Session) -> None:
    """SNIP: the scores of one batch give the masks of all levels (Lee et al. 2019; P&B 5.1)."""
    method = of_kind(session.experiment.method, SNIP)
    prune_by(session, method.scope, lambda network: snip(network, *session.sample(method.images), method.moments))


def run_grasp(session: Session) -> None:
    """GraSP: as SNIP, with another score (Wang et al. 2020)."""
    method, batch_size = of_kind(session.experiment.method, GraSP), session.experiment.network.batch_size
    prune_by(
        session,
        method.scope,
        lambda network: grasp(network, *session.sample(method.images), batch_size, method.temperature, method.moments),
    )


def run_scored(session: Session) -> None:
    """A method of the user's own, see methods.Scored."""
    method = of_kind(session.experiment.method, Scored)

    def score(network: MaskedNetwork) -> dict[int, Mask]:
        return checked_scores(method.name, method.score(network, *session.sample(method.images)), network)

    prune_by(session, method.scope, score)


def checked_scores(name: str, scores: object, network: MaskedNetwork) -> dict[int, Mask]:
    """What `score` of the user's class `name` gave. Raises InputError: it is not what methods.Scored asks for."""

    def refusal(given: str, accepted: str) -> InputError:
        return InputError(f"[{name}] score gives {given}; accepted: {accepted}")

    if not isinstance(scores, dict) or not scores or not set(scores) <= set(network.prunable):
        given = f"scores for {list(scores)}" if isinstance(scores, dict) else described(scores)
        raise refusal(given, f"a dict from layer to Mask, for some of {network.prunable}, which [{name}] prune names")
    for layer, entry in scores.items():
        if not isinstance(entry, Mask):
            raise refusal(f"{described(entry)} for layer {layer}", "a Mask of scores")
        for part, values, mask in zip(Mask._fields, entry, network.masks[layer], strict=True):
            if part == "b" and values is NOTHING:
                continue  # biases do not compete
            if not (isinstance(values, np.ndarray) and values.dtype.kind in "biuf" and values.shape == mask.shape):
                given = f"{part} = {described(values)} for layer {layer}"
                raise refusal(given, f"an array of numbers {list(mask.shape)}")
    return scores


def prune_by(session: Session, scope: str, score: Callable[[MaskedNetwork], dict[int, Mask]]) -> None:
    """Score the network once; every level removes the lowest scores."""
    start = begin(session)
    network = session.network(start.rewind_point.parameters, start.dense.masks)
    scores = None
    for number, sparsity in levels_to_train(session, start):
        if scores is None:
            session.report(f"{session.experiment.method_name} scores")
            scores = score(network)
        masks = SCOPES[scope](scores, network.masks, sparsity)
        train_level(session, number, masks, network.parameters)


def run_synflow(session: Session) -> None:
    """SynFlow: every level is reached in many steps, with new scores in each (Tanaka et al. 2020; P&B 5.1)."""
    method, start = of_kind(session.experiment.method, SynFlow), begin(session)
    network = session.network(start.rewind_point.parameters, start.dense.masks)
    for number, sparsity in levels_to_train(session, start):
        session.report(f"SynFlow in {method.iterations} iterations")
        masks = iterated_synflow(network, sparsity, method.iterations, SCOPES[method.scope])
        train_level(session, number, masks, network.parameters)


def run_random(session: Session) -> None:
    """Random masks, drawn independently for every level; `like` gives each layer the density of another run's."""
    method, start = of_kind(session.experiment.method, Random), begin(session)
    network = session.network(start.rewind_point.parameters, start.dense.masks)
    for number, sparsity in levels_to_train(session, start):
        scores = uniform(network, session.experiment.network.seed, number)
        masks = SCOPES[method.scope](scores, network.masks, sparsity)
        train_level(session, number, masks, network.parameters)
