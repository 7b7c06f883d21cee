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
from sifting.rounds import Mask
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

    def score(network: MaskedNetwork) -> tuple[Mask | None, ...]:
        return checked_scores(method.name, method.score(network, *session.sample(method.images)), network)

    prune_by(session, method.scope, score)


def checked_scores(name: str, scores: object, network: MaskedNetwork) -> tuple[Mask | None, ...]:
    """What `score` of the user's class `name` gave. Raises InputError: it is not what methods.Scored asks for."""

    def refusal(given: str, accepted: str) -> InputError:
        return InputError(f"[{name}] score gives {given}; accepted: {accepted}")

    if not isinstance(scores, tuple | list) or len(scores) != len(network.specs):
        given = f"a tuple of {len(scores)}" if isinstance(scores, tuple | list) else described(scores)
        raise refusal(given, f"a tuple of {len(network.specs)}, a Mask or None for each layer")
    if all(entry is None for entry in scores):
        raise refusal("None for every layer", "a Mask of scores for at least one")
    for layer, (entry, spec) in enumerate(zip(scores, network.specs, strict=True)):
        where = f"for layer {layer + 1}"
        if entry is None:
            continue
        if not isinstance(entry, Mask):
            raise refusal(f"{described(entry)} {where}", "a Mask of scores, or None")
        if not spec.prunable:
            raise refusal(f"scores {where}", f"None {where}, which is not pruned: see [{name}] prune")
        for part, values, mask in zip(Mask._fields, entry, network.mask_of(layer), strict=True):
            if values is None and part == "b":
                continue  # biases do not compete
            if mask is None:
                raise refusal(f"b = {described(values)} {where}", "None, since a convolution has no biases")
            if not (isinstance(values, np.ndarray) and values.dtype.kind in "biuf" and values.shape == mask.shape):
                raise refusal(f"{part} = {described(values)} {where}", f"an array of numbers {list(mask.shape)}")
    return tuple(scores)


def prune_by(session: Session, scope: str, score: Callable[[MaskedNetwork], tuple[Mask | None, ...]]) -> None:
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
