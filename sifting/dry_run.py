"""What an experiment would do: printed by --dry_run, without images or TensorFlow."""

import itertools

from sifting import datasets
from sifting.architecture import LayerSpec, build_specs, layer_outputs
from sifting.datasets.source import Facts
from sifting.inputs import Experiment
from sifting.methods import Iterative
from sifting.run_directory import RunDirectory

MOST_ROUNDS_SHOWN = 40


def describe(experiment: Experiment) -> str:
    """The resolved experiment, its layers, the rounds and densities to expect, memory and disk."""
    data = datasets.check(experiment)
    specs = build_specs(experiment.network.arch, experiment.method.prune, data.shape, data.classes)
    parts = [
        experiment.to_text(),
        _layer_table(specs),
        _rounds(experiment, specs),
        _resources(experiment, specs, data),
    ]
    return "\n".join(parts)


def _layer_table(specs: tuple[LayerSpec, ...]) -> str:
    lines = [f"{'layer':>5}  {'kind':4}  {'shape':22}  {'parameters':>12}  pruned"]
    for index, spec in enumerate(specs, 1):
        shape = " x ".join(map(str, spec.shape))
        lines.append(f"{index:5}  {spec.kind:4}  {shape:22}  {spec.parameters:12,}  {'yes' if spec.prunable else 'no'}")
    total = sum(spec.parameters for spec in specs)
    return "\n".join([*lines, f"{'all':>5}  {'':4}  {'':22}  {total:12,}", ""])


def _rounds(experiment: Experiment, specs: tuple[LayerSpec, ...]) -> str:
    """Density and connections to expect in every round, as far as they follow from the input file."""
    method = experiment.method
    sparsities = method.sparsities(experiment.network.init_sparsity)
    if sparsities is None:
        return f"rounds     as many as it takes: [{method.name}] decides while it runs\n"
    numbered = enumerate(sparsities)
    if not method.dense_round:
        next(numbered)
    first = next(spec for spec in specs if spec.prunable)
    n_in = 1
    for size in first.weight_shape[:-1]:
        n_in *= size
    lines = [f"{'round':>5}  {'density u':>9}  connections of a node in the first pruned layer (n_in = {n_in})"]
    for number, sparsity in itertools.islice(numbered, MOST_ROUNDS_SHOWN):
        lines.append(f"{number:5}  {100 * (1 - sparsity):7.3f} %  {n_in * (1 - sparsity):.1f}")
        if isinstance(method, Iterative) and n_in * (1 - sparsity) < 1:
            break  # fewer connections than nodes; what is left of the list would soon be zeros
    if next(numbered, None) is not None:
        lines.append("  ...")
        if isinstance(method, Iterative):
            lines[-1] += f"  until stop_ratio = {method.stop_ratio}, at most {method.max_iterations} rounds"
    if getattr(method, "scope", "layerwise") == "global":
        lines.append("       density of all pruned layers together: one layer can have more, another less")
    return "\n".join([*lines, ""])


def expected_rounds(experiment: Experiment) -> int | None:
    """How many rounds there will be, if the input file says so (and means it: no more than can be shown)."""
    sparsities = experiment.method.sparsities(experiment.network.init_sparsity)
    if sparsities is None:
        return None
    count = len(list(itertools.islice(sparsities, MOST_ROUNDS_SHOWN + 1)))
    return count if count <= MOST_ROUNDS_SHOWN else None


def _resources(experiment: Experiment, specs: tuple[LayerSpec, ...], data: Facts) -> str:
    network = experiment.network
    pixels = data.shape[0] * data.shape[1] * data.shape[2]
    parameters = sum(spec.parameters for spec in specs)
    slots = 3 if network.minimizer == "Adam" else 1
    # Values, gradients and masks; activations, normalised inputs and their gradients.
    activations = 3 * network.batch_size * (pixels + sum(layer_outputs(specs, data.shape)))
    memory = data.train_images * pixels * experiment.data.preload + 4 * ((slots + 2) * parameters + activations)
    checkpoints = len(experiment.method.stored_steps(1, network.steps))
    round_bytes = 4 * parameters * (checkpoints + 1)
    stored = len(RunDirectory(experiment.io.save_dir, experiment.io.prefix).rounds())
    there = f"; {stored} {'rounds are' if stored > 1 else 'round is'} there" if stored else ""
    return (
        f"images     {data.train_images:,} for training, {data.val_images:,} for validation, "
        f"{data.shape[0]} x {data.shape[1]} x {data.shape[2]}, {data.classes:,} classes\n"
        f"memory     about {memory / 1e9:.2f} GB on the device\n"
        f"disk       about {round_bytes / 1e6:.1f} MB a round, {4 * parameters / 1e6:.1f} MB more for round 0\n"
        f"results    {experiment.io.save_dir}, prefix {experiment.io.prefix}{there}"
    )
