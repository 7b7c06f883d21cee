"""What an experiment would do: printed by --dry_run, without images or TensorFlow."""

import itertools
import math
from typing import NamedTuple

from sifting.architecture import LayerSpec, layer_outputs
from sifting.base.devices import MODULE
from sifting.base.resources import available_disk, available_memory
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import MOMENT_IMAGES
from sifting.sparse.choice import LARGEST_DENSITY
from sifting.training.plan import Plan

MOST_ROUNDS_SHOWN = 40
# Of a kept weight of a sparse layer: 28 for values and structure, the rest while the structure is found; two more
# values with Adam.
KERNEL_BYTES = {"SGD": 76, "Adam": 84}


def outlook(plan: Plan) -> str:
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
    if not method.dense:
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
    if method.scope == "global":
        lines.append("       density of all pruned layers together: one layer can have more, another less")
    return "\n".join([*lines, ""])


def expected_rounds(experiment: Experiment) -> int | None:
    """How many rounds there will be, if the input file says so (and means it: no more than can be shown)."""
    sparsities = experiment.method.sparsities(experiment.network.init_sparsity)
    if sparsities is None:
        return None
    count = len(list(itertools.islice(sparsities, MOST_ROUNDS_SHOWN + 1)))
    return count if count <= MOST_ROUNDS_SHOWN else None


class Needs(NamedTuple):
    """Bytes, by estimate: memory of the device for images and for the network; disk of a round, and how much more that
    of round 0 takes."""

    images: int
    network: int
    round: int
    first: int


def needs_of(plan: Plan) -> Needs:
    network, specs, data = plan.experiment.network, plan.specs, plan.images.facts
    pixels = math.prod(data.shape)
    parameters = sum(spec.parameters for spec in specs)
    slots = 3 if network.minimizer == "Adam" else 1
    # Values, gradients and masks; activations, normalised inputs and their gradients.
    at_once = max(network.batch_size, MOMENT_IMAGES if network.validation_moments == "exact" else 0)
    activations = 3 * at_once * (pixels + sum(layer_outputs(specs, data.shape)))
    dense = 4 * ((slots + 2) * parameters + activations)
    share = 0 if MODULE.exists() else {"never": 0, "auto": LARGEST_DENSITY, "always": 1}[network.sparse]
    kept = int(share * sum(math.prod(spec.weight_shape) for spec in specs if spec.prunable))
    images = data.train_images * pixels * plan.experiment.data.preload
    checkpoints = len(plan.experiment.method.stored_steps(1, network.steps))
    stored = 4 * parameters * (checkpoints + 1)
    return Needs(images, dense + KERNEL_BYTES[network.minimizer] * kept, stored, 4 * parameters)


def check_resources(plan: Plan) -> None:
    """Raises InputError: the network takes more memory than is free, or the rounds to come more disk.

    Images do not count: those that do not fit are streamed. Nor does the memory of a GPU, which is not known yet; but
    the rounds that it trains have to fit into main memory before they are stored.
    """
    experiment, needs = plan.experiment, needs_of(plan)
    if not experiment.io.check_resources:
        return
    anyway = "or [IO] check_resources = false, to try it anyway"
    memory, free = needs.round if MODULE.exists() else needs.network, available_memory()
    if memory > free:
        accepted = f"what fits into memory: about {size_text(memory)} are needed, {size_text(free)} are free; {anyway}"
        raise experiment.error("Network", "arch", accepted)
    stored, first = plan.directory.rounds(), experiment.network.first_round
    kept = [number for number in stored if number < first or not plan.begins]
    deleted = [plan.directory.round_path(number) for number in stored if number not in kept]
    following = max([first, *(number + 1 for number in kept)])
    rounds = (expected_rounds(experiment) or following + 1) - following
    disk = rounds * needs.round + (needs.first if following == 0 else 0)
    free = available_disk(plan.directory.folder) + sum(path.stat().st_size for path in deleted)
    if disk > free:
        accepted = f"a folder with room: about {size_text(disk)} are needed, {size_text(free)} are free; {anyway}"
        raise experiment.error("IO", "save_dir", accepted)


def size_text(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _resources(plan: Plan) -> str:
    experiment, data, needs = plan.experiment, plan.images.facts, needs_of(plan)
    stored = len(plan.directory.rounds())
    there = f"; {stored} {'rounds are' if stored > 1 else 'round is'} there" if stored else ""
    return (
        f"images     {data.train_images:,} for training, {data.val_images:,} for validation, "
        f"{data.shape[0]} x {data.shape[1]} x {data.shape[2]}, {data.classes:,} classes\n"
        f"memory     about {(needs.images + needs.network) / 1e9:.2f} GB on the device\n"
        f"disk       about {needs.round / 1e6:.1f} MB a round, {needs.first / 1e6:.1f} MB more for round 0\n"
        f"results    {experiment.io.save_dir}, prefix {experiment.io.prefix}{there}"
    )
