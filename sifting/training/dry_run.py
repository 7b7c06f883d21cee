"""What an experiment would do: printed by --dry_run, without images or TensorFlow."""

import itertools
import math

from sifting.architecture import LayerSpec, layer_outputs
from sifting.experiment.experiment import Experiment
from sifting.training.plan import Plan

MOST_ROUNDS_SHOWN = 40


def describe(plan: Plan) -> str:
    """The resolved experiment, its layers, the rounds and densities to expect, memory and disk."""
    return "\n".join([plan.asked.to_text(), _layer_table(plan.specs), _rounds(plan), _resources(plan)])


def _layer_table(specs: tuple[LayerSpec, ...]) -> str:
    lines = [f"{'layer':>5}  {'kind':4}  {'shape':22}  {'parameters':>12}  pruned"]
    for index, spec in enumerate(specs, 1):
        shape = " x ".join(map(str, spec.shape))
        lines.append(f"{index:5}  {spec.kind:4}  {shape:22}  {spec.parameters:12,}  {'yes' if spec.prunable else 'no'}")
    total = sum(spec.parameters for spec in specs)
    return "\n".join([*lines, f"{'all':>5}  {'':4}  {'':22}  {total:12,}", ""])


def _rounds(plan: Plan) -> str:
    """Density and connections to expect in every round, as far as they follow from the input file."""
    method = plan.experiment.method
    sparsities = method.sparsities(plan.experiment.network.init_sparsity)
    if sparsities is None:
        return f"rounds     as many as it takes: [{method.name}] decides while it runs\n"
    numbered = enumerate(sparsities)
    if not method.dense_round:
        next(numbered)
    first = next(spec for spec in plan.specs if spec.prunable)
    n_in = math.prod(first.weight_shape[:-1])
    lines = [f"{'round':>5}  {'density u':>9}  connections of a node in the first pruned layer (n_in = {n_in})"]
    for number, sparsity in itertools.islice(numbered, MOST_ROUNDS_SHOWN):
        lines.append(f"{number:5}  {100 * (1 - sparsity):7.3f} %  {n_in * (1 - sparsity):.1f}")
        if method.round_by_round and n_in * (1 - sparsity) < 1:
            break  # fewer connections than nodes; what is left of the list would soon be zeros
    if next(numbered, None) is not None:
        lines.append(f"  ...  {method.last_round}".rstrip())
    if method.global_scope:
        lines.append("       density of all pruned layers together: one layer can have more, another less")
    return "\n".join([*lines, ""])


def expected_rounds(experiment: Experiment) -> int | None:
    """How many rounds there will be, if the input file says so (and means it: no more than can be shown)."""
    sparsities = experiment.method.sparsities(experiment.network.init_sparsity)
    if sparsities is None:
        return None
    count = len(list(itertools.islice(sparsities, MOST_ROUNDS_SHOWN + 1)))
    return count if count <= MOST_ROUNDS_SHOWN else None


def _resources(plan: Plan) -> str:
    experiment, specs, data = plan.experiment, plan.specs, plan.images.facts
    network = experiment.network
    pixels = data.shape[0] * data.shape[1] * data.shape[2]
    parameters = sum(spec.parameters for spec in specs)
    slots = 3 if network.minimizer == "Adam" else 1
    # Values, gradients and masks; activations, normalised inputs and their gradients.
    activations = 3 * network.batch_size * (pixels + sum(layer_outputs(specs, data.shape)))
    memory = data.train_images * pixels * experiment.data.preload + 4 * ((slots + 2) * parameters + activations)
    checkpoints = len(experiment.method.stored_steps(1, network.steps))
    round_bytes = 4 * parameters * (checkpoints + 1)
    stored = len(plan.directory.rounds())
    there = f"; {stored} {'rounds are' if stored > 1 else 'round is'} there" if stored else ""
    return (
        f"images     {data.train_images:,} for training, {data.val_images:,} for validation, "
        f"{data.shape[0]} x {data.shape[1]} x {data.shape[2]}, {data.classes:,} classes\n"
        f"memory     about {memory / 1e9:.2f} GB on the device\n"
        f"disk       about {round_bytes / 1e6:.1f} MB a round, {4 * parameters / 1e6:.1f} MB more for round 0\n"
        f"results    {experiment.io.save_dir}, prefix {experiment.io.prefix}{there}"
    )
